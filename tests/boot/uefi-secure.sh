#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=all limit=1800
# UEFI with Secure Boot on and Microsoft's keys: the signed shim, the signed GRUB, the
# distribution's signed kernel, with no setting for any of it.
set -euo pipefail
# shellcheck source=tests/lib/boot.sh
. "$(dirname "$0")/../lib/boot.sh"

boot_image image
boot_host calm mode=tmpfs
qemu_firmware=secure
boot_machine
boot_check
boot_shows 'secureboot: Secure boot enabled'
for file in bootx64.efi grubx64.efi grub/grub.cfg kernel initrd; do
	boot_fetched "$file"
done

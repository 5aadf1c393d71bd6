#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: limit=1800
# UEFI by GRUB's network image.
set -euo pipefail
# shellcheck source=tests/lib/boot.sh
. "$(dirname "$0")/../lib/boot.sh"

boot_image image
boot_host gust mode=tmpfs loader=grubnetx64.efi
qemu_firmware=uefi
boot_machine
boot_check
boot_shows 'EFI v2'
for file in grubnetx64.efi grub/grub.cfg kernel initrd; do
	boot_fetched "$file"
done

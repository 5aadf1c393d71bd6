#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=all limit=1800
# UEFI by iPXE: the firmware fetches it, and what it then asks for is its script.
set -euo pipefail
# shellcheck source=tests/lib/boot.sh
. "$(dirname "$0")/../lib/boot.sh"

boot_image image
boot_host gale mode=tmpfs loader=snponly.efi
qemu_firmware=uefi
boot_machine
boot_check
boot_shows 'EFI v2'
for file in snponly.efi boot.ipxe kernel initrd; do
	boot_fetched "$file"
done

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=all limit=1800
# A host that asks for a menu: somebody at the machine chooses the maintenance image,
# and it boots that one, as itself.
set -euo pipefail
# shellcheck source=tests/lib/boot.sh
. "$(dirname "$0")/../lib/boot.sh"

boot_image image
"$rootstock" image add rescue "$image" >>"$work/image-add.log"
boot_host mender mode=tmpfs loader=grubnetx64.efi menu=yes menu_secs=600 maintenance=rescue
qemu_firmware=uefi
boot_machine
qemu_wait mender "$boot_limit" 'Maintenance \(rescue@1\)'
qemu_send mender $'\e[B'
sleep 1 # a terminal tells the key from a lone Escape by the pause after it
qemu_send mender $'\r'
boot_check
boot_shows 'Loading rescue@1'
boot_fetched maintenance/kernel
grep -q 'mounted /maintenance' "$work/serve.log" || fail "its root was not the maintenance image's"

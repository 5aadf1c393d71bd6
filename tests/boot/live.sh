#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=all limit=1800
# A live system's medium as the image: live-boot mounts it by NFS, and the system out of
# its squashfs.
set -euo pipefail
# shellcheck source=tests/lib/boot.sh
. "$(dirname "$0")/../lib/boot.sh"

boot_image live
"$rootstock" host add "$boot_mac" --name disc
"$rootstock" host set disc console=ttyS0,115200
server_start
qemu_start disc "$boot_mac"
qemu_wait disc "$boot_limit" '^debian login:'
qemu_send disc $'root\n'
qemu_wait disc 300 'root@debian:.*#'
qemu_send disc $'grep -c squashfs /proc/mounts | sed s/^/squashes=/; poweroff\n'
qemu_wait disc 120 '^squashes=[1-9]'
qemu_wait_off disc 300
boot_name=disc
boot_fetched kernel
grep -q 'mounted /$' "$work/serve.log" || fail "the medium was not mounted by NFS"

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: limit=900
# U-Boot on a 64-bit ARM board, left to itself, fetches a script, by that its menu, and
# loads what that names.  The image is for another processor: it is not started.
set -euo pipefail
# shellcheck source=tests/lib/boot.sh
. "$(dirname "$0")/../lib/boot.sh"

firmware=/usr/lib/u-boot/qemu_arm64/u-boot.bin
[[ -e $firmware ]] || skip "needs u-boot-qemu"
command -v qemu-system-aarch64 >/dev/null || skip "needs qemu-system-arm"
boot_mac=52:52:52:52:52:52 # this build's own, whatever the card says
boot_image image
boot_host board mode=tmpfs
server_start
qemu_board board "$boot_mac" "$firmware"
qemu_wait board 500 'Bad Linux ARM64 Image magic'
boot_shows 'Executing script at'
boot_shows 'append: boot=nfs root=/dev/nfs nfsroot=10.77.0.1:/,vers=3'
for file in boot.scr.uimg "pxelinux.cfg/01-${boot_mac//:/-}" kernel initrd; do
	boot_fetched "$file"
done
grep 'file=' "$work/serve.log"

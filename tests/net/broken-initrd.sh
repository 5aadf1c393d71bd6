#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=quick limit=240
# An initrd without the driver of any network card, and one without NFS.
set -euo pipefail
# shellcheck source=tests/lib/doctor.sh
. "$(dirname "$0")/../lib/doctor.sh"

doctor_up
initrd=$work/image/boot/initrd.img-6.1.0-1-amd64
modules=usr/lib/modules/6.1.0-1-amd64/kernel
doctor_initrd "$initrd" bin/ipconfig bin/nfsmount "$modules/fs/nfs/nfs.ko.xz" \
	"$modules/fs/nfs/nfsv3.ko.xz" "$modules/drivers/net/phy/realtek.ko.xz"
doctor_add
doctor_serve
doctor north
doctor_only "has no driver of a network card"
grep -q "update-initramfs" "$work/doctor" || fail "no remedy: $(cat "$work/doctor")"

# A machine comes as far as that initrd.
machine_loads
machine_is_silent initrd
shown "initrd dhcp" "its initrd /boot/initrd.img-6.1.0-1-amd64 has no driver of a network card"
grep -q "^remedy: .*update-initramfs" "$work/show" || fail "no remedy: $(cat "$work/show")"

# What the kernel has built in need not be there.
echo kernel/drivers/net/ethernet/intel/e1000/e1000.ko |
	overlay_text all /usr/lib/modules/6.1.0-1-amd64/modules.builtin
doctor north
equal "exit of doctor: $(grep ^error "$work/doctor")" 0 "$doctor_status"
shown "initrd dhcp" "its initrd .* has a network driver .*: the kernel does not start"

# An archive before it, as with microcode, hides nothing.
doctor_initrd "$work/main" bin/ipconfig "$modules/drivers/net/ethernet/intel/e1000/e1000.ko" \
	"$modules/fs/nfs/nfs.ko" "$modules/fs/nfs/nfsv3.ko"
(cd "$work/initrd-tree" && echo bin | cpio --quiet -o -H newc) >"$work/early"
cat "$work/early" "$work/main" | overlay_text all /boot/initrd.img-6.1.0-1-amd64
doctor north
doctor_only "has no nfsmount"
echo rubbish | overlay_text all /boot/initrd.img-6.1.0-1-amd64
doctor north
doctor_only "is no initrd, or a damaged one"
shown "initrd dhcp" "its initrd .* is no initrd, or a damaged one"

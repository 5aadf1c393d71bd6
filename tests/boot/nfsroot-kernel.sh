#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: limit=1200
# The seed's own boot: no initrd, a kernel that mounts its root by NFS itself,
# init=/linuxrc in tmpfs mode.
set -euo pipefail
lib=$(dirname "$0")/../lib
for part in test net qemu server image selfcheck; do
	# shellcheck source=/dev/null
	. "$lib/$part.sh"
done

need_root
if [[ ${ROOTSTOCK_KERNEL_BUILD-} == 1 ]]; then
	kernel=$("$lib/kernel.sh")
else
	kernel=$("$lib/kernel.sh" --cached) ||
		skip "no kernel with ROOT_NFS in the cache (tests/lib/kernel.sh builds one)"
fi
image=$("$lib/image.sh")
net_up
server_state
"$rootstock" image add debian "$image" >"$work/image-add.log"
"$rootstock" host add 52:54:00:12:34:03 --name west
"$rootstock" overlay put host:west /boot/vmlinuz-nfsroot --from "$kernel"
"$rootstock" host set west console=ttyS0,115200 mode=tmpfs \
	kernel=/boot/vmlinuz-nfsroot initrd=none dialect=kernel
selfcheck_boot west 52:54:00:12:34:03 "$image" EROFS
# Proof that it was this kernel, and nobody's initrd.
qemu_shows west 'Run /linuxrc as init process' || fail "init was not /linuxrc"
! qemu_shows west 'Unpacking initramfs.*|Loading.*initrd' || fail "there was an initrd"

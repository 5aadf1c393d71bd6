#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=quick limit=240
# doctor of hosts whose images mount their root in each dialect: what is well, and the one
# thing that each may lack; and where a kernel would stop at a broken answer.
set -euo pipefail
# shellcheck source=tests/lib/doctor.sh
. "$(dirname "$0")/../lib/doctor.sh"

doctor_up
doctor_add
version=6.1.0-1-amd64
modules=usr/lib/modules/$version/kernel
initrd=$work/image/boot/initrd.img-$version
drivers=("$modules/drivers/net/ethernet/intel/e1000/e1000.ko" "$modules/fs/nfs/nfs.ko"
	"$modules/fs/nfs/nfsv3.ko")

# dialect_image NAME: the image as it is now, as NAME, for north.
dialect_image() {
	"$rootstock" image add "$1" "$work/image" >/dev/null
	"$rootstock" host set north image="$1"
}
# was_well SAID...: doctor found no error, and said so.
was_well() {
	local said
	equal "exit of doctor: $(grep ^error "$work/doctor")" 0 "$doctor_status"
	for said; do
		grep -q "^ok *$said" "$work/doctor" || fail "not said: $said: $(cat "$work/doctor")"
	done
}
well() {
	doctor north
	was_well "$@"
}
doctor_serve

rm -r "$work/image/usr/share/initramfs-tools"
mkdir -p "$work/image/usr/lib/dracut"
doctor_initrd "$initrd" usr/sbin/mount.nfs "${drivers[@]}"
dialect_image dracut
well "menu .*root=nfs:10.77.0.1:/:vers=3" "mount */, as dracut does it, by TCP and UDP" \
	"root */sbin/init"
"$rootstock" host set north cmdline=root=/dev/sda1
doctor north
doctor_only "not told of a root by NFS"
"$rootstock" host set north cmdline=
doctor_initrd "$initrd" bin/ipconfig "${drivers[@]}"
dialect_image dracut-less
doctor north
doctor_only "has no mount.nfs"
grep -q -- "-> in the image: dracut --force" "$work/doctor" || fail "$(cat "$work/doctor")"

rm -r "$work/image/usr/lib/dracut"
mkdir -p "$work/image/usr/lib/initcpio/hooks"
: >"$work/image/usr/lib/initcpio/hooks/net"
doctor_initrd "$initrd" hooks/net "${drivers[@]}"
dialect_image mkinitcpio
well "menu .*root=/dev/nfs nfsroot=10.77.0.1:/,vers=3" \
	"mount */, as mkinitcpio does it, by TCP and UDP" "root */sbin/init"
doctor_initrd "$initrd" hooks/net "${drivers[@]:0:1}"
dialect_image mkinitcpio-less
doctor north
doctor_only "has no module nfs"
grep -q "mkinitcpio -P" "$work/doctor" || fail "$(cat "$work/doctor")"

rm -r "$work/image/usr/lib/initcpio" "$initrd"
printf "CONFIG_X=y\nCONFIG_%s=y\n" NFS_FS NFS_V3 ROOT_NFS IP_PNP IP_PNP_DHCP |
	awk '!seen[$0]++' >"$work/image/boot/config-$version"
dialect_image kernel
well "menu .*root=/dev/nfs nfsroot=" "mount */, as a kernel does it, by TCP and UDP"

# One reply is broken: PROGRAM PROCEDURE PROTO HOW (meddler.py), and what doctor says of it:
# an error where a kernel would stop, a warning where it goes on.
while read -r program procedure proto how level words <&3; do
	spawn meddler "$tests/net/meddler.py" "$ROOTSTOCK_STATE/control" \
		"$program" "$procedure" "$proto" "$how"
	wait_for 10 "who meddles" grep -q meddling "$work/meddler.log"
	doctor north
	stop "$spawned"
	if [[ $level == error ]]; then
		doctor_only "$words"
		continue
	fi
	was_well "mount */, as a kernel does it, by TCP and UDP" "boot *north would come to its init"
	if [[ $level == warn ]]; then
		grep -q "^warn *mount *$words" "$work/doctor" || fail "$how: $(cat "$work/doctor")"
	else
		! grep "^warn *mount" "$work/doctor" || fail "$how is no trouble"
	fi
done 3<<'END'
100005 0 tcp 5=1 error / cannot be mounted, as a kernel does it by TCP, at NULL of MOUNT: the call is not
100005 1 udp 6=10006 error / cannot be mounted, as a kernel does it by UDP: server fault
100005 3 udp 5=3 warn / cannot be unmounted, as a kernel does it by UDP, at UMNT: the call is not
100003 0 udp 5=3 error by UDP, at NULL of NFS: the call is not accepted
100227 0 tcp 5=0 ok
100227 0 udp cut warn NULL of NFSACL by UDP: .*: a kernel mounts / all the same, without ACLs$
100227 0 tcp fragment warn NULL of NFSACL by TCP: .*: a kernel mounts / all the same, without ACLs$
100227 0 tcp close warn NULL of NFSACL by TCP: the connection was closed: a kernel waits for one to three minutes
100227 0 tcp late warn NULL of NFSACL by TCP: no reply to a call in 5 s: a kernel waits for one to three minutes
100003 19 tcp 6=5 error by TCP, at FSINFO: input/output error
100003 19 tcp cut error by TCP, at FSINFO: 
100003 19 udp 32=0 warn FSINFO by UDP: it allows a WRITE of 0 bytes: a kernel mounts / all the same
100003 20 tcp 6=5 warn PATHCONF by TCP: input/output error: a kernel mounts / all the same, and takes
100003 20 udp cut warn PATHCONF by UDP: .*: a kernel mounts / all the same, and takes it that names have
100003 20 tcp 6=10008 error by TCP, at PATHCONF: to be asked again later
100003 20 tcp close error by TCP, at PATHCONF: the connection was closed
100003 20 tcp 30=14 warn PATHCONF by TCP: it allows names of no more than 14 bytes: a kernel mounts / all
100003 20 tcp 30=5 error /linuxrc cannot be found: name too long$
100003 1 udp 7=1 error by UDP, at GETATTR: the root is no directory
END
mv "$ROOTSTOCK_STATE/control/nfs.real" "$ROOTSTOCK_STATE/control/nfs"
well "mount */, as a kernel does it, by TCP and UDP"
"$rootstock" host set north cmdline=root=/dev/sda1
doctor north
doctor_only "not told of a root by NFS"
"$rootstock" host set north cmdline=

mkdir "$work/image/live"
mv "$work/image/boot/vmlinuz-$version" "$work/image/live/vmlinuz"
doctor_initrd "$work/image/live/initrd.img" bin/nfsmount
printf hsqs >"$work/image/live/filesystem.squashfs"
dialect_image live
well "menu .*boot=live netboot=nfs" "mount */, as live-boot does it, by TCP and UDP" \
	"root */live/filesystem.squashfs: 4 bytes"
echo rubbish >"$work/image/live/filesystem.squashfs"
dialect_image live-less
doctor north
doctor_only "/live/filesystem.squashfs is no squashfs"

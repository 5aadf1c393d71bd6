#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=all limit=1800
# Built against Debian 13's libfuse, the mount lets the kernel read the store's files
# by itself (-o passthrough), and the mount's own tests hold in that way too: an open
# file is read to its end while the server stands still.
set -euo pipefail
if [[ $(id -u) == 0 && -z ${MOUNT_NAMESPACE-} ]]; then
	# What is mounted below goes with this process.
	MOUNT_NAMESPACE=1 exec unshare --mount --propagation private "$0" "$@"
fi
lib=$(dirname "$0")/../lib
# shellcheck source=tests/lib/test.sh
. "$lib/test.sh"

need_root
[[ -c /dev/fuse ]] || skip "no /dev/fuse"

root=$("$lib/trixie.sh")
# The cached tree stays as it is: what is written goes to layers of our own.
mkdir "$work/upper" "$work/layer" "$work/root" "$work/build"
mount -t tmpfs tmpfs "$work/upper"
mkdir "$work/upper/up" "$work/upper/layer"
mount -t overlay -o "lowerdir=$root,upperdir=$work/upper/up,workdir=$work/upper/layer" \
	overlay "$work/root"
at_exit umount -l "$work/root" "$work/upper"
mkdir -p "$work/root"/{src,build,proc,sys,dev}
mount --bind -o ro "$top" "$work/root/src"
mount --bind "$work/build" "$work/root/build"
mount --rbind /dev "$work/root/dev"
mount --rbind /sys "$work/root/sys"
mount -t proc proc "$work/root/proc"

inside() {
	chroot "$work/root" env LC_ALL=C HOME=/ "$@"
}

inside pkg-config --atleast-version=3.17 fuse3 || fail "Debian 13 has an older libfuse"
inside sh -c 'meson setup /build /src && ninja --quiet -C /build' >"$work/build.log" 2>&1 ||
	fail "the build: $(tail -n 20 "$work/build.log")"
! grep -q 'warning:' "$work/build.log" || fail "$(grep -A5 'warning:' "$work/build.log")"

for test in mount mount_changes mount_late; do
	status=0
	MOUNT_OPTIONS=dev,suid,passthrough inside "/build/tests/test_$test" \
		>"$work/test.log" 2>&1 || status=$?
	! why=$(grep -m1 'it reads by requests' "$work/test.log") ||
		skip "Linux $(uname -r), from this file system: $why"
	((status == 0)) || fail "test_$test: $(tail -n 40 "$work/test.log")"
	echo "test_$test: $(grep PASSED "$work/test.log")"
done

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=quick limit=240
# A mount in the background logs to syslog; in the foreground to standard error.
set -euo pipefail
if [[ $(id -u) == 0 && -z ${MOUNT_NAMESPACE-} ]]; then
	# A /dev of our own, with a /dev/log in it.
	MOUNT_NAMESPACE=1 exec unshare --mount --propagation private "$0" "$@"
fi
lib=$(dirname "$0")/../lib
# shellcheck source=tests/lib/test.sh
. "$lib/test.sh"

need_root
[[ -c /dev/fuse ]] || skip "no /dev/fuse"
export ROOTSTOCK_STATE=$work/state
mkdir "$work/dev" "$work/origin" "$work/mnt"
mount -t tmpfs tmpfs "$work/dev"
at_exit umount -l "$work/dev"
mknod -m 666 "$work/dev/null" c 1 3
mknod -m 666 "$work/dev/fuse" c 10 229
mknod -m 666 "$work/dev/urandom" c 1 9
mount --bind "$work/dev" /dev

spawn syslog python3 -u -c '
import socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("/dev/log")
while True:
    print(s.recv(4096).decode())'
wait_for 10 "a socket at /dev/log" test -S /dev/log

# A file that is not as it was scanned is drift, and that is told.
for file in first second; do
	echo "$file" >"$work/origin/$file"
done
"$rootstock" image add lab "$work/origin" >/dev/null
for file in first second; do
	echo "changed since" >"$work/origin/$file"
done

"$rootstock" mount "$work/mnt"
at_exit umount -q -l "$work/mnt"
equal "a drifted file" "changed since" "$(cat "$work/mnt/images/lab@1/first")"
logged() {
	grep -Eq "$1" "$work/syslog.log"
}
wait_for 30 "drift in syslog" logged '^<28>.*rootstock\[[0-9]+\]: version 1: /first: changed'
umount "$work/mnt"
# It copies until it has ended, other images too.
copies() {
	! flock -n "$ROOTSTOCK_STATE/copier.lock" true
}
wait_for 20 "its end" eval '! copies'

"$rootstock" image add other "$work/origin" >/dev/null
echo "changed again" >"$work/origin/second"
spawn foreground "$rootstock" mount "$work/mnt" -f
wait_for 30 "the mount" test -e "$work/mnt/images/other@1/second"
equal "a drifted file" "changed again" "$(cat "$work/mnt/images/other@1/second")"
told() {
	grep -q 'version 2: /second: changed' "$work/foreground.log"
}
wait_for 30 "drift on standard error" told
! logged 'version 2' || fail "in the foreground it logs to syslog: $(cat "$work/syslog.log")"

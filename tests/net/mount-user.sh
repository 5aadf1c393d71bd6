#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The mount by an ordinary user through fusermount3: the whole of test_mount, as
# nobody, in a mount namespace of its own where everybody may open /dev/fuse.
#
#	tests/net/mount-user.sh [TEST_MOUNT]	(the built program; as root)
set -eu
program=${1:-$(dirname "$0")/../../build/tests/test_mount}

[ "$(id -u)" = 0 ] || { echo "SKIP: needs root"; exit 77; }
[ -c /dev/fuse ] || { echo "SKIP: no /dev/fuse"; exit 77; }
command -v fusermount3 >/dev/null || { echo "SKIP: no fusermount3 (package fuse3)"; exit 77; }

if [ -z "${MOUNT_NAMESPACE:-}" ]; then
	MOUNT_NAMESPACE=1 exec unshare --mount --propagation private "$0" "$@"
fi
test=$(mktemp -d)
trap 'rm -rf "$test"' EXIT
trap 'exit 1' INT TERM
# The build folder may be closed to nobody.
cp "$program" "$test/test_mount"
mknod -m 666 "$test/fuse" c 10 229
mount --bind "$test/fuse" /dev/fuse
chmod 755 "$test"
setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all env HOME=/ "$test/test_mount"

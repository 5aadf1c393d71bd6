#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The mount by an ordinary user through fusermount3: the mount's own tests, as nobody,
# in a mount namespace of its own where everybody may open /dev/fuse.
set -eu
programs=$(dirname "$0")/../../build/tests

[ "$(id -u)" = 0 ] || { echo "SKIP: needs root"; exit 77; }
[ -c /dev/fuse ] || { echo "SKIP: no /dev/fuse"; exit 77; }
command -v fusermount3 >/dev/null || { echo "no fusermount3 (package fuse3)"; exit 1; }

if [ -z "${MOUNT_NAMESPACE:-}" ]; then
	MOUNT_NAMESPACE=1 exec unshare --mount --propagation private "$0" "$@"
fi
test=$(mktemp -d)
trap 'rm -rf "$test"' EXIT
trap 'exit 1' INT TERM
mknod -m 666 "$test/fuse" c 10 229
mount --bind "$test/fuse" /dev/fuse
chmod 755 "$test"
for name in test_mount test_mount_changes test_mount_late; do
	# The build folder may be closed to nobody.
	cp "$programs/$name" "$test/"
	setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all \
		env HOME=/ "$test/$name"
done

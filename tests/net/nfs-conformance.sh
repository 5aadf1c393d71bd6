#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Hand-made RPC against the nfs child, in a namespace of its own.
# usage: nfs-conformance.sh [NFS_DRIVER]
set -eu
driver=${1:-$(dirname "${ROOTSTOCK:-build/rootstock}")/nfs/nfs-driver}
here=$(dirname "$0")
if [ -z "${NFS_TEST_NS:-}" ]; then
	NFS_TEST_NS=1 exec unshare -n "$0" "$driver"
fi
ip link set lo up
dir=$(mktemp -d)
child=
trap 'test -z "$child" || kill $child; rm -rf "$dir"' EXIT
status=0

# $1: what is special about the server; $2: what is asked
round() {
	rm -rf "${dir:?}"/*
	"$driver" "$dir" $1 >"$dir/events" 2>"$dir/log" &
	child=$!
	until grep -qs "NFS on port" "$dir/log"; do
		kill -0 $child || { cat "$dir/log"; exit 1; }
	done
	python3 "$here/nfs-conformance.py" ${2-} >"$dir/out" || status=1
	grep -v "^ok" "$dir/out" || :
	kill $child
	wait $child || status=1
	child=
	if grep -Eq "ERROR: |runtime error|WARNING: ThreadSanitizer" "$dir/log"; then
		cat "$dir/log"
		status=1
	fi
}

round workers=2
round miss=1
round lost=1 lost
round "short=1 workers=1" short
exit $status

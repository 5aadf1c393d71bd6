#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Two thousand idle and half-open connections, slow ones, crowds from one address, a
# server out of descriptors, machines that mount before they are registered, clients that never
# stop asking: nothing is lost and others are served.
# usage: nfs-siege.sh [NFS_DRIVER]
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

round() { # what, settings of the server
	what=$1
	shift
	arg=$dir
	rm -rf "${dir:?}"/*
	"$driver" "$dir" "$@" >"$dir/events" 2>"$dir/log" &
	child=$!
	until grep -qs "NFS on port" "$dir/log"; do
		kill -0 $child || { cat "$dir/log"; exit 1; }
	done
	case $what in
	full) arg=$child ;;
	greedy) arg=$(dirname "$driver")/nfs-load ;;
	esac
	python3 "$here/nfs-siege.py" "$what" "$arg" >"$dir/out" || status=1
	grep -v "^ok" "$dir/out" || :
	kill $child
	wait $child || status=1
	child=
	if grep -Eq "ERROR: |runtime error|WARNING: ThreadSanitizer" "$dir/log"; then
		cat "$dir/log"
		status=1
	fi
}

round idle record_secs=2
round full workers=1
round held workers=1
round greedy workers=1 hosts=127.0.0.1-20
exit $status

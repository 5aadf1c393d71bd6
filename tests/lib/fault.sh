# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What the fault suite needs, and $TMPDIR on a tmpfs where there is one.

# shellcheck source=tests/lib/net.sh
. "${BASH_SOURCE[0]%/*}/net.sh"

fault_needs() {
	need_root
	[[ -x $rootstock ]] || skip "not built: $rootstock"
	[[ -x $(dirname "$rootstock")/tests/stepper ]] ||
		skip "no stepper: it is for x86_64, built with the tests"
	need ssh-keygen
	TMPDIR=$work
	if [[ -w /dev/shm ]]; then
		TMPDIR=$(mktemp -d "/dev/shm/rootstock-fault.XXXXXX")
		at_exit rm -rf --one-file-system "$TMPDIR"
		chmod 755 "$TMPDIR"
	fi
	export TMPDIR
}

# fault_server: a network with one machine, and a small file system for a state of its own, so
# that tests/fault/faults.c tells it from others.
fault_server() {
	need_root
	[[ -x $rootstock ]] || skip "not built: $rootstock"
	[[ -e $build/tests/faults.so ]] || skip "not built: $build/tests/faults.so"
	net_prefix=16
	net_up
	net_peer pc 52:54:00:00:00:09
	net_peer_run pc ip address add 10.77.0.9/16 dev eth0
	mkdir "$work/state"
	mount -t tmpfs -o mode=750 rootstock-test "$work/state" || skip "may not mount a tmpfs"
	at_exit umount -l "$work/state"
}

# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What the fault suite needs, and $TMPDIR on a tmpfs where there is one.
#
# Reads tests/lib/test.sh first.

fault_needs() {
	need_root
	[[ -x $rootstock ]] || skip "not built: $rootstock"
	[[ -x $(dirname "$rootstock")/tests/stepper ]] ||
		skip "no stepper: it is for x86_64, built with the tests"
	command -v ssh-keygen >/dev/null || skip "no ssh-keygen"
	TMPDIR=$work
	if [[ -w /dev/shm ]]; then
		TMPDIR=$(mktemp -d "/dev/shm/rootstock-fault.XXXXXX")
		at_exit rm -rf --one-file-system "$TMPDIR"
		chmod 755 "$TMPDIR"
	fi
	export TMPDIR
}

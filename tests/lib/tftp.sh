# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The TFTP server alone, over a plain folder, and clients of others: $work/served is
# that folder, and the script is in $work/got.
#
#	tftp_up COMMAND...	of the clients that it needs
#	tftp_serve OPTIONS...	the server on the bridge, until the end or `stop`

# shellcheck source=tests/lib/net.sh
. "${BASH_SOURCE[0]%/*}/net.sh"

tftp_driver=$build/tftp/tftp-driver

tftp_up() {
	need_root
	need "$@"
	[[ -x $tftp_driver ]] || skip "not built: $tftp_driver"
	net_up
	mkdir "$work/served" "$work/got"
	cd "$work/got" || exit
}

# Its log is $work/server.log.
tftp_serve() {
	spawn server nsenter --net="/run/netns/$net_ns" \
		"$tftp_driver" -a "$net_address" "$@" "$work/served"
	wait_for 60 "the server" net_listening udp 69
}

# tftp_same FILE GOT WHO: the bytes are those that are served; GOT is removed.
tftp_same() {
	cmp "$work/served/$1" "$2" || fail "$3: $1 differs"
	rm -f "$2"
}

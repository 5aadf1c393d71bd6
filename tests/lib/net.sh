# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A private network: one namespace with a bridge br0 (10.77.0.1/24) in it and
# what is plugged into that.  Nothing outside it is touched, and runs may overlap.

# shellcheck source=tests/lib/test.sh
. "${BASH_SOURCE[0]%/*}/test.sh"

net_address=10.77.0.1
net_prefix=24

# net_up: makes the network; it is gone again when the script ends.
net_up() {
	net_ns=rootstock-$$
	ip netns add "$net_ns"
	at_exit ip netns del "$net_ns"
	# Quiet captures, and no address of another family to explain.
	net_run sh -c 'echo 1 | tee /proc/sys/net/ipv6/conf/*/disable_ipv6' >/dev/null
	net_run ip link set lo up
	net_run ip link add br0 type bridge stp_state 0 forward_delay 0
	net_run ip address add "$net_address/$net_prefix" dev br0
	net_run ip link set br0 up
}

# net_run COMMAND ARGS...: in the network, in the same mount namespace, so that
# a FUSE mount made in there is seen by the script.
net_run() {
	nsenter --net="/run/netns/$net_ns" "$@"
}

# net_tap NAME: a plug for a virtual machine.
net_tap() {
	net_run ip tuntap add "$1" mode tap
	net_run ip link set "$1" master br0 up
}

# net_peer NAME [MAC]: a second namespace $net_ns-NAME with an eth0 on the
# bridge and no address, for clients that run as processes.
net_peer() {
	local ns=$net_ns-$1
	ip netns add "$ns"
	at_exit ip netns del "$ns"
	net_run ip link add "v-$1" type veth peer name eth0 netns "$ns"
	net_run ip link set "v-$1" master br0 up
	net_peer_run "$1" ip link set lo up
	[[ -z ${2-} ]] || net_peer_run "$1" ip link set eth0 address "$2"
	net_peer_run "$1" ip link set eth0 up
}

# net_peer_run NAME COMMAND ARGS...
net_peer_run() {
	local ns=$net_ns-$1
	shift
	nsenter --net="/run/netns/$ns" "$@"
}

# net_lease NAME [OPTIONS...]: the peer has an address by udhcpc, which keeps it until the end.
# It tells of its lease before it calls the script that puts the address on.
net_lease() {
	local name=$1
	shift
	cat >"$work/udhcpc" <<-'END'
		#!/bin/sh
		[ "$1" != bound ] || { ip address replace "$ip/24" dev "$interface" && echo "has $ip"; }
	END
	chmod 755 "$work/udhcpc"
	spawn "udhcpc-$name" nsenter --net="/run/netns/$net_ns-$name" \
		udhcpc -f -i eth0 -s "$work/udhcpc" "$@"
	wait_for 20 "a lease of $name" grep -q '^has ' "$work/udhcpc-$name.log"
}

# net_capture FILE: what crosses the bridge, in a pcapng file, until the end; all of it, on a
# busy machine too.  tshark says that it captures before it does.
net_capture() {
	spawn capture nsenter --net="/run/netns/$net_ns" tshark -q -B 64 -i br0 -w "$1"
	wait_for 20 "the capture" test -s "$1"
}

# net_listening PROTO PORT: someone serves there.
net_listening() {
	[[ -n $(net_run ss -Hln"${1:0:1}" "sport = :$2") ]]
}

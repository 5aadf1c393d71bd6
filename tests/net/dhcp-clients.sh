#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Clients that others wrote, from DISCOVER to release, against the dhcp child
# alone: udhcpc, dhclient, dhcpcd, klibc's ipconfig, a relay.
# check: when=quick limit=400
set -euo pipefail
# shellcheck source=tests/lib/dhcp.sh
. "$(dirname "$0")/../lib/dhcp.sh"
ipconfig=/usr/lib/klibc/bin/ipconfig
need busybox dhclient dhcpcd "$ipconfig" sqlite3
# Debian has but one of these installed at a time.
command -v dhcrelay >/dev/null || need dhcp-helper

net_up
start_server() {
	spawn server nsenter --net="/run/netns/$net_ns" "$driver" "$work/state" -v "$@"
	server=$spawned
	wait_for 10 "port 67" net_listening udp 67
}
rows() {
	sqlite3 -readonly "$work/state/leases.db" "$1"
}
# lease_state ADDRESS: of its row, empty if there is none.
lease_state() {
	local a b c d
	IFS=. read -r a b c d <<<"$1"
	rows "SELECT state FROM lease WHERE address = $(((a << 24) + (b << 16) + (c << 8) + d))"
}
state_is() {
	[[ $(lease_state "$1") == "$2" ]]
}
logged() {
	grep -q -- "$1" "$work/server.log"
}
# A script that puts the address on, and says what happened.
cat >"$work/udhcpc.script" <<-'END'
	#!/bin/sh
	case $1 in
	bound|renew) ip address replace "$ip/${mask:-24}" dev "$interface" ;;
	deconfig) ip address flush dev "$interface" ;;
	esac
	echo "$1 $ip $siaddr $serverid $rootpath $hostname" >>"$UDHCPC_OUT"
END
chmod 755 "$work/udhcpc.script"
has_line() {
	grep -q -- "$1" "$2" 2>/dev/null
}

start_server -l 60 br0

echo "# udhcpc: discover, renew, release"
net_peer a 52:54:00:12:34:01
UDHCPC_OUT=$work/a.out spawn udhcpc nsenter --net="/run/netns/$net_ns-a" \
	busybox udhcpc -f -i eth0 -O rootpath -s "$work/udhcpc.script" -t 5 -T 1
pid=$spawned
wait_for 10 "udhcpc's lease" has_line '^bound' "$work/a.out"
read -r _ address siaddr serverid rootpath <<<"$(grep '^bound' "$work/a.out")"
equal "siaddr" 10.77.0.1 "$siaddr"
equal "server id" 10.77.0.1 "$serverid"
equal "root path" 10.77.0.1:/ "${rootpath% }"
state_is "$address" 2 || fail "udhcpc's lease is not on disk"
kill -USR1 "$pid"
wait_for 10 "udhcpc's renewal" has_line "^renew $address" "$work/a.out"
wait_for 5 "the renewal in the log" logged "$address class=other renewed"
kill -USR2 "$pid"
wait_for 10 "udhcpc's release" state_is "$address" 3
stop "$pid"

echo "# one MAC, other programs with other client ids: the same address"
dhclient() {
	net_peer_run a timeout 120 dhclient -sf /bin/true -lf "$work/dhclient.leases" \
		-pf "$work/dhclient.pid" "$@" eth0
}
dhclient -1
grep -q "fixed-address $address;" "$work/dhclient.leases" || fail "dhclient got another address"
state_is "$address" 2 || fail "dhclient's lease is not bound"
echo "# dhclient: INIT-REBOOT with what it remembers"
# It goes into the background first and writes its number then.
wait_for 10 "dhclient's process" test -s "$work/dhclient.pid"
kill "$(cat "$work/dhclient.pid")"
rm -f "$work/dhclient.pid"
dhclient -1
wait_for 10 "dhclient's process" test -s "$work/dhclient.pid"
equal "addresses in dhclient's memory" "fixed-address $address;" \
	"$(grep -o 'fixed-address.*' "$work/dhclient.leases" | sort -u)"
net_peer_run a ip address replace "$address/24" dev eth0
dhclient -r
wait_for 10 "dhclient's release" state_is "$address" 3
net_peer_run a ip address flush dev eth0

echo "# dhcpcd: an address, the same one"
# shellcheck disable=SC2016
net_peer_run a unshare -m sh -c 'mount -t tmpfs none /run &&
	mount -t tmpfs none /var/lib/dhcpcd && exec timeout 120 "$@"' sh \
	dhcpcd -4 -1 -B --noipv4ll -c /bin/true -t 100 eth0 >"$work/dhcpcd.log" 2>&1 ||
	fail "dhcpcd: $(cat "$work/dhcpcd.log")"
grep -q "leased $address" "$work/dhcpcd.log" || fail "dhcpcd: $(cat "$work/dhcpcd.log")"
net_peer_run a ip address flush dev eth0
echo "# dhcpcd: rebinding, release"
# shellcheck disable=SC2016
spawn dhcpcd nsenter --net="/run/netns/$net_ns-a" unshare -m sh -c 'mount -t tmpfs none /run &&
	mount -t tmpfs none /var/lib/dhcpcd && exec "$@"' sh \
	dhcpcd -4 -B --noipv4ll -c /bin/true eth0
wait_for 20 "dhcpcd's lease" has_line "leased $address" "$work/dhcpcd.log"
before=$(grep -c "$address class=other" "$work/server.log")
# One that comes while it still sets its route up is lost.
rebound() {
	kill -HUP "$spawned"
	sleep 2
	(($(grep -c "$address class=other" "$work/server.log") > before))
}
wait_for 20 "dhcpcd's second lease" rebound
kill -ALRM "$spawned"
wait_for 20 "dhcpcd's release" state_is "$address" 3
stop "$spawned"
net_peer_run a ip address flush dev eth0

echo "# klibc's ipconfig, as an initrd calls it"
# shellcheck disable=SC2016
net_peer_run a unshare -m sh -c 'mount -t tmpfs none /run && "$@" && cat /run/net-eth0.conf' \
	sh "$ipconfig" -t 60 -c dhcp -d eth0 >"$work/ipconfig.out"
for line in "IPV4ADDR='$address'" "ROOTSERVER='10.77.0.1'" "ROOTPATH='10.77.0.1:/'"; do
	grep -q "$line" "$work/ipconfig.out" ||
		fail "ipconfig: no $line: $(cat "$work/ipconfig.out")"
done
wait_for 5 "ipconfig to be known for klibc's" logged "stage=initrd $address class=klibc"
net_peer_run a ip address flush dev eth0
equal "leases of that MAC" 1 "$(rows "SELECT count(*) FROM lease WHERE mac = x'525400123401'")"
equal "boots of that MAC" 1 "$(rows "SELECT count(*) FROM boot WHERE mac = x'525400123401'")"

echo "# dhclient: renewal by unicast at T1, rebinding by broadcast at T2"
stop "$server"
rm -rf "$work/state"
start_server -l 12 br0
# (dhclient hands nothing of its environment on)
cat >"$work/dhclient.script" <<-END
	#!/bin/sh
	case \$reason in
	BOUND|RENEW|REBIND|REBOOT) ip address replace "\$new_ip_address/24" dev "\$interface" ;;
	esac
	echo "\$reason \$new_ip_address" >>"$work/dhclient.out"
END
chmod 755 "$work/dhclient.script"
rm -f "$work/dhclient.leases"
spawn dhclient nsenter --net="/run/netns/$net_ns-a" dhclient -d \
	-sf "$work/dhclient.script" -lf "$work/dhclient.leases" -pf "$work/dhclient.pid" eth0
pid=$spawned
wait_for 20 "dhclient's renewal" has_line "^RENEW $address" "$work/dhclient.out"
wait_for 5 "dhclient's renewal in the log" logged "$address class=other renewed"
# Frames to the server alone go astray from here on.
net_peer_run a ip neighbour replace 10.77.0.1 lladdr 02:00:00:00:00:99 nud permanent dev eth0
wait_for 30 "dhclient's rebinding" logged "$address class=other rebound"
took_it() { # RENEW is its word for both
	(($(grep -c '^RENEW' "$work/dhclient.out") >= 2))
}
wait_for 10 "dhclient to take it" took_it
stop "$pid"
net_peer_run a ip neighbour flush all nud permanent dev eth0
net_peer_run a ip address flush dev eth0

echo "# an address that somebody took by himself is not offered"
stop "$server"
net_peer squat
net_peer_run squat ip address add 10.77.0.60/24 dev eth0
rm -rf "$work/state"
start_server -r 10.77.0.60-10.77.0.61 br0
net_peer_run a busybox udhcpc -f -q -n -i eth0 -s /bin/true -t 60 -T 1 \
	>"$work/squat.out" 2>&1 || fail "no lease: $(cat "$work/squat.out")"
grep -q "10.77.0.61 obtained" "$work/squat.out" || fail "squatted: $(cat "$work/squat.out")"
stop "$server"

echo "# errors are one line that says what and why"
complains() {
	local out
	out=$(net_run "$driver" "${@:2}" 2>&1) && fail "$*: no error"
	equal "$*" "dhcp-driver: $1" "$out"
}
complains "eth9: no such interface" "$work/state" eth9
net_run ip link add bare type veth peer name barf
complains "bare: has no IPv4 address" "$work/state" bare
complains "lo: not an Ethernet interface" "$work/state" lo

echo "# another server on the wire is found, by a machine that may be one too"
rm -rf "$work/state"
net_peer_run squat ip link set eth0 up
equal "servers before" nobody "$(net_peer_run squat "$driver" -P eth0)"
start_server br0
is_found() {
	[[ $(net_peer_run squat "$driver" -P eth0) == 10.77.0.1 ]]
}
wait_for 10 "the server to be found" is_found
out=$(net_run "$driver" "$work/state2" br0 2>&1) && fail "two servers on one port"
[[ $out == *"port 67: in use (another DHCP server"* ]] || fail "port in use: $out"
stop "$server"

echo "# through a relay, from another subnet"
rm -rf "$work/state"
start_server -s 10.77.0.0/24 -s 10.78.0.0/24 br0
net_peer relay
ip netns add "$net_ns-far"
at_exit ip netns del "$net_ns-far"
net_peer_run relay ip address add 10.77.0.2/24 dev eth0
net_peer_run relay ip link add r1 type veth peer name eth0 netns "$net_ns-far"
net_peer_run relay ip address add 10.78.0.1/24 dev r1
net_peer_run relay ip link set r1 up
ip -n "$net_ns-far" link set eth0 address 52:54:00:12:34:02 up
net_run ip route add 10.78.0.0/24 via 10.77.0.2
net_peer_run relay sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
# start_relay IF: for clients on that interface, by dhcrelay or dhcp-helper.
start_relay() {
	if command -v dhcrelay >/dev/null; then
		set -- dhcrelay -d -4 -a --no-pid -iu eth0 -id "$1" 10.77.0.1
	else
		set -- dhcp-helper -n -u root -i "$1" -s 10.77.0.1
	fi
	spawn relay nsenter --net="/run/netns/$net_ns-relay" "$@"
	relay=$spawned
	wait_for 10 "the relay" relay_listens
}
relay_listens() {
	[[ -n $(net_peer_run relay ss -Hlnu "sport = :67") ]]
}
start_relay r1
UDHCPC_OUT=$work/far.out spawn far nsenter --net="/run/netns/$net_ns-far" \
	busybox udhcpc -f -i eth0 -s "$work/udhcpc.script" -t 5 -T 1
wait_for 15 "a lease through the relay" has_line '^bound 10.78.0' "$work/far.out"
read -r _ address _ serverid _ <<<"$(grep '^bound' "$work/far.out")"
equal "server id through a relay" 10.77.0.1 "$serverid"
ip -n "$net_ns-far" route replace default via 10.78.0.1
kill -USR1 "$spawned"
wait_for 10 "a renewal by unicast, past the relay" has_line "^renew $address" "$work/far.out"
stop "$spawned"
stop "$relay"
stop "$server"

echo "# an address behind a relay that somebody took by himself"
rm -rf "$work/state"
start_server -s 10.77.0.0/24 -s 10.78.0.0/24 -r 10.78.0.60-10.78.0.61 br0
ip -n "$net_ns-far" address flush dev eth0
ip netns add "$net_ns-far2"
at_exit ip netns del "$net_ns-far2"
# On a bridge with the first one, on the far side.
net_peer_run relay ip link add rb type bridge stp_state 0 forward_delay 0
net_peer_run relay ip link set r1 master rb
net_peer_run relay ip link add r2 type veth peer name eth0 netns "$net_ns-far2"
net_peer_run relay ip link set r2 master rb up
net_peer_run relay ip address flush dev r1
net_peer_run relay ip address add 10.78.0.1/24 dev rb
net_peer_run relay ip link set rb up
ip -n "$net_ns-far2" link set eth0 up
# Both addresses: whichever it would choose is taken.
ip -n "$net_ns-far2" address add 10.78.0.60/24 dev eth0
ip -n "$net_ns-far2" address add 10.78.0.61/24 dev eth0
ip -n "$net_ns-far2" route add default via 10.78.0.1
start_relay rb
far() {
	timeout 60 nsenter --net="/run/netns/$net_ns-far" busybox udhcpc -f -q -n -i eth0 \
		-s /bin/true -t "$1" -T 1 >"$work/far2.out" 2>&1
}
both_are_known() {
	! far 4 || fail "a taken address was given: $(cat "$work/far2.out")"
	logged '10.78.0.60 is in use by another machine' &&
		logged '10.78.0.61 is in use by another machine'
}
wait_for 20 "a word about 10.78.0.60 and 10.78.0.61" both_are_known
echo "every client was served"

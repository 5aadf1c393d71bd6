#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# kill -9 in the middle of a storm, again and again: every ACKed lease is there
# afterwards, and no address was ever given to two machines.
# check: when=quick limit=240
set -euo pipefail
# shellcheck source=tests/lib/dhcp.sh
. "$(dirname "$0")/../lib/dhcp.sh"

net_up
net_peer relay
net_peer_run relay ip address add 10.77.0.2/24 dev eth0
net_run ip address add 10.99.0.1/16 dev br0
net_peer_run relay ip address add 10.99.0.2/16 dev eth0
start_server() {
	spawn server nsenter --net="/run/netns/$net_ns" "$driver" "$work/state" -R \
		-s 10.99.0.0/16 -r 10.99.1.0-10.99.8.255 br0
	server=$spawned
	wait_for 10 "port 67" net_listening udp 67
}
acks=$work/acks
: >"$acks"
start_server
# More machines than addresses: they compete for the last ones, until all are given.
given() {
	sort -u "$acks" | wc -l
}
spawn storm nsenter --net="/run/netns/$net_ns-relay" "$tests/net/dhcp-storm.py" \
	10.99.0.2 10.77.0.1 1 2500 1000 "$acks"
storm=$spawned
kills=0
while ((kills < 12 || $(given) < 8 * 256)); do
	lines=$(wc -l <"$acks")
	# Somewhere in the next few hundred exchanges.
	want=$((lines + RANDOM % 400 + 20))
	until (($(wc -l <"$acks") >= want)); do
		alive "$storm" || fail "the storm ended: $(cat "$work/storm.log")"
		sleep 0.01
	done
	kill -9 "$server"
	wait "$server" 2>/dev/null || true
	kills=$((kills + 1))
	start_server
done
stop "$storm"
stop "$server"
total=$(wc -l <"$acks")

sort -u "$acks" >"$work/pairs"
equal "addresses with two machines" "" "$(cut -d' ' -f2 "$work/pairs" | sort | uniq -d)"
equal "machines with two addresses" "" "$(cut -d' ' -f1 "$work/pairs" | sort | uniq -d)"
sqlite3 -readonly "$work/state/leases.db" \
	"SELECT lower(hex(mac)) || ' ' || address FROM lease WHERE state = 2" | sort -u >"$work/rows"
equal "ACKed leases that are lost" "" "$(comm -23 "$work/pairs" "$work/rows")"
equal "the database" ok "$(sqlite3 -readonly "$work/state/leases.db" 'PRAGMA integrity_check')"
echo "$total ACKs, $(wc -l <"$work/pairs") leases, $kills kills"

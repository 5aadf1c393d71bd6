#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=quick limit=300
# The interface that is served vanishes and comes back, as a tap or a veth does, or gets
# another address: it is said once, and serving goes on without a restart.
set -euo pipefail
# shellcheck source=tests/lib/server.sh
. "$(dirname "$0")/../lib/server.sh"
need_root
net_up
server_state
mkdir -p "$work/image/etc"
echo text >"$work/image/etc/file"
chmod -R a+rX "$work/image"
"$rootstock" image add lab "$work/image" >/dev/null
"$rootstock" host add 52:54:00:12:34:01 --name amy

said() {
	grep -c -- "$1" "$work/serve.log" || true
}
says() {
	(($(said "$1") >= $2))
}
# gets_served ADDRESS-OF-THE-SERVER: an address by DHCP, a menu by TFTP, a file by NFS.
gets_served() {
	local address
	net_peer_run amy ip address flush dev eth0
	net_peer_run amy timeout 30 busybox udhcpc -f -q -n -i eth0 -s /bin/true -t 10 -T 1 \
		>"$work/amy.out" 2>&1 || return 1
	address=$(sed -n "s/.*lease of \([0-9.]*\) obtained from $1.*/\1/p" "$work/amy.out")
	[[ -n $address ]] || return 1
	net_peer_run amy ip address add "$address/24" dev eth0
	net_peer_run amy curl -sf -m 10 -o /dev/null "tftp://$1/pxelinux.cfg/01-52-54-00-12-34-01" ||
		true # no kernel in this image: it is refused; what counts is NFS and the log
	[[ $(net_peer_run amy timeout 20 nfs-cat "nfs://$1/etc/file" 2>/dev/null) == text ]]
}
# status_has LINES...: each is in it.
status_has() {
	local line
	"$rootstock" status >"$work/status" || [[ $? == 1 ]] || fail "status ends with $?"
	for line; do
		grep -qE -- "$line" "$work/status" || return 1
	done
}
plug() {
	net_run ip link add br0 type bridge stp_state 0 forward_delay 0
	net_run ip address add "$1" dev br0
	net_run ip link set br0 up
	net_run ip link set v-amy master br0 up
}
# children [NAME]
children() {
	pgrep -f "^rootstock --state $ROOTSTOCK_STATE child ${1-}" | sort
}

server_start
wait_for 20 "the status" status_has '^rootstock on .*, br0 up$'
! grep '^wrong' "$work/status" || fail "something is wrong"
net_peer amy 52:54:00:12:34:01
wait_for 40 "what a client needs" gets_served 10.77.0.1

echo "# another MAC, as a bridge takes its ports': nothing but that, and no transfer ends"
before=$(children tftp)
mac=02:00:00:00:00:01
net_run ip link set br0 address "$mac"
wait_for 20 "a word about it" says "br0: its MAC address is $mac now" 1
equal "lines about another change" 0 "$(said 'br0: is ')"
equal "the tftp child" "$before" "$(children tftp)"
wait_for 60 "what a client needs" gets_served 10.77.0.1

echo "# gone, and a child that dies meanwhile"
net_run ip link del br0
wait_for 20 "a word about it" says 'br0: no such interface; serving goes on when it is back' 1
kill -9 "$(pgrep -f "^rootstock --state $ROOTSTOCK_STATE child dhcp")"
wait_for 10 "a word about the child" says 'dhcp: killed by signal 9' 1
wait_for 10 "the status of it" status_has '^rootstock on .*, br0 gone$' \
	'^wrong: interface br0 is gone$' '^  dhcp +rests: no interface$'
("$rootstock" status --json || true) | python3 -c 'import json, sys
status = json.load(sys.stdin)
assert status["interfaces"] == [{"interface": "br0", "up": False}], status
assert "interface br0 is gone" in status["wrong"], status' || fail "the status as JSON"
sleep 3 # time to say it too often
equal "lines about the interface" 1 "$(said 'br0: no such interface')"
equal "lines about the child" 1 "$(said 'starting it again')"

echo "# back"
plug 10.77.0.1/24
wait_for 20 "a word about that" says 'br0: is back, with 10.77.0.1/24' 1
wait_for 20 "the status of it" status_has '^rootstock on .*, br0 up$' '^  dhcp +pid .* 1 times' \
	'^wrong: dhcp died 1 time since the server was started: see its log$'
! grep 'br0 is gone' "$work/status" || fail "it is back"
wait_for 60 "what a client needs" gets_served 10.77.0.1

echo "# the address alone goes and comes"
net_run ip address flush dev br0
wait_for 20 "a word about it" says 'br0: has no IPv4 address; serving goes on' 1
before=$(children)
net_run ip address add 10.77.0.1/24 dev br0
wait_for 20 "a word about that" says 'br0: is back$' 1
equal "children" "$before" "$(children)"
wait_for 60 "what a client needs" gets_served 10.77.0.1

echo "# another address, while others come and go without end"
touch "$work/churn"
mkfifo "$work/never"
# shellcheck disable=SC2016 # by one process: starting others would leave gaps
net_run timeout 900 bash -c 'exec 3<>"$2"
	while [[ -e $1 ]]; do
		printf "address add 127.9.9.9 dev lo\naddress del 127.9.9.9 dev lo\n"
		read -rt 0.005 -u 3
	done | ip -batch -' churn "$work/churn" "$work/never" &
churn=$!
# Somebody else has the port of NFS there, for a while.
touch "$work/taken"
net_run timeout 900 python3 -c 'import os, socket, sys, time
s = socket.socket()
s.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND
s.bind(("10.99.0.1", 2049))
s.listen()
open(sys.argv[1] + ".now", "w")
while os.path.exists(sys.argv[1]):
    time.sleep(0.05)' "$work/taken" &
wait_for 30 "the port to be taken" test -e "$work/taken.now"
net_run ip address flush dev br0
wait_for 20 "a word about it" says 'br0: has no IPv4 address; serving goes on' 2
net_run ip address add 10.99.0.1/24 dev br0
wait_for 20 "a word about that" says 'br0: is back, with 10.99.0.1/24' 1
wait_for 20 "a word about NFS" says 'error: nfs: .*; trying again' 1
rm "$work/taken"
alive "$churn" || fail "nothing comes and goes any more: that it was heard says nothing"
rm "$work/churn"
wait "$churn" || true
wait_for 60 "what a client needs at the new address" gets_served 10.99.0.1
equal "lines about the interface" 1 "$(said 'br0: no such interface')"
alive "$server_pid" || fail "serve has ended"
echo "serving went on each time"

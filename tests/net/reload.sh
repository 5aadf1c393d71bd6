#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=quick limit=400
# The configuration is read again: what changed is said, key by key, only whom it concerns
# starts over, what is wrong changes nothing, and clients go on.
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
"$rootstock" host add 52:54:00:00:00:01 --name amy --address 10.77.0.9
conf=$work/rootstock.conf
# config LINES...: of [server]
config() {
	printf '[server]\ninterface = br0\n' >"$conf"
	printf '%s\n' "$@" >>"$conf"
}
child() {
	pgrep -f "^rootstock --state $ROOTSTOCK_STATE child $1" | head -n 1
}
other_child() { # NAME WAS
	local now
	now=$(child "$1")
	[[ -n $now && $now != "$2" ]]
}
said() {
	grep -qF -- "$1" "$work/serve.log"
}
reload() {
	"$rootstock" reload >"$work/out" 2>"$work/err"
}
net_peer amy 52:54:00:00:00:01
net_peer_run amy ip address add 10.77.0.9/24 dev eth0
reads() { # ADDRESS [PORT]
	[[ $(net_peer_run amy timeout 20 nfs-cat \
		"nfs://$1/etc/file${2:+?nfsport=$2&mountport=$2}" 2>/dev/null) == text ]]
}
lease_of() {
	net_peer_run amy timeout 60 busybox udhcpc -f -q -n -i eth0 -s /bin/true -t 10 -T 2 2>&1 |
		sed -n 's/.*lease time \([0-9]*\).*/\1/p'
}

! reload || fail "reload without a server"
grep -q 'no server runs on ' "$work/err" || fail "without a server: $(cat "$work/err")"

config 'lease = 600'
spawn serve nsenter --net="/run/netns/$net_ns" "$rootstock" serve --config "$conf"
server_pid=$spawned
for service in 'udp 67' 'udp 69' 'tcp 2049'; do
	# shellcheck disable=SC2086 # words
	wait_for 30 "serve to listen on $service" server_listens $service
done
wait_for 20 "the file" reads 10.77.0.1
wait_for 20 "the control socket" reload
equal "nothing" "nothing has changed" "$(cat "$work/out")"
equal "the lease" 600 "$(lease_of)"

echo "# one key, by the signal"
dhcp=$(child dhcp) tftp=$(child tftp) nfs=$(child nfs) copier=$(child copier)
config 'lease = 900'
kill -HUP "$server_pid"
wait_for 10 "a word" said 'configuration: [server] lease: 600 -> 900'
wait_for 20 "another dhcp child" other_child dhcp "$dhcp"
equal "the lease" 900 "$(lease_of)"
equal "the others" "$tftp $nfs $copier" "$(child tftp) $(child nfs) $(child copier)"

echo "# a child that does not end when it is told to"
dhcp=$(child dhcp)
kill -STOP "$dhcp"
config 'lease = 1200'
reload || fail "a child that hangs: $(cat "$work/err")"
wait_for 60 "another dhcp child" other_child dhcp "$dhcp"
equal "the lease" 1200 "$(lease_of)"
config 'lease = 900'
dhcp=$(child dhcp)
reload
wait_for 20 "another dhcp child" other_child dhcp "$dhcp"

echo "# a bad one changes nothing"
dhcp=$(child dhcp)
for bad in 'lease = soon|4: lease: soon: not a number' 'no-such = 1|4: no-such: no such key' \
	"loaders = $work/none|loaders: $work/none: No such file" \
	'interface = nowhere|nowhere: no such interface' 'nonsense|4: not a [section]'; do
	config 'lease = 900' "${bad%%|*}"
	! reload || fail "taken: ${bad%%|*}"
	grep -qF -- "${bad#*|}" "$work/err" || fail "${bad%%|*}: $(cat "$work/err")"
	equal "lines for ${bad%%|*}" 1 "$(wc -l <"$work/err")"
	said "not taken, serving as before: " || fail "nothing in the log of ${bad%%|*}"
done
rm "$conf"
! reload || fail "a file that is gone was taken"
config 'lease = 900'
equal "children" "$dhcp $tftp $nfs $copier" \
	"$(child dhcp) $(child tftp) $(child nfs) $(child copier)"

echo "# another port, which somebody has at first"
nsenter --net="/run/netns/$net_ns" python3 -c 'import socket, sys, time
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("10.77.0.1", 2050))
s.listen()
open(sys.argv[1], "w")
time.sleep(300)' "$work/taken" &
taken=$!
at_exit stop $taken
wait_for 20 "the port to be taken" test -e "$work/taken"
config 'lease = 900' 'nfs-port = 2050'
! reload || fail "a port was taken that another has"
grep -q 'port 2050: in use' "$work/err" || fail "port 2050: $(cat "$work/err")"
reads 10.77.0.1 2049 || fail "the old port does not serve any more"
kill $taken
wait $taken || true
reload || fail "port 2050: $(cat "$work/err")"
grep -qF '[server] nfs-port: (not set) -> 2050' "$work/out" || fail "port 2050: $(cat "$work/out")"
wait_for 20 "the new port" reads 10.77.0.1 2050
! net_listening tcp 2049 || fail "the old port is open still"
config 'lease = 900'
reload
grep -qF '[server] nfs-port: 2050 -> (not set)' "$work/out" || fail "back: $(cat "$work/out")"
wait_for 20 "the old port again" reads 10.77.0.1 2049

echo "# another interface comes and goes; NFS moves from one address to all, and back"
net_run ip link add other type veth peer name other-end
net_run ip address add 10.78.0.1/24 dev other
net_run ip link set other up
net_run ip link set other-end up
net_peer_run amy ip route add 10.78.0.0/24 via 10.77.0.1
wait_for 20 "the file" reads 10.77.0.1
! reads 10.78.0.1 || fail "NFS answers on an interface that is not named"
config 'interface = other' 'mode = full' 'lease = 900'
reload || fail "two interfaces: $(cat "$work/err")"
wait_for 20 "the file at the other address" reads 10.78.0.1
reads 10.77.0.1 || fail "the first address does not serve any more"
wait_for 20 "TFTP on both" eval '(($(net_run ss -Hlnu "sport = :69" | wc -l) == 2))'
config 'mode = full' 'lease = 900'
reload || fail "one interface: $(cat "$work/err")"
wait_for 20 "the first address" reads 10.77.0.1
! reads 10.78.0.1 || fail "NFS goes on at the other address"
wait_for 20 "TFTP on one" eval '(($(net_run ss -Hlnu "sport = :69" | wc -l) == 1))'
if net_run "$rootstock" --state "$work/second" serve --interface br0 2>"$work/err"; then
	fail "a second server shares the ports"
fi
grep -q 'port 67.*: in use' "$work/err" || fail "a second: $(cat "$work/err")"

alive "$server_pid" || fail "serve has ended"
equal "copier" "$copier" "$(child copier)"
! grep -q 'starting it again' "$work/serve.log" || fail "a child died: $(cat "$work/serve.log")"

echo "# what concerns all of them"
dhcp=$(child dhcp) tftp=$(child tftp) nfs=$(child nfs)
config 'mode = full' 'lease = 900' 'log = debug'
reload || fail "another level of the log: $(cat "$work/err")"
wait_for 20 "another copier" other_child copier "$copier"
wait_for 20 "another dhcp child" other_child dhcp "$dhcp"
wait_for 20 "another tftp child" other_child tftp "$tftp"
wait_for 20 "another nfs child" other_child nfs "$nfs"
wait_for 20 "the file" reads 10.77.0.1
! grep -q 'starting it again' "$work/serve.log" || fail "a child died: $(cat "$work/serve.log")"

echo "# a text that can be read only once"
stop "$server_pid"
spawn piped nsenter --net="/run/netns/$net_ns" bash -c \
	'exec "$0" serve --config <(printf "[server]\ninterface = br0\nmode = full\nlease = 1800\n")' \
	"$rootstock"
server_pid=$spawned
for service in 'udp 67' 'tcp 2049'; do
	# shellcheck disable=SC2086 # words
	wait_for 30 "serve to listen on $service" server_listens $service
done
is_refused() {
	! reload && grep -q 'a pipe, which cannot be read again' "$work/err"
}
wait_for 20 "a reload to be refused" is_refused
equal "the lease" 1800 "$(lease_of)"
echo "read again $(grep -c 'read again' "$work/serve.log") times"

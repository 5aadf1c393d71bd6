#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=quick limit=240
# A stranger has port 111.  The server does not start then; or it runs already, with the
# rpcbind that was there, and the stranger took its place.  And an rpcbind that has forgotten
# who registered: one that was started anew, and one that takes no registration.
set -euo pipefail
# shellcheck source=tests/lib/doctor.sh
. "$(dirname "$0")/../lib/doctor.sh"

for tool in rpcbind rpcinfo; do
	command -v $tool >/dev/null || skip "$tool is not installed"
done
doctor_up
doctor_add
cat >"$work/stranger.py" <<END
import socket, sys, time
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
s.bind((sys.argv[1], 111))
s.listen()
time.sleep(600)
END
spawn stranger nsenter --net="/run/netns/$net_ns" python3 "$work/stranger.py" 10.77.0.1
wait_for 20 "the stranger" net_listening tcp 111
! net_run "$rootstock" serve --interface br0 2>"$work/err" || fail "it serves"
grep -q "port 111" "$work/err" || fail "serve: $(cat "$work/err")"
doctor north --interface br0
doctor_names "TCP 111 (the port mapper): taken by python3 (process $spawned), which is no rpcbind"
doctor_names "no server runs on"
[[ $(grep -m1 ^error "$work/doctor") == *"taken by python3"* ]] ||
	fail "the cause is not first: $(cat "$work/doctor")"
doctor --interface br0
doctor_only "TCP 111 (the port mapper): taken by python3"
equal "as JSON" "taken by python3" "$(net_run "$rootstock" doctor --interface br0 --json |
	python3 -c "
import json, sys
[e] = [e for e in json.load(sys.stdin) if e[\"level\"] == \"error\"]
print(\"taken by python3\" if \"taken by python3\" in e[\"what\"] and e[\"mend\"] else e)")"

# With an rpcbind, in a /run of its own; then without.
stop "$spawned"
spawn rooms unshare -m sh -c "mount -t tmpfs none /run && mkdir /run/rpcbind && exec sleep 600"
room=$spawned
room_is_made() {
	[[ $(cat "/proc/$room/comm") == sleep ]]
}
wait_for 10 "a /run of its own" room_is_made
in_room() {
	nsenter --net="/run/netns/$net_ns" --mount="/proc/$room/ns/mnt" "$@"
}
# rpcbind_begins OPTIONS...
rpcbind_begins() {
	spawn rpcbind nsenter --net="/run/netns/$net_ns" --mount="/proc/$room/ns/mnt" rpcbind -f "$@"
	rpcbind_pid=$spawned
	wait_for 30 "rpcbind" net_listening tcp 111
}
rpcbind_begins
spawn serve nsenter --net="/run/netns/$net_ns" --mount="/proc/$room/ns/mnt" \
	"$rootstock" --state "$ROOTSTOCK_STATE" serve --interface br0
server_pid=$spawned
wait_for 30 "serve to listen" server_listens tcp 2049
wait_for 30 "the server to answer" doctor_all_answer
doctor north
equal "exit of doctor, with an rpcbind: $(grep ^error "$work/doctor")" 0 "$doctor_status"
grep -q "^ok *portmap *rpcbind: MOUNT is at UDP port 2049, NFS is at UDP port 2049" \
	"$work/doctor" || fail "$(cat "$work/doctor")"

# Started anew, it knows nobody; and is told again.
knows_us() {
	in_room rpcinfo -p 10.77.0.1 >"$work/rpcinfo" 2>&1 &&
		[[ $(grep -cE "^ *(100003 *3|100005 *[13]) .*2049" "$work/rpcinfo") == 6 ]]
}
knows_us || fail "not registered: $(cat "$work/rpcinfo")"
stop "$rpcbind_pid"
rpcbind_begins
wait_for 20 "the server to register again" knows_us
wait_for 10 "a word of it" grep -q "registered again" "$work/serve.log"
equal "lines of the log" 1 "$(grep -c "registered again" "$work/serve.log")"
doctor north
equal "exit of doctor, with a new rpcbind: $(grep ^error "$work/doctor")" 0 "$doctor_status"
# At once, where that is asked for: by itself it looks each five seconds, and would take fifteen
# for the second to the fourth.
since=$SECONDS
for _ in 1 2 3 4; do
	in_room rpcinfo -d 100003 3
	"$rootstock" reload >/dev/null
	wait_for 2 "a reload to register again" knows_us
done
((SECONDS - since < 14)) || fail "registered again, but not by the reload"
stop "$rpcbind_pid"
doctor north
doctor_only "TCP and UDP 111 (the port mapper): nobody listens, though a server runs"
# By a way that leaves it without a name of its own, and by IPv6, which takes IPv4.
spawn stranger nsenter --net="/run/netns/$net_ns" \
	python3 -c 'import os, sys; os.execv("/proc/self/exe", sys.argv)' "$work/stranger.py" ::
wait_for 20 "the stranger" net_listening tcp 111
machine_loads
machine_initrd
! machine timeout 10 nfs-cat nfs://10.77.0.1/sbin/init >"$work/none" 2>&1 || fail "it was read"
machine_is_silent "initrd dhcp"
shown mount "asked nothing of NFS here"
grep -q "another program answers on port 111" "$work/show" || fail "no remedy: $(cat "$work/show")"
program=$(readlink "/proc/$spawned/exe")
net_run "$rootstock" boot show north >"$work/show"
grep -q "^reason: .*TCP 111 (the port mapper): taken by ${program##*/} (process $spawned), which is no" \
	"$work/show" || fail "boot show does not name it: $(cat "$work/show")"
grep -q "^remedy: kill $spawned" "$work/show" || fail "no remedy: $(cat "$work/show")"
doctor north
doctor_only "TCP 111 (the port mapper): taken by ${program##*/} (process $spawned)"

# One that knows nobody, and takes no registration.
stop "$spawned"
cat >"$work/rpcbind" <<'END'
#!/usr/bin/python3
import select, socket, struct
t, u = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
t.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
for s in t, u:
    s.bind(("0.0.0.0", 111))
t.listen()
open_ones = [t, u]
while True:
    for s in select.select(open_ones, [], [])[0]:
        if s is t:
            open_ones.append(t.accept()[0])
            continue
        call, peer = s.recvfrom(4096)
        if not call:
            open_ones.remove(s)
            continue
        call = call if s is u else call[4:]
        reply = call[:4] + struct.pack(">6I", 1, 0, 0, 0, 0, 0)
        if s is u:
            s.sendto(reply, peer)
        else:
            s.sendall(struct.pack(">I", 0x80000000 | len(reply)) + reply)
END
chmod 755 "$work/rpcbind"
spawn forgetful nsenter --net="/run/netns/$net_ns" "$work/rpcbind"
wait_for 20 "the forgetful rpcbind" net_listening tcp 111
doctor north
doctor_only "rpcbind knows no MOUNT version 3 by TCP"
grep -A1 "^error *portmap" "$work/doctor" | grep -q -- "-> rootstock reload" ||
	fail "no remedy: $(cat "$work/doctor")"
doctor --interface br0
doctor_only "rpcbind knows no MOUNT version 3 by TCP"
net_run "$rootstock" boot show north >"$work/show"
grep -q "^reason: .*rpcbind knows no MOUNT version 3 by TCP" "$work/show" || fail "$(cat "$work/show")"
not_taken() {
	grep -q "rpcbind does not know it any more, and does not take it again" "$work/serve.log"
}
wait_for 20 "the server to say so" not_taken

# One that is told to answer by UDP at another address alone.
stop "$spawned"
net_run ip address add 10.79.0.1/32 dev lo
rpcbind_begins -h 10.79.0.1
"$rootstock" reload >/dev/null
knows_us_by_tcp() {
	in_room rpcinfo -T tcp 10.77.0.1 100003 3 >"$work/rpcinfo" 2>&1
}
wait_for 20 "the server to register with it" knows_us_by_tcp
doctor north
doctor_only "UDP 111 (the port mapper): nobody listens, though a server runs: rpcbind (process $spawned) has it by TCP alone"
grep -A1 "^error *port" "$work/doctor" | grep -q -- "-> take -h out of OPTIONS in /etc/default/rpcbind" ||
	fail "no remedy: $(cat "$work/doctor")"

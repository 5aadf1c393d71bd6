#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2154 # what the library sets
# check: when=quick limit=120
# A stranger has port 111.  The server does not start then; or it runs already, with the
# rpcbind that was there, and the stranger took its place.
set -euo pipefail
lib=$(dirname "$0")/../lib
for part in test net server doctor; do
	# shellcheck source=/dev/null
	. "$lib/$part.sh"
done

doctor_up
doctor_add
cat >"$work/stranger.py" <<END
import socket, time
s = socket.socket()
s.bind(("10.77.0.1", 111))
s.listen()
time.sleep(600)
END
spawn stranger nsenter --net="/run/netns/$net_ns" python3 "$work/stranger.py"
wait_for 20 "the stranger" net_listening tcp 111
! net_run "$rootstock" serve --interface br0 2>"$work/err" || fail "it serves"
grep -q "port 111" "$work/err" || fail "serve: $(cat "$work/err")"
doctor north --interface br0
doctor_names "TCP 111 (the port mapper): taken by python3 (process $spawned), which is no rpcbind"
doctor_names "no server runs on"
doctor --interface br0
doctor_only "TCP 111 (the port mapper): taken by python3"
equal "as JSON" "taken by python3" "$(net_run "$rootstock" doctor --interface br0 --json |
	python3 -c "
import json, sys
[e] = [e for e in json.load(sys.stdin) if e[\"level\"] == \"error\"]
print(\"taken by python3\" if \"taken by python3\" in e[\"what\"] and e[\"mend\"] else e)")"

# With an rpcbind, in a /run of its own; then without.
command -v rpcbind >/dev/null || exit 0
stop "$spawned"
spawn rpcbind nsenter --net="/run/netns/$net_ns" unshare -m sh -c \
	"mount -t tmpfs none /run && mkdir /run/rpcbind && exec rpcbind -f"
rpcbind_pid=$spawned
wait_for 30 "rpcbind" net_listening tcp 111
spawn serve nsenter --net="/run/netns/$net_ns" --mount="/proc/$rpcbind_pid/ns/mnt" \
	"$rootstock" --state "$ROOTSTOCK_STATE" serve --interface br0
server_pid=$spawned
wait_for 30 "serve to listen" server_listens tcp 2049
wait_for 30 "the server to answer" doctor_all_answer
doctor north
equal "exit of doctor, with an rpcbind: $(grep ^error "$work/doctor")" 0 "$doctor_status"
stop "$rpcbind_pid"
doctor north
doctor_names "TCP 111 (the port mapper): nobody listens, though a server runs"
# By a way that leaves it without a name of its own.
spawn stranger nsenter --net="/run/netns/$net_ns" \
	python3 -c 'import os, sys; os.execv("/proc/self/exe", sys.argv)' "$work/stranger.py"
wait_for 20 "the stranger" net_listening tcp 111
machine_loads
machine_initrd
! machine timeout 10 nfs-cat nfs://10.77.0.1/sbin/init >"$work/none" 2>&1 || fail "it was read"
machine_is_silent "initrd dhcp"
shown mount "another program answers on port 111\|asked nothing of NFS here"
grep -q "another program answers on port 111" "$work/show" || fail "no remedy: $(cat "$work/show")"
doctor north
program=$(readlink "/proc/$spawned/exe")
doctor_names "TCP 111 (the port mapper): taken by ${program##*/} (process $spawned)"

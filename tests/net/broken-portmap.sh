#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2154 # what the library sets
# check: when=quick limit=120
# A stranger has port 111: the server does not start, and doctor says who it is.
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

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=quick limit=240
# Machines that wait for approval, and boots that a command ends, with a server that
# runs and without.
set -euo pipefail
# shellcheck source=tests/lib/server.sh
. "$(dirname "$0")/../lib/server.sh"
need_root
net_up
server_state
mkdir -p "$work/image/etc"
"$rootstock" image add lab "$work/image" >/dev/null
printf '[server]\nunknown = pending\nmode = full\n' >"$work/conf"
mac=52:54:00:12:34:09

asks() {
	net_peer_run amy timeout 30 busybox udhcpc -f -q -n -i eth0 -s /bin/true -t "$1" -T 1 \
		>"$work/amy.out" 2>&1
}
# json COMMAND... -- EXPRESSION: python's idea of the rows, as x.
json() {
	local expression=${*: -1}
	"$rootstock" --json "${@:1:$#-1}" |
		python3 -c "import json, sys; x = json.load(sys.stdin); print($expression)"
}
fails_with() {
	local want=$1 out
	shift
	out=$("$rootstock" "$@" 2>&1 >/dev/null) && fail "$*: no error"
	equal "$*" "rootstock: $want" "$out"
}
waits() {
	[[ $(json host list --pending '[r["mac"] for r in x]') == "['$mac']" ]]
}

fails_with "boot list: $ROOTSTOCK_STATE: nothing was served from here yet" boot list
equal "who waits before anything was served" "" "$("$rootstock" host list --pending)"
server_start --config "$work/conf"
equal "who waits at first" "[]" "$(json host list --pending x)"
net_peer amy $mac
asks 2 && fail "served without approval: $(cat "$work/amy.out")"
wait_for 10 "the list of who waits" waits
equal "what it says of itself" "True" \
	"$(json host list --pending 'x[0]["vendor"].startswith("udhcp") and x[0]["arch"] is None
		and x[0]["host"] is None')"
equal "its times" "True" "$(json host list --pending 'x[0]["first_seen"] <= x[0]["last_seen"]')"
equal "hosts so far" "[]" "$(json host list x)"
fails_with "host approve: 52:54:00:00:00:77: no such host" host approve 52:54:00:00:00:77

"$rootstock" host approve $mac
equal "who waits after the approval" "[]" "$(json host list --pending x)"
equal "hosts" "host-525400123409" "$(json host list 'x[0]["name"]')"
wait_for 20 "an answer after its approval" asks 10

echo "# a host that is set aside waits again"
"$rootstock" host set host-525400123409 pending=yes
equal "who is set aside" "host-525400123409" "$(json host list --pending 'x[0]["host"]')"
set_aside() {
	! asks 1
}
wait_for 20 "no answer for it" set_aside
"$rootstock" host approve host-525400123409
wait_for 20 "an answer for it" asks 5

echo "# its boot, ended by command"
open_boots() {
	json boot list $mac 'sum(r["ended"] is None for r in x)'
}
equal "open boots" 1 "$(open_boots)"
equal "its stage" started "$(json boot list $mac 'x[-1]["stage"]')"
mkdir -p "$work/image/etc/more"
"$rootstock" image add lab "$work/image" --activate >/dev/null
fails_with "image remove: lab@1: a boot of $mac is pinned to it" image remove lab@1
"$rootstock" boot end host-525400123409
equal "open boots after its end" 0 "$(open_boots)"
equal "why" "ended by command" "$(json boot list $mac 'x[-1]["reason"]')"
"$rootstock" image remove lab@1
fails_with "boot end: $mac: no boot of it is open" boot end $mac
fails_with "boot end: nobody: no such host" boot end nobody
fails_with "boot list: nobody: no such host, and no boot of that MAC" boot list nobody
# The server has let go of it too: the next DISCOVER opens another one.
boots_anew() {
	asks 5 && [[ $(open_boots) == 1 ]]
}
wait_for 20 "another boot" boots_anew
equal "its version" lab@2 "$(json boot list $mac 'x[-1]["image"]')"

echo "# without a server"
stop "$server_pid"
"$rootstock" boot end $mac
equal "open boots" 0 "$(open_boots)"
"$rootstock" lease list | grep -q 52:54:00:12:34:09 || fail "no lease list without a server"
server_start --config "$work/conf"
wait_for 20 "another boot" boots_anew
echo "approved, booted, ended"

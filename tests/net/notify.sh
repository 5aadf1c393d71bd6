#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: limit=600
# What a service manager hears: ready when all four services listen and not before, the
# watchdog as long as they serve, a child that died in the status, and the end.  A child
# that hangs is killed and started again.
set -euo pipefail
for part in test net server; do
	# shellcheck source=/dev/null
	. "$(dirname "$0")/../lib/$part.sh"
done
need_root
net_up
server_state
keys=$("$rootstock" complete)
[[ $keys == *"key server log"* ]] || fail "an old build"
[[ $(ldd "$rootstock") == *libsystemd* ]] || skip "built without libsystemd"

cat >"$work/manager.py" <<'END'
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
while True:
    print(s.recv(4096).decode().replace("\n", " "), flush=True)
END
spawn manager python3 "$work/manager.py" "$work/notify"
wait_for 20 "the manager" test -S "$work/notify"

spawn serve nsenter --net="/run/netns/$net_ns" env NOTIFY_SOCKET="$work/notify" \
	WATCHDOG_USEC=30000000 "$rootstock" serve --interface br0
server=$spawned

heard() {
	grep -q -- "$1" "$work/manager.log"
}
count() {
	grep -c -- "$1" "$work/manager.log" || true
}
child() {
	pgrep -P "$server" -f "child $1"
}

wait_for 60 "READY=1" heard READY=1
for socket in 'udp 67' 'udp 69' 'tcp 111' 'tcp 2049'; do
	# shellcheck disable=SC2086
	net_listening $socket || fail "ready, but nobody listens on $socket"
done
equal "the last status" "STATUS=serving on br0" "$(grep STATUS "$work/manager.log" | tail -n 1)"
wait_for 30 "the watchdog" heard WATCHDOG=1

# One that dies is in the status until it serves again, and ready is said once.
kill -9 "$(child tftp)"
wait_for 30 "the status" heard 'STATUS=serving on br0; being started: tftp'
healed() {
	[[ $(grep STATUS "$work/manager.log" | tail -n 1) == "STATUS=serving on br0" ]]
}
wait_for 60 "tftp" healed
equal "times ready" 1 "$(count READY=1)"

# One that hangs.
old=$(child dhcp)
kill -STOP "$old"
wait_for 120 "the hanging child's end" gone "$old"
grep -q 'dhcp: silent for a minute: killed' "$work/serve.log" || fail "nobody said so"
wait_for 60 "dhcp" healed
pings=$(count WATCHDOG=1)
more_pings() {
	(($(count WATCHDOG=1) > pings))
}
wait_for 60 "the watchdog again" more_pings

stop "$server"
heard STOPPING=1 || fail "no word of stopping"

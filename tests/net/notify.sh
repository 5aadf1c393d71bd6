#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=default limit=600
# What a service manager hears: ready when all four services listen and not before, the
# watchdog as long as they serve and no longer, a child that died in the status, each reload
# with its end, and the end of all.  A child that hangs is killed and started again.
set -euo pipefail
# shellcheck source=tests/lib/server.sh
. "$(dirname "$0")/../lib/server.sh"
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

conf=$work/rootstock.conf
printf '[server]\ninterface = br0\nmode = full\nlease = 600\n' >"$conf"
spawn serve nsenter --net="/run/netns/$net_ns" env NOTIFY_SOCKET="$work/notify" \
	WATCHDOG_USEC=30000000 "$rootstock" serve --config "$conf"
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

# One that does not come back, as it can not open its database: no ping until it does.
mode=$(stat -c %a "$ROOTSTOCK_STATE/leases.db")
chmod 0 "$ROOTSTOCK_STATE/leases.db"
kill -9 "$(child dhcp)"
wait_for 30 "the status" heard 'STATUS=serving on br0; being started: dhcp'
sleep 12 # two turns of the watchdog, and more
grep -q 'dhcp: ended with status' "$work/serve.log" || fail "it found its database"
[[ $(grep STATUS "$work/manager.log" | tail -n 1) == *"being started: dhcp" ]] || fail "it serves"
chmod "$mode" "$ROOTSTOCK_STATE/leases.db"
wait_for 60 "dhcp" healed
! awk '/being started/ { ill = 1 } /STATUS=serving on br0$/ { ill = 0 } ill && /WATCHDOG/' \
	"$work/manager.log" | grep . || fail "the watchdog is told that all is well while dhcp is not"
pings=$(count WATCHDOG=1)
more_pings() {
	(($(count WATCHDOG=1) > pings))
}
wait_for 60 "the watchdog again" more_pings

# Each reload is told, and its end when all serve with what was read: after one that changes
# something for dhcp, after one that changes nothing, and after one that is refused.
# reloads LINE WORDS: what is heard of a reload with that line in the file.
reloads() {
	local from to usec
	printf '[server]\ninterface = br0\nmode = full\n%s\n' "$1" >"$conf"
	before=$(wc -l <"$work/manager.log")
	from=$(monotonic)
	"$rootstock" reload >"$work/out" 2>"$work/err" || true
	to=$(monotonic)
	wait_for 60 "the end of a reload" ready_again
	equal "what is heard of it" "$2" \
		"$(heard_since | grep -oE 'RELOADING=1|being started: .*|READY=1' | tr '\n' ' ')"
	usec=$(heard_since | sed -n 's/.*RELOADING=1 MONOTONIC_USEC=//p')
	((from <= usec && usec <= to)) || fail "it was reloaded at $usec, not from $from to $to"
}
heard_since() {
	tail -n +$((before + 1)) "$work/manager.log"
}
ready_again() {
	heard_since | grep -q READY=1
}
monotonic() {
	python3 -c 'import time; print(time.monotonic_ns() // 1000)'
}
reloads "lease = 900" "RELOADING=1 being started: dhcp READY=1 "
reloads "lease = 900" "RELOADING=1 READY=1 "
equal "what the reload did" "nothing has changed" "$(cat "$work/out")"
reloads "lease = soon" "RELOADING=1 READY=1 "
grep -q 'lease: soon: not a number' "$work/err" || fail "taken: $(cat "$work/err")"

# One that hangs; and after reloads that changed nothing, one that dies is started again.
old=$(child dhcp)
kill -STOP "$old"
wait_for 120 "the hanging child's end" gone "$old"
wait_for 10 "a word of it" grep -q 'dhcp: silent for a minute: killed' "$work/serve.log"
wait_for 60 "dhcp" healed
pings=$(count WATCHDOG=1)
wait_for 60 "the watchdog again" more_pings

stop "$server"
wait_for 10 "word of stopping" heard STOPPING=1

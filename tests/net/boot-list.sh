#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=default limit=300
# 200,000 boots that failed: the list of them takes its time by what it shows, and each row is
# judged by the events up to the same machine's next boot.  And a server with so much to look
# through is found by a command from the moment that its ports are there.
set -euo pipefail
# shellcheck source=tests/lib/server.sh
. "$(dirname "$0")/../lib/server.sh"
need_root
net_up
server_state
mkdir "$work/image"
"$rootstock" image add lab "$work/image" >/dev/null
server_start
wait_for 30 "the server" grep -q 'all services serve' "$work/serve.log"
stop "$server_pid"

# Machines boot twice: at the first time they stop at the kernel, then at the initrd.
python3 - "$ROOTSTOCK_STATE" <<'END'
import sqlite3, sys, time
state, machines = sys.argv[1], 100000
now, step = time.time_ns(), 10**7
begin = now - 2 * machines * step - 3600 * 10**9
leases, trace = (sqlite3.connect(f"{state}/{name}.db") for name in ("leases", "trace"))
mac = lambda boot: b"\x52\x54" + (boot % machines).to_bytes(4, "big")
leases.executemany("INSERT INTO boot (mac, address, version, opened, ended) VALUES (?, ?, 1, ?, ?)",
    ((mac(b), 0x0a4d0002 + b % machines, begin + b * step, begin + b * step + 10**9)
     for b in range(2 * machines)))
REFUSED, KERNEL = 4, 6
trace.executemany("INSERT INTO event (at, kind, mac, address, step, text) VALUES (?, ?, ?, ?, ?, ?)",
    ((begin + b * step + 10**6, REFUSED, mac(b), 0x0a4d0002 + b % machines, KERNEL + b // machines, "x")
     for b in range(2 * machines)))
leases.commit()
trace.commit()
END

# cpu SECONDS COMMAND ARGS...
cpu() (
	ulimit -t "$1"
	"${@:2}"
)
cpu 20 "$rootstock" boot list >"$work/newest" 2>"$work/err" || fail "boot list: $(cat "$work/err")"
equal "rows" 1001 "$(wc -l <"$work/newest")"
equal "a word about the others" "rootstock: boot list: the newest 1000: --last N or --all shows more" \
	"$(cat "$work/err")"
cpu 60 "$rootstock" boot list --all >"$work/all" 2>"$work/err" || fail "boot list --all: $(cat "$work/err")"
equal "all rows" 200001 "$(wc -l <"$work/all")"
equal "a word about others" "" "$(cat "$work/err")"
equal "the newest of all" "$(tail -n 1000 "$work/all" | tr -s ' ' | sha256sum)" \
	"$(tail -n 1000 "$work/newest" | tr -s ' ' | sha256sum)"
awk 'NR > 1 { print $8 }' "$work/all" | uniq -c | tr -s ' ' >"$work/stopped"
equal "where they stopped" " 100000 kernel, 100000 initrd" "$(paste -sd, "$work/stopped")"
equal "of one machine" "$(grep '52:54:00:00:00:07' "$work/all" | tr -s ' ')" \
	"$("$rootstock" boot list 52:54:00:00:00:07 | tail -n +2 | tr -s ' ')"
equal "its newest" "$(grep '52:54:00:00:00:07' "$work/all" | tail -n 1 | tr -s ' ')" \
	"$("$rootstock" boot list 52:54:00:00:00:07 --last 1 2>/dev/null | tail -n 1 | tr -s ' ')"

spawn serve nsenter --net="/run/netns/$net_ns" "$rootstock" serve --interface br0
server_pid=$spawned
until net_listening udp 69; do
	alive "$server_pid" || fail "serve: $(cat "$work/serve.log")"
done
"$rootstock" status >"$work/status" || true
grep -q "^rootstock on $ROOTSTOCK_STATE, up " "$work/status" || fail "not found: $(cat "$work/status")"

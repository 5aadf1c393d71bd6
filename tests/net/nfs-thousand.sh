#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=all limit=2400
# A thousand clients, each from an address of its own, replay a recorded boot at once: no
# call fails, none is starved, and memory stays small.
set -euo pipefail
if [[ -z ${NFS_TEST_NS:-} ]]; then
	NFS_TEST_NS=1 exec unshare -n "$0" "$@"
fi
lib=$(dirname "$0")/../lib
# shellcheck source=tests/lib/test.sh
. "$lib/test.sh"

need_root
"$lib/kernel.sh" --cached >/dev/null || [[ -n ${TRACE:-} ]] ||
	skip "no kernel with ROOT_NFS in the cache to record a boot with (tests/lib/kernel.sh)"
image=$("$lib/image.sh")
trace=${TRACE:-$("$lib/nfs-trace.sh")}
clients=${CLIENTS:-1000}
ip link set lo up
driver=$(dirname "$rootstock")/nfs
"$rootstock" --state "$work/state" image add debian "$image" --wait >/dev/null 2>&1
# host add would make a key for each.
python3 - "$work/state/rootstock.db" "$clients" <<'END'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
for i in range(int(sys.argv[2])):
    db.execute("INSERT INTO host (name, address, added, changed) VALUES (?, ?, 0, 0)",
               ("host%d" % i, 0x7F010001 + i))
db.commit()
END
spawn serve "$driver/nfs-driver-state" "$work/state"
server=$spawned
wait_for 60 "the server" grep -q "NFS on port" "$work/serve.log"
"$driver/nfs-replay" 127.0.0.1 2049 2049 / 127.1.0.1 "$clients" "$trace" "$server" |
	tee "$work/out" || fail "calls failed"
grep -q ' 0 errors' "$work/out" || fail "errors"
slowest=$(sed -n 's/.*slowest \([0-9.]*\) of median.*/\1/p' "$work/out")
awk "BEGIN { exit !($slowest <= 3) }" || fail "the slowest client took $slowest times the median"
pss=0
for pid in "$server" $(pgrep -P "$server"); do
	pss=$((pss + $(awk '/^Pss:/ { print $2 }' "/proc/$pid/smaps_rollup")))
done
echo "$((pss / 1024)) MiB"
((pss < 300 * 1024)) || fail "memory: $((pss / 1024)) MiB"
! grep -E "ERROR: |runtime error" "$work/serve.log" || fail "the server complained"

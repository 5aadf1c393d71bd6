#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What was not synced may be lost with the power: whatever is lost, the state is whole
# and nothing that was answered is lost.
# check: when=default limit=1800
set -euo pipefail
# shellcheck source=tests/lib/fault.sh
. "$(dirname "$0")/../lib/fault.sh"
fault_needs
# A number that one file had, then another, then a directory.
PYTHONPATH=$tests/fault python3 - <<'END'
import io, powercut
log = ["create\t5\t/t/a\n", "write\t5\t0\t4\n", "sync\t5\n", "unlink\t/t/a\n",
       "create\t5\t/t/b\n", "sync\t5\n", "unlink\t/t/b\n", "mkdir\t/t/c\n", "sync\t5\n"]
files, syncs = powercut.Files(), []
for event in powercut.events(log, io.BytesIO(b"four"), {5: "/t/c"}):
    if not isinstance(event, powercut.Change):
        syncs.append(event[1])
        continue
    files.apply(event)
    assert not files.bodies.get(files.names.get("/t/b")), "a body of the file before"
assert len(set(syncs)) == 3 and syncs[2] == "/t/c", syncs
END
python3 "$tests/fault/powercut.py" init add-dir-wait add-tar fill read prune put-secret host-add
# It finds what it is there to find.
for sync in fsync syncfs; do
	! python3 "$tests/fault/powercut.py" --unless $sync add-tar >"$work/blind" 2>&1 ||
		fail "without $sync nothing is lost: $(tail -n 1 "$work/blind")"
	grep -q 'add-tar .* bad$' "$work/blind" || fail "without $sync: $(cat "$work/blind")"
done

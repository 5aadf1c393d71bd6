#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What was not synced may be lost with the power: whatever is lost, the state is whole
# and nothing that was answered is lost.
# check: when=default limit=900
set -euo pipefail
# shellcheck source=tests/lib/fault.sh
. "$(dirname "$0")/../lib/fault.sh"
fault_needs
python3 "$tests/fault/powercut.py" init add-dir-wait add-tar fill read prune put-secret host-add
# It finds what it is there to find.
for sync in fsync syncfs; do
	! python3 "$tests/fault/powercut.py" --unless $sync add-tar >"$work/blind" 2>&1 ||
		fail "without $sync nothing is lost: $(tail -n 1 "$work/blind")"
	grep -q 'add-tar .* bad$' "$work/blind" || fail "without $sync: $(cat "$work/blind")"
done

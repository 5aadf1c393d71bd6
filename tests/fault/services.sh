#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# An allocation, a descriptor, the disk or the database fails in each service while it works
# and while it starts: it says so, goes on, and no machine gets a wrong byte or loses its
# lease.  With EVERY=1 each call, else some; ONLY as services.py has it.
# check: when=default limit=1800
set -euo pipefail
# shellcheck source=tests/lib/fault.sh
. "$(dirname "$0")/../lib/fault.sh"
fault_server
read -r -d '' -a only <<<"${ONLY-}" || true
net_peer_run pc python3 "$tests/fault/services.py" "$net_ns" "$work" \
	${EVERY:+--every} ${SEED:+--seed "$SEED"} "${only[@]}"

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The state becomes read-only and comes back: what needs no writing goes on, what cannot be
# kept is not promised, and it is said; a server that starts on it says so in one line.
# check: when=default limit=900
set -euo pipefail
# shellcheck source=tests/lib/fault.sh
. "$(dirname "$0")/../lib/fault.sh"
fault_server
net_peer_run pc python3 "$tests/fault/troubles.py" "$net_ns" "$work" readonly

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The interface goes down and comes up: nobody dies or turns in circles, and all goes on.
# check: when=default limit=900
set -euo pipefail
# shellcheck source=tests/lib/fault.sh
. "$(dirname "$0")/../lib/fault.sh"
fault_server
net_peer_run pc python3 "$tests/fault/troubles.py" "$net_ns" "$work" link

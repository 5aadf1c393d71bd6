#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Children are killed at random for a minute (ROUND seconds) while machines get addresses,
# boot files and the files of images that are being copied: no wrong byte, no lost lease.
# check: when=default limit=900
set -euo pipefail
# shellcheck source=tests/lib/fault.sh
. "$(dirname "$0")/../lib/fault.sh"
fault_server
net_peer_run pc python3 "$tests/fault/troubles.py" "$net_ns" "$work" children "${ROUND:-60}"

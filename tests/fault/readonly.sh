#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2154 # what the library sets
# The state becomes read-only and comes back: what needs no writing goes on, what cannot be
# kept is not promised, and it is said; a server that starts on it says so in one line.
# check: when=default limit=900
set -euo pipefail
lib=$(dirname "$0")/../lib
for part in test net fault; do
	# shellcheck source=/dev/null
	. "$lib/$part.sh"
done
fault_server
net_peer_run pc python3 "$tests/fault/troubles.py" "$net_ns" "$work" readonly

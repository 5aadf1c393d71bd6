#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2154 # what the library sets
# The wall clock jumps, forth and back, by hours and by years: all services go on.
# check: when=default limit=900
set -euo pipefail
lib=$(dirname "$0")/../lib
for part in test net fault; do
	# shellcheck source=/dev/null
	. "$lib/$part.sh"
done
fault_server
net_peer_run pc python3 "$tests/fault/troubles.py" "$net_ns" "$work" clock

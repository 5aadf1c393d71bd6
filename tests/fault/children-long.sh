#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# tests/fault/children.sh for ten minutes.
# check: when=all limit=1800
set -euo pipefail
ROUND=600 exec "$(dirname "$0")/children.sh"

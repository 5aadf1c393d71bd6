#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# tests/fault/services.sh with no call left out.
# check: when=all limit=28800
set -euo pipefail
EVERY=1 exec "$(dirname "$0")/services.sh"

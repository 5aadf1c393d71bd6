#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=default limit=600
# A minute of the soak.
set -euo pipefail
exec env SECS="${SECS:-60}" "$(dirname "$0")/../soak"

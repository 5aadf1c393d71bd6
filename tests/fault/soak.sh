#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=default limit=600
# A minute of the soak, beside others: changes may take long to be seen.
set -euo pipefail
exec env SECS="${SECS:-60}" DELAY="${DELAY:-10}" "$(dirname "$0")/../soak"

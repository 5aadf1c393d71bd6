#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A full disk and an error of the disk at each step: one line, exit 1, nothing half done,
# and the next try works.
# check: when=default limit=1800
set -euo pipefail
# shellcheck source=tests/lib/fault.sh
. "$(dirname "$0")/../lib/fault.sh"
fault_needs
python3 "$tests/fault/steps.py" fail init-dir add-dir-known add-tar add-oci-known remove read \
	put-secret host-add group-remove import backup

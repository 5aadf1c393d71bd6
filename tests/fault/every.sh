#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The fault suite with no step left out.
# check: when=all limit=7200
set -euo pipefail
# shellcheck source=tests/lib/fault.sh
. "$(dirname "$0")/../lib/fault.sh"
fault_needs
status=0
python3 "$tests/fault/steps.py" kill --serve --every || status=1
python3 "$tests/fault/steps.py" fail --every || status=1
python3 "$tests/fault/powercut.py" --every || status=1
exit $status

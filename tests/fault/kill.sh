#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# kill -9 at each step of a copy, an overlay change and all that writes a state: it is
# whole afterwards, nothing that was answered is lost, nothing is left for ever, and a
# server starts on it.
# check: when=default limit=1800
set -euo pipefail
# shellcheck source=tests/lib/fault.sh
. "$(dirname "$0")/../lib/fault.sh"
fault_needs
python3 "$tests/fault/steps.py" kill --serve init-dir add-dir-wait add-tar add-oci-known \
	activate remove prune fill read put put-secret hide attr reset host-add host-set \
	host-remove group-remove import import-init backup

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Every shell script of the project, /linuxrc among them, is free of warnings.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v shellcheck >/dev/null || {
	echo "shellcheck is not installed"
	exit 1
}
mapfile -t scripts < <(grep -rlE --exclude-dir='build*' --exclude-dir=.git \
	'^#!.*/(ba)?sh|^# shellcheck shell' . | sort)
shellcheck --severity=warning "${scripts[@]}"

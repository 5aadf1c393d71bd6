#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The manual pages are correct mdoc.
set -euo pipefail
cd "$(dirname "$0")/../.."
mapfile -t pages < <(find . -path ./build -prune -o -name '*.[1-8]' -print | sort)
if [[ ${#pages[@]} == 0 ]]; then
	echo "no manual pages yet"
	exit 77
fi
mandoc -Tlint -Wwarning "${pages[@]}"

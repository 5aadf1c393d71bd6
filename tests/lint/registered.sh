#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Every unit test that is there is built, so every one is run: a merge loses a line of a
# meson.build without a word.
set -euo pipefail
cd "$(dirname "$0")/../.."
status=0
for source in tests/unit/test_*.c; do
	name=$(basename "$source" .c)
	[[ -x build/tests/$name ]] || {
		echo "$source: not built: no line in unit_tests"
		status=1
	}
done
exit $status

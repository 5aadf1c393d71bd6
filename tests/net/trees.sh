#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=all limit=7200
# A thousand random trees through every door, and five thousand more through the core
# alone (tests/unit/test_trees.c, of which the unit tests run some dozens).
set -euo pipefail
lib=$(dirname "$0")/../lib
# shellcheck source=tests/lib/test.sh
. "$lib/test.sh"

need_root
[[ -e /dev/fuse ]] || skip "needs /dev/fuse"
trees=${rootstock%/*}/tests/test_trees
[[ -x $trees ]] || skip "not built: $trees"
ROUNDS=1000 "$trees"
DOORS=core ROUNDS=5000 "$trees"

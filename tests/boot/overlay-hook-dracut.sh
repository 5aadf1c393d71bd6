#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=all limit=1800
# Overlay mode where /linuxrc is hidden: the hook that goes along with the image's
# initrd, which is dracut's, makes the root writable.
set -euo pipefail
# shellcheck source=tests/lib/boot.sh
. "$(dirname "$0")/../lib/boot.sh"

boot_image dracut
boot_host hook mode=overlay
"$rootstock" overlay hide host:hook /linuxrc
grep -q 'hook that makes the root writable' < <("$rootstock" boot plan hook) ||
	fail "no hook planned"
boot_writes="done"
boot_machine
boot_check
boot_shows 'rootstock: the root is writable, in memory'
! "$rootstock" view cat hook /usr/written 2>/dev/null ||
	fail "the guest's file is in its view"

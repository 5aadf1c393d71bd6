#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: limit=1800
# The same kernel without an initrd, and /linuxrc in overlay mode: the whole root is
# writable.  It ends by a reboot.
set -euo pipefail
# shellcheck source=tests/lib/boot.sh
. "$(dirname "$0")/../lib/boot.sh"

boot_kernel
boot_image image
boot_host west mode=overlay
boot_own_kernel
boot_writes="done" boot_ends=reboot
boot_machine
boot_check
boot_shows 'Run /linuxrc as init process'
boot_shows 'reboot: Restarting system'
! "$rootstock" view cat west /usr/written 2>/dev/null ||
	fail "the guest's file is in its view"

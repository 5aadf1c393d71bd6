#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=all limit=1800
# Debian's own initrd and the overlay mode, on another network card: the guest writes
# wherever it likes, in its own memory, and none of it reaches the server.
set -euo pipefail
# shellcheck source=tests/lib/boot.sh
. "$(dirname "$0")/../lib/boot.sh"

boot_image image
boot_host south mode=overlay
qemu_card=e1000 boot_writes="done"
boot_machine
boot_check
! "$rootstock" view cat south /usr/written 2>/dev/null ||
	fail "the guest's file is in its view"

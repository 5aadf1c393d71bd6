#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=all limit=1800
# An image whose initrd is dracut's.
set -euo pipefail
# shellcheck source=tests/lib/boot.sh
. "$(dirname "$0")/../lib/boot.sh"

boot_image dracut
boot_host drake mode=tmpfs
grep -q 'root=nfs:.*:/:vers=3' < <("$rootstock" boot plan drake) || fail "not in dracut's words"
boot_machine
boot_check
boot_shows 'dracut initqueue hook'
! qemu_shows drake 'dracut-shutdown' || fail "it unpacked its initrd to go down"

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: limit=1800
# Debian as it comes boots by BIOS, PXE and its own initrd, lives on the read-only
# root, is who its overlay says it is, and powers off cleanly.
set -euo pipefail
# shellcheck source=tests/lib/boot.sh
. "$(dirname "$0")/../lib/boot.sh"

boot_image image
boot_host north mode=tmpfs
boot_machine
boot_check
equal "init" systemd "$(selfcheck_value north init)"
for file in pxelinux.0 "pxelinux.cfg/01-${boot_mac//:/-}" kernel initrd; do
	boot_fetched "$file"
done

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: limit=1200
# Debian as it comes boots by BIOS, PXE and its own initrd, lives on the read-only
# root, is who its overlay says it is, and powers off cleanly.
set -euo pipefail
lib=$(dirname "$0")/../lib
for part in test net qemu server image selfcheck; do
	# shellcheck source=/dev/null
	. "$lib/$part.sh"
done

need_root
image=$("$lib/image.sh")
net_up
server_state
"$rootstock" image add debian "$image" >"$work/image-add.log"
"$rootstock" host add 52:54:00:12:34:01 --name north
"$rootstock" host set north console=ttyS0,115200 mode=tmpfs
selfcheck_boot north 52:54:00:12:34:01 "$image" EROFS

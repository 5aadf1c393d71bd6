#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=all limit=1200
# The same boot in the overlay mode, on another network card: the guest writes
# wherever it likes, in its own memory, and none of it reaches the server.
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
"$rootstock" host add 52:54:00:12:34:02 --name south
"$rootstock" host set south console=ttyS0,115200 mode=overlay
qemu_card=e1000
selfcheck_boot south 52:54:00:12:34:02 "$image" "done"
! "$rootstock" view cat south /usr/written 2>/dev/null ||
	fail "the guest's file is in its view"

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=all limit=1800
# Overlay mode where /linuxrc is hidden: the hook that goes along with the image's
# initrd, which is dracut's, makes the root writable.
set -euo pipefail
# shellcheck source=tests/lib/boot.sh
. "$(dirname "$0")/../lib/boot.sh"

boot_image dracut
boot_hook

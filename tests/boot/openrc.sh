#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=all limit=1800
# An image with OpenRC: it comes up, and goes down without hanging on the
# root that its network carries.
set -euo pipefail
# shellcheck source=tests/lib/boot.sh
. "$(dirname "$0")/../lib/boot.sh"

boot_image openrc
boot_host elm mode=tmpfs
boot_machine
boot_check
equal "init" init "$(selfcheck_value elm init)"

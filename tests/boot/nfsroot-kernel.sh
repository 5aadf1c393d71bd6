#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: limit=1800
# The seed's own boot: no initrd, a kernel that mounts its root by NFS itself,
# init=/linuxrc in tmpfs mode.
set -euo pipefail
# shellcheck source=tests/lib/boot.sh
. "$(dirname "$0")/../lib/boot.sh"

boot_kernel
boot_image image
boot_host west mode=tmpfs
boot_own_kernel
boot_machine
boot_check
# Proof that it was this kernel, and nobody's initrd.
boot_shows 'Run /linuxrc as init process'
! qemu_shows west 'Unpacking initramfs.*|Loading.*initrd' || fail "there was an initrd"

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=quick limit=240
# A host whose image has no kernel.
set -euo pipefail
# shellcheck source=tests/lib/doctor.sh
. "$(dirname "$0")/../lib/doctor.sh"

doctor_up
rm "$work"/image/boot/vmlinuz-*
doctor_add
doctor_serve
doctor north
doctor_only "no kernel in its view"
grep -q "install a kernel into the image" "$work/doctor" || fail "no remedy: $(cat "$work/doctor")"

machine_rom
machine_files pxelinux.0 pxelinux.cfg/01-52-54-00-aa-00-01
shown menu "its image has no kernel"
grep -q "^remedy: .*rootstock host set north kernel=PATH" "$work/show" || fail "$(cat "$work/show")"

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=quick limit=240
# Files that a boot needs and that cannot be read: init, whose origin has lost it, one
# that nobody may run, one whose interpreter is not there, a link that leads nowhere.
set -euo pipefail
# shellcheck source=tests/lib/doctor.sh
. "$(dirname "$0")/../lib/doctor.sh"

doctor_up
doctor_add
rm "$work/image/usr/lib/systemd/systemd"
doctor_serve
doctor north
doctor_only "/sbin/init cannot be read, at systemd: /usr/lib/systemd/systemd: Input/output error$"
grep -q -- "-> rootstock image show lab@1 .* rootstock image add lab DIR" "$work/doctor" ||
	fail "no remedy: $(cat "$work/doctor")"
machine_loads
machine_initrd
! machine nfs-cat nfs://10.77.0.1/usr/lib/systemd/systemd >"$work/lost" 2>&1 || fail "it was read"
shown root "a file of its root cannot be read"

echo "#!/bin/sh" | overlay_text all /usr/lib/systemd/systemd --mode 0644
doctor north
doctor_only "/sbin/init is not executable"
echo "#!/usr/bin/python9" | overlay_text all /usr/lib/systemd/systemd --mode 0755
doctor north
doctor_only "/usr/bin/python9 cannot be found: no such file"
"$rootstock" overlay link host:north /usr/sbin/init /nowhere/init
doctor north
doctor_only "/sbin/init cannot be found, at nowhere"
"$rootstock" overlay reset host:north /usr/sbin/init
echo "#!/bin/sh" | overlay_text all /usr/lib/systemd/systemd --mode 0755
doctor north
equal "exit of doctor: $(grep ^error "$work/doctor")" 0 "$doctor_status"

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=quick limit=240
# A configuration whose subnet is not that of the wire: nobody gets an address.
set -euo pipefail
# shellcheck source=tests/lib/doctor.sh
. "$(dirname "$0")/../lib/doctor.sh"

doctor_up
doctor_add
cat >"$work/conf" <<END
[server]
interface = br0
[subnet 10.99.0.0/24]
range = 10.99.0.10 - 10.99.0.99
END
doctor_serve --config "$work/conf"
doctor north --config "$work/conf"
doctor_only "BIOS ROM, .*, initrd: no answer: .* in no subnet of the configuration"
grep -q -- "-> write \[subnet 10.77.0.0/24\] and its range = into" "$work/doctor" || fail "no remedy: $(cat "$work/doctor")"
doctor --config "$work/conf"
grep -A1 "^warn *interface *br0: .* in no subnet" "$work/doctor" |
	grep -q -- "-> write \[subnet 10.77.0.0/24\]" || fail "$(cat "$work/doctor")"

! machine_dhcp -V PXEClient:Arch:00000:UNDI:002001 -x 0x5d:0000 -t 3 || fail "it has an address"
shown "rom dhcp" "the configuration has no subnet for"

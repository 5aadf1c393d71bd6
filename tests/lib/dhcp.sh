# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The dhcp child alone, as a program: $driver.
#
#	dhcp_firmware	$firmware is EDK2's code, for a machine in QEMU

# shellcheck source=tests/lib/net.sh
. "${BASH_SOURCE[0]%/*}/net.sh"

need_root
driver=$build/dhcp/dhcp-driver
[[ -x $driver ]] || fail "no $driver: build first"

dhcp_firmware() {
	firmware=/usr/share/OVMF/OVMF_CODE_4M.fd
	[[ -e $firmware ]] || fail "ovmf is not installed"
}

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Firmware that others wrote, in QEMU, against the dhcp child alone: iPXE and EDK2.
# check: when=default limit=400
set -euo pipefail
# shellcheck source=tests/lib/dhcp.sh
. "$(dirname "$0")/../lib/dhcp.sh"
need qemu-system-x86_64 sqlite3
dhcp_firmware

net_up
spawn server nsenter --net="/run/netns/$net_ns" "$driver" "$work/state" -v br0
wait_for 10 "port 67" net_listening udp 67
logged() {
	grep -q -- "$1" "$work/server.log"
}

# boots NAME MAC ARGS...: a machine on a plug of its own.
boots() {
	local name=$1 mac=$2
	shift 2
	net_tap "$name"
	spawn "$name" nsenter --net="/run/netns/$net_ns" qemu-system-x86_64 -accel tcg -display none \
		-monitor none -serial none -netdev "tap,id=n,ifname=$name,script=no,downscript=no" \
		-device "virtio-net-pci,netdev=n,mac=$mac${nic-}" "$@"
}
echo "# iPXE, QEMU's ROM"
boots ipxe 52:54:00:12:34:03 -m 64 -boot n
wait_for 60 "iPXE's lease" \
	logged '52:54:00:12:34:03 arch=0 stage=loader .* class=ipxe file=pxelinux.0$'
stop "$spawned"
equal "boots of that MAC" 1 "$(sqlite3 -readonly "$work/state/leases.db" \
	"SELECT count(*) FROM boot WHERE mac = x'525400123403'")"
echo "# EDK2 in UEFI"
cp /usr/share/OVMF/OVMF_VARS_4M.fd "$work/vars.fd"
nic=,romfile= boots ovmf 52:54:00:12:34:04 -machine q35 -m 256 \
	-drive "if=pflash,unit=0,format=raw,readonly=on,file=$firmware" \
	-drive "if=pflash,unit=1,format=raw,file=$work/vars.fd"
wait_for 100 "EDK2's lease" \
	logged '52:54:00:12:34:04 arch=7 stage=rom .* class=uefi-x64 file=bootx64.efi$'
stop "$spawned"

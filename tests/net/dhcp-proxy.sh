#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Beside somebody else's DHCP server (dnsmasq): it gives the addresses, the proxy
# names the loader, and learns from the client's own REQUEST who has which address.
# check: when=quick limit=300
set -euo pipefail
# shellcheck source=tests/lib/dhcp.sh
. "$(dirname "$0")/../lib/dhcp.sh"
need busybox dnsmasq qemu-system-x86_64 sqlite3 tshark
dhcp_firmware

net_up
net_peer other
net_peer_run other ip address add 10.77.0.200/24 dev eth0
spawn dnsmasq nsenter --net="/run/netns/$net_ns-other" dnsmasq -d -p 0 -C /dev/null -i eth0 -u root \
	--dhcp-range=10.77.0.30,10.77.0.40,255.255.255.0,1h --dhcp-authoritative --no-ping \
	--dhcp-leasefile="$work/dnsmasq.leases"
spawn server nsenter --net="/run/netns/$net_ns" "$driver" "$work/state" -p -v br0
wait_for 10 "port 67" net_listening udp 67
rows() {
	sqlite3 -readonly "$work/state/leases.db" "$1"
}
learned() {
	[[ $(rows "SELECT count(*) FROM lease l JOIN boot b USING (address)
		WHERE l.mac = x'$1' AND l.address BETWEEN $2 AND $3") == 1 ]]
}
asked_for() {
	grep -q -- "$1" "$work/$2.log"
}
low=$(((10 << 24) + (77 << 16) + 30))

spawn tftp nsenter --net="/run/netns/$net_ns" tshark -l -i br0 -f "udp port 69" -Y tftp
wait_for 20 "the capture" asked_for Capturing tftp
echo "# iPXE takes both servers' offers for one"
net_tap t0
spawn ipxe nsenter --net="/run/netns/$net_ns" qemu-system-x86_64 -accel tcg -m 64 -display none \
	-monitor none -serial none -boot n -netdev tap,id=n,ifname=t0,script=no,downscript=no \
	-device virtio-net-pci,netdev=n,mac=52:54:00:12:34:05
wait_for 60 "the address that dnsmasq gave iPXE" learned 525400123405 "$low" $((low + 10))
wait_for 30 "iPXE's question for the proxy's loader" asked_for 'pxelinux.0' tftp
stop "$spawned"

echo "# a client that boots from its disk is left to dnsmasq"
net_peer plain 52:54:00:12:34:06
net_peer_run plain busybox udhcpc -f -q -n -i eth0 -s /bin/true -t 60 -T 1 \
	>"$work/plain.out" 2>&1 || fail "no lease: $(cat "$work/plain.out")"
grep -q 'obtained from 10.77.0.200' "$work/plain.out" || fail "$(cat "$work/plain.out")"
if grep -q '52:54:00:12:34:06.*: offer' "$work/server.log"; then
	fail "the proxy made an offer to it"
fi

echo "# EDK2 in UEFI"
cp /usr/share/OVMF/OVMF_VARS_4M.fd "$work/vars.fd"
net_tap t1
spawn ovmf nsenter --net="/run/netns/$net_ns" qemu-system-x86_64 -accel tcg -machine q35 -m 256 \
	-display none -monitor none -serial none \
	-drive "if=pflash,unit=0,format=raw,readonly=on,file=$firmware" \
	-drive "if=pflash,unit=1,format=raw,file=$work/vars.fd" \
	-netdev tap,id=n,ifname=t1,script=no,downscript=no \
	-device virtio-net-pci,netdev=n,mac=52:54:00:12:34:07,romfile=
wait_for 120 "EDK2's question for the proxy's loader" asked_for 'bootx64.efi' tftp
wait_for 10 "EDK2's address" learned 525400123407 "$low" $((low + 10))
echo "both servers did their part"

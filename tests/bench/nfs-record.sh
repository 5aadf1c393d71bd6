#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Records the NFS calls of one real boot, by the Linux kernel's own client, from nothing
# to the login prompt, as a trace for nfs-replay.
# usage: nfs-record.sh TRACE
set -euo pipefail
trace=$(readlink -f "$1")
lib=$(dirname "$0")/../lib
for part in test net qemu; do
	# shellcheck source=/dev/null
	. "$lib/$part.sh"
done
need_root
kernel=$("$lib/kernel.sh" --cached) || skip "no kernel with ROOT_NFS in the cache"
image=$("$lib/image.sh")
export ROOTSTOCK_STATE=$work/state
"$rootstock" image add debian "$image" --wait >/dev/null
"$rootstock" host add 52:54:00:12:34:05 --name guest --address 10.77.0.2
net_up
spawn serve nsenter --net="/run/netns/$net_ns" "$(dirname "$rootstock")/nfs/nfs-driver-state" \
	"$ROOTSTOCK_STATE" address=10.77.0.1 reserved=1
wait_for 20 "the server" grep -q "NFS on port" "$work/serve.log"
spawn capture nsenter --net="/run/netns/$net_ns" tshark -q -i br0 -F pcap -f "tcp port 2049" -w "$work/pcap"
wait_for 20 "the capture" grep -q Capturing "$work/capture.log"
capture=$spawned
net_tap t-guest
: >"$work/guest.console"
spawn guest.qemu nsenter --net="/run/netns/$net_ns" \
	qemu-system-x86_64 -machine q35,accel=tcg -cpu qemu64,+rdrand -m 1024 -nodefaults \
	-no-user-config -no-reboot -display none -serial "file:$work/guest.console" \
	-netdev tap,id=net,ifname=t-guest,script=no,downscript=no \
	-device virtio-net-pci,netdev=net,mac=52:54:00:12:34:05,romfile= \
	-kernel "$kernel" -append "console=ttyS0 panic=-1 no_timer_check \
ip=10.77.0.2::10.77.0.1:255.255.255.0:guest::off root=/dev/nfs \
nfsroot=10.77.0.1:/,vers=3,tcp,rsize=1048576,nolock ro init=/linuxrc"
qemu_pid[guest]=$spawned
qemu_wait guest 600 "login:"
stop "$capture"
python3 "$(dirname "$0")/nfs-trace.py" "$work/pcap" >"$trace"
wc -l "$trace"

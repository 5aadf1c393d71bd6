#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A client that answers no ARP while it loads, as a Raspberry Pi's ROM, gets its file: what
# it acknowledges is proof enough of where it is.
set -euo pipefail
# shellcheck source=tests/lib/tftp.sh
. "$(dirname "$0")/../lib/tftp.sh"

tftp_up python3
head -c 6000 /dev/urandom >"$work/served/file"
tftp_serve
# Doubt comes after a second or two, and is over after one more.
for setting in base_reachable_time_ms=1000 delay_first_probe_time=1 retrans_time_ms=200 \
	ucast_solicit=1 mcast_solicit=1; do
	net_run sysctl -qw "net.ipv4.neigh.br0.$setting"
done
net_peer pi
net_peer_run pi ip address add 10.77.0.9/24 dev eth0
# Nor does it ask, which would tell the server as well.
net_peer_run pi ip neigh add "$net_address" nud permanent dev eth0 \
	lladdr "$(net_run ip -brief link show br0 | awk '{ print $3 }')"

cat >"$work/pi.py" <<'END'
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(20)
s.sendto(b"\0\1file\0octet\0", (sys.argv[1], 69))
have = b""
while True:
    data, peer = s.recvfrom(1000)
    block = int.from_bytes(data[2:4], "big")
    assert data[1] == 3, data
    if block <= len(have) // 512:  # again, as we were slow
        continue
    if block == 1:
        open("/proc/sys/net/ipv4/conf/eth0/arp_ignore", "w").write("8")
    have += data[4:]
    time.sleep(0.7)
    s.sendto(b"\0\4" + data[2:4], peer)
    if len(data) < 516:
        break
assert have == open(sys.argv[2], "rb").read()
END
net_peer_run pi python3 "$work/pi.py" "$net_address" "$work/served/file"
state=$(net_run ip neigh show 10.77.0.9 dev br0)
[[ $state != *FAILED* ]] || fail "the neighbour table lost it: $state"

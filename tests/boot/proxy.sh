#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=all limit=1800
# Beside dnsmasq, which is the network's DHCP server and gives the addresses: the
# loader and all that follows come from here.
set -euo pipefail
# shellcheck source=tests/lib/boot.sh
. "$(dirname "$0")/../lib/boot.sh"

command -v dnsmasq >/dev/null || skip "needs dnsmasq-base"
boot_image image
boot_host guest mode=tmpfs
net_peer other
net_peer_run other ip address add 10.77.0.200/24 dev eth0
spawn dnsmasq nsenter --net="/run/netns/$net_ns-other" dnsmasq -d -p 0 -C /dev/null -i eth0 -u root \
	--dhcp-range=10.77.0.30,10.77.0.40,255.255.255.0,1h --dhcp-authoritative --no-ping \
	--dhcp-leasefile="$work/dnsmasq.leases"
printf '[server]\nmode = proxy\n' >"$work/rootstock.conf"
boot_machine --config "$work/rootstock.conf"
boot_check
boot_fetched kernel
grep -q "$boot_mac 10.77.0.3" "$work/dnsmasq.leases" ||
	fail "the address was not dnsmasq's: $(cat "$work/dnsmasq.leases")"

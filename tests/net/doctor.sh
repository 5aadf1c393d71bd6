#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=quick limit=120
# doctor of a host that is well, and of the surroundings of a server: what it says is so,
# and nothing of it is changed or recorded anywhere.
set -euo pipefail
# shellcheck source=tests/lib/doctor.sh
. "$(dirname "$0")/../lib/doctor.sh"

command -v nft >/dev/null || skip "nftables is not installed"
doctor_up
doctor_add --wait
doctor_serve
is_sealed() {
	[[ $(sqlite3 -readonly "$ROOTSTOCK_STATE/rootstock.db" \
		"SELECT sealed IS NOT NULL FROM version") == 1 ]]
}
wait_for 20 "the image to be sealed" is_sealed

# all: of the databases, the log and the services.
all() {
	local db service
	for db in rootstock leases trace; do
		sqlite3 -readonly "$ROOTSTOCK_STATE/$db.db" .dump
	done
	cksum "$ROOTSTOCK_STATE"/*.db "$ROOTSTOCK_STATE"/*.db-wal
	find "$ROOTSTOCK_STATE/objects" "$ROOTSTOCK_STATE/secrets" -type f | sort
	cat "$work/serve.log"
	for service in dhcp tftp nfs copier; do
		python3 - "$ROOTSTOCK_STATE/control/$service" <<PY
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect(sys.argv[1])
s.send(b"stats")
while (packet := s.recv(65536))[:1] == b"m":
    print(packet[1:].decode())
PY
	done | grep -v "^#"
}
# What is written a moment after the start is there.
rests() {
	all >"$work/before"
	sleep 1
	all | cmp -s - "$work/before"
}
wait_for 20 "all to be written" rests
for i in 1 2 3; do
	doctor north
	equal "exit of doctor: $(cat "$work/doctor.err"; grep ^error "$work/doctor")" 0 \
		"$doctor_status"
done
for said in "dhcp *BIOS ROM: 10.77.0" "dhcp *kernel: 10.77.0" "kernel .*a kernel for x86" \
	"dhcp *UEFI ia32 ROM: .*, file bootia32.efi" "dhcp *UEFI arm32 ROM: .*, file bootarm.efi" \
	"dhcp *U-Boot: 10.77.0" "dhcp *Raspberry Pi 4: 10.77.0" "dhcp *initrd: 10.77.0" \
	"firewall *no rule keeps clients out" \
	"portmap *the port mapper: MOUNT is at TCP port 2049, NFS is at TCP port 2049" \
	"portmap *the port mapper: MOUNT is at UDP port 2049, NFS is at UDP port 2049" \
	"mount */, as klibc does it, by TCP and UDP" \
	"mount */, likewise as: a kernel, dracut, mkinitcpio, live-boot" "root */linuxrc" "root */sbin/init" "boot *north would come to its init"; do
	grep -q "^ok *$said" "$work/doctor" || fail "not said: $said: $(cat "$work/doctor")"
done
! grep "^warn *tftp .*arm" "$work/doctor" || fail "its kernel is none for arm"
! grep -q "Raspberry Pi 3" "$work/doctor" || fail "it is no Raspberry Pi: $(cat "$work/doctor")"
all >"$work/after"
diff "$work/before" "$work/after" || fail "it was recorded"

# A machine that nobody knows, and one that waits: said, and neither is known afterwards.
doctor 52:54:00:aa:00:99
grep -q "^warn *host *52:54:00:aa:00:99 is not registered" "$work/doctor" || fail "$(cat "$work/doctor")"
grep -q "^ok *dhcp *BIOS ROM" "$work/doctor" || fail "$(cat "$work/doctor")"
doctor b8:27:eb:00:00:99
grep -q "^ok *dhcp *Raspberry Pi 3: 10.77.0" "$work/doctor" || fail "$(cat "$work/doctor")"
! grep -q "BIOS ROM" "$work/doctor" || fail "it is a Raspberry Pi 3: $(cat "$work/doctor")"
"$rootstock" host add 52:54:00:aa:00:98 --name none >/dev/null
sqlite3 -cmd ".timeout 20000" "$ROOTSTOCK_STATE/rootstock.db" \
	"DELETE FROM host_mac WHERE host = (SELECT id FROM host WHERE name = 'none')"
doctor none
doctor_only "none has no MAC address"
grep -q -- "-> rootstock host set none mac=MAC" "$work/doctor" || fail "$(cat "$work/doctor")"
"$rootstock" host remove none

# Told of another root, or of another's.
"$rootstock" host set north loader=nosuch.efi cmdline="nfsroot=10.77.0.77:/,vers=3"
doctor north
grep -A1 "^warn *nfs *its root is at another server, 10.77.0.77" "$work/doctor" |
	grep -q -- "-> rootstock host set north cmdline= " || fail "$(cat "$work/doctor")"
grep -A1 "^warn *tftp *.* stops at nosuch.efi" "$work/doctor" |
	grep -q "put nosuch.efi into a folder of loaders =; or rootstock host set north loader=" ||
	fail "$(cat "$work/doctor")"
"$rootstock" host set north loader= cmdline=

doctor nobody
grep -q "nobody: no such host" "$work/doctor.err" || fail "$(cat "$work/doctor.err")"
"$rootstock" host set north address=10.99.0.9
doctor north
doctor_names "its reserved address is of another network"
"$rootstock" host set north address=
"$rootstock" lease list | grep -q 10.77 && fail "a lease was given"
"$rootstock" host list | grep -q 99 && fail "a host was registered"

# The surroundings.
doctor --interface br0
equal "exit of doctor: $(grep ^error "$work/doctor")" 0 "$doctor_status"
grep -q "^ok *port *UDP 67 (DHCP): rootstock has it" "$work/doctor" || fail "$(cat "$work/doctor")"
doctor
grep -q "^ok *interface *br0: up" "$work/doctor" || fail "not found by itself: $(cat "$work/doctor")"
doctor --interface nosuch
doctor_names "nosuch: there is no such interface"

# Another program has a port on an interface of its own: it came last, and so is first in
# the kernel's table.
net_run ip link add br2 type bridge
net_run ip address add 10.79.0.1/24 dev br2
net_run ip link set br2 up
spawn beside nsenter --net="/run/netns/$net_ns" dnsmasq -d -C /dev/null -p 0 -i br2 \
	--bind-interfaces --enable-tftp --tftp-root="$work"
beside=$spawned
beside_listens() {
	[[ -n $(net_run ss -Hlnu "src 10.79.0.1 and sport = :69") ]]
}
wait_for 20 "a dnsmasq on another interface" beside_listens
doctor --interface br0
equal "exit of doctor beside another: $(grep ^error "$work/doctor")" 0 "$doctor_status"
grep -q "^ok *port *UDP 69 (TFTP): rootstock has it" "$work/doctor" || fail "$(cat "$work/doctor")"

# A firewall that lets NFS in and nothing else; then one that is fine.
net_run nft -f - <<END
table inet f {
	set open { type inet_service; elements = { 111, 2049 }
	}
	chain input {
		type filter hook input priority 0; policy drop;
		ct state established,related accept
		iifname "other" accept
		tcp dport @open accept
		jump more
	}
	chain more {
		udp dport 2000-3000 accept
	}
}
END
doctor --interface br0
doctor_only "chain input of table inet f on br0 drops what comes to UDP 67"
grep -q "UDP 69 (TFTP), UDP 111 (the port mapper)$" "$work/doctor" || fail "$(cat "$work/doctor")"
mend=$(sed -n "/^error *firewall/{n;s/^ *-> //p}" "$work/doctor")
# shellcheck disable=SC2086 # it is a command
net_run ${mend//\"/} || fail "the remedy is no command: $mend"
doctor north
equal "exit of doctor, mended: $(grep ^error "$work/doctor")" 0 "$doctor_status"
net_run nft add chain inet f evil "{ type filter hook input priority 10; policy accept; }"
net_run nft add rule inet f evil udp dport 69 drop
doctor north
doctor_only "chain evil of table inet f on br0 drops what comes to UDP 69 (TFTP)$"
! grep -q "would come to its init" "$work/doctor" || fail "it passes the firewall: $(cat "$work/doctor")"
net_run nft delete table inet f

# Let in by a map of verdicts, or by what a goto ends in, or perhaps: no error.
net_run nft -f - <<END
table inet f {
	chain lan { accept; }
	chain gone { tcp dport 1 drop; }
	chain maps {
		type filter hook input priority 0; policy drop;
		ct state vmap { established : accept, invalid : drop }
		iifname vmap { lo : accept, br0 : jump lan }
	}
	chain gotos {
		type filter hook input priority 1; policy accept;
		goto gone
		drop
	}
	chain marks {
		type filter hook input priority 2; policy accept;
		meta mark 5 return
		drop
	}
	map named {
		type inet_service : verdict; elements = { 67 : accept }
	}
	chain names {
		type filter hook input priority 3; policy drop;
		th dport vmap @named
	}
}
END
doctor north
equal "exit of doctor, all let in: $(grep ^error "$work/doctor")" 0 "$doctor_status"
net_run nft flush chain inet f lan
doctor north
doctor_only "chain maps of table inet f on br0 drops what comes to UDP 67"
net_run nft delete table inet f

# Another DHCP server on the wire.
net_peer rival 52:54:00:aa:00:02
net_peer_run rival ip address add 10.77.0.200/24 dev eth0
spawn rival nsenter --net="/run/netns/$net_ns-rival" dnsmasq -d -C /dev/null -p 0 -i eth0 \
	--dhcp-range=10.77.0.210,10.77.0.220 --dhcp-leasefile="$work/rival.leases"
rival=$spawned
rival_listens() {
	[[ -n $(net_peer_run rival ss -Hlnu "sport = :67") ]]
}
wait_for 30 "the other DHCP server" rival_listens
# At the first look, though to somebody new it offers an address after three seconds only.
doctor --interface br0
grep -q "^error *dhcp *br0: another DHCP server answers: 10.77.0.200" "$work/doctor" ||
	fail "it is not seen: $(cat "$work/doctor")"

# Without a server.
stop "$server_pid"
doctor --interface br0
grep -q "^ok *port *UDP 69 (TFTP): free" "$work/doctor" || fail "$(cat "$work/doctor")"
doctor --interface br2
doctor_names "UDP 69 (TFTP): taken by dnsmasq"
stop "$beside"
doctor --interface br0
grep -q "^warn *server *none runs" "$work/doctor" || fail "$(cat "$work/doctor")"
! grep -A 1 "^ok " "$work/doctor" | grep -- "->" || fail "a remedy for what is well"
grep -q "^ok *port *UDP 67 (DHCP): free" "$work/doctor" || fail "$(cat "$work/doctor")"
# What is bound to another interface is in the way of NFS alone, which is bound to none.
# has_port NAME PORT...: python3, on br2.
has_port() {
	spawn "$1" nsenter --net="/run/netns/$net_ns" python3 -c 'import socket, sys, time
held = [socket.socket(type=socket.SOCK_DGRAM) for _ in sys.argv[1:]]
for s, port in zip(held, sys.argv[1:]):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"br2")
    s.bind(("", int(port)))
print("has them", flush=True)
time.sleep(600)' "${@:2}"
	wait_for 20 "another program's ports" grep -q "has them" "$work/$1.log"
}
has_port aside 67 69
doctor --interface br0
for port in "67 (DHCP)" "69 (TFTP)"; do
	grep -q "^ok *port *UDP $port: free" "$work/doctor" || fail "$(cat "$work/doctor")"
done
doctor --interface br2
doctor_names "UDP 67 (DHCP): taken by python3 (process $spawned)"
has_port nfs 2049
doctor --interface br0
doctor_names "UDP 2049 (NFS): taken by python3 (process $spawned)"
printf '[server]\nmode = full\n' >"$work/rootstock.conf"
! net_run timeout 60 "$rootstock" serve --interface br0 --config "$work/rootstock.conf" \
	>"$work/out" 2>"$work/err" || fail "it serves"
grep -q "port 2049: in use" "$work/err" || fail "serve: $(cat "$work/err")"
stop "$spawned"
# After a crash its sockets are still there, and nobody at them.
python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).bind(sys.argv[1])' \
	"$ROOTSTOCK_STATE/control/serve"
doctor --interface br0
grep -q "^warn *server *none runs" "$work/doctor" || fail "$(cat "$work/doctor")"
ROOTSTOCK_STATE=$work/none doctor --interface br0
[[ ! -e $work/none ]] || fail "a state was made"

# Beside it `serve` does not give addresses by itself, and names both ways on; told to, it does.
refused=0
net_run timeout 60 "$rootstock" serve --interface br0 >"$work/out" 2>"$work/err" || refused=$?
equal "exit of serve beside another DHCP server" 1 "$refused"
equal "what serve says" "rootstock: serve: br0: 10.77.0.200 answers DHCP there already: set \
mode = proxy to serve beside it, or mode = full to serve all the same" "$(tail -n 1 "$work/err")"
! net_listening tcp 2049 || fail "something serves all the same"
for mode in proxy full; do # though somebody has two of its ports, on br2
	printf '[server]\nmode = %s\n' $mode >"$work/rootstock.conf"
	server_start --config "$work/rootstock.conf"
	stop "$server_pid"
done
stop "$rival"

# On two interfaces, a host is played on that of its address.
net_run ip link add br1 type bridge
net_run ip address add 10.78.0.1/24 dev br1
net_run ip link set br1 up
doctor_serve --interface br1
"$rootstock" host set north address=10.78.0.9
doctor north
equal "exit of doctor: $(grep ^error "$work/doctor")" 0 "$doctor_status"
grep -q '^ok *dhcp *kernel: 10.78.0.9 from 10.78.0.1' "$work/doctor" || fail "$(cat "$work/doctor")"

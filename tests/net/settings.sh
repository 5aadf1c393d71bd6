#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=quick limit=300
# What keys of the configuration do on the wire: the options of a subnet, the addresses that
# it leaves out, what shares its wire, who is told that an address is not his, the ports of TFTP's transfers, who may read by NFS, and from which port.
set -euo pipefail
# shellcheck source=tests/lib/server.sh
. "$(dirname "$0")/../lib/server.sh"
need_root
need nfs-cat busybox dhclient setpriv
net_up
server_state
mkdir -p "$work/image/d" "$work/loaders"
for file in "open 644 0" "roots 600 0" "amys 600 1000"; do
	read -r name mode owner <<<"$file"
	echo "$name" >"$work/image/d/$name"
	chmod "$mode" "$work/image/d/$name"
	chown "$owner" "$work/image/d/$name"
done
head -c 5000 /dev/urandom >"$work/loaders/pxelinux.0"
"$rootstock" image add lab "$work/image" --wait >/dev/null 2>&1
conf=$work/rootstock.conf
# config LINES...: of [server]
config() {
	printf '[server]\ninterface = br0\nmode = full\n' >"$conf"
	printf '%s\n' "$@" >>"$conf"
	cat >>"$conf" <<-END
		loaders = $work/loaders
		[subnet 10.77.0.0/24]
		range = 10.77.0.100 - 10.77.0.105
		exclude = 10.77.0.100 - 10.77.0.102
		exclude = 10.77.0.104
		exclude = 10.77.0.105
		router = 10.77.0.1
		ntp = 10.77.0.7, 10.77.0.8
		mtu = 1400
		next-server = 10.77.0.9
		option-150 = ip:10.77.0.6
		${shared-}
		[subnet 10.79.0.0/24]
		range = 10.79.0.60 - 10.79.0.69
		${shared-}
	END
}
config "tftp-ports = 40000:40003"
server_start --config "$conf"

net_peer amy 52:54:00:00:00:01
# shellcheck disable=SC2016 # the script's own
printf '#!/bin/sh\n[ "$1" != bound ] || echo "got $ip $siaddr $mtu $ntpsrv $opt150 $router"\n' >"$work/script"
chmod +x "$work/script"
net_peer_run amy timeout 60 busybox udhcpc -f -q -n -i eth0 -s "$work/script" -t 10 -T 2 \
	-O mtu -O ntpsrv -O 150 >"$work/udhcpc" 2>&1 || fail "no lease: $(cat "$work/udhcpc")"
equal "what DHCP says" "got 10.77.0.103 10.77.0.9 1400 10.77.0.7 10.77.0.8 0a4d0006 10.77.0.1" \
	"$(grep '^got' "$work/udhcpc")"
net_peer_run amy ip address add 10.77.0.103/24 dev eth0

# The other subnet is another wire's: there is no more to have.
asks() {
	net_peer_run "$1" timeout 60 busybox udhcpc -f -q -n -i eth0 -s "$work/script" -t "$2" \
		-T 1 >"$work/udhcpc" 2>&1
}
net_peer bob 52:54:00:00:00:02
! asks bob 2 || fail "an address of another wire: $(cat "$work/udhcpc")"
# Who claims what nobody here gave, at its start, is left alone: another server may know it.
cat >"$work/claim" <<-'END'
	lease {
	  interface "eth0";
	  fixed-address 10.77.0.100;
	  option subnet-mask 255.255.255.0;
	  renew never;
	  rebind never;
	  expire never;
	}
END
echo "reboot 2; initial-interval 1; backoff-cutoff 2;" >"$work/patience"
# claims NAME: that address, by dhclient, which goes on; what it says is in its log.
claims() {
	cp "$work/claim" "$work/leases"
	spawn "$1" nsenter --net="/run/netns/$net_ns-$1" dhclient -d -v -sf /bin/true \
		-cf "$work/patience" -lf "$work/leases" -pf "$work/$1.pid" eth0
}
hears() {
	grep -q -- "$2" "$work/$1.log"
}
net_peer carl 52:54:00:00:00:03
claims carl
wait_for 20 "the server to hear the claim" hears serve \
	"52:54:00:00:00:03 .*claims an address that nobody here gave"
wait_for 60 "dhclient to give it up" hears carl DHCPDISCOVER
! hears carl DHCPNAK || fail "its claim was refused: $(cat "$work/carl.log")"
stop "$spawned"

# ports_of N: the ports that so many transfers at once come from, and whether all came whole.
cat >"$work/transfers.py" <<'END'
import socket, sys
want = open(sys.argv[2], "rb").read()
ports = set()
clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(int(sys.argv[1]))]
for s in clients:
    s.settimeout(20)
    s.sendto(b"\0\1pxelinux.0\0octet\0", ("10.77.0.1", 69))
got = [b""] * len(clients)
for block in range(1, len(want) // 512 + 2):
    for i, s in enumerate(clients):
        data, peer = s.recvfrom(2000)
        while data[:4] == bytes((0, 3, 0, block - 1)):  # again, as we were slow
            data, peer = s.recvfrom(2000)
        assert data[:4] == bytes((0, 3, 0, block)), data[:4]
        got[i] += data[4:]
        ports.add(peer)
        s.sendto(bytes((0, 4, 0, block)), peer)
assert all(one == want for one in got)
assert {address for address, _ in ports} == {"10.77.0.1"}
print(*sorted(port for _, port in ports))
END
ports_of() {
	net_peer_run amy python3 "$work/transfers.py" "$1" "$work/loaders/pxelinux.0"
}
equal "the ports of ten transfers" "40000 40001 40002 40003" "$(ports_of 10)"

# reads AS FILE: by NFS, as this user, of whose ports those below 1024 are root's alone.
reads() {
	[[ $(net_peer_run amy setpriv --reuid "$1" --regid "$1" --clear-groups \
		timeout 20 nfs-cat "nfs://10.77.0.1/d/$2" 2>"$work/err") == "$2" ]]
}
wait_for 20 "a mount" reads 0 open
reads 0 roots || fail "root does not read as root: $(cat "$work/err")"
! reads 1000 open || fail "a mount from a port above 1023 was let in"

# again LINES...
again() {
	config "$@"
	"$rootstock" reload >"$work/out" || fail "reload"
	grep -q 'reserved-port: (not set) -> no' "$work/out" || [[ ${seen-} ]] || fail "$(cat "$work/out")"
	seen=1
}
again "reserved-port = no" "tftp-single-port = yes"
wait_for 20 "a mount from a port above 1023" reads 1000 open
reads 1000 amys || fail "the owner: $(cat "$work/err")"
! reads 1000 roots || fail "root's file was given to somebody else"
one_port() {
	[[ $(ports_of 3) == 69 ]]
}
wait_for 20 "transfers on port 69" one_port

again "reserved-port = no" "squash = root"
root_is_nobody() {
	reads 0 open && ! reads 0 roots
}
wait_for 20 "root to be nobody" root_is_nobody
grep -qi 'acces\|permission' "$work/err" || fail "another error: $(cat "$work/err")"
reads 1000 amys || fail "others are who they are: $(cat "$work/err")"

again "reserved-port = no" "squash = all"
all_are_nobody() {
	reads 1000 open && ! reads 1000 amys
}
wait_for 20 "all to be nobody" all_are_nobody
! reads 0 roots || fail "root is somebody"
reads 0 open || fail "what everybody may read: $(cat "$work/err")"

# Now the two subnets share a wire, and there is no other server.
shared="shared = 7"
again "reserved-port = no" "authoritative = yes"
wait_for 20 "an address of the other subnet" asks bob 2
grep -q '^got 10.79.0.6' "$work/udhcpc" || fail "$(cat "$work/udhcpc")"
claims carl
wait_for 20 "dhclient to be refused" hears carl "DHCPNAK from 10.77.0.1"
wait_for 20 "dhclient's address" hears carl "bound to 10.79.0.6"
stop "$spawned"
stop "$server_pid"
! grep -i ' error' "$work/serve.log" | grep -v '10.77.0.0/24: no address is left' ||
	fail "errors in the log"

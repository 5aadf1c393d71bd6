#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=default limit=900
# Clients that never renew: the kernel's ip=dhcp (in QEMU, with nothing on its command
# line but that) and klibc's ipconfig.  Their leases run out; while they call NFS, their
# addresses stay theirs, whoever else wants one.
set -euo pipefail
lib=$(dirname "$0")/../lib
for part in test net qemu server; do
	# shellcheck source=/dev/null
	. "$lib/$part.sh"
done
need_root
kernel=$("$lib/kernel.sh" --cached) ||
	skip "no kernel with ROOT_NFS in the cache (tests/lib/kernel.sh builds one)"
command -v qemu-system-x86_64 >/dev/null || skip "needs qemu-system-x86"
ipconfig=/usr/lib/klibc/bin/ipconfig
[[ -x $ipconfig ]] || skip "needs klibc-utils"
net_up
server_state

# As small a system as there can be.
mkdir -p "$work"/image/{bin,sbin,proc,dev,etc}
cp "$(command -v busybox)" "$work/image/bin/busybox"
cat >"$work/image/sbin/init" <<'END'
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
echo "root: $(/bin/busybox grep ' / nfs' /proc/mounts)"
echo "init runs"
n=0
while true; do
	echo 3 >/proc/sys/vm/drop_caches
	/bin/busybox cat /etc/file >/dev/null || echo "read failed"
	n=$((n + 1))
	echo "calls $n"
	/bin/busybox sleep 1
done
END
chmod 755 "$work/image/sbin/init"
head -c 100000 /dev/urandom >"$work/image/etc/file"
chmod -R a+rX "$work/image"
"$rootstock" image add tiny "$work/image" >/dev/null
"$rootstock" host add 52:54:00:12:34:01 --name kernel
"$rootstock" host add 52:54:00:12:34:02 --name klibc
printf '[server]\nmode = full\nlease = 60\noffer = 5\n[subnet 10.77.0.0/24]\nrange = 10.77.0.50-10.77.0.53\n' \
	>"$work/conf"
server_start --config "$work/conf"
lease() { # COLUMN of MAC
	sqlite3 -readonly "$work/state/leases.db" "SELECT $1 FROM lease WHERE mac = x'$2'"
}
address_of() {
	local n
	n=$(lease address "$1")
	echo "$((n >> 24)).$((n >> 16 & 255)).$((n >> 8 & 255)).$((n & 255))"
}

echo "# the kernel: server and path come from DHCP alone"
: >"$work/kernel.console"
net_tap t-kernel
spawn kernel.qemu nsenter --net="/run/netns/$net_ns" \
	qemu-system-x86_64 -machine q35,accel=tcg -cpu qemu64,+rdrand -m 256 -nodefaults \
	-no-user-config -no-reboot -display none -serial "file:$work/kernel.console" \
	-netdev tap,id=net,ifname=t-kernel,script=no,downscript=no \
	-device virtio-net-pci,netdev=net,mac=52:54:00:12:34:01,romfile= \
	-kernel "$kernel" -append "console=ttyS0 panic=-1 ip=dhcp root=/dev/nfs ro"
qemu_pid[kernel]=$spawned
qemu_wait kernel 600 "init runs"
kernel_address=$(address_of 525400123401)
grep -q "52:54:00:12:34:01 stage=kernel $kernel_address class=kernel" "$work/serve.log" ||
	fail "the kernel was not known for one"
qemu_shows kernel "root: 10.77.0.1:/ / nfs" || fail "its root is not what DHCP named"

echo "# klibc's ipconfig, and what would be its nfsmount"
net_peer klibc 52:54:00:12:34:02
# shellcheck disable=SC2016
net_peer_run klibc unshare -m sh -c 'mount -t tmpfs none /run && exec "$@"' \
	sh "$ipconfig" -t 20 -c dhcp -d eth0 >"$work/ipconfig.out"
klibc_address=$(address_of 525400123402)
klibc_reads() {
	[[ $(net_peer_run klibc timeout 20 nfs-cat nfs://10.77.0.1/etc/file 2>/dev/null | sha256sum) == \
		"$(sha256sum <"$work/image/etc/file")" ]]
}
wait_for 20 "klibc's first read" klibc_reads
klibc_calls() {
	while klibc_reads; do sleep 2; done
	echo "a read failed" >"$work/klibc.failed"
}
klibc_calls &
at_exit stop $!

echo "# leases run out, nobody renews"
over() {
	local now
	now=$(date +%s%N)
	(($(lease expires 525400123401) < now && $(lease expires 525400123402) < now))
}
wait_for 120 "the leases to be over" over
! grep -q "$kernel_address class=.* re[nb]" "$work/serve.log" || fail "the kernel has renewed"

echo "# others come for every address that there is"
calls=$(qemu_console kernel | grep -c '^calls')
for i in 1 2 3 4; do
	net_peer "o$i" "52:54:00:99:00:0$i"
	net_peer_run "o$i" timeout 20 busybox udhcpc -f -q -n -i eth0 -s /bin/true -t 4 -T 1 \
		>"$work/o$i.out" 2>&1 || true
	! grep -E "lease of ($kernel_address|$klibc_address) obtained" "$work/o$i.out" ||
		fail "an address that is in use went to another machine"
done
grep -q 'no address is left' "$work/serve.log" || fail "the range was not full: the test shows nothing"
equal "the kernel's address" "$kernel_address" "$(address_of 525400123401)"
equal "klibc's address" "$klibc_address" "$(address_of 525400123402)"
more_calls() {
	(($(qemu_console kernel | grep -c '^calls') > calls + 2))
}
wait_for 60 "the kernel to go on reading" more_calls
! qemu_shows kernel "read failed" || fail "a read of the kernel failed"
[[ ! -e $work/klibc.failed ]] || fail "a read of klibc's client failed"
echo "their addresses stayed theirs"

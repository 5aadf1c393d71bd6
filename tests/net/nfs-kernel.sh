#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=default limit=900
# The Linux kernel's own client, in a virtual machine that lives on the server: its
# root by nfsroot=, every file's bytes compared, reads at odd places, readers side by
# side, a directory of 100,000 names, a restart of the server while it reads.
set -euo pipefail
lib=$(dirname "$0")/../lib
for part in test net qemu; do
	# shellcheck source=/dev/null
	. "$lib/$part.sh"
done

need_root
kernel=$("$lib/kernel.sh" --cached) ||
	skip "no kernel with ROOT_NFS in the cache (tests/lib/kernel.sh builds one)"
image=$("$lib/image.sh")
driver=$(dirname "$rootstock")/nfs
export ROOTSTOCK_STATE=$work/state
seed=${SEED:-$RANDOM}
echo "seed $seed"

# What the guest does: prints "name: sum" lines, which must be those of the image.
cat >"$work/selftest" <<'END'
#!/bin/bash
trees="/usr/bin /usr/sbin /usr/share/perl5 /etc/pam.d"
sums() { # where the tree is; runs on the server's side too
	local root=$1
	cd "$root/"
	for t in $trees; do
		echo "files $t: $(find ".$t" -xdev -type f | LC_ALL=C sort | xargs sha256sum | sha256sum)"
	done
	echo "find: $(find ./usr -xdev -printf '%p %y %m %U:%G %l\n' | LC_ALL=C sort | sha256sum)"
	echo "sizes: $(find ./usr -xdev -type f -printf '%p %s %T@\n' | LC_ALL=C sort | sha256sum)"
	echo "tar: $(tar --sort=name --numeric-owner -cf - ./usr/share | sha256sum)"
	RANDOM=$seed
	f=./usr/lib/x86_64-linux-gnu/libcrypto.so.3
	for i in $(seq 40); do
		dd if=$f bs=$((RANDOM % 9000 + 1)) skip=$((RANDOM % 400)) count=$((RANDOM % 50)) 2>/dev/null
	done >$tmp/odd
	echo "odd: $(sha256sum <$tmp/odd)"
	for i in 1 2 3 4; do
		(cat ./usr/lib/x86_64-linux-gnu/*.so.? | sha256sum >$tmp/par$i) &
	done
	wait
	echo "parallel: $(cat $tmp/par? | sort -u)"
}
if [ "$1" ]; then
	tmp=$2
	sums "$1"
	exit
fi
export PATH=/usr/sbin:/usr/bin
tmp=/tmp
mount -t proc proc /proc
mount -t tmpfs tmpfs /tmp
echo "mounted: $(grep ' / nfs' /proc/mounts)"
sums ""
touch /usr/new 2>/tmp/err && echo "touch: WROTE" || echo "touch: $(cat /tmp/err)"
mount -i -t nfs -o nolock,vers=3,tcp,addr=10.77.0.3,port=2049,mountport=2049 10.77.0.3:/ /mnt &&
	echo "names: $(ls -U /mnt/many | wc -l) $(ls -U /mnt/many | sort -u | wc -l)"
ls -l /mnt/many | wc -l
umount /mnt && echo "umount: fine"
echo "restart now"
for i in $(seq 40); do
	echo 3 >/proc/sys/vm/drop_caches
	cat /usr/lib/x86_64-linux-gnu/libcrypto.so.3 | sha256sum >>/tmp/restarts || echo "restart: read failed"
done
echo "restart: $(sort -u /tmp/restarts)"
echo "selftest is over"
sleep 1000
END
sed -i "s/^trees=/seed=$seed\n&/" "$work/selftest"

"$rootstock" image add debian "$image" >/dev/null
"$rootstock" host add 52:54:00:12:34:05 --name guest --address 10.77.0.2
"$rootstock" overlay put host:guest /selftest --from "$work/selftest" --mode 755
bash "$work/selftest" "$image" "$work" >"$work/want"

net_up
net_run ip address add 10.77.0.3/24 dev br0
serve() {
	spawn serve nsenter --net="/run/netns/$net_ns" "$driver/nfs-driver-state" \
		"$ROOTSTOCK_STATE" address=10.77.0.1 reserved=1
	server=$spawned
	wait_for 20 "the server" grep -q "NFS on port" "$work/serve.log"
}
serve
mkdir "$work/fake"
spawn fake nsenter --net="/run/netns/$net_ns" "$driver/nfs-driver" "$work/fake" \
	address=10.77.0.3 hosts=10.77.0.2 many=100000
net_capture "$work/pcap"
capture=$spawned
net_tap t-guest
: >"$work/guest.console"
# Not qemu_start: its boot order and -kernel's are one too many.
spawn guest.qemu nsenter --net="/run/netns/$net_ns" \
	qemu-system-x86_64 -machine q35,accel=tcg -cpu qemu64,+rdrand -m 1024 -nodefaults \
	-no-user-config -no-reboot -display none -serial "file:$work/guest.console" \
	-netdev tap,id=net,ifname=t-guest,script=no,downscript=no \
	-device virtio-net-pci,netdev=net,mac=52:54:00:12:34:05,romfile= \
	-kernel "$kernel" -append "console=ttyS0 quiet panic=-1 no_timer_check \
ip=10.77.0.2::10.77.0.1:255.255.255.0:guest::off root=/dev/nfs \
nfsroot=10.77.0.1:/,vers=3,tcp,rsize=1048576,nolock ro init=/selftest"
qemu_pid[guest]=$spawned
qemu_wait guest 600 "restart now"
for _ in 1 2 3; do
	sleep 0.5 # in the middle of whatever it reads
	stop "$server"
	serve
done
qemu_wait guest 300 "selftest is over"
qemu_console guest >"$work/console"
while read -r line; do
	grep -aqxF -- "$line" "$work/console" || {
		cat "$work/console" >&2
		fail "the guest did not see: $line"
	}
done <"$work/want"
qemu_shows guest "names: 100000 100000" || fail "not all names of the large directory"
qemu_shows guest "touch: .*Read-only file system" || fail "a write was not refused with EROFS"
qemu_shows guest "umount: fine" || fail "umount"
equal "bytes read across restarts" \
	"restart: $(sha256sum <"$image/usr/lib/x86_64-linux-gnu/libcrypto.so.3")" \
	"$(grep -a '^restart: ' "$work/console")"
! grep -aE "Stale|server error|NFS: .*(wrong|bad)" "$work/console" || fail "the kernel complained"
stop "$capture"
# (a window probe of TCP is no frame of ours)
# A client's reserved port may be another protocol's to tshark: 2049 decides.
bad=$(tshark -r "$work/pcap" -d tcp.port==2049,rpc -d udp.port==2049,rpc -Y '_ws.malformed && !tcp.analysis.keep_alive && !tcp.analysis.retransmission' 2>/dev/null | head -n 5)
equal "malformed frames" "" "$bad"

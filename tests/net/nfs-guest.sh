#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=default limit=1200
# Debian's own kernel and initrd on the server: klibc's nfsmount for the root, then
# mount.nfs and busybox for other trees, with the options that people give them; what
# cannot work is refused at once with the remedy in the log.  In there: a compiler that
# reads its headers, reads at random places, readers side by side, all names of a large
# directory.  A capture of it has no malformed frame.
set -euo pipefail
lib=$(dirname "$0")/../lib
for part in test net qemu; do
	# shellcheck source=/dev/null
	. "$lib/$part.sh"
done

need_root
need mount.nfs cc tshark
image=$("$lib/image.sh")
driver=$(dirname "$rootstock")/nfs
export ROOTSTOCK_STATE=$work/state
seed=${SEED:-$RANDOM}
echo "seed $seed"

# A tree that can compile: the compiler proper, its libraries, the headers, a source.
tools=$work/tools
mkdir -p "$tools/many"
cc1=$(cc -print-prog-name=cc1)
multiarch=$(cc -print-multiarch)
for header in aio arpa/inet ctype dirent errno fcntl fenv fnmatch ftw glob grp inttypes limits \
	linux/nfs linux/types locale math netdb netinet/in netinet/tcp poll pthread pwd regex \
	sched search semaphore setjmp signal spawn stdio stdlib string sys/epoll sys/mman \
	sys/mount sys/ptrace sys/socket sys/stat sys/time sys/wait syslog termios time unistd \
	wchar wctype; do
	echo "#include <$header.h>"
done >"$tools/all.c"
echo 'int main(void) { return puts(strerror(EROFS)) + (int)sizeof(struct stat); }' >>"$tools/all.c"
mapfile -t headers < <(cc -M "$tools/all.c" | grep -o '/usr/[^ ]*')
((${#headers[@]} > 150)) || fail "only ${#headers[@]} headers"
mapfile -t libraries < <(ldd "$cc1" | grep -o '/[^ ]*')
cp -L --parents "${headers[@]}" "${libraries[@]}" "$tools"
cp "$cc1" "$tools/cc1"
cp "$driver/nfs-fsx" "$tools/fsx"
"$driver/nfs-fsx" make "$tools/data" 20000003
(cd "$tools/many" && seq -f 'a name of some length %.0f' 20000 | xargs -d '\n' touch)

# What the guest does, as its init; what it prints as "name: ..." must be what the server's
# own files say.
cat >"$work/selftest" <<END
#!/bin/bash
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
seed=$seed
multiarch=$multiarch
END
cat >>"$work/selftest" <<'END'
grep -q ' /proc ' /proc/mounts || mount -t proc proc /proc
echo "root: $(sed -n 's/^[^ ]* \/ nfs .*[ ,]\(vers=[0-9]*\).*/\1/p' /proc/mounts)"
trial() { # name, command...
	local name=$1
	shift
	if "$@"; then
		echo "$name: vers=$(sed -n 's/^[^ ]* \/mnt nfs[^ ]* .*[ ,]vers=\([0-9.]*\).*/\1/p' /proc/mounts)" \
			"$(sha256sum </mnt/all.c)"
		umount /mnt || echo "$name: cannot be unmounted"
	else
		echo "$name: refused"
	fi
}
tree=10.77.0.1:/images/tools
trial default mount -t nfs -o ro,nolock $tree /mnt
trial three mount -t nfs -o ro,nolock,vers=3 $tree /mnt
trial mountd-by-udp mount -t nfs -o ro,nolock,vers=3,mountproto=udp $tree /mnt
trial ports mount -t nfs -o ro,nolock,vers=3,tcp,port=2049,mountport=2049 $tree /mnt
trial noacl mount -t nfs -o ro,nolock,noacl,vers=3,rsize=4096 $tree /mnt
trial lone mount -t nfs -o ro,nolock,vers=3 $tree/usr/../ /mnt
trial four mount -t nfs -o ro,nolock,vers=4 $tree /mnt
trial none mount -t nfs -o ro,nolock,vers=3,retry=0 10.77.0.1:/images/none /mnt
trial busybox busybox mount -i -t nfs -o ro,nolock,vers=3,addr=10.77.0.1 $tree /mnt
trial busybox-two busybox mount -i -t nfs -o ro,nolock,vers=2,addr=10.77.0.1 $tree /mnt

mount -t nfs -o ro,nolock,vers=3 $tree /mnt
echo "compile: $(chroot /mnt /cc1 -quiet -imultiarch $multiarch /all.c -o - | sha256sum)"
umount /mnt
busybox mount -i -t nfs -o ro,nolock,vers=3,addr=10.77.0.1,rsize=65536 $tree /mnt
echo "names: $(ls -U /mnt/many | wc -l) $(LC_ALL=C ls /mnt/many | sha256sum)"
for i in 1 2 3 4; do
	(echo "fsx $i: $(/mnt/fsx check /mnt/data $((seed + i)) 300 2>&1)") &
done
wait
echo 3 >/proc/sys/vm/drop_caches
echo "tar: $(tar --sort=name --numeric-owner --mtime=@0 -C /mnt -cf - usr/include | sha256sum)"
umount /mnt
echo "selftest is over"
sleep 1000
END

chroot "$tools" /cc1 -quiet -imultiarch "$multiarch" /all.c -o - >"$work/all.s" ||
	fail "the compiler does not work here"
{
	sum=$(sha256sum <"$tools/all.c")
	echo "root: vers=3"
	for name in default three mountd-by-udp ports noacl lone busybox; do
		echo "$name: vers=3 $sum"
	done
	for name in four none busybox-two; do
		echo "$name: refused"
	done
	echo "compile: $(sha256sum <"$work/all.s")"
	echo "names: 20000 $(cd "$tools/many" && printf '%s\n' * | LC_ALL=C sort | sha256sum)"
	for i in 1 2 3 4; do
		echo "fsx $i: 300 reads, every byte right"
	done
	echo "tar: $(tar --sort=name --numeric-owner --mtime=@0 -C "$tools" -cf - usr/include | sha256sum)"
} >"$work/want"

"$rootstock" image add debian "$image" >/dev/null
"$rootstock" image add tools "$tools" >/dev/null
"$rootstock" host add 52:54:00:12:34:06 --name guest --address 10.77.0.2
"$rootstock" overlay put host:guest /selftest --from "$work/selftest" --mode 755
"$rootstock" overlay put host:guest /usr/sbin/mount.nfs --from "$(command -v mount.nfs)" --mode 755

net_up
spawn serve nsenter --net="/run/netns/$net_ns" "$driver/nfs-driver-state" \
	"$ROOTSTOCK_STATE" address=10.77.0.1 reserved=1 admin=10.77.0.2
wait_for 20 "the server" grep -q "NFS on port" "$work/serve.log"
net_capture "$work/pcap"
capture=$spawned
net_tap t-guest
: >"$work/guest.console"
kernel=("$image"/boot/vmlinuz-*)
initrd=("$image"/boot/initrd.img-*)
# Not qemu_start: its boot order and -kernel's are one too many.
spawn guest.qemu nsenter --net="/run/netns/$net_ns" \
	qemu-system-x86_64 -machine q35,accel=tcg -cpu qemu64,+rdrand -m 1024 -nodefaults \
	-no-user-config -no-reboot -display none -serial "file:$work/guest.console" \
	-netdev tap,id=net,ifname=t-guest,script=no,downscript=no \
	-device virtio-net-pci,netdev=net,mac=52:54:00:12:34:06,romfile= \
	-kernel "${kernel[0]}" -initrd "${initrd[0]}" -append "console=ttyS0 quiet panic=-1 no_timer_check \
ip=10.77.0.2::10.77.0.1:255.255.255.0:guest::off boot=nfs root=/dev/nfs \
nfsroot=10.77.0.1:/,vers=3,tcp,rsize=1048576,timeo=600,retrans=2 ro init=/selftest"
qemu_pid[guest]=$spawned
qemu_wait guest 900 "selftest is over"
qemu_console guest >"$work/console"
while read -r line; do
	grep -aqxF -- "$line" "$work/console" || {
		cat "$work/console" "$work/serve.log" >&2
		fail "the guest did not see: $line"
	}
done <"$work/want"
! grep -aE "Stale|server error|not responding|NFS: .*(wrong|bad)" "$work/console" ||
	fail "the kernel complained"
grep -q "add vers=3" "$work/serve.log" || fail "NFS version 2: no remedy in the log"
stop "$capture"
# A client's reserved port may be another protocol's to tshark: 2049 decides.
bad=$(tshark -r "$work/pcap" -d tcp.port==2049,rpc -d udp.port==2049,rpc -Y '_ws.malformed && !tcp.analysis.keep_alive && !tcp.analysis.retransmission' 2>/dev/null | head -n 5)
equal "malformed frames" "" "$bad"

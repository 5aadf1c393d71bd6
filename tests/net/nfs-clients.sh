#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Clients that nobody here wrote, against the nfs child in a namespace of its own:
# rpcinfo, showmount, the libnfs utilities, klibc's nfsmount and busybox as far as they
# come without a kernel client. A capture of it all has no malformed frame.
# usage: nfs-clients.sh [NFS_DRIVER]
set -eu
driver=${1:-$(dirname "${ROOTSTOCK:-build/rootstock}")/nfs/nfs-driver}
if [ -z "${NFS_TEST_NS:-}" ]; then
	NFS_TEST_NS=1 exec unshare -nm "$0" "$driver"
fi
for tool in rpcbind rpcinfo showmount nfs-ls nfs-cat nfs-cp tshark; do
	command -v $tool >/dev/null || { echo "$tool is missing"; exit 1; }
done
ip link set lo up
dir=$(mktemp -d)
child=
trap 'for p in $child; do kill $p; done; rm -rf "$dir"' EXIT
passed=0
failed=0

check() { # name, command...
	name=$1
	shift
	if "$@" >"$dir/out" 2>&1; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "NOT OK $name"
		sed 's/^/    /' "$dir/out"
	fi
	case $name in
	" "*) ;;
	*) mv "$dir/out" "$dir/last" ;;
	esac
}

says() { # text that the output of the check before must hold
	grep -qF -- "$1" "$dir/last"
}

told() { # an event, which comes when it comes
	for _ in $(seq 600); do
		grep -q "$1" "$dir/events" && return
		sleep 0.1
	done
	return 1
}

not() {
	! "$@"
}

"$driver" "$dir" many=100000 hosts=127.0.0.1 >"$dir/events" 2>"$dir/log" &
child=$!
until grep -qs "NFS on port" "$dir/log"; do
	kill -0 $child || { cat "$dir/log"; exit 1; }
done
tshark -q -B 128 -i lo -w "$dir/pcap" >/dev/null 2>"$dir/tshark" &
capture=$!
child="$child $capture"
until grep -q "Capturing on" "$dir/tshark" && [ -s "$dir/pcap" ]; do
	kill -0 $capture || { cat "$dir/tshark"; exit 1; }
done

for proto in tcp udp; do
	check "rpcinfo nfs 3 $proto" rpcinfo -T $proto 127.0.0.1 nfs 3
	check "rpcinfo mountd 3 $proto" rpcinfo -T $proto 127.0.0.1 mountd 3
	check "rpcinfo nfs 4 $proto is refused" not rpcinfo -T $proto 127.0.0.1 nfs 4
done
check "rpcinfo -p" rpcinfo -p 127.0.0.1
check "  names the NFS port" says "100003    3   tcp   2049  nfs"
check "rpcinfo (version 4)" rpcinfo 127.0.0.1
check "  names the universal address" says "0.0.0.0.8.1"
check "showmount -e" showmount -e 127.0.0.1
check "nfs-ls" nfs-ls nfs://127.0.0.1/
check "  lists the root" says "data"
check "nfs-ls -R" nfs-ls -R nfs://127.0.0.1/dir
check "  goes down" says "sub/deep"
check "nfs-ls of 100,000 names" sh -c "nfs-ls nfs://127.0.0.1/many | sort -u | wc -l"
check "  finds them all" says 100000
check "nfs-cat by TCP" sh -c "nfs-cat nfs://127.0.0.1//data | md5sum"
cp "$dir/last" "$dir/md5"
check "  has every byte" python3 - "$dir/md5" <<-'PY'
	import hashlib, sys
	n = 3 * 1024 * 1024 + 5
	b = bytes((i * 131 + (i >> 8) * 7 + (i >> 16)) & 255 for i in range(n))
	sys.exit(hashlib.md5(b).hexdigest() != open(sys.argv[1]).read().split()[0])
PY
check "nfs-cp onto the server is refused" not nfs-cp /etc/hostname nfs://127.0.0.1/dir/new
check "  with ROFS" says ROFS
check "showmount -a" showmount -a 127.0.0.1

# klibc's does MOUNT by itself and then asks the kernel, which may have no client: what
# counts is that it got that far, from a reserved port, each reply in one segment.
if [ -x /usr/lib/klibc/bin/nfsmount ]; then
	mkdir "$dir/mnt"
	for o in tcp udp; do
		: >"$dir/events"
		/usr/lib/klibc/bin/nfsmount -o nolock,vers=3,$o 127.0.0.1:/ "$dir/mnt" \
			>"$dir/last0" 2>&1 && umount "$dir/mnt"
		# By UDP it counts once the handle comes back, as the kernel would bring it.
		[ $o = tcp ] || PYTHONPATH=${0%/*} python3 -c '
from nfs_rpc import *
Tcp().ask(call(NFS, 3, 1, opaque(handle(1, 7, 1))))'
		check "klibc nfsmount by $o: MNT granted" told "event mount host=1"
		check "  and nothing else is wrong" not grep -vi "no such device\|lacks NFS" "$dir/last0"
	done
fi

kill $capture
wait $capture || :
child=${child%% *}
check "tshark reads the capture" sh -c "tshark -r '$dir/pcap' -Y rpc 2>/dev/null | wc -l"
check "  which has all of it" sh -c "test \$(cat '$dir/last') -gt 500"
check "no frame is malformed" sh -c \
	"test -z \"\$(tshark -r '$dir/pcap' -d tcp.port==2049,rpc -d udp.port==2049,rpc -Y '_ws.malformed || rpc.fragment.error' 2>/dev/null | tee '$dir/bad')\""
kill $child
wait $child
child=

# With an rpcbind on port 111 the server registers there, and takes it back.
mount -t tmpfs tmpfs /run
mkdir /run/rpcbind
rpcbind -f &
child=$!
until [ -S /run/rpcbind.sock ] && rpcinfo -p 127.0.0.1 >/dev/null 2>&1; do
	kill -0 $child
done
rm -rf "$dir"/*.db*
"$driver" "$dir" >"$dir/events" 2>"$dir/log2" &
server=$!
child="$server $child"
until grep -qs "NFS on port" "$dir/log2"; do
	kill -0 $server || { cat "$dir/log2"; exit 1; }
done
for proto in tcp udp; do
	check "rpcinfo nfs 3 $proto by rpcbind" rpcinfo -T $proto 127.0.0.1 nfs 3
	check "rpcinfo mountd 3 $proto by rpcbind" rpcinfo -T $proto 127.0.0.1 mountd 3
done
check "nfs-ls by rpcbind" nfs-ls nfs://127.0.0.1/
kill $server
wait $server
child=${child#* }
check "nothing stays registered" not sh -c "rpcinfo -p 127.0.0.1 | grep -q 2049"
kill $child
wait $child || :
child=
echo "$passed passed, $failed failed"
[ $failed = 0 ]

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The nfs child beside nfs-ganesha, alternating in one run, both pinned to the first
# core and the load to the second, over the same files.
# usage: nfs-compare.sh [SECONDS] [ROUNDS] [OUTPUT]
#
# Prints, for each operation, the medians: calls a second, server CPU a call, and the
# ratio; the same lines go to OUTPUT (build/bench-nfs.txt).
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
secs=${1:-3}
rounds=${2:-3}
build=${BUILD:-$top/build}
output=${3:-$build/bench-nfs.txt}
if [[ -z ${NFS_TEST_NS:-} ]]; then
	NFS_TEST_NS=1 exec unshare -nm "$0" "$secs" "$rounds" "$output"
fi
command -v ganesha.nfsd >/dev/null || { echo "skipped: nfs-ganesha is missing"; exit 77; }
ip link set lo up
work=$(mktemp -d)
pids=
hush() { for p in $pids; do kill -9 "$p" 2>/dev/null || :; done; }
trap 'hush; rm -rf "$work"' EXIT

# One directory for both: 100 small files and a large one.
mkdir "$work/tree" "$work/ganesha" "$work/state"
for i in $(seq 100); do echo "$i" >"$work/tree/file$i"; done
head -c 3145733 /dev/urandom >"$work/tree/data"
if [[ -x $build/rootstock ]]; then
	"$build/rootstock" --state "$work/state" image add bench "$work/tree" --wait >/dev/null
	"$build/rootstock" --state "$work/state" host add 52:54:00:00:00:01 --name bench \
		--address 127.0.0.1 >/dev/null
	driver=$build/nfs/nfs-driver-state
else
	driver=$build/nfs/nfs-driver
fi
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib/nfs
mkdir -p /run/ganesha /run/rpcbind /var/lib/nfs/ganesha
rpcbind -f &
pids=$!
cat >"$work/ganesha.conf" <<END
NFS_CORE_PARAM { Protocols = 3; NFS_Port = 12049; MNT_Port = 12050; Rquota_Port = 12051;
	NLM_Port = 12052; Enable_NLM = false; Enable_RQUOTA = false; }
NFSV4 { RecoveryBackend = fs; }
EXPORT { Export_Id = 1; Path = $work/tree; Pseudo = /tree; Access_Type = RO; Squash = None;
	SecType = sys; Protocols = 3; Transports = TCP; Attr_Expiration_Time = 600; FSAL { Name = VFS; } }
LOG { Default_Log_Level = WARN; }
END
for _ in $(seq 100); do # ganesha does not start without an rpcbind
	rpcinfo -p 127.0.0.1 >/dev/null 2>&1 && break
	sleep 0.1
done
taskset -c 0 ganesha.nfsd -F -f "$work/ganesha.conf" -L "$work/ganesha.log" -p "$work/pid" &
ganesha=$!
pids="$pids $ganesha"
taskset -c 0 "$driver" "$work/state" workers=1 >/dev/null 2>"$work/log" &
ours=$!
pids="$pids $ours"
listening() {
	(exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}
for _ in $(seq 300); do
	listening 12050 && listening 12049 && listening 2049 && break
	sleep 0.1
done

load() { # which op conns depth
	case $1 in
	rootstock) taskset -c 1 "$build/nfs/nfs-load" 127.0.0.1 2049 2049 / "$2" "$3" "$4" "$secs" $ours ;;
	ganesha) taskset -c 1 "$build/nfs/nfs-load" 127.0.0.1 12049 12050 "$work/tree" "$2" "$3" "$4" \
		"$secs" $ganesha ;;
	esac
}

median() { # of column $1 of a file
	awk -v c="$1" '{print $c}' "$2" | sort -n | sed -n "$(((rounds + 1) / 2))p"
}

{
	echo "operation in-flight rootstock-calls/s us/call ganesha-calls/s us/call cpu-ratio"
	for o in "getattr 8 8" "getattr 8 1" "lookup 8 8" "readdirplus 8 8" "read4k 8 8" \
		"read128k 8 8" "read1m 4 4"; do
		read -r op conns depth <<<"$o"
		rm -f "$work"/*.res
		for _ in $(seq "$rounds"); do
			load rootstock "$op" "$conns" "$depth" >>"$work/rootstock.res"
			load ganesha "$op" "$conns" "$depth" >>"$work/ganesha.res"
		done
		r=$(median 5 "$work/rootstock.res")
		g=$(median 5 "$work/ganesha.res")
		echo "$op ${conns}x$depth $(median 1 "$work/rootstock.res") $r" \
			"$(median 1 "$work/ganesha.res") $g" \
			"$(awk "BEGIN {printf \"%.1f\", $g / $r}")"
	done
} | tee "$output"

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A recorded boot (nfs-record.sh) replayed by 1, 32, 256 and 1,000 clients at once, each
# from its own address, against the nfs child and nfs-ganesha, both pinned to the first
# core and the clients to the second.
# usage: nfs-replay.sh IMAGE_DIR TRACE [OUTPUT]
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
image=$1
trace=$2
build=${BUILD:-$top/build}
output=${3:-$build/bench-nfs-replay.txt}
if [[ -z ${NFS_TEST_NS:-} ]]; then
	NFS_TEST_NS=1 exec unshare -nm "$0" "$image" "$trace" "$output"
fi
ip link set lo up
work=$(mktemp -d)
pids=
hush() { for p in $pids; do kill -9 "$p" 2>/dev/null || :; done; }
trap 'hush; rm -rf "$work"' EXIT
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib/nfs
mkdir -p /run/ganesha /run/rpcbind /var/lib/nfs/ganesha "$work/state"
rpcbind -f &
pids=$!
for _ in $(seq 100); do
	rpcinfo -p 127.0.0.1 >/dev/null 2>&1 && break
	sleep 0.1
done
"$build/rootstock" --state "$work/state" image add debian "$image" --wait >/dev/null
# A thousand hosts at once; host add would make a key for each.
python3 - "$work/state/rootstock.db" <<'PY'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
for i in range(1000):
    db.execute("INSERT INTO host (name, address, added, changed) VALUES (?, ?, 0, 0)",
               ("host%d" % i, 0x7F010001 + i))
db.commit()
PY
cat >"$work/ganesha.conf" <<END
NFS_CORE_PARAM { Protocols = 3; NFS_Port = 12049; MNT_Port = 12050; Rquota_Port = 12051;
	NLM_Port = 12052; Enable_NLM = false; Enable_RQUOTA = false; }
NFSV4 { RecoveryBackend = fs; }
EXPORT { Export_Id = 1; Path = $image; Pseudo = /tree; Access_Type = RO; Squash = None;
	SecType = sys; Protocols = 3; Transports = TCP; Attr_Expiration_Time = 600; FSAL { Name = VFS; } }
LOG { Default_Log_Level = WARN; }
END
taskset -c 0 ganesha.nfsd -F -f "$work/ganesha.conf" -L "$work/ganesha.log" -p "$work/pid" &
ganesha=$!
taskset -c 0 "$build/nfs/nfs-driver-state" "$work/state" workers=1 >/dev/null 2>"$work/log" &
ours=$!
pids="$pids $ganesha $ours"
listening() {
	(exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}
for _ in $(seq 300); do
	listening 12050 && listening 12049 && listening 2049 && break
	sleep 0.1
done

replay() { # server clients
	case $1 in
	rootstock) taskset -c 1 "$build/nfs/nfs-replay" 127.0.0.1 2049 2049 / 127.1.0.1 "$2" "$trace" $ours ;;
	ganesha) taskset -c 1 "$build/nfs/nfs-replay" 127.0.0.1 12049 12050 "$image" 127.1.0.1 "$2" \
		"$trace" $ganesha ;;
	esac
}
{
	for server in ${SERVERS:-rootstock ganesha}; do
		replay $server 1 >/dev/null # warm
		for clients in ${CLIENTS:-1 32 256}; do
			echo "$server: $(replay $server "$clients")"
		done
	done
	[[ ${THOUSAND-1} != 1 ]] || echo "rootstock: $(replay rootstock 1000)"
	echo "rootstock memory: $(awk '/^Pss:/ {print $2 " KiB PSS"}' /proc/$ours/smaps_rollup)"
	echo "rootstock user, system ticks: $(awk '{print $14, $15}' /proc/$ours/stat)"
} | tee "$output"

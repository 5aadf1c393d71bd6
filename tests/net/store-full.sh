#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=default limit=400
# A state on a file system that is too small for its image: clients read all of it, right,
# and go on reading; writes to the database are refused in words; room makes it whole.
# Then a power cut's leavings: what a killed server left is verified by the next.
set -euo pipefail
# shellcheck source=tests/lib/server.sh
. "$(dirname "$0")/../lib/server.sh"

need_root
need nfs-cat
net_up
mkdir "$work/state"
mount -t tmpfs -o size=12m,mode=750 rootstock-test "$work/state" || skip "may not mount a tmpfs"
at_exit umount -l "$work/state"
export ROOTSTOCK_STATE=$work/state
# What the store leaves free is less than one file, and may be nothing: this is for later.
head -c 256k /dev/zero >"$work/state/spare"
[[ -x $rootstock ]] || skip "not built: $rootstock"

# 40 files of 400 kB: more than fits.
origin=$work/origin
mkdir "$origin"
for i in {10..49}; do
	head -c 400000 /dev/urandom >"$origin/$i"
done
"$rootstock" image add lab "$origin" >/dev/null
"$rootstock" host add 52:54:00:aa:bb:cc --name pc --address 10.77.0.9 >/dev/null
echo one | "$rootstock" overlay put all /etc/motd
server_start
net_peer pc 52:54:00:aa:bb:cc
net_peer_run pc ip address add 10.77.0.9/24 dev eth0

get() {
	net_peer_run pc nfs-cat "nfs://10.77.0.1/hosts/pc/$1?uid=0&gid=0"
}
same() {
	get "$1" 2>/dev/null | cmp -s - "$origin/$1"
}
reads_all() {
	local i
	for i in {10..49}; do
		same "$i" || fail "$1: $i is not what it was"
	done
}

wait_for 20 "the address" same 10
wait_for 60 "a full store" grep -q 'the store is full' "$work/serve.log"
"$rootstock" image show lab | grep -q '^store *full' || fail "image show: $("$rootstock" image show lab)"
reads_all "a full store"
reads_all "again"
equal "said" 1 "$(grep -c 'the store is full' "$work/serve.log")"
# It is quiet: nobody turns in circles for the room that is not there.
copier=$(pgrep -P "$server_pid" -f 'child copier')
ticks() {
	local stat
	read -r -a stat <"/proc/$copier/stat"
	echo $((stat[13] + stat[14]))
}
sleep 2
before=$(ticks)
sleep 5
(($(ticks) - before < 100)) || fail "the copier used $(($(ticks) - before)) ticks of 5 s idle"

# The database on the same full disk.
head -c 12m /dev/zero >"$work/state/filler" 2>/dev/null || true
head -c 65536 /dev/zero >>"$work/state/filler" 2>/dev/null || true
refused=0
for i in {1..200}; do
	"$rootstock" host add "$(printf '52:54:00:00:01:%02x' "$i")" >/dev/null 2>"$work/err" || {
		refused=1
		break
	}
done
equal "refused" 1 $refused
[[ $(wc -l <"$work/err") == 1 ]] || fail "refused in many words: $(cat "$work/err")"
grep -qi 'full\|no space' "$work/err" || fail "refused with: $(cat "$work/err")"
equal "an overlay's file" one "$(get etc/motd)"
reads_all "a full disk"
gap() {
	get etc/motd >/dev/null
	[[ $("$rootstock" status || true) == *"trace.db cannot be written"* ]]
}
wait_for 20 "word of a timeline with a gap" gap
grep -q 'trace.db: .*; the timeline has a gap' "$work/serve.log" || fail "not in the log"
rm "$work/state/filler" "$work/state/spare"
echo two | "$rootstock" overlay put all /etc/motd
now_two() {
	[[ $(get etc/motd) == two ]]
}
wait_for 10 "the change" now_two
wait_for 20 "a timeline without a gap" eval '! gap'

# Room.
mount -o remount,size=64m "$work/state"
sealed() {
	"$rootstock" image list --json | tr -d '[:space:]' | grep -q '"sealed":true'
}
wait_for 60 "the seal" sealed
grep -q 'has room again' "$work/serve.log" || fail "room was not noticed"

# A server that is killed, and a disk that lost bytes of what it wrote last.
kill -9 "$server_pid" "$copier"
wait "$server_pid" 2>/dev/null || true
hash=$(sha256sum <"$origin/20" | cut -c1-64)
object=$work/state/objects/${hash:0:2}/${hash:2}
lost=$(sha256sum <"$origin/21" | cut -c1-64)
printf x | dd of="$object" bs=1 seek=5000 conv=notrunc status=none
: >"$work/state/objects/${lost:0:2}/${lost:2}"
echo changed >"$origin/21"
childless() {
	! pgrep -f "[s]tate $work/state child" >/dev/null
}
wait_for 10 "the end of its children" childless
server_start
wait_for 20 "the first file" same 10
# Until it is mended it is an error, never other bytes.
get 20 >"$work/got" 2>/dev/null && ! cmp -s "$work/got" "$origin/20" &&
	fail "a damaged file was given out"
wait_for 60 "the verification" grep -q 'objects: verified' "$work/serve.log"
grep -q 'lab@1 /21: its bytes are damaged' "$work/serve.log" || fail "no alarm: $(cat "$work/serve.log")"
same 20 || fail "a damaged file was not copied again"
get 21 >"$work/got" 2>/dev/null && fail "a lost file was given out"
[[ ! -s $work/got ]] || fail "bytes of a lost file were given out"
"$rootstock" image check --bytes >"$work/out" && fail "image check finds nothing: $(cat "$work/out")"
grep -q 'absent.*lab@1 /21' "$work/out" || fail "image check: $(cat "$work/out")"
stop "$server_pid"
left=$(find "$work/state/objects" "$work/state/secrets" -maxdepth 1 -name 'w*')
[[ -z $left ]] || fail "a clean stop left a mark: $left"
[[ ! -e $work/state/objects/suspect ]] || fail "still suspect"
echo "all read, right, through a full store, a full disk and a damaged one"

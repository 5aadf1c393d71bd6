#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=default limit=900
# Clients read while the origin is edited in place, cut, extended, replaced, deleted and
# made something else, before and during the fill: each file that they see is one whole
# state, the same for all and for good; image show and the log name what drifted; once
# the version is sealed the origin may go.  With --strict all drift is an error.
set -euo pipefail
# shellcheck source=tests/lib/server.sh
. "$(dirname "$0")/../lib/server.sh"

need_root
[[ -e /dev/fuse ]] || skip "needs /dev/fuse"
need curl
drift=${rootstock%/*}/tests/drift
[[ -x $drift ]] || skip "not built: $drift"
kernel=boot/vmlinuz-6.1.0-1-amd64

net_up
server_state
east=52:54:00:12:34:21
west=52:54:00:12:34:22
net_peer east $east
net_peer west $west
net_peer_run east ip address add 10.77.0.21/24 dev eth0
net_peer_run west ip address add 10.77.0.22/24 dev eth0

# origin_make DIR: marked, so that what was changed since is found.
origin_make() {
	mkdir -p "$1/usr/share/initramfs-tools"
	touch "$1/usr/share/initramfs-tools/init"
	"$drift" make "$1"
	touch "$work/made"
}
edited() {
	(($(find "$origin" -newer "$work/made" -type f 2>/dev/null | wc -l) >= 25))
}
sealed() {
	alive "$server_pid" || fail "serve ended: $(tail "$work/serve.log")"
	"$rootstock" image show "$1" | grep -q '^sealed *[0-9a-f]\{64\}'
}
# reading NAME PID: a reader that ended found something.
reading() {
	local name
	for name in fuse nfs tftp; do
		! gone "${pid[$name]}" || fail "$name: $(tail -n 3 "$work/$name.err")"
	done
}
while_reading() {
	reading
	"$@"
}
names() {
	"$rootstock" image show "$1" | sed -n "s/^$2 *//p" | sort
}

# ---- drift is taken as it is ----

origin=$work/origin
origin_make "$origin"
equal "image add" "lab@1" "$("$rootstock" image add lab "$origin" 2>"$work/log")"
"$rootstock" host add $east --name east --address 10.77.0.21
spawn edit "$drift" edit "$origin" "$work/edit-stop"
editor=$spawned
wait_for 120 "the first changes" edited

server_start
mounts=()
mount_on() {
	mkdir "$1"
	at_exit umount -ql "$1"
	spawn mount nsenter --net="/run/netns/$net_ns" "$rootstock" mount "$1" --foreground
	mounts+=("$spawned")
	wait_for 60 "the mount" test -d "$1/hosts/east/data"
}
mount_on "$work/mnt"
# reader NAME COMMAND...: what it found in NAME.out, why it ended in NAME.err.
declare -A pid
reader() {
	local name=$1
	shift
	"$@" >"$work/$name.out" 2>"$work/$name.err" </dev/null &
	pid[$name]=$!
	at_exit stop "${pid[$name]}"
}
# A file that is gone is refused: curl says so in many ways.
tftp_loop() {
	local stop=
	until [[ -n $stop ]]; do
		[[ ! -e $work/read-stop ]] || stop=1
		if net_peer_run east curl -sS --max-time 120 --tftp-blksize 1428 \
			-o "$work/kernel" "tftp://$net_address/kernel"; then
			"$drift" check "$kernel" "$work/kernel" || return 1
		else
			echo "/$kernel EIO"
		fi
	done
}
reader fuse "$drift" read "$work/mnt/hosts/east" "$work/read-stop"
reader nfs nsenter --net="/run/netns/$net_ns-east" \
	"$drift" read "nfs://$net_address/" "$work/read-stop"
reader tftp tftp_loop
wait_for 300 "the seal, under all that" while_reading sealed lab@1
touch "$work/edit-stop"
wait "$editor" || fail "edit: $(cat "$work/edit.log")"
rm -rf "$origin"
touch "$work/read-stop"
for name in fuse nfs tftp; do
	wait "${pid[$name]}" || fail "$name: $(tail -n 3 "$work/$name.err")"
done
sort -o "$work/fuse.out" "$work/fuse.out"
sort -o "$work/nfs.out" "$work/nfs.out"
cmp "$work/fuse.out" "$work/nfs.out" || fail "FUSE and NFS: other states"
[[ $(grep -v EIO "$work/tftp.out" | sort -u | wc -l) -le 1 ]] ||
	fail "TFTP: $(sort "$work/tftp.out" | uniq -c)"
grep -qxF "$(tail -n 1 "$work/tftp.out")" "$work/nfs.out" ||
	fail "TFTP and NFS: other states: $(tail -n 1 "$work/tftp.out" "$work/tftp.err")"

# What is named is what is not as it was scanned.
names lab@1 drifted >"$work/drifted"
names lab@1 gone >"$work/gone"
sed -n 's/ [1-9][0-9]*$//p' "$work/nfs.out" >"$work/want-drifted"
sed -n 's/ EIO$//p' "$work/nfs.out" >"$work/want-gone"
cmp "$work/drifted" "$work/want-drifted" || fail "drifted: $(diff "$work/drifted" "$work/want-drifted")"
cmp "$work/gone" "$work/want-gone" || fail "gone: $(diff "$work/gone" "$work/want-gone")"
[[ $(wc -l <"$work/drifted") -ge 5 ]] || fail "only $(wc -l <"$work/drifted") drifted: no test"
[[ -s $work/gone ]] || fail "none is gone: no test"
# By the server or the mount: whichever copies.
while read -r path; do
	grep -q "version 1: $path: changed in" "$work"/{serve,mount}.log || fail "$path is not in the log"
done <"$work/drifted"
while read -r path; do
	grep -q "version 1: $path: gone from" "$work"/{serve,mount}.log || fail "$path is not in the log"
done <"$work/gone"
echo "$(wc -l <"$work/drifted") drifted, $(wc -l <"$work/gone") gone; $(cat "$work/fuse.err" "$work/nfs.err" | paste -sd ' '), $(wc -l <"$work/tftp.out") times by TFTP"

# Without the origin, by a mount that remembers nothing.
mount_on "$work/mnt2"
touch "$work/now"
"$drift" read "$work/mnt2/hosts/east" "$work/now" 2>/dev/null | sort >"$work/again"
cmp "$work/again" "$work/nfs.out" || fail "after the origin went: other states"

# ---- --strict: it is refused ----

# A mount would copy for itself, before anything is changed.
umount "$work/mnt" "$work/mnt2"
for mount in "${mounts[@]}"; do
	wait_for 60 "the mount's end" gone "$mount"
done
stop "$server_pid"
origin=$work/strict
origin_make "$origin"
equal "image add --strict" "strict@1" "$("$rootstock" image add strict "$origin" --strict 2>"$work/log")"
"$rootstock" host add $west --name west --address 10.77.0.22 --image strict@1
rm "$work/edit-stop"
"$drift" edit "$origin" "$work/edit-stop" >"$work/touched" &
editor=$!
at_exit stop "$editor"
wait_for 120 "changes" edited
touch "$work/edit-stop"
wait "$editor"
server_start
wait_for 120 "the seal" sealed strict@1
net_peer_run west "$drift" read "nfs://$net_address/" "$work/now" >"$work/west" 2>"$work/west.err" ||
	fail "--strict: $(cat "$work/west.err")"
sed 's|^|/|' "$work/touched" | sort >"$work/want-gone"
sed -n 's/ EIO$//p' "$work/west" | sort >"$work/gone"
cmp "$work/gone" "$work/want-gone" || fail "--strict: refused, or not: $(diff "$work/gone" "$work/want-gone")"
names strict@1 gone >"$work/gone"
cmp "$work/gone" "$work/want-gone" || fail "--strict: named, or not: $(diff "$work/gone" "$work/want-gone")"
equal "drifted with --strict" "" "$(names strict@1 drifted)"
echo "--strict: $(wc -l <"$work/gone") refused"

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=default limit=300
# A large file of a slow origin, through every door: its first bytes are there while most
# of it has not been read yet, the last are the right ones, and each was read once.
set -euo pipefail
# shellcheck source=tests/lib/server.sh
. "$(dirname "$0")/../lib/server.sh"

need_root
need nfs-cat curl fusermount3
net_up
server_state
[[ -x $build/tests/gate ]] || skip "not built: build/tests/gate"

mib=120
mkdir "$work/origin"
mkfifo "$work/say" "$work/hear"
"$build/tests/gate" "$work/origin" $mib <"$work/say" >"$work/hear" 2>"$work/gate.log" &
gate_pid=$!
at_exit stop $gate_pid
exec 6>"$work/say" 7<"$work/hear"
read -r -t 20 word <&7 || skip "no FUSE here"
equal "the gate" ready "$word"
at_exit umount -l "$work/origin"
gate() {
	echo "$*" >&6
}
passed() {
	local n
	gate passed
	read -r n <&7
	echo "$n"
}
# few WHAT: most of the file has not been read.
few() {
	local n
	n=$(passed)
	((n <= mib / 2)) || fail "$1 came only after $n of $mib MiB"
}
# drip COMMAND ARGS...: one extent after the other goes through until the command is done.
drip() {
	local pid
	"$@" &
	pid=$!
	while alive $pid; do
		gate allow 1
		sleep 0.3
	done
	wait $pid
}
"$build/tests/gate" --bytes 0 $mib >"$work/want"

net_peer pc 52:54:00:aa:bb:dd
net_peer_run pc ip address add 10.77.0.50/24 dev eth0
"$rootstock" image add lab "$work/origin" --activate >/dev/null
"$rootstock" host add 52:54:00:aa:bb:dd --name amy --address 10.77.0.50 --image lab >/dev/null
server_start

# The first MiB by NFS.
by_nfs() {
	net_peer_run pc nfs-cat "nfs://10.77.0.1/hosts/amy/big" 2>/dev/null |
		head -c 1048576 >"$work/first" || true
}
drip by_nfs
cmp "$work/first" <(head -c 1048576 "$work/want")
few "the first MiB by NFS"

# Some out of the middle by the mount; the kernel reads ahead.
mkdir "$work/mnt"
at_exit umount -l "$work/mnt"
"$rootstock" mount "$work/mnt"
wait_for 20 "the mount" test -e "$work/mnt/hosts/amy/big"
drip dd if="$work/mnt/hosts/amy/big" of="$work/middle" bs=65536 skip=1600 count=4 status=none
cmp "$work/middle" <(tail -c +$((1600 * 65536 + 1)) "$work/want" | head -c 262144)
few "a piece by the mount"

# The beginning by the command line and by TFTP.
by_command() {
	"$rootstock" view cat amy /big 2>/dev/null | head -c 500000 >"$work/first" || true
}
drip by_command
cmp "$work/first" <(head -c 500000 "$work/want")
spawn tftp nsenter --net="/run/netns/$net_ns-pc" \
	curl -s -S --tftp-blksize 1408 -o "$work/by-tftp" tftp://10.77.0.1/big
tftp_pid=$spawned
wait_for 30 "the first bytes by TFTP" test -s "$work/by-tftp"
few "the first bytes by TFTP"

# And then all of it.
gate open
wait_for 60 "the end by TFTP" gone $tftp_pid
cmp "$work/by-tftp" "$work/want"
net_peer_run pc nfs-cat "nfs://10.77.0.1/hosts/amy/big" 2>/dev/null | cmp - "$work/want"
cmp "$work/mnt/hosts/amy/big" "$work/want"
sealed() {
	"$rootstock" image show lab@1 | grep '^sealed' | grep -qv ' no$'
}
wait_for 60 "the seal" sealed
(($(passed) <= mib)) || fail "$(passed) MiB were read of $mib"
[[ -z $(find "$ROOTSTOCK_STATE/objects/tmp" -type f) ]] || fail "a draft is left"
"$rootstock" view digest amy >/dev/null


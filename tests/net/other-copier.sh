#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=default limit=400
# Another program copies when the server starts: it answers NFS and TFTP too, and what one
# asked of it while it ends is answered by the server's own copier.  One that answers nobody
# is given up.
set -euo pipefail
# shellcheck source=tests/lib/server.sh
. "$(dirname "$0")/../lib/server.sh"

need_root
[[ -e /dev/fuse ]] || skip "needs /dev/fuse"
need nfs-cat curl python3

net_up
server_state
mac=52:54:00:12:34:31
net_peer pc $mac
net_peer_run pc ip address add 10.77.0.31/24 dev eth0
"$rootstock" host add $mac --name pc --address 10.77.0.31

# image_make NAME: whose file and kernel nobody has copied, as long as the copier stands.
image_make() {
	mkdir -p "$work/$1"/{boot,etc}
	head -c 300000 /dev/urandom >"$work/$1/etc/file"
	head -c 200000 /dev/urandom >"$work/$1/boot/vmlinuz-6.1.0-1-amd64"
	"$rootstock" image add "$1" "$work/$1" >/dev/null
	"$rootstock" host set pc "image=$1@1"
}
# ask NAME WHAT: by NFS and by TFTP, in the background.
ask() {
	spawn "$1.nfs" nsenter --net="/run/netns/$net_ns-pc" \
		nfs-cat "nfs://$net_address/etc/file"
	nfs=$spawned
	spawn "$1.tftp" nsenter --net="/run/netns/$net_ns-pc" \
		curl -sS --max-time 300 -o "$work/$1.kernel" "tftp://$net_address/kernel"
	tftp=$spawned
}
answered() {
	wait_for 30 "$1's file by NFS" gone "$nfs"
	cmp "$work/$1/etc/file" "$work/$1.nfs.log" || fail "NFS: $(tail -n 3 "$work/serve.log")"
	wait_for 30 "$1's kernel by TFTP" gone "$tftp"
	cmp "$work/$1/boot/vmlinuz-6.1.0-1-amd64" "$work/$1.kernel" ||
		fail "TFTP: $(cat "$work/$1.tftp.log")"
}
copier_rests() {
	"$rootstock" status >"$work/status" || true # no image yet
	grep -q '^  copier  rests: another program copies$' "$work/status"
}

mkdir "$work/mnt"
at_exit umount -ql "$work/mnt"
spawn mount "$rootstock" mount "$work/mnt" --foreground
mount=$spawned
wait_for 30 "the mount" mountpoint -q "$work/mnt"
server_start
wait_for 20 "the copier to rest" copier_rests

# It stands, so that they have to ask it.
kill -STOP "$mount"
image_make one
ask one
sleep 2
alive "$nfs" && alive "$tftp" || fail "answered without the copier"
kill -CONT "$mount"
answered one

kill -STOP "$mount"
image_make two
ask two
sleep 2
alive "$nfs" && alive "$tftp" || fail "answered without the copier"
kill -9 "$mount"
wait "$mount" 2>/dev/null || true
umount -l "$work/mnt"
answered two
stop "$server_pid"

# It takes each connection and answers none: nobody waits for that for ever.
cat >"$work/silent.py" <<'END'
import fcntl, os, socket, sys
lock = open(sys.argv[1] + "/copier.lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
path = sys.argv[1] + "/copier.sock"
if os.path.exists(path):
    os.unlink(path)
listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listener.bind(path)
os.chmod(path, 0o666)
listener.listen(64)
print("listens", flush=True)
while True:
    listener.accept()[0].close()
END
spawn silent python3 "$work/silent.py" "$ROOTSTOCK_STATE"
wait_for 20 "the silent one" grep -q listens "$work/silent.log"
server_start
wait_for 20 "the copier to rest" copier_rests
image_make three
ask three
wait_for 50 "NFS to give it up" gone "$nfs"
grep -q 'Failed to read' "$work/three.nfs.log" || fail "NFS: $(tail -n 2 "$work/three.nfs.log")"
wait_for 50 "TFTP to give it up" gone "$tftp"
[[ -s $work/three.tftp.log ]] || fail "TFTP: no error"

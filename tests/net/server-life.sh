#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=quick limit=240
# The server from its first start on an empty machine to the end of its supervisor,
# and commands beside it that are wrong, cut short or run with an odd umask.
set -euo pipefail
# shellcheck source=tests/lib/server.sh
. "$(dirname "$0")/../lib/server.sh"
need_root
net_up
server_state

children() {
	pgrep -f "^rootstock --state $ROOTSTOCK_STATE child" | wc -l
}
none_left() {
	[[ $(children) == 0 ]]
}
all_there() {
	[[ $(children) == 4 ]]
}

# Nothing there yet: no image, no database, and a shell that gives nothing away.
umask 077
server_start
wait_for 10 "four children" all_there
sleep 1.5
all_there || fail "children die on a fresh state: $(cat "$work/serve.log")"
! grep -q 'starting it again' "$work/serve.log" || fail "$(cat "$work/serve.log")"

# A second server on the same state, on another interface.
net_run ip link add other type veth peer name other-end
net_run ip address add 10.78.0.1/24 dev other
net_run ip link set other up
net_run ip link set other-end up
if net_run "$rootstock" serve --interface other 2>"$work/err"; then
	fail "a second server runs on one state"
fi
grep -q 'another server runs on this state' "$work/err" || fail "second server: $(cat "$work/err")"

# What a shell with umask 077 adds can be read by the services.
mkdir -p "$work/image/etc"
echo text >"$work/image/etc/file"
chmod -R a+rX "$work/image"
"$rootstock" image add lab "$work/image" >/dev/null
"$rootstock" host add 52:54:00:00:00:01 --name amy --address 10.77.0.9
echo put | "$rootstock" overlay put host:amy /etc/put --mode 0644
echo 'I am {{name}}' | "$rootstock" overlay put host:amy /etc/who --template --mode 0644
equal "a template from a pipe" "I am amy" "$("$rootstock" view cat amy /etc/who)"
net_peer amy 52:54:00:00:00:01
net_peer_run amy ip address add 10.77.0.9/24 dev eth0
amy() {
	net_peer_run amy nfs-cat "nfs://10.77.0.1/$1" 2>/dev/null
}
amy_has() {
	[[ $(amy "$1") == "$2" ]]
}
wait_for 5 "the image's file by NFS" amy_has etc/file text
wait_for 5 "the overlay's file by NFS" amy_has etc/put put

# The timeline does not grow for ever: with row 6,144,000 those before 1,144,000 go.
timeline() {
	sqlite3 -cmd '.timeout 20000' "$ROOTSTOCK_STATE/trace.db" "$1"
}
timeline "INSERT INTO event (id, at, kind) VALUES (6143999, strftime('%s') * 1000000000, 1)"
timeline_is_short() {
	amy_has etc/put put && [[ $(timeline 'SELECT min(id) FROM event') == 6143999 ]]
}
wait_for 20 "the oldest events to go" timeline_is_short

# All or nothing, and options that are another command's.
! "$rootstock" host set amy a=1 oops 2>/dev/null || fail "host set took what is no setting"
! "$rootstock" host show amy | grep -q '^a ' || fail "host set did half"
for line in "image add lab $work/image -o x" "host add 52:54:00:00:00:02 -o x"; do
	status=0
	# shellcheck disable=SC2086 # words
	"$rootstock" $line >/dev/null 2>&1 || status=$?
	equal "exit of: $line" 2 "$status"
done
equal "the size of a template" 14 \
	"$("$rootstock" overlay list host:amy --json | tr -d ' \n\t' |
		sed 's/.*"template"[^}]*"size":\([0-9]*\).*/\1/')"

# An image made of the server's own root has no secret of the server in it.
cp -r "$work/image" "$work/own"
mkdir "$work/own/var"
mount --bind "$work/own" "$work/own"
at_exit umount -l "$work/own"
ROOTSTOCK_STATE=$work/own/var/state "$rootstock" image add self "$work/own" >/dev/null
! ROOTSTOCK_STATE=$work/own/var/state "$rootstock" view ls self /var/state |
	grep -q . || fail "the state is in the image"

# The supervisor is killed: nothing of it stays, and the next one starts.
kill -9 "$server_pid"
wait_for 5 "the children to end" none_left

# Two hosts that have no keys, the first of which cannot have any.
keygen=$(command -v ssh-keygen)
mkdir "$work/bin"
printf '#!/bin/sh\nexit 127\n' >"$work/bin/ssh-keygen"
chmod +x "$work/bin/ssh-keygen"
for name in 1:mia 2:zoe; do
	PATH=$work/bin:$PATH "$rootstock" host add "52:54:00:00:02:0${name%:*}" \
		--name "${name#*:}" 2>/dev/null
done
printf '#!/bin/sh\ncase $* in *root@mia*) exit 1 ;; esac\nexec %s "$@"\n' "$keygen" \
	>"$work/bin/ssh-keygen"
PATH=$work/bin:$PATH server_start
wait_for 10 "keys for who comes after" eval 'fingerprint zoe >/dev/null 2>&1'
grep -q 'mia: no SSH host key yet' "$work/serve.log" || fail "nothing said of mia"
wait_for 10 "four children again" all_there
wait_for 5 "the image's file again" amy_has etc/file text

# Sealed by a command that copied for itself: the services can read that too.
stop "$server_pid"
wait_for 5 "the children to end" none_left
echo more >"$work/image/etc/more"
chmod a+r "$work/image/etc/more"
"$rootstock" image add lab "$work/image" --activate --wait >/dev/null 2>&1
rm -rf "$work/image"

# What is old goes by and by: nobody waits until all of it is gone.
timeline "INSERT INTO event (at, kind) SELECT value, 1 FROM generate_series(1, 200000)"
python3 - "$ROOTSTOCK_STATE/trace.db" >"$work/counts" <<'END' &
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], timeout=60)
old = 200000
while old:
    (old,), = db.execute("SELECT count(*) FROM event WHERE at <= 200000").fetchall()
    print(old, flush=True)
    time.sleep(0.01)
END
counting=$!
at_exit stop $counting
server_start
wait_for 10 "a file of the sealed version" amy_has etc/more more
wait_for 120 "all old events to go" gone $counting
awk '$1 && $1 < 200000 { some = 1 } END { exit !some }' "$work/counts" ||
	fail "all old events went at once"

# Who reads its log goes: it serves all the same, a child that dies included.
stop "$server_pid"
wait_for 5 "the children to end" none_left
spawn serve nsenter --net="/run/netns/$net_ns" python3 -c '
import os, signal, sys
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
r, w = os.pipe()
os.dup2(w, 2)
os.close(r)
os.close(w)
os.execv(sys.argv[1], sys.argv[1:])' "$rootstock" serve --interface br0
wait_for 30 "four children without a log" all_there
pkill -KILL -f "^rootstock --state $ROOTSTOCK_STATE child tftp"
sleep 1
wait_for 30 "four children without a log" all_there
wait_for 5 "the file again" amy_has etc/more more
alive "$spawned" || fail "serve ended with its log's reader"

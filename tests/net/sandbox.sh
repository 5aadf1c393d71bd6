#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=quick limit=400
# What a child that was taken over can no longer do, and that it can do its work: the
# children of a running server by what /proc says of them, and each attempt by a program
# that enters the same sandbox on the same state.
set -euo pipefail
# shellcheck source=tests/lib/server.sh
. "$(dirname "$0")/../lib/server.sh"
need_root
probe=$build/tests/sandbox-probe
[[ -x $probe ]] || skip "not built: $probe"
"$probe" dhcp "$work" newest >"$work/out" || skip "$(cat "$work/out")"
net_up
server_state
unset ROOTSTOCK_STRICT # as in production
state=$(realpath "$work")/state
kinds="copier dhcp tftp nfs metrics"

mkdir -p "$work/image/etc" "$work/loaders" "$work/beside"
echo text >"$work/image/etc/file"
echo secret >"$work/image/etc/shadow"
echo loader >"$work/loaders/loader"
echo beside >"$work/beside/file"
chmod 600 "$work/image/etc/shadow"
chmod 644 "$work/loaders/loader" "$work/beside/file"
"$rootstock" image add lab "$work/image" >/dev/null
"$rootstock" host add 52:54:00:00:00:01 --name amy --address 10.77.0.9
printf '[server]\nmetrics = %s\n' "$work/metrics.sock" >"$work/rootstock.conf"
server_start --config "$work/rootstock.conf"

child_pid() {
	pgrep -f "^rootstock --state $ROOTSTOCK_STATE child $1" | head -n 1
}
field() { # KIND NAME
	sed -n "s/^$2:[[:space:]]*//p" "/proc/$(child_pid "$1")/status"
}
sealed() {
	"$rootstock" image show lab@1 | grep -Eq "^sealed +[0-9a-f]{64}"
}
# The copier has read its origin, also what is its owner's alone.
wait_for 20 "the version to be sealed" sealed

# all_serve LOG: each has entered its sandbox by then.
all_serve() {
	wait_for 20 "all to serve" grep -q 'all services serve' "$1"
}

echo "# the children that run"
all_serve "$work/serve.log"
for kind in $kinds; do
	capabilities=0000000000000000
	[[ $kind != copier ]] || capabilities=0000000000000004 # DAC_READ_SEARCH
	for name in CapEff CapPrm CapBnd CapInh CapAmb; do
		expected=$capabilities
		[[ $name == CapEff || $name == CapPrm ]] || expected=0000000000000000
		equal "$kind: $name" "$expected" "$(field "$kind" "$name")"
	done
	equal "$kind: NoNewPrivs" 1 "$(field "$kind" NoNewPrivs)"
	equal "$kind: Seccomp" 2 "$(field "$kind" Seccomp)"
	equal "$kind: groups beside its own" "" "$(field "$kind" Groups | tr -d ' ')"
	equal "$kind: users" 1 "$(field "$kind" Uid | xargs -n1 | sort -u | wc -l)"
	[[ $(field "$kind" Uid) != 0* ]] || fail "$kind is root"
	cut -f1 <<<"$(field "$kind" Uid)" >>"$work/uids"
	grep -q '^Max core file size *0 *0 ' "/proc/$(child_pid "$kind")/limits" ||
		fail "$kind leaves a core"
	for space in mnt net; do
		[[ $kind != tftp || $space != net ]] || continue
		[[ $(readlink "/proc/$(child_pid "$kind")/ns/$space") != \
			$(readlink "/proc/$server_pid/ns/$space") ]] || fail "$kind shares ns $space"
	done
	equal "$kind: what its root has of /etc, /home, /root, /sys" "" \
		"$(cd "/proc/$(child_pid "$kind")/root" && ls -d etc home root sys 2>/dev/null)"
	[[ $(awk '$5 == "/" { print $6 }' "/proc/$(child_pid "$kind")/mountinfo") == ro,* ]] ||
		fail "$kind: its root can be written"
done
equal "users of their own" 5 "$(sort -u "$work/uids" | wc -l)"

# refused KIND EXPECTED ATTEMPT [ARGUMENT]; "a|b": either
tried=0
attempt() {
	local kind=$1 expected=$2 got
	shift 2
	got=$("$probe" "$kind" "$state" -f "$work/loaders" "$@" 2>"$work/probe.err")
	[[ "|$expected|" == *"|$got|"* ]] ||
		fail "$kind: $*: expected $expected, got $got $(cat "$work/probe.err")"
	tried=$((tried + 1))
}
sleep 600 & # of another user than theirs
other=$!
at_exit stop "$other"

echo "# what none can do"
for kind in $kinds; do
	for what in exec execveat "ptrace $other" "peek $other" "kill $other" mount "unmount /" \
		chroot unshare root groups capabilities by-handle "device /dev/x" bpf ring; do
		# shellcheck disable=SC2086 # words
		attempt "$kind" SIGSYS $what
	done
	for what in "limit $other" new-user code newest "socket inet-stream" "socket inet-raw" \
		"socket inet6" "socket packet" "socket netlink" "socket vsock" "socket unix-stream"; do
		# shellcheck disable=SC2086
		attempt "$kind" ENOSYS $what
	done
	for what in "read /etc/shadow" "read /etc/passwd" "list /root" "stat /dev/fuse" \
		"stat /dev/vda" "list /sys" "stat /run/dbus" "read $work/beside/file" \
		"read $work/image/etc/file" "read $work/image/etc/shadow" \
		"stat /proc/$other/status" "stat /proc/sys" "list $work"; do
		# The way to the state directory can be walked, and there is nothing beside it.
		expected=ENOENT
		[[ $what != "list $work" ]] || expected="yes|ENOSYS"
		# shellcheck disable=SC2086
		attempt "$kind" "$expected" $what
	done
	attempt "$kind" "EROFS|EACCES" create /x
	attempt "$kind" "EROFS|EACCES" create /dev/x
	attempt "$kind" "EROFS|EACCES|ENOENT" create "$work/x"
	attempt "$kind" "EROFS|EACCES|ENOENT" create "$state/x"
	attempt "$kind" "EROFS|EACCES|ENOENT" write "$state/rootstock.db"
	attempt "$kind" "EROFS|EACCES|ENOENT" write "$state/trace.db"
	attempt "$kind" "EROFS|EACCES|ENOSYS|ENOENT" unlink "$state/rootstock.db"
	attempt "$kind" yes memory
done

echo "# what some can do, and the others not"
secret=$(find "$state/secrets" -type f -size +0 -path '*/??/*' | head -n 1)
object=$(find "$state/objects" -type f -size +0 -path '*/??/*' | head -n 1)
[[ -n $secret && -n $object ]] || fail "nothing is in the stores"
# may ATTEMPT ARGUMENT KINDS -- REFUSAL
may() {
	local what=$1 argument=$2 those=$3 refusal=$4 kind
	for kind in $kinds; do
		if [[ " $those " == *" $kind "* ]]; then
			attempt "$kind" yes "$what" "$argument"
		else
			attempt "$kind" "$refusal" "$what" "$argument"
		fi
		rm -f "$state/objects/x" "$state/manifests/x"
	done
}
may read "$state/rootstock.db" "copier dhcp tftp nfs" "EACCES|ENOENT"
may connect "$state/copier.sock" "copier dhcp tftp nfs" "ENOENT|ENOSYS"
may ask "$state/copier.sock" "copier tftp nfs" "EPIPE|ENOENT|ENOSYS"
# Who may lock the store keeps the copier, and every command, from it.
may lock "$state/objects" copier "ENOSYS|EACCES|ENOENT"
may stat "$state/control/serve" metrics "EACCES|ENOENT"
may read "$secret" nfs "EACCES|ENOENT"
may read "$state/secrets/handle-key" nfs "EACCES|ENOENT"
may list "$state/secrets" nfs "EACCES|ENOENT"
may read "$object" "copier tftp nfs" "EACCES|ENOENT"
may create "$state/objects/x" copier "EROFS|EACCES|ENOENT"
may create "$state/manifests/x" copier "EROFS|EACCES|ENOENT"
may create "$state/secrets/x" "" "EROFS|EACCES|ENOENT"
may write "$state/leases.db" dhcp "EROFS|EACCES|ENOENT"
may read "$work/loaders/loader" "copier dhcp tftp nfs metrics" none # who is given the folder
may list /usr/lib tftp ENOENT
may create "$work/loaders/x" "" "EROFS|EACCES"
may socket inet-dgram tftp ENOSYS
may socket unix "copier dhcp tftp nfs metrics" none
may thread "" "copier nfs" "EPERM|ENOSYS|EAGAIN"
may fork "" dhcp ENOSYS
may stat /proc/self/status copier ENOENT

echo "# an origin, as the copier gets it"
cat >"$work/origin.py" <<'EOF'
import ctypes, os, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
fd = libc.open_tree(-100, sys.argv[1].encode(), 1)  # OPEN_TREE_CLONE
attr = (ctypes.c_uint64 * 4)(1 | 2 | 4 | 8, 0, 0, 0)
assert fd >= 0 and libc.mount_setattr(fd, b"", 0x1000, attr, 32) == 0
os.set_inheritable(fd, True)
print(subprocess.run(sys.argv[2:-1] + [sys.argv[-1].replace("FD", str(fd))],
    close_fds=False, capture_output=True, text=True).stdout, end="")
EOF
origin() { # EXPECTED KIND ATTEMPT ARGUMENT
	local got
	got=$(python3 "$work/origin.py" "$work/image" "$probe" "$2" "$state" "$3" "$4")
	[[ "|$1|" == *"|$got|"* ]] || fail "an origin, $2: $3 $4: expected $1, got $got"
	tried=$((tried + 1))
}
origin yes copier read-at FD:etc/file
origin yes copier read-at FD:etc/shadow
origin ENOENT copier read-at FD:../beside/file
origin ENOENT copier read-at "FD:../../../../..$work/beside/file"
origin EROFS copier create-at FD:etc/x
origin EACCES nfs read-at FD:etc/shadow
[[ ! -e $work/image/etc/x ]] || fail "an origin was written to"

echo "# a child that lies to the supervisor, by the socket that it has"
# lie KIND-OF-CHILD EVENT BYTES TEXT
lie() {
	python3 - "$(child_pid "$1")" "$2" "$3" "$4" <<'EOF'
import ctypes, os, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
pid, kind, size = (int(x) for x in sys.argv[1:4])
text = sys.argv[4].encode().decode("unicode_escape").encode("latin1")
fd = libc.syscall(438, os.pidfd_open(pid), 3, 0)  # pidfd_getfd: its "events"
assert fd >= 0, os.strerror(ctypes.get_errno())
socket.socket(fileno=fd).send(struct.pack("<5I4x2Q2H6s150s", kind, 0, 0x0a4d0009, 0, 0, size, 1, 0, 0,
    b"\x52\x54\0\0\0\x77", text))
EOF
}
trace() {
	sqlite3 -cmd '.timeout 20000' "$state/trace.db" "$1"
}
lie tftp 3 0 "an ACK by tftp"
lie dhcp 5 0 "a loader by dhcp"
lie copier 7 0 "a mount by the copier"
lie nfs 12 999 '\x01\x00\x00\x00'
lie nfs 12 1 '\xff\xff\xff\x7f'
lie nfs 12 1 '\x01\x00\x00\x00'
lie tftp 6 0 'a file \x1b[31m'
told() {
	[[ $(trace "SELECT count(*) FROM event WHERE text LIKE 'a file%'") == 1 ]]
}
wait_for 20 "the one that it may say" told
equal "its text" 'a file \x1b[31m' "$(trace "SELECT text FROM event WHERE text LIKE 'a file%'")"
equal "what was not theirs to say" 0 "$(trace "SELECT count(*) FROM event WHERE text LIKE '% by %'")"
equal "a host by a lie" "" "$("$rootstock" host list | grep 00:77 || true)"
grep -q 'tftp: says "ack", which is not its to say' "$work/serve.log" ||
	fail "not said: $(cat "$work/serve.log")"
reads() {
	[[ $(trace "SELECT count(*) FROM first_read WHERE version = 1 AND pos = 1") == 1 ]]
}
wait_for 20 "the first read that it may tell of" reads
equal "first reads of nothing" 0 "$(trace "SELECT count(*) FROM first_read
	WHERE version = 999 OR pos > 1000000")"

echo "# it is said, and serving goes on"
alive "$server_pid" || fail "serve has ended: $(cat "$work/serve.log")"
! grep -q 'starting it again\|system call' "$work/serve.log" || fail "$(cat "$work/serve.log")"
"$probe" nfs "$state" exec >/dev/null 2>"$work/err"
grep -q 'error: system call [0-9]*, execve: not one' "$work/err" || fail "no line: $(cat "$work/err")"

echo "# where nothing may be mounted"
stop "$server_pid"
"$rootstock" image add bare "$work/image" >/dev/null
spawn bare nsenter --net="/run/netns/$net_ns" setpriv --bounding-set -sys_admin \
	"$rootstock" serve --interface br0 --config "$work/rootstock.conf"
bare_sealed() {
	"$rootstock" image show bare@1 | grep -Eq "^sealed +[0-9a-f]{64}"
}
wait_for 20 "the version to be sealed all the same" bare_sealed
all_serve "$work/bare.log"
for kind in $kinds; do
	equal "lines of $kind" 1 \
		"$(grep -c "$kind warn: the whole file system can be seen" "$work/bare.log")"
	equal "$kind: Seccomp" 2 "$(field "$kind" Seccomp)"
	equal "$kind: NoNewPrivs" 1 "$(field "$kind" NoNewPrivs)"
done
! grep -q 'starting it again' "$work/bare.log" || fail "$(cat "$work/bare.log")"
echo "$tried attempts ended as they should"

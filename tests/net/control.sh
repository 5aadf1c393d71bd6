#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=quick limit=240
# The control sockets of a running server: who may ask, what is answered, across the
# death of a child, and to the end.
set -euo pipefail
# shellcheck source=tests/lib/server.sh
. "$(dirname "$0")/../lib/server.sh"
need_root
net_up
server_state
server_start

# stats SERVICE: its figures, as the text that it sends.
stats() {
	python3 - "$ROOTSTOCK_STATE/control/$1" <<'PY'
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(20)
s.connect(sys.argv[1])
s.send(b"stats")
while (packet := s.recv(65536))[:1] == b"m":
    sys.stdout.write(packet[1:].decode())
sys.exit(packet != b"e")
PY
}
value() {
	stats "$1" 2>/dev/null | sed -n "s/^$2 //p"
}

for service in serve copier dhcp tftp nfs; do
	wait_for 20 "$service to answer" stats "$service" >/dev/null 2>&1
	equal "the mode of $service's socket" 660 "$(stat -c %a "$ROOTSTOCK_STATE/control/$service")"
	stats "$service" >"$work/stats"
	# Each sample has a family before it, each line is well formed.
	awk '/^# HELP / { help = $3; next }
	     /^# TYPE / { if ($3 != help) exit 1; next }
	     !/^rootstock_[a-z_]+(\{[^}]*\})? -?[0-9.e+-]+$/ { exit 1 }
	     index($0, help) != 1 { exit 1 }' "$work/stats" || fail "$service: $(cat "$work/stats")"
	grep -q '^rootstock_' "$work/stats" || fail "$service: no figures"
done
equal "services that run" 4 "$(stats serve | grep -c '^rootstock_service_up{.*} 1$')"

for service in copier dhcp tftp nfs; do
	pid=$(value serve "rootstock_service_pid{service=\"$service\"}")
	equal "what $service is called" rootstock "$(cat "/proc/$pid/comm")"
done

# What status makes of it.
! "$rootstock" status >"$work/status" || fail "nothing is wrong: $(cat "$work/status")"
grep -q "^wrong: there is no image" "$work/status" || fail "$(cat "$work/status")"
mkdir -p "$work/image/etc"
"$rootstock" image add lab "$work/image" >/dev/null
is_well() {
	"$rootstock" status >"$work/status"
}
wait_for 10 "nothing to be wrong" is_well
for said in "rootstock on $ROOTSTOCK_STATE, up .*, br0 up" "  copier *pid [0-9]* *up" \
	"  nfs *pid .* connections"; do
	grep -q "^$said" "$work/status" || fail "not said: $said: $(cat "$work/status")"
done

# Any request at all: refused, and nobody the worse.
cat >"$work/hostile.py" <<'END'
import array, os, random, socket, sys, time
folder = sys.argv[1]
def dial(name):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(20)
    s.connect(folder + "/" + name)
    return s
def ask(name, request, fd=None):
    with dial(name) as s:
        along = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))] if fd else []
        s.sendmsg([request], along)
        try:
            return s.recv(65536)
        except ConnectionResetError:
            return b""
pipe = os.pipe()[0]
packets = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)[0].fileno()
mac = b"52:54:00:00:00:01"
for request in [b"fetch", b"fetch ", b"fetch a b c d",
                b"fetch 1.2.3.4 " + mac + b" 1.2.3 x", b"fetch 1.2.3.4 " + mac[:-1] + b"g 1.2.3.4 x",
                b"fetch " + b"9" * 4000, b"fetch 1.2.3.4 " + mac + b" 1.2.3.4 \0", b"fetch \0" * 9]:
    assert ask("tftp", request)[:1] == b"f", request
for name in [b"", b"../../etc/passwd", b"x" * 3900, bytes(range(1, 256))]:
    reply = ask("tftp", b"fetch 1.2.3.4 " + mac + b" 1.2.3.4 " + name)
    assert reply[:1] == b"m" and reply[5:9] != b"\xff" * 4, (name, reply[:100])
good = b"connect 10.77.0.9 700 " + mac + b" 10.77.0.1 nfs"
for request, fd in [(b"connect", None), (good, None), (good, pipe), (good, packets),
                    (good + b"x", pipe), (good.replace(b"nfs", b"all"), pipe),
                    (b"connect " + b"1" * 4000, pipe), (good.replace(b"700", b"-1"), pipe)]:
    assert ask("nfs", request, fd)[:1] == b"f", request
# As many plays as there may be, of streams and datagrams, and one more; all end with their
# askers.
turn, end = 0, time.monotonic() + 120
while turn < 3:
    pairs = [socket.socketpair(type=[socket.SOCK_STREAM, socket.SOCK_DGRAM][i % 2])
             for i in range(9)]
    askers = [dial("nfs") for i in range(9)]
    answers = []
    for s, pair in zip(askers, pairs):
        s.sendmsg([good], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                            array.array("i", [pair[1].fileno()]))])
        answers.append(s.recv(100)[:1])
    full = answers == [b"e"] * 8 + [b"f"]
    for pair in pairs:
        pair[0].sendall(os.urandom(random.randrange(1, 5000)))
    for s in askers:
        s.close()
    # The next turn has to find them gone, which takes as long as it takes.
    assert full or turn and time.monotonic() < end, answers
    turn += full
    time.sleep(0 if full else 0.1)
# One copy of dhcp at a time; rubbish ends it.
first = dial("dhcp")
first.send(b"play")
first.send(bytes(300))
assert first.recv(65536)[:1] in b"me"
assert ask("dhcp", b"play")[:1] == b"f"
first.send(b"short")
while first.recv(65536):
    pass
END
"$rootstock" host add 52:54:00:00:00:01 --name amy
python3 "$work/hostile.py" "$ROOTSTOCK_STATE/control"
for service in serve copier dhcp tftp nfs; do
	wait_for 20 "$service to answer" stats "$service" >/dev/null
done
equal "deaths" 0 "$(stats serve | sed -n 's/^rootstock_service_restarts_total{.*} //p' |
	awk '{ n += $1 } END { print n }')"

# Another program copies for all: nothing is wrong with that.
mkdir "$work/mnt"
stop "$server_pid"
"$rootstock" mount "$work/mnt"
at_exit umount -q -l "$work/mnt"
server_start
wait_for 20 "nothing to be wrong with that" is_well
grep -q '^  copier  rests: another program copies$' "$work/status" || fail "$(cat "$work/status")"
umount "$work/mnt"
copies() {
	"$rootstock" status | grep -q '^  copier *pid'
}
wait_for 20 "the server's own copier" copies

# A server that hangs runs still.
kill -STOP "$server_pid"
"$rootstock" status >"$work/status" || true
kill -CONT "$server_pid"
grep -q '^rootstock on .*: does not answer$' "$work/status" || fail "$(cat "$work/status")"

# A child that dies is asked at the same place when it is back.
pid=$(value serve 'rootstock_service_pid{service="tftp"}')
kill -9 "$pid"
is_back() {
	[[ $(value serve 'rootstock_service_restarts_total{service="tftp"}') == 1 ]] &&
		stats tftp >/dev/null 2>&1
}
wait_for 20 "tftp to be back" is_back

# Nothing stays behind.
stop "$server_pid"
equal "sockets that are left" "" "$(ls "$ROOTSTOCK_STATE/control")"

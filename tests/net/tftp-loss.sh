#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=default limit=600
# Behind a line that loses, repeats and delays packets, clients of others get the
# right bytes, and the server makes no storm of it.
set -euo pipefail
# shellcheck source=tests/lib/tftp.sh
. "$(dirname "$0")/../lib/tftp.sh"

tftp_up atftp curl busybox python3
size=500000
head -c $size /dev/urandom >"$work/served/file"
tftp_serve

# Meanwhile somebody asks, by every kind of request, and never answers: a made-up source.
cat >"$work/silent.py" <<'END'
import select, socket, sys, time
requests = [b'\0\1file\0octet\0', b'\0\1file\0octet\0blksize\x001428\0windowsize\x0064\0']
socks = {}
for request in requests:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.sendto(request, (sys.argv[1], 69))
    socks[s] = 0
end = time.monotonic() + 75
while time.monotonic() < end:
    for s in select.select(list(socks), [], [], 1)[0]:
        s.recv(66000)
        socks[s] += 1
print('packets', *socks.values())
END
spawn silent nsenter --net="/run/netns/$net_ns" python3 "$work/silent.py" "$net_address"

# A proxy at 127.0.0.1:69: each client has a socket towards either side.
cat >"$work/proxy.py" <<'END'
import random, select, socket, sys, time
server, loss, repeat, late = (sys.argv[1], 69), *map(int, sys.argv[2:5])
random.seed(7)
def sock(address=None):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    if address: s.bind(address)
    return s
listen = sock(('127.0.0.1', 69))
pairs, queue, answered = {}, [], set()
def put(s, data, to):
    if random.randrange(100) < loss: return
    # A second OACK ends atftp, whoever's packet was lost.
    if data[1] == 6:
        if s in answered: return
        answered.add(s)
    again = data[1] in (3, 4) and random.randrange(100) < repeat
    for _ in range(2 if again else 1):
        delay = random.random() * 0.01 if random.randrange(100) < late else 0
        queue.append((time.monotonic() + delay, s, data, to))
while True:
    ready, _, _ = select.select([listen, *pairs], [], [], 0.001 if queue else None)
    for s in ready:
        data, peer = s.recvfrom(66000)
        if s is listen:
            a, b = sock(('127.0.0.1', 0)), sock()
            pairs[a] = [b, None]
            pairs[b] = [a, peer]
            put(b, data, server)
            continue
        other, _ = pairs[s]
        if pairs[s][1] is None or peer[0] == server[0]:
            pairs[other][1] = peer
        if pairs[s][1]:
            put(other, data, pairs[s][1])
    now = time.monotonic()
    due = [q for q in queue if q[0] <= now]
    queue = [q for q in queue if q[0] > now]
    for _, s, data, to in due:
        try: s.sendto(data, to)
        except OSError: pass
END

proxied() {
	[[ -n $(net_run ss -Hlnu "src 127.0.0.1 and sport = :69") ]]
}

line() {
	spawn proxy nsenter --net="/run/netns/$net_ns" \
		python3 "$work/proxy.py" "$net_address" "$@"
	wait_for 60 "the proxy" proxied
}

for kind in "5 0 0" "0 100 0" "5 5 3"; do
	# shellcheck disable=SC2086
	line $kind
	for option in "1428 1" "1428 4" "1428 16"; do
		rm -f out
		net_run atftp --option "blksize ${option% *}" --option "windowsize ${option#* }" \
			--option "timeout 1" -g -r file -l out 127.0.0.1 >atftp.log 2>&1 ||
			fail "atftp, $option, line $kind: $(cat atftp.log)"
		tftp_same file out "atftp, $option, line $kind"
	done
	net_run curl -sS --max-time 120 --tftp-blksize 1428 -o out tftp://127.0.0.1/file ||
		fail "curl, line $kind"
	tftp_same file out "curl, line $kind"
	net_run busybox tftp -b 1428 -g -r file -l out 127.0.0.1 || fail "busybox, line $kind"
	tftp_same file out "busybox, line $kind"
	stop "$spawned"
done
grep -o 'blk=.*' "$work/server.log"

# 351 blocks.  A window goes again for each packet lost or late in it, so the widest
# repeats the most; a storm repeats without end.
awk '/retx=/ { match($0, /retx=[0-9]+/); n = substr($0, RSTART + 5, RLENGTH - 5) + 0
	if (n > 2 * 351) { print; bad = 1 } } END { exit bad }' "$work/server.log" ||
	fail "a storm of repeats (above)"

told() {
	grep -q packets "$work/silent.log"
}
wait_for 90 "who never answers" told
equal "packets to who never answers" "packets 6 6" "$(<"$work/silent.log")"

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: limit=300
# A client that asks for ever does not fill the log: files that it gets, files that are
# refused, writes, requests that make no sense.  The line of another client is still there.
set -euo pipefail
# shellcheck source=tests/lib/tftp.sh
. "$(dirname "$0")/../lib/tftp.sh"

tftp_up python3
echo small >"$work/served/small"
tftp_serve

cat >"$work/flood.py" <<'END'
import socket, sys

server, times = sys.argv[1], int(sys.argv[2])


def once(request):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(10)
        s.sendto(request, (server, 69))
        while True:
            try:
                data, peer = s.recvfrom(2000)
            except TimeoutError:
                return None
            if data[1] == 3:
                s.sendto(b"\0\4" + data[2:4], peer)
            return data


got = refused = 0
for i in range(times):
    answer = once(b"\0\1small\0octet\0")
    got += answer is not None and answer[4:] == b"small\n"
    answer = once(b"\0\1absent-%d\0octet\0" % i)
    refused += answer is not None and answer[1] == 5
    answer = once(b"\0\2written\0octet\0")
    refused += answer is not None and answer[1] == 5
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"\0\1x", (server, 69))
print("got", got, "refused", refused)
END

times=600
start=$SECONDS
answers=$(net_run python3 "$work/flood.py" "$net_address" $times)
equal "answers" "got $times refused $((2 * times))" "$answers"
finished=$(grep -c 'file=small' "$work/server.log" || true)
refused=$(grep -c 'refused' "$work/server.log" || true)
lines=$(wc -l <"$work/server.log")
took=$((SECONDS - start + 1))
echo "$lines lines: $finished of $times files, $refused of $((2 * times)) refusals, in $took s"
# A burst, then a rate.
((finished >= 20 && finished <= 64 + took)) || fail "$finished lines of files in $took s"
((refused >= 10 && refused <= 20 + 5 * took)) || fail "$refused lines of refusals in $took s"

net_peer other
net_peer_run other ip address add 10.77.0.9/24 dev eth0
net_peer_run other python3 - "$net_address" <<'END'
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(60)
s.sendto(b"\0\1small\0octet\0", (sys.argv[1], 69))
data, peer = s.recvfrom(2000)
s.sendto(b"\0\4" + data[2:4], peer)
END
wait_for 20 "the other's line" grep -q '10.77.0.9 file=small' "$work/server.log"

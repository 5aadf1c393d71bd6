#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2154 # what the library sets
# check: when=quick limit=120
# The control sockets of a running server: who may ask, what is answered, across the
# death of a child, and to the end.
set -euo pipefail
lib=$(dirname "$0")/../lib
for part in test net server; do
	# shellcheck source=/dev/null
	. "$lib/$part.sh"
done
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
	equal "the mode of $service's socket" 660 "$(stat -c %a "$ROOTSTOCK_STATE/control/$service")"
	wait_for 20 "$service to answer" stats "$service" >/dev/null
	stats "$service" >"$work/stats"
	# Each sample has a family before it, each line is well formed.
	awk '/^# HELP / { help = $3; next }
	     /^# TYPE / { if ($3 != help) exit 1; next }
	     !/^rootstock_[a-z_]+(\{[^}]*\})? -?[0-9.e+-]+$/ { exit 1 }
	     index($0, help) != 1 { exit 1 }' "$work/stats" || fail "$service: $(cat "$work/stats")"
	grep -q '^rootstock_' "$work/stats" || fail "$service: no figures"
done
equal "services that run" 4 "$(stats serve | grep -c '^rootstock_service_up{.*} 1$')"

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

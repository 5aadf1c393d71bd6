#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=quick limit=300
# The metrics child, on a socket and on a port: what it says is in Prometheus' format, by
# two judges, and true; who it is, and what it answers to others than a scrape.
set -euo pipefail
# shellcheck source=tests/lib/server.sh
. "$(dirname "$0")/../lib/server.sh"
need_root
need curl nfs-cat udhcpc tftp promtool
net_up
server_state

image=$work/image
mkdir -p "$image"/{boot,sbin}
head -c 100000 /dev/urandom >"$image/boot/vmlinuz-6.1.0-1-amd64"
head -c 200000 /dev/urandom >"$image/sbin/init"
"$rootstock" image add lab "$image" >/dev/null

scrape() {
	nsenter --net="/run/netns/$net_ns" curl -sf --max-time 30 "$@" >"$work/metrics"
}
value() {
	python3 "$lib/prometheus.py" "$@" <"$work/metrics"
}
is_up() {
	scrape "$@" && [[ $(grep -c '^rootstock_metrics_answered{.*} 1$' "$work/metrics") == 5 ]]
}

# Bad places are refused, by name.
for bad in 10.0.0.1:9100 127.0.0.1 127.0.0.1:0 127.0.0.1:70000 9100 127.0.0.1:9x here; do
	printf '[server]\nmetrics = %s\n' "$bad" >"$work/bad.conf"
	! "$rootstock" serve --config "$work/bad.conf" --interface br0 2>"$work/err" ||
		fail "metrics = $bad was taken"
	grep -q 'bad.conf:2: metrics' "$work/err" || fail "metrics = $bad: $(cat "$work/err")"
done

# On a socket.
printf '[server]\nmetrics = %s\nadmin = 10.77.0.0/24\n' "$work/metrics.sock" >"$work/rootstock.conf"
server_start --config "$work/rootstock.conf"
at=(--unix-socket "$work/metrics.sock" http://localhost/metrics)
wait_for 30 "all to answer" is_up "${at[@]}"
equal "the mode of the socket" 660 "$(stat -c %a "$work/metrics.sock")"
pid=$(value 'rootstock_service_pid{service="metrics"}')
[[ $(awk '/^Uid:/ { print $2 }' "/proc/$pid/status") != 0 ]] || fail "it is root"
equal "its capabilities" 0000000000000000 "$(awk '/^CapPrm:/ { print $2 }' "/proc/$pid/status")"
equal "services that run" 5 "$(grep -c '^rootstock_service_up{.*} 1$' "$work/metrics")"

# A machine boots, and each part of that is counted.
net_peer pc 52:54:00:aa:bb:cc
net_lease pc
reads_init() {
	net_peer_run pc nfs-cat nfs://10.77.0.1/sbin/init >"$work/init" 2>/dev/null
}
wait_for 20 "its root" reads_init
(cd "$work" && net_peer_run pc tftp -m binary 10.77.0.1 -c get kernel got-kernel)
is_counted() {
	scrape "${at[@]}" &&
		[[ $(value 'rootstock_boot_events_total{stage="init",result="done"}') -ge 1 &&
			$(value 'rootstock_boot_events_total{stage="kernel",result="done"}') -ge 1 &&
			$(value 'rootstock_boots{stage="running"}') == 1 ]]
}
wait_for 20 "the boot to be counted" is_counted
read='program="nfs",procedure="READ"'
[[ $(value "rootstock_nfs_call_duration_seconds_count{$read}") -ge 1 ]] || fail "no READ"
[[ $(value 'rootstock_nfs_call_duration_seconds_count{program="mount",procedure="MNT"}') -ge 1 ]] ||
	fail "no MNT"
[[ $(value rootstock_nfs_read_bytes_total) -ge 200000 ]] || fail "bytes that were read"
equal "bytes by TFTP" 100000 "$(value rootstock_tftp_bytes_total)"
equal "files by TFTP" 1 "$(value 'rootstock_tftp_transfers_total{result="sent"}')"
equal "bound leases" 1 "$(value 'rootstock_dhcp_leases{state="bound"}')"

# is NAME WANTED...: the figures now.
is() {
	local names=() wanted=()
	while [[ $# -gt 0 ]]; do
		names+=("$1")
		wanted+=("$2")
		shift 2
	done
	scrape "${at[@]}" && [[ $(value "${names[@]}") == "$(printf '%s\n' "${wanted[@]}")" ]]
}
# Filled, an image's files have been copied once each; nobody asks for what is there.
wait_for 30 "the fill" is rootstock_copier_versions 0 rootstock_copier_files_total 2 \
	rootstock_copier_bytes_total 300000 rootstock_copier_failures_total 0
hit='rootstock_nfs_reads_total{store="hit"}' miss='rootstock_nfs_reads_total{store="miss"}'
{ read -r hits && read -r misses && read -r asks; } < <(value "$hit" "$miss" rootstock_copier_asks_total)
reads_init || fail "its init again"
is "$miss" "$misses" rootstock_copier_asks_total "$asks" || fail "a miss of what is in the store"
(($(value "$hit") > hits)) || fail "no hit of what is in the store"

# One that is not there yet, as the copier has been stopped, is a miss, and asked for.  One
# that has gone from the origin, and one that has changed where that is not taken, are no
# files that were copied.
mkdir "$work/late" "$work/strict"
head -c 50000 /dev/urandom >"$work/late/file"
echo gone >"$work/late/gone"
echo one >"$work/strict/file"
copier=$(value 'rootstock_service_pid{service="copier"}')
kill -STOP "$copier"
"$rootstock" image add late "$work/late" >/dev/null
"$rootstock" image add strict "$work/strict" --strict >/dev/null
rm "$work/late/gone"
echo other >"$work/strict/file"
spawn late nsenter --net="/run/netns/$net_ns-pc" nfs-cat nfs://10.77.0.1/images/late/file
late=$spawned
hits=$(value "$hit")
is_missed() {
	scrape "${at[@]}" && (($(value "$miss") == misses + 1))
}
wait_for 20 "a miss" is_missed
[[ ! -s $work/late.log ]] || fail "it was answered without the copier"
equal "hits meanwhile" "$hits" "$(value "$hit")"
kill -CONT "$copier"
wait_for 30 "the file" gone "$late"
cmp "$work/late.log" "$work/late/file" || fail "other bytes after a miss"
wait_for 30 "the late file to be counted" is rootstock_copier_asks_total $((asks + 1)) \
	rootstock_copier_files_total 3 rootstock_copier_bytes_total 350000 \
	rootstock_copier_failures_total 2

# What comes faster than it is read is lost, and counted: by each who has a socket for it.
lost=(rootstock_dhcp_lost_total rootstock_nfs_datagrams_dropped_total
	rootstock_tftp_requests_dropped_total)
equal "lost so far" "0 0 0" "$(value "${lost[@]}" | tr '\n' ' ' | sed 's/ $//')"
mapfile -t pids < <(value 'rootstock_service_pid{service="dhcp"}' \
	'rootstock_service_pid{service="nfs"}' 'rootstock_service_pid{service="tftp"}')
kill -STOP "${pids[@]}"
net_peer_run pc python3 -c 'import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for port in 67, 69, 2049:
    for i in range(8000):
        s.sendto(b"\2" * 1400, ("10.77.0.1", port))'
kill -CONT "${pids[@]}"
all_lost() {
	scrape "${at[@]}" && ! value "${lost[@]}" | grep -x 0
}
wait_for 30 "what was lost to be counted" all_lost
wait_for 10 "all to answer after a flood" is_up "${at[@]}"
promtool check metrics <"$work/metrics" >"$work/promtool" 2>&1 ||
	fail "promtool: $(cat "$work/promtool")"

# Others than a scrape.
status() {
	nsenter --net="/run/netns/$net_ns" curl -s -o /dev/null -w '%{http_code}' \
		--unix-socket "$work/metrics.sock" "$@"
}
equal "another page" 404 "$(status http://localhost/)"
equal "another method" 405 "$(status -X DELETE http://localhost/metrics)"
equal "a body" 405 "$(status --data-binary @"$image/sbin/init" http://localhost/metrics)"

# Clients that send a byte now and then keep nobody out.
spawn slow nsenter --net="/run/netns/$net_ns" python3 -u -c 'import socket, sys, time
clients = [socket.socket(socket.AF_UNIX) for i in range(40)]
for i, s in enumerate(clients):
    s.settimeout(0.1)
    try:
        s.connect(sys.argv[1])
    except OSError: # no room for more of them
        del clients[i:]
        break
print(len(clients))
while True:
    for s in clients:
        try:
            s.send(b"G")
        except OSError:
            pass
    time.sleep(0.2)' "$work/metrics.sock"
wait_for 30 "slow clients" grep -q . "$work/slow.log"
(($(cat "$work/slow.log") >= 8)) || fail "only $(cat "$work/slow.log") slow clients"
for i in 1 2 3; do
	scrape --max-time 8 "${at[@]}" || fail "kept out by slow clients"
done
stop "$spawned"

# One that dies, or is silent, is said to be.
kill -STOP "$(value 'rootstock_service_pid{service="tftp"}')"
scrape "${at[@]}"
equal "one that hangs" 0 "$(value 'rootstock_metrics_answered{process="tftp"}')"
kill -CONT "$(value 'rootstock_service_pid{service="tftp"}')"
kill -9 "$pid"
wait_for 30 "it to be back" is_up "${at[@]}"
equal "its restarts" 1 "$(value 'rootstock_service_restarts_total{service="metrics"}')"
stop "$server_pid"
[[ ! -e $work/metrics.sock ]] || fail "the socket was left"

# On a port; and a reload takes it elsewhere, away and back.
printf '[server]\nmetrics = 127.0.0.1:9199\n' >"$work/rootstock.conf"
server_start --config "$work/rootstock.conf"
wait_for 30 "all to answer" is_up http://127.0.0.1:9199/metrics
value rootstock_dhcp_packets_total >/dev/null
reload() {
	printf '[server]\n%s\n' "$1" >"$work/rootstock.conf"
	"$rootstock" reload >/dev/null
}
is_silent() {
	! scrape http://127.0.0.1:9199/metrics 2>/dev/null
}
reload "metrics = $work/metrics.sock"
wait_for 30 "all to answer on the socket" is_up "${at[@]}"
wait_for 10 "the port to be closed" is_silent
reload ''
socket_gone() {
	[[ ! -e $work/metrics.sock ]]
}
wait_for 10 "the socket to go" socket_gone
is_four() {
	[[ $(pgrep -P "$server_pid" | wc -l) == 4 ]]
}
wait_for 10 "the fifth child to go" is_four
reload 'metrics = 127.0.0.1:9199'
wait_for 30 "all to answer again" is_up http://127.0.0.1:9199/metrics
stop "$server_pid"
! grep -i 'error' "$work/serve.log" || fail "errors in the log"

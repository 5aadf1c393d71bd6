#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=default limit=1800
# Clients that nobody here wrote get the right bytes: tftp-hpa, atftp with windows,
# curl and busybox, for sizes around every edge, with block numbers that roll
# over, and beyond 4 GiB.
set -euo pipefail
# shellcheck source=tests/lib/tftp.sh
. "$(dirname "$0")/../lib/tftp.sh"

tftp_up tftp atftp curl busybox
for size in 0 1 511 512 513 1024 1428 1468 2856 65464 130928 1000000; do
	head -c $size /dev/urandom >"$work/served/$size"
done
head -c $((70000 * 512)) /dev/urandom >"$work/served/rolls"
sizes=$(ls "$work/served")
head -c 70001 /dev/urandom >"$work/served/odd"
printf 'unix\nmac\rdos\r\nend' >"$work/served/text"

# Every client's own words for one download of $1 into the file "out".
hpa() {
	net_run tftp -m binary "$net_address" -c get "$1" out
}
busybox_at() {
	net_run busybox tftp -b "$2" -g -r "$1" -l out "$net_address"
}
curl_at() {
	net_run curl -sS --max-time 900 --tftp-blksize "$2" -o out "tftp://$net_address/$1"
}
curl_plain() {
	net_run curl -sS --max-time 900 --tftp-no-options -o out "tftp://$net_address/$1"
}
atftp_at() {
	net_run atftp --option "blksize $2" --option "windowsize $3" --option "timeout 2" \
		-g -r "$1" -l out "$net_address" 2>atftp.log || {
		cat atftp.log >&2
		return 1
	}
}

all_clients() {
	local size
	for size in $sizes; do
		: >out
		hpa "$size" || fail "hpa $size"
		tftp_same "$size" out "tftp-hpa"
		: >out
		curl_plain "$size" || fail "curl_plain $size"
		tftp_same "$size" out "curl, no options"
		for blksize in 512 1428 65464; do
			: >out
			busybox_at "$size" $blksize || fail "busybox_at $size"
			tftp_same "$size" out "busybox, $blksize"
			: >out
			curl_at "$size" $blksize || fail "curl_at $size"
			tftp_same "$size" out "curl, $blksize"
		done
		for option in "512 1" "1428 4" "1468 16" "1468 64" "8192 8"; do
			rm -f out
			# shellcheck disable=SC2086
			atftp_at "$size" $option || fail "atftp_at $size"
			tftp_same "$size" out "atftp, $option"
		done
	done
}

# Every block size that somebody's firmware asks for, what lies beside it, and the ends of
# what RFC 2348 allows; by windows where a client has them.
all_options() {
	local blksize window
	for blksize in 8 9 511 512 513 1023 1024 1408 1428 1432 1456 1468 8192 16384 65463 65464; do
		if ((blksize >= 24)); then # it takes no less
			: >out
			busybox_at odd $blksize || fail "busybox_at odd"
			tftp_same odd out "busybox, $blksize"
		fi
		: >out
		curl_at odd $blksize || fail "curl_at odd"
		tftp_same odd out "curl, $blksize"
		for window in 1 2 3 4 8 16 32 64 256; do
			rm -f out
			atftp_at odd $blksize $window || fail "atftp_at odd"
			tftp_same odd out "atftp, $blksize, $window"
		done
	done
}

tftp_serve
all_options
all_clients
net_run tftp -m ascii "$net_address" -c get text out
# tftp-hpa turns CR NUL and CR LF back: only what netascii keeps is the same.
tftp_same text out "tftp-hpa, netascii"

# What must not work, does not, and says so.
net_run tftp -m binary "$net_address" -c put "$work/served/1" planted >put.log 2>&1 || true
grep -q 'read-only' put.log || fail "a write request was not refused: $(cat put.log)"
[[ ! -e $work/served/planted ]] || fail "a write request was served"
for name in ../server.log '..\server.log' /../server.log none; do
	if net_run curl -sS --max-time 10 -o out --path-as-is "tftp://$net_address/$name" 2>/dev/null; then
		fail "$name was served"
	fi
done

# Over 4 GiB, and over 65,535 of the largest blocks.
truncate -s $(((4 << 30) + 12345)) "$work/served/huge"
printf end | dd of="$work/served/huge" bs=1 seek=$(((4 << 30) + 12342)) conv=notrunc status=none
net_run curl -sS --max-time 900 --tftp-blksize 65464 "tftp://$net_address/huge" |
	cmp - "$work/served/huge" || fail "the huge file differs"
rm "$work/served/huge"
stop "$spawned"

# One port for all, as through NAT; and a port range.
sizes="0 1 513 65464 1000000"
tftp_serve -1
all_clients
stop "$spawned"
tftp_serve -r 4096:4098
all_clients
! grep -E 'warn|error' "$work/server.log" >&2 || fail "warnings above"

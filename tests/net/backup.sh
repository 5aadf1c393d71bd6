#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A backup that is made while the state is served, changed and filled is a whole one: unpacked
# elsewhere it is the state of one moment, secrets, identities and the keys of handles too.
# check: when=quick
set -euo pipefail
# shellcheck source=tests/lib/server.sh
. "$(dirname "$0")/../lib/server.sh"
need_root
need sqlite3 nfs-cat udhcpc
net_up
server_state
state=$ROOTSTOCK_STATE

rs() {
	"$rootstock" "$@" 2>>"$work/log"
}

# restore FILE: as the manual says; leaves ROOTSTOCK_STATE there.
restore() {
	ROOTSTOCK_STATE=$work/restored
	rm -rf "$ROOTSTOCK_STATE"
	install -d -m 750 "$ROOTSTOCK_STATE"
	tar -xpf "$1" -C "$ROOTSTOCK_STATE"
	rs image check --bytes >"$work/check" || fail "restored: $(cat "$work/check")"
}

mkdir -p "$work/origin/etc" "$work/origin/usr"
echo conf >"$work/origin/etc/conf"
for i in {1..300}; do
	head -c 20000 /dev/urandom >"$work/origin/usr/$i"
done
rs image add lab "$work/origin" --wait >/dev/null
rs group add desk
rs host add 52:54:00:00:00:01 --name amy --group desk --address 10.77.0.1
rs host add 52:54:00:00:00:02 --name bob
rs overlay put host:amy /etc/token --secret < <(echo word)
rs overlay put all /etc/motd < <(echo welcome)

# A still state comes back as it was.
rs backup "$work/one.tar" >/dev/null
equal "mode of a backup" 600 "$(stat -c %a "$work/one.tar")"
for host in amy bob lab@1; do
	rs view digest "$host"
done >"$work/digests"
rs export "$work/conf" --secrets
sqlite3 "$state/rootstock.db" .dump >"$work/dump"
restore "$work/one.tar"
for host in amy bob lab@1; do
	rs view digest "$host"
done | diff "$work/digests" - || fail "other trees"
rs export "$work/conf2" --secrets
diff -r "$work/conf" "$work/conf2" || fail "another configuration"
cmp "$state/secrets/handle-key" "$ROOTSTOCK_STATE/secrets/handle-key" || fail "another key of handles"
equal "who reads the key" "$(stat -c '%a %u' "$state/secrets/handle-key")" \
	"$(stat -c '%a %u' "$ROOTSTOCK_STATE/secrets/handle-key")"
# The very rows: ids, change numbers.
sqlite3 "$ROOTSTOCK_STATE/rootstock.db" .dump | diff "$work/dump" - || fail "other rows"
(cd "$state" && find . -type d -printf '%p %m %u %g\n' | grep -v -e '^\. ' -e /tmp) | sort >"$work/dirs"
(cd "$ROOTSTOCK_STATE" && find . -type d -printf '%p %m %u %g\n' | grep -v -e '^\. ' -e /tmp) |
	sort | diff "$work/dirs" - || fail "directories of others"
equal "the secret" word "$(rs view cat amy /etc/token)"
rs overlay put all /etc/new < <(echo "it goes on")
equal "a new file" "it goes on" "$(rs view cat bob /etc/new)"

# While everything moves, and a machine has a lease and reads.
ROOTSTOCK_STATE=$state
server_start
net_peer bob 52:54:00:00:00:02
net_lease bob
lease=$(sed -n 's/.*lease of \([0-9.]*\) obtained.*/\1/p' "$work/udhcpc-bob.log")
bob_reads() {
	[[ $(net_peer_run bob timeout 20 nfs-cat nfs://10.77.0.1/etc/motd 2>/dev/null) == welcome ]]
}
wait_for 20 "what bob has" bob_reads
bob_mounted() {
	rs boot show bob >"$work/show" && grep -q "^mounted " "$work/show"
}
wait_for 20 "his mount on record" bob_mounted
cp -r "$work/origin" "$work/second"
echo another >"$work/second/etc/conf"
for i in {1..300}; do
	head -c 20000 /dev/urandom >"$work/second/usr/$i"
done
(
	n=0
	while [[ ! -e $work/enough ]]; do
		n=$((n + 1))
		echo "$n" | rs overlay put all /etc/counter
		echo "$n" | rs overlay put all "/etc/c$((n % 5))"
		rs overlay reset all "/etc/c$(((n + 2) % 5))" || true
	done
) &
writer=$!
at_exit stop "$writer"
rs image add lab "$work/second" --wait >/dev/null &
filler=$!
at_exit stop "$filler"
for i in 1 2 3; do
	rs backup "$work/two.tar" >/dev/null
	restore "$work/two.tar"
	rs lease list | grep -q "^$lease .* 52:54:00:00:00:02 .* bound" || fail "backup $i: no lease"
	# The boot, if not its timeline: events are in no backup.
	[[ ! -e $ROOTSTOCK_STATE/trace.db ]] || fail "backup $i: a trace.db"
	rs boot list bob | grep -q "lab@1" || fail "backup $i: no boot: $(tail -n 3 "$work/log")"
	rs boot show bob | grep -q "^mounted " || fail "backup $i: boot show: $(tail -n 3 "$work/log")"
	bob_reads || fail "backup $i: bob does not read any more"
	equal "backup $i: a body" welcome "$(rs view cat amy /etc/motd)"
	for c in 0 1 2 3 4; do
		rs view cat amy "/etc/c$c" >/dev/null || [[ $(rs view ls amy /etc) != *"c$c"* ]] ||
			fail "backup $i: /etc/c$c has no body"
	done
	# What was not copied yet comes from the origin.
	rs view digest lab@1 | diff <(sed -n 3p "$work/digests") - || fail "backup $i: lab@1"
	if rs image show lab@2 >/dev/null; then
		equal "backup $i: a file of lab@2" another "$(rs view cat lab@2 /etc/conf)"
	fi
	ROOTSTOCK_STATE=$state
done
touch "$work/enough"
wait "$writer" || fail "changes beside it: $(tail -n 3 "$work/log")"
wait "$filler" || fail "an image beside it: $(tail -n 3 "$work/log")"
alive "$server_pid" || fail "serve has ended"
stop "$server_pid"
! grep -i ' error' "$work/serve.log" || fail "errors in the log of the server"

# To a pipe, and what does not work leaves the old one.
rs backup - | tar -tf - >"$work/list"
grep -q '^rootstock.db$' "$work/list" || fail "no database in the pipe"
sum=$(sha256sum <"$work/two.tar")
if (
	ulimit -f 100
	trap '' XFSZ
	"$rootstock" backup "$work/two.tar" >/dev/null 2>"$work/err"
); then
	fail "a backup that has no room"
fi
grep -q "^rootstock: backup: " "$work/err" || fail "no word: $(cat "$work/err")"
equal "the backup before" "$sum" "$(sha256sum <"$work/two.tar")"
equal "what is left beside it" "" "$(find "$work" -maxdepth 1 -name 'two.tar.*')"

# A damaged file is told; the rest is there.
victim=$(find "$state/objects" -path '*/??/*' -type f -size +10k -print -quit)
printf x >>"$victim" # whatever its bytes are
if "$rootstock" backup "$work/three.tar" >/dev/null 2>"$work/err"; then
	fail "a damaged file was not told"
fi
grep -q "objects/.*: damaged, and so in the backup" "$work/err" || fail "$(cat "$work/err")"
tar -tf "$work/three.tar" >/dev/null

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2154 # what the library sets
# check: when=quick limit=120
# A handle says by itself which boot's tree it shows: a machine that boots anew mounts while
# nobody can write that down, dhcp and nfs are killed, and it sees what waited for its next
# boot, where handles of the boot before do not.  That it mounted is made up for.
set -euo pipefail
lib=$(dirname "$0")/../lib
for part in test net server; do
	# shellcheck source=/dev/null
	. "$lib/$part.sh"
done

need_root
need udhcpc sqlite3 python3
net_up
server_state
mkdir -p "$work/image"/{sbin,etc}
echo init >"$work/image/sbin/init"
"$rootstock" image add lab "$work/image" >/dev/null
server_start

net_peer pc 52:54:00:aa:bb:cc
# client WORD...: `mount FILE` puts a root's handle there; `look FILE NAME` walks from it, and
# prints the status.
client() {
	net_peer_run pc env PYTHONPATH="$PWD/tests/net" python3 - "$@" <<'END'
import sys
import nfs_rpc as rpc

rpc.ADDRESS = "10.77.0.1"
t = rpc.Tcp()
if sys.argv[1] == "mount":
    open(sys.argv[2], "wb").write(rpc.mount(t))
else:
    fh = rpc.lookup(t, open(sys.argv[2], "rb").read(), b"etc")
    print(rpc.status(t.ask(rpc.call(rpc.NFS, 3, 3, rpc.opaque(fh) + rpc.opaque(sys.argv[3].encode())))))
END
}
sees() {
	[[ $(client look "$@" 2>/dev/null) == 0 ]]
}
mounted() {
	sqlite3 -readonly -cmd '.timeout 20000' "$ROOTSTOCK_STATE/leases.db" \
		"SELECT group_concat(mounted IS NOT NULL, ' ') FROM (SELECT * FROM boot ORDER BY id)"
}
are_mounted() {
	[[ $(mounted) == "$1" ]]
}

net_lease pc -V PXEClient:Arch:00000:UNDI:002001
wait_for 10 "the first mount" client mount "$work/first"
wait_for 10 "it to be on record" are_mounted 1
echo later | "$rootstock" overlay put all /etc/later --next-boot
net_lease pc -V PXEClient:Arch:00000:UNDI:002001
equal "boots, and which have mounted" "1 0" "$(mounted)"

held() {
	! sqlite3 "$ROOTSTOCK_STATE/leases.db" "BEGIN IMMEDIATE" 2>/dev/null
}
spawn holder sqlite3 "$ROOTSTOCK_STATE/leases.db" "BEGIN IMMEDIATE" ".shell sleep 6" "COMMIT"
holder=$spawned
wait_for 5 "leases.db to be held" held
client mount "$work/second"
sees "$work/second" later || fail "a boot does not see what waited for it"
for child in dhcp nfs; do
	kill -9 "$(pgrep -f "rootstock --state $ROOTSTOCK_STATE child $child ")"
done
wait_for 5 "nfs to be back, and the boot's tree" sees "$work/second" later
equal "a handle of the boot before" 2 "$(client look "$work/first" later)"
held || fail "leases.db was not held"
equal "what is on record of it" "1 0" "$(mounted)"
wait_for 20 "the holder's end" gone "$holder"
made_up_for() {
	sees "$work/second" later && are_mounted "1 1"
}
wait_for 10 "the mount on record, told by a handle" made_up_for
stop "$server_pid"

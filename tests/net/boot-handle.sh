#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=quick limit=240
# A handle says by itself which boot it is of.  What runs goes on in its own, whatever somebody
# else begins in its name.  A machine that boots anew mounts while nobody can write that down,
# dhcp and nfs are killed, and it sees what waited for its next boot, where handles of the boot
# before do not; that it mounted is made up for.
set -euo pipefail
# shellcheck source=tests/lib/server.sh
. "$(dirname "$0")/../lib/server.sh"

need_root
need udhcpc sqlite3 python3
net_up
server_state
mkdir -p "$work/image"/{sbin,etc}
echo init >"$work/image/sbin/init"
"$rootstock" image add lab "$work/image" >/dev/null
server_start

net_peer pc 52:54:00:aa:bb:cc
# client PEER WORD...: `mount FILE` puts a root's handle there; `look FILE NAME` walks from it
# to /etc/NAME, and prints the status; `init FILE` reads /sbin/init; `offer` mounts by UDP.
client() {
	net_peer_run "$1" env PYTHONPATH="$PWD/tests/net" python3 - "${@:2}" <<'END'
import sys
import nfs_rpc as rpc

rpc.ADDRESS = "10.77.0.1"
t = rpc.Udp() if sys.argv[1] == "offer" else rpc.Tcp()
fh = open(sys.argv[2], "rb").read() if sys.argv[1] in ("look", "init") else rpc.mount(t)
if sys.argv[1] == "mount":
    open(sys.argv[2], "wb").write(fh)
elif sys.argv[1] == "look":
    fh = rpc.lookup(t, fh, b"etc")
    print(rpc.status(t.ask(rpc.call(rpc.NFS, 3, 3, rpc.opaque(fh) + rpc.opaque(sys.argv[3].encode())))))
elif sys.argv[1] == "init":
    fh = rpc.lookup(t, rpc.lookup(t, fh, b"sbin"), b"init")
    assert b"init" in rpc.results(t.ask(rpc.call(rpc.NFS, 3, 6, rpc.opaque(fh) + rpc.words(0, 0, 4096))))
END
}
sees() {
	[[ $(client pc look "$@" 2>/dev/null) == 0 ]]
}
# Of each boot: how far it came, or that it is over.
boots() {
	sqlite3 -readonly -cmd '.timeout 20000' "$ROOTSTOCK_STATE/leases.db" \
		"SELECT group_concat(CASE WHEN ended IS NOT NULL THEN 'over' WHEN init IS NOT NULL
		THEN 'runs' WHEN mounted IS NOT NULL THEN 'mounted' ELSE 'open' END, ' ')
		FROM (SELECT * FROM boot ORDER BY id)"
}
boots_are() {
	[[ $(boots) == "$1" ]]
}

rom=PXEClient:Arch:00000:UNDI:002001
net_lease pc -V $rom
wait_for 10 "the first mount" client pc mount "$work/first"
client pc init "$work/first"
wait_for 10 "it to be on record" boots_are runs
echo later | "$rootstock" overlay put all /etc/later --next-boot

# Somebody else begins a boot in its name, and mounts by UDP.
net_peer evil 52:54:00:aa:bb:cc
net_lease evil -V $rom
client evil offer
net_peer_run evil ip link set eth0 down
equal "the boots, with one that is forged" "runs open" "$(boots)"
for _ in 1 2; do
	equal "what runs sees of the next boot's" 2 "$(client pc look "$work/first" later)"
	client pc init "$work/first"
done
sleep 1.5 # in which word of it is told, each second
equal "the boots" "runs open" "$(boots)"
equal "what runs sees of the next boot's, in the end" 2 "$(client pc look "$work/first" later)"

# It boots itself.
net_lease pc -V $rom
equal "the boots" "runs over open" "$(boots)"
held() {
	! sqlite3 "$ROOTSTOCK_STATE/leases.db" "BEGIN IMMEDIATE" 2>/dev/null
}
mkfifo "$work/let-go"
spawn holder sqlite3 -cmd '.timeout 20000' "$ROOTSTOCK_STATE/leases.db" "BEGIN IMMEDIATE" \
	".shell read x <$work/let-go" "COMMIT"
holder=$spawned
wait_for 5 "leases.db to be held" held
client pc mount "$work/second"
sees "$work/second" later || fail "a boot does not see what waited for it"
for child in dhcp nfs; do
	kill -9 "$(pgrep -f "rootstock --state $ROOTSTOCK_STATE child $child ")"
done
wait_for 5 "nfs to be back, and the boot's tree" sees "$work/second" later
equal "a handle of the boot before" 2 "$(client pc look "$work/first" later)"
held || fail "leases.db was not held"
equal "what is on record" "runs over open" "$(boots)"
echo >"$work/let-go"
wait_for 20 "the holder's end" gone "$holder"
made_up_for() {
	sees "$work/second" later && boots_are "runs over mounted"
}
wait_for 10 "the mount on record, told by a handle" made_up_for
client pc init "$work/second"
wait_for 10 "the end of the boot before" boots_are "over over runs"
stop "$server_pid"

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=quick limit=300
# A machine that nobody registered, by clients that nobody here wrote: DHCP, loader,
# menu, kernel, mount, read; a host of its own by then, pinned to its version while
# the image changes, seeing live overlay changes, and served on when children die.
set -euo pipefail
# shellcheck source=tests/lib/server.sh
. "$(dirname "$0")/../lib/server.sh"

need_root
need udhcpc tftp nfs-ls nfs-cat sqlite3
[[ -e /usr/lib/PXELINUX/pxelinux.0 ]] || skip "pxelinux is not installed"
net_up
server_state

# An image that is small, and all there is to a boot.
image=$work/image
mkdir -p "$image"/{boot,bin,sbin,etc/ssh,usr/share/initramfs-tools}
head -c 300000 /dev/urandom >"$image/boot/vmlinuz-6.1.0-1-amd64"
head -c 900000 /dev/urandom >"$image/boot/initrd.img-6.1.0-1-amd64"
touch "$image/usr/share/initramfs-tools/init"
echo init >"$image/sbin/init"
echo one >"$image/etc/version"
"$rootstock" image add lab "$image" >/dev/null
server_start

mac=52:54:00:aa:bb:cc
host="host-525400aabbcc"
net_peer pc $mac
pc() {
	net_peer_run pc "$@"
}
fetch() {
	(cd "$work" && pc tftp -m binary 10.77.0.1 -c get "$1" "$2")
}
sees() {
	[[ $(pc nfs-cat "nfs://10.77.0.1/$1" 2>/dev/null) == "$2" ]]
}
# status_says LINE: a whole line of it.
status_says() {
	"$rootstock" status >"$work/status" || [[ $? == 1 ]] || fail "status ends with $?"
	grep -qxE -- "$1" "$work/status"
}
boots() {
	"$rootstock" boot list "$host" --json | grep -c '"boot"' || true
}

net_lease pc -O 66 -O 67
[[ $("$rootstock" host list --json | tr -d ' \n') == '[]' ]] ||
	fail "registered before it went on to boot"
"$rootstock" lease list | grep -q "$mac .* bound" || fail "no lease: $("$rootstock" lease list)"

for line in "booting: $mac 10\.77\.0\.[0-9]+ lab@1, loading for [0-9]+m[0-9]{2}s" \
	"hosts: 0 registered, 0 up"; do
	wait_for 10 "the status of a machine that loads" status_says "$line"
done

# While somebody holds the database a machine is not registered, and all else goes on.  What
# it asks for meanwhile comes late, and is not refused.
held() {
	! sqlite3 "$ROOTSTOCK_STATE/rootstock.db" "BEGIN IMMEDIATE" 2>/dev/null
}
mkfifo "$work/let-go"
spawn holder sqlite3 -cmd '.timeout 20000' "$ROOTSTOCK_STATE/rootstock.db" "BEGIN IMMEDIATE" \
	".shell read x <$work/let-go" "COMMIT"
holder=$spawned
wait_for 5 "the database to be held" held
fetch pxelinux.0 got-loader
sleep 0.5 # for the supervisor to hear of it
wait_for 3 "an answer meanwhile" status_says 'rootstock on .*, up .*'
held || fail "the database was not held"
spawn let-go sh -c "sleep 2; echo >'$work/let-go'"
fetch pxelinux.cfg/01-52-54-00-aa-bb-cc got-menu
wait_for 20 "the holder's end" gone "$holder"
wait_for 5 "the machine to be registered" "$rootstock" host show "$host" >/dev/null 2>&1
cmp "$work/got-loader" /usr/lib/PXELINUX/pxelinux.0
grep -q 'nfsroot=10.77.0.1:/,vers=3,tcp' "$work/got-menu" || fail "menu: $(cat "$work/got-menu")"
"$rootstock" host show "$host" >/dev/null
fetch kernel got-kernel
cmp "$work/got-kernel" "$image/boot/vmlinuz-6.1.0-1-amd64"
fetch initrd got-initrd
cmp "$work/got-initrd" "$image/boot/initrd.img-6.1.0-1-amd64"

wait_for 10 "its own root" sees etc/hostname "$host"
for line in "booting: $host 10\.77\.0\.[0-9]+ lab@1, root mounted for [0-9]+m[0-9]{2}s" \
	"hosts: 1 registered, 0 up"; do
	wait_for 10 "the status of a machine that has its root" status_says "$line"
done
sees etc/machine-id "$("$rootstock" view cat "$host" /etc/machine-id)" || fail "machine-id"
sees etc/version one || fail "the image's file"
equal "boots" 1 "$(boots)"
pc nfs-ls nfs://10.77.0.1/hosts/other >"$work/out" 2>&1 && fail "another host's root was given"
# Its secret is its own: not by TFTP, and by NFS the very bytes.
sees etc/ssh/ssh_host_ed25519_key \
	"$("$rootstock" view cat "$host" /etc/ssh/ssh_host_ed25519_key)" || fail "its key"
fetch etc/ssh/ssh_host_ed25519_key got-secret 2>&1 | grep -qi 'error\|not found\|denied' ||
	[[ ! -s $work/got-secret ]] || fail "a secret left by TFTP"

# A live change is seen; one for the next boot is not.
echo now | "$rootstock" overlay put all /etc/live
wait_for 2 "a live overlay change" sees etc/live now
echo later | "$rootstock" overlay put all /etc/later --next-boot
sleep 0.5
! sees etc/later later || fail "a change for the next boot was seen in this one"

# The image changes; the boot does not.
echo two >"$image/etc/version"
"$rootstock" image add lab "$image" --activate --wait >/dev/null 2>&1
equal "what the next boot gets" two "$("$rootstock" view cat "$host" /etc/version)"
sees etc/version one || fail "a running client saw the image change"
! "$rootstock" image remove lab@1 2>"$work/err" || fail "a pinned version was removed"
grep -q 'pinned' "$work/err" || fail "remove: $(cat "$work/err")"

# Children die; the service goes on.
for child in nfs tftp dhcp copier; do
	pid=$(pgrep -f "rootstock --state $ROOTSTOCK_STATE child $child ")
	kill -9 "$pid"
done
wait_for 15 "nfs to be back" sees etc/version one
fetch kernel got-kernel
cmp "$work/got-kernel" "$image/boot/vmlinuz-6.1.0-1-amd64"
equal "boots after all that" 1 "$(boots)"
# died NAME: status says so, and that it is back.
died() {
	status_says "wrong: $1 died 1 time since the server was started: see its log" &&
		grep -qE "^  $1 +pid [0-9]+ +up [0-9]+m[0-9]{2}s, restarted 1 times" "$work/status"
}
for child in nfs tftp dhcp copier; do
	wait_for 10 "status to say that $child died and is back" died $child
done
sees sbin/init init || fail "its init"
wait_for 10 "status to have it up" status_says "hosts: 1 registered, 1 up"
! grep '^booting' "$work/status" || fail "it boots and is up"
told() {
	"$rootstock" boot show "$host" | grep -q " $1 "
}
for stage in loader file mount init; do
	wait_for 10 "$stage in the timeline" told $stage
done

"$rootstock" boot show "$host" --html "$work/boot.html"
"$rootstock" boot show "$host" --json >"$work/boot.json"
"$lib/timeline.py" "$work/boot.html" "$work/boot.json" || fail "the page of the boot (above)"
# Asked for twice.
grep -q '>kernel<.* 2 files · 586 KiB</text>' "$work/boot.html" || fail "the kernel's bytes in the drawing"
python3 -c 'import json, sys
boot = json.load(sys.stdin)
kernel = [e for e in boot["events"] if e["stage"] == "kernel"]
assert boot["image"] == "lab@1" and boot["mode"] == "tmpfs", boot
assert boot["state"] == "running" and boot["reached"] == "init", boot
assert kernel and kernel[0]["bytes"] == 300000, boot' <"$work/boot.json" || fail "the boot as JSON"

# Another one mounts at once, with nothing by TFTP before: it is waited for.
net_peer direct 52:54:00:aa:bb:dd
net_lease direct
equal "its first mount, as a new host" host-525400aabbdd \
	"$(net_peer_run direct nfs-cat nfs://10.77.0.1/etc/hostname)"
sqlite3 -cmd '.timeout 20000' "$ROOTSTOCK_STATE/leases.db" \
	"UPDATE boot SET opened = opened - 1200000000000 WHERE init IS NULL"
wait_for 10 "status to miss it" status_says \
	"wrong: 1 machine began to boot and did not come to init: rootstock boot list"
! grep '^booting' "$work/status" || fail "it boots still, after twenty minutes"
net_peer_run direct nfs-cat nfs://10.77.0.1/sbin/init >"$work/init"
init_seen() {
	"$rootstock" boot show host-525400aabbdd >"$work/timeline"
	grep -q ' mount ' "$work/timeline" && grep -q ' init ' "$work/timeline"
}
wait_for 10 "the mount and the first read of init in its boot" init_seen
wait_for 10 "status to have both up" status_says "hosts: 2 registered, 2 up"
! grep 'did not come to init' "$work/status" || fail "it came to init: $(cat "$work/status")"
"$rootstock" lease list --json | python3 -c 'import json, sys
leases = {lease["mac"][-2:]: lease for lease in json.load(sys.stdin)}
assert sorted(leases) == ["cc", "dd"], leases
for last, lease in leases.items():
    assert lease["mac"] == "52:54:00:aa:bb:" + last and lease["state"] == "bound", lease
    assert lease["host"] == "host-525400aabb" + last and lease["address"][:8] == "10.77.0.", lease
    assert lease["started"] < lease["expires"], lease' || fail "the leases as JSON"

# A host of several MACs: all of their boots end with its own.
"$rootstock" host remove host-525400aabbdd
"$rootstock" host set "$host" mac=$mac,52:54:00:aa:bb:dd
open_boots() {
	sqlite3 -readonly -cmd '.timeout 20000' "$ROOTSTOCK_STATE/leases.db" \
		"SELECT count(*) FROM boot WHERE ended IS NULL"
}
equal "open boots" 2 "$(open_boots)"
"$rootstock" boot end "$host"
equal "open boots after their end" 0 "$(open_boots)"
! "$rootstock" boot end 52:54:00:aa:bb:dd 2>"$work/err" || fail "ended twice"
grep -q '^rootstock: boot end: 52:54:00:aa:bb:dd: no boot of it is open$' "$work/err" ||
	fail "again: $(cat "$work/err")"
stop "$server_pid"
! grep -i 'error' "$work/serve.log" | grep -v 'killed by signal 9' || fail "errors in the log"

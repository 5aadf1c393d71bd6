#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=quick limit=240
# What `image check` finds in an initrd: NFS, drivers, and whether dracut's way of
# setting up the network ever leads to a mount.
set -euo pipefail
# shellcheck source=tests/lib/server.sh
. "$(dirname "$0")/../lib/server.sh"

need_root
need cpio
server_state
tree=$work/tree
mkdir -p "$tree"/{boot,bin,sbin,usr/lib/dracut}
touch "$tree"/boot/vmlinuz-6.1 "$tree"/{sbin/init,bin/sh,bin/mount}
chmod 755 "$tree"/{sbin/init,bin/sh,bin/mount}

# initrd NAME...: an initrd with these files.
initrd() {
	local name
	rm -rf "$work/initrd"
	for name; do
		mkdir -p "$work/initrd/${name%/*}"
		touch "$work/initrd/$name"
	done
	(cd "$work/initrd" && find . -type f -printf '%P\n' | cpio --quiet -o -H newc) |
		gzip >"$tree/boot/initrd.img-6.1"
}

# check STATUS LINE: of a new image of the tree.
count=0
check() {
	local status=0
	count=$((count + 1))
	"$rootstock" image add "image$count" "$tree" >"$work/add.log"
	"$rootstock" image check "image$count" >"$work/said" || status=$?
	equal "the status of: $2" "$1" "$status"
	grep -q "$2" "$work/said" || {
		cat "$work/said" >&2
		fail "not said: $2"
	}
}

modules=(lib/modules/6.1/kernel/fs/nfs/nfs.ko lib/modules/6.1/kernel/drivers/net/virtio_net.ko)
networkd=usr/lib/systemd/systemd-networkd
initrd "${modules[1]}" sbin/ifup
check 1 "the initrd has no NFS: dracut --add nfs"
initrd "${modules[@]}" $networkd
check 1 "networkd never mounts a root by NFS: dracut --add network-legacy"
initrd "${modules[@]}" $networkd sbin/ifup
check 0 "network drivers in the initrd: virtio_net"
initrd "${modules[@]}" $networkd usr/lib/dracut/hooks/initqueue/settled/99-networkd-run.sh
check 0 "of dracut"

# What NFSv3 does not carry is named: a file's capabilities and ACLs, each file once.
mkdir "$tree/srv"
cp /bin/true "$tree/bin/ping"
ln "$tree/bin/ping" "$tree/bin/ping6"
touch "$tree"/srv/{a..u} "$tree/srv/plain"
python3 - "$tree" <<'END' || skip "no capabilities or ACLs in the file system of $work"
import os, struct, sys
os.setxattr(sys.argv[1] + "/bin/ping", "security.capability",
            struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0))
acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in (
    (1, 6, 0xffffffff), (2, 4, 1000), (4, 4, 0xffffffff), (16, 4, 0xffffffff), (32, 0, 0xffffffff)))
for name in "abcdefghijklmnopqrstu":
    os.setxattr(f"{sys.argv[1]}/srv/{name}", "system.posix_acl_access", acl)
END
check 0 'file capabilities are lost over NFS (setuid is not): 1 files: /bin/ping$'
grep -q 'ACLs are lost over NFS: 21 files: /srv/a /srv/b .* /srv/t \.\.\.$' "$work/said" ||
	fail "ACLs: $(cat "$work/said")"
! grep -e plain -e ping6 -e SELinux "$work/said" || fail "named without a reason"
"$rootstock" image check --json "image$count" | python3 -c 'import json, sys
rows = [row for row in json.load(sys.stdin) if "lost over NFS" in row["what"]]
assert [row["result"] for row in rows] == ["note", "note"], rows' || fail "as JSON"

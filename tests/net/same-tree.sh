#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=default limit=1200
# A host's tree is the same through both doors, NFS and the FUSE mount: each path
# with its attributes and contents.  Without overlays it is the image's own folder.
set -euo pipefail
lib=$(dirname "$0")/../lib
for part in test net server image; do
	# shellcheck source=/dev/null
	. "$lib/$part.sh"
done

need_root
[[ -e /dev/fuse ]] || skip "needs /dev/fuse"
mac=52:54:00:12:34:07
image=$("$lib/image.sh")
net_up
server_state
"$rootstock" image add debian "$image" >"$work/image-add.log"
"$rootstock" group add lab
"$rootstock" host add $mac --name east --address 10.77.0.20 --group lab

# Each kind of entry, in each scope, over files, folders and links of the image.
overlay_text all /etc/motd <<<"for all"
overlay_text group:lab /etc/motd --mode 0640 --owner 0:4 <<<"for the lab"
overlay_text host:east /etc/hostinfo --template <<<'{{name}} {{mac}}'
"$rootstock" overlay mkdir all /srv/new/deep --mode 0751
overlay_text group:lab /srv/new/deep/file <<<"in a folder of another scope"
"$rootstock" overlay link host:east /srv/new/link deep/file
"$rootstock" overlay hide host:east /usr/share/doc
"$rootstock" overlay hide all /etc/issue
"$rootstock" overlay opaque host:east /usr/share/man
"$rootstock" overlay attr group:lab /usr/bin/less --mode 0700 --owner 1:1
# Through a link of the image: /bin is usr/bin.
overlay_text host:east /bin/put-through-link --mode 0755 <<<'#!/bin/sh'
: >"$work/empty"
"$rootstock" overlay put all /etc/empty --from "$work/empty"

server_start
mkdir "$work/mnt"
at_exit umount -l "$work/mnt"
spawn mount "$rootstock" mount "$work/mnt"
mounted() {
	[[ -d $work/mnt/hosts/east/etc ]] || {
		! gone "$spawned" || mountpoint -q "$work/mnt" ||
			fail "mount ended: $(cat "$work/mount.log")"
		return 1
	}
}
wait_for 30 "the FUSE mount" mounted
net_peer east $mac
net_peer_run east ip address add 10.77.0.20/24 dev eth0

compare() {
	diff "$2" "$3" >"$work/diff" || {
		head -n 40 "$work/diff" >&2
		fail "$1: $(grep -c '^[<>]' "$work/diff") lines differ"
	}
	[[ $(wc -l <"$2") -gt 10000 ]] || fail "$1: only $(wc -l <"$2") paths"
	echo "$1: $(wc -l <"$2") paths are the same"
}

"$lib/walk.py" --plain "$image" >"$work/folder"
"$lib/walk.py" --plain "$work/mnt/images/debian@1" >"$work/bare"
compare "image and FUSE mount without overlays" "$work/folder" "$work/bare"
net_peer_run east "$lib/walk.py" "nfs://$net_address/" >"$work/nfs"
"$lib/walk.py" "$work/mnt/hosts/east" >"$work/fuse"
compare "NFS and FUSE" "$work/nfs" "$work/fuse"

# Both could be wrong in the same way: the overlays themselves.
seen() {
	grep -c "^$1 " "$work/nfs" || true
}
equal "/etc/motd" "for the lab" "$(cat "$work/mnt/hosts/east/etc/motd")"
equal "/etc/motd's mode and owner" "640 0:4" \
	"$(stat -c '%a %u:%g' "$work/mnt/hosts/east/etc/motd")"
equal "/etc/hostinfo" "east $mac" "$(cat "$work/mnt/hosts/east/etc/hostinfo")"
equal "a file in a new folder" 1 "$(seen /srv/new/deep/file)"
equal "a hidden folder" 0 "$(seen /usr/share/doc)"
equal "a hidden file" 0 "$(seen /etc/issue)"
equal "names in an opaque folder" 0 "$(grep -c '^/usr/share/man/' "$work/nfs" || true)"
equal "a file through a link" 1 "$(seen /usr/bin/put-through-link)"
equal "changed attributes" "700 1:1" \
	"$(stat -c '%a %u:%g' "$work/mnt/hosts/east/usr/bin/less")"

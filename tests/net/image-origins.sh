#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# An image is the same whatever it came from: a real tree as a directory, as a tar
# archive in every packing, and in the layers of an OCI image layout.  What cannot be
# read, or is interrupted, leaves nothing.
set -euo pipefail
# shellcheck source=tests/lib/server.sh
. "$(dirname "$0")/../lib/server.sh"
need_root
server_state
tree=$work/tree

# A tree of everything that a file can be.
mkdir -p "$tree/usr/share" "$tree/deep"
cp -a /etc "$tree/etc"
cp -a "$top/fsd" "$tests/unit" "$tree/usr/share" # where no other script writes
ln "$tree/etc/passwd" "$tree/usr/hard"
ln -s ../etc/passwd "$tree/usr/soft"
ln -s /no/such/"$(printf 'x%.0s' {1..200})" "$tree/usr/long"
mkfifo "$tree/fifo"
mknod "$tree/null" c 1 3
mknod "$tree/disk" b 259 70000
: >"$tree/empty"
echo bytes >"$tree/"$'\xff\xfe\n\\'
echo utf8 >"$tree/é"
echo longest >"$tree/$(printf 'n%.0s' {1..255})"
truncate -s 64M "$tree/sparse"
printf end >>"$tree/sparse"
chmod 4755 "$tree/empty"
chown 70000:4000000000 "$tree/empty"
touch -d '1960-02-03 04:05:06.25' "$tree/etc/hostname"
touch -d '2200-02-03 04:05:06.123456789' "$tree/usr/share"
setfattr -n user.x -v hello "$tree/empty" 2>/dev/null || true
dir=$tree/deep
for ((i = 0; i < 300; i++)); do
	dir+=/d$i
done
mkdir -p "$dir"
echo deep >"$dir/file"

pack() {
	tar --format=posix --sparse --xattrs --acls -C "$tree" "$@" .
}

digest() {
	"$rootstock" view digest "$1"
}

start=$SECONDS
"$rootstock" image add dir "$tree" --wait >"$work/add.log" 2>&1
want=$(digest dir)
paths=$(find "$tree" | wc -l)
echo "a directory of $paths paths: $((SECONDS - start)) s"

nothing_new() {
	local rows
	rows=$(sqlite3 "$ROOTSTOCK_STATE/rootstock.db" "SELECT count(*) FROM version")
	equal "$1: versions" "$versions" "$rows"
	equal "$1: manifests" "$versions" "$(find "$ROOTSTOCK_STATE/manifests" -type f | wc -l)"
	equal "$1: drafts" "" "$(ls "$ROOTSTOCK_STATE/objects/tmp")"
}

# cut_short ARCHIVE BYTES: cut to so many, said, and nothing is there.
cut_short() {
	head -c "$2" "$1" >"$work/cut"
	if "$rootstock" image add cut "$work/cut" 2>"$work/err"; then
		fail "$1 cut to $2 bytes was added"
	fi
	grep -q "^rootstock: image add: $work/cut: .*cut short" "$work/err" ||
		fail "$1 cut to $2 bytes: $(cat "$work/err")"
	nothing_new "a cut archive"
}

versions=1
for packing in none gzip bzip2 xz zstd; do
	option=--$packing
	[[ $packing != none ]] || option=--no-same-owner # means nothing here
	archive=$work/tree.$packing
	pack "$option" -cf "$archive"
	size=$(stat -c %s "$archive")
	start=${EPOCHREALTIME/./}
	equal "image add" "$packing@1" "$("$rootstock" image add "$packing" "$archive")"
	echo "packed by $packing: $size bytes, added in $((\
		(${EPOCHREALTIME/./} - start) / 1000)) ms"
	versions=$((versions + 1))
	cut_short "$archive" $((size / 2))
	[[ $packing == none ]] || cut_short "$archive" $((size - 1))
	rm "$archive" # it is not needed any more
	equal "the tree packed by $packing" "$want" "$(digest "$packing")"
done
equal "sealed ones" "$versions" "$(sqlite3 "$ROOTSTOCK_STATE/rootstock.db" \
	"SELECT count(*) FROM version WHERE sealed NOT NULL AND length(digest) = 32")"

# Extended attributes, which no view shows.
if setfattr -n user.probe -v x "$tree" 2>/dev/null; then
	grep -aq user.x "$ROOTSTOCK_STATE/manifests/2" || fail "an extended attribute is lost"
fi

# Killed while it reads: the kernel takes the draft away.
mkdir "$work/vast"
truncate -s 200G "$work/vast/file"
tar --sparse -C "$work/vast" -cf "$work/vast.tar" file
drafting() {
	readlink "/proc/$spawned/fd/"* | grep -q objects/tmp
}
for signal in TERM KILL; do
	spawn add "$rootstock" image add vast "$work/vast.tar"
	wait_for 20 "a draft" drafting
	kill -$signal "$spawned"
	wait_for 10 "the end of it" gone "$spawned"
	nothing_new "a killed add"
done

# One that the command's user may not read.
tar -C "$tree/deep" -cf "$work/secret.tar" .
chmod 600 "$work/secret.tar"
mkdir -m 777 "$work/theirs"
if setpriv --reuid=65534 --regid=65534 --clear-groups \
	"$rootstock" --state "$work/theirs/state" image add x "$work/secret.tar" 2>"$work/err"; then
	fail "an unreadable archive was added"
fi
equal "the error" "rootstock: image add: $work/secret.tar: Permission denied" "$(cat "$work/err")"

# ---- an image layout ----

layout=$work/layout
mkdir -p "$layout/blobs/sha256"
echo '{"imageLayoutVersion": "1.0.0"}' >"$layout/oci-layout"

# blob MEDIA-TYPE FILE: moves it in; prints its descriptor.
blob() {
	local sum
	sum=$(sha256sum <"$2" | cut -c1-64)
	printf '{"mediaType": "%s", "digest": "sha256:%s", "size": %d}' \
		"$1" "$sum" "$(stat -c %s "$2")"
	mv "$2" "$layout/blobs/sha256/$sum"
}

# What the two layers come to; the lower one has more, and other things.
after=$work/after
lower=$work/lower
upper=$work/upper
mkdir "$after" "$upper"
cp -a "$tree/etc" "$tree/usr" "$after"
mkdir -p "$after/srv/opaque/kept"
echo new >"$after/srv/opaque/new"
cp -a "$after" "$lower"
echo old >"$lower/etc/passwd"
rm "$lower/srv/opaque/new"
echo hidden >"$lower/etc/hidden"
mkdir -p "$lower/srv/hidden/deep" "$lower/srv/opaque/low"
echo x >"$lower/srv/hidden/deep/file"
echo x >"$lower/srv/opaque/low/file"
(
	cd "$after"
	tar --no-recursion --format=posix -cf - . ./etc ./etc/passwd ./usr ./usr/hard ./srv \
		./srv/opaque ./srv/opaque/kept ./srv/opaque/new
) >"$work/layer2"
mkdir -p "$upper/etc" "$upper/srv/opaque"
: >"$upper/etc/.wh.hidden"
: >"$upper/srv/.wh.hidden"
: >"$upper/srv/opaque/.wh..wh..opq"
(
	cd "$upper"
	tar --format=posix -rf "$work/layer2" ./etc/.wh.hidden ./srv/.wh.hidden \
		./srv/opaque/.wh..wh..opq
)
tar --format=posix -C "$lower" -cf - . | gzip >"$work/layer1"
zstd -q "$work/layer2" -o "$work/layer2.zst"
layers=$(blob application/vnd.docker.image.rootfs.diff.tar.gzip "$work/layer1"),
layers+=$(blob application/vnd.oci.image.layer.v1.tar+zstd "$work/layer2.zst")
echo '{"rootfs": {"type": "layers", "diff_ids": ["1", "2"]}}' >"$work/config"
config=$(blob application/vnd.oci.image.config.v1+json "$work/config")
echo "{\"schemaVersion\": 2, \"config\": $config, \"layers\": [$layers]}" >"$work/manifest"
manifest=$(blob application/vnd.oci.image.manifest.v1+json "$work/manifest")
echo "{\"schemaVersion\": 2, \"manifests\": [$manifest]}" >"$layout/index.json"

equal "image add" "oci@1" "$("$rootstock" image add oci "$layout")"
"$rootstock" image add after "$after" --wait >"$work/add.log" 2>&1
versions=$((versions + 2))
"$rootstock" view diff oci after >"$work/diff"
equal "the layout and the tree" "" "$(cat "$work/diff")"
equal "the layout's digest" "$(digest after)" "$(digest oci)"

# A layer's byte flipped: refused by the layer's digest.
sum=${layers##*sha256:}
sum=${sum%%\"*}
printf x | dd of="$layout/blobs/sha256/$sum" bs=1 seek=50 conv=notrunc status=none
if "$rootstock" image add oci "$layout" 2>"$work/err"; then
	fail "a layer with a wrong digest was added"
fi
equal "the error" "rootstock: image add: $layout: sha256:$sum: its bytes have another digest" \
	"$(cat "$work/err")"
nothing_new "a wrong digest"

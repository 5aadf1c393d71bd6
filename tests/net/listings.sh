#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=quick limit=240
# Every list and show, and every look at a view, as programs read them: JSON whose values
# are the state's; why a path is what it is; how two hosts differ; and hosts out of another
# server's files.
set -euo pipefail
# shellcheck source=tests/lib/server.sh
. "$(dirname "$0")/../lib/server.sh"
need_root
server_state

image=$work/image
mkdir -p "$image"/{etc,usr/lib,d}
ln -s usr/lib "$image/lib"
echo image >"$image/etc/motd"
chmod 640 "$image/etc/motd"
echo x >"$image/d/f"
mknod "$image/d/null" c 1 3
ln -s ../etc/motd "$image/d/link"

rs() {
	"$rootstock" "$@" 2>>"$work/log"
}
rs image add lab "$image" --wait >/dev/null
rs image add lab "$image" --wait >/dev/null
rs group add desk
rs group set desk printer=lp1 image=lab
rs group add void
rs host add 52:54:00:00:00:01 --name amy --group desk --address 10.77.0.5
rs host add 52:54:00:00:00:02 --name bob
rs host set bob mac=52:54:00:00:00:02,52:54:00:00:00:12 image=lab@2 console=ttyS0
rs overlay put all /etc/motd < <(echo all)
rs overlay put group:desk /etc/motd < <(echo desk)
rs overlay attr host:amy /etc/motd --mode 0600 --owner 5:6
rs overlay hide host:amy /d/f
rs overlay mkdir host:amy /new
rs overlay put host:amy /lib/own < <(echo own)
rs overlay put host:amy /etc/token --secret < <(echo open)
rs overlay put host:bob /etc/token --secret < <(echo sesame)
rs overlay link host:bob /d/link elsewhere

python3 - "$rootstock" "$image" <<'END' || fail "what programs read (above)"
import json, re, subprocess, sys

def run(*words):
    return subprocess.run([sys.argv[1], *words], capture_output=True, text=True)

def ask(*words, status=0):
    done = run(*words, "--json")
    assert done.returncode == status, (words, done)
    return json.loads(done.stdout)

def is_(what, have, want):
    if have != want:
        sys.exit(f"{what}: expected {want}, got {have}")

def pairs(rows):
    return [(row["key"], row["value"]) for row in rows]

def refused(words, *command):
    done = run(*command)
    assert done.returncode == 1 and not done.stdout, done
    assert re.fullmatch(f"rootstock: {command[0]} {command[1]}: .*{words}\n", done.stderr), done.stderr

stamp = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}")

# Images.
rows = ask("image", "list")
assert all(stamp.fullmatch(row.pop("added")) for row in rows), rows
is_("images", rows, [
    {"version": "lab@1", "active": True, "sealed": True, "origin": sys.argv[2]},
    {"version": "lab@2", "active": False, "sealed": True, "origin": sys.argv[2]}])
shown = pairs(ask("image", "show", "lab@2"))
digest = dict(shown)["sealed"]
assert re.fullmatch("[0-9a-f]{64}", digest), shown
# / etc motd usr usr/lib lib d d/f d/null d/link
is_("lab@2", shown, [("number", "2"), ("active", "no"), ("sealed", digest), ("paths", "10"),
    ("bytes", "8"), ("files", "2"), ("copied", "2"), ("set_for_host", "bob")])
is_("lab", dict(pairs(ask("image", "show", "lab")))["number"], "1")
rows = ask("image", "check", "lab", status=1)
assert {"result": "lacks", "what": "no /sbin/init"} in rows, rows
assert all(list(row) == ["result", "what"] for row in rows), rows

# Hosts and groups.
is_("hosts", ask("host", "list"), [
    {"name": "amy", "mac": "52:54:00:00:00:01", "address": "10.77.0.5", "image": "lab@1", "pending": False},
    {"name": "bob", "mac": "52:54:00:00:00:02", "address": None, "image": "lab@2", "pending": False}])
is_("who waits", ask("host", "list", "--pending"), [])
is_("amy", pairs(ask("host", "show", "amy")), [
    ("name", "amy"), ("mac", "52:54:00:00:00:01"), ("address", "10.77.0.5"), ("image", "lab@1"),
    ("pending", "no"), ("group", "desk")])
is_("bob, by a MAC of his", pairs(ask("host", "show", "52:54:00:00:00:12")), [
    ("name", "bob"), ("mac", "52:54:00:00:00:02"), ("mac", "52:54:00:00:00:12"), ("address", None),
    ("image", "lab@2"), ("pending", "no"), ("console", "ttyS0")])
is_("groups", ask("group", "list"), [
    {"name": "desk", "image": "lab", "hosts": 1}, {"name": "void", "image": None, "hosts": 0}])
is_("desk", pairs(ask("group", "show", "desk")),
    [("name", "desk"), ("image", "lab"), ("host", "amy"), ("printer", "lp1")])
is_("void", pairs(ask("group", "show", "void")), [("name", "void"), ("image", None)])
refused("no such group", "group", "show", "none")
refused("no such host", "host", "show", "none")
for command in ("lease", "list"), ("boot", "list"):
    refused("nothing was served from here yet", *command)

# Overlays.
rows = ask("overlay", "list", "host:bob")
assert {"scope": "host:bob", "kind": "file", "mode": "0600", "owner": "0:0", "size": 7,
        "secret": True, "next_boot": False, "path": "/etc/token"} in rows, rows
assert {row["scope"] for row in rows} == {"host:bob"}, rows

# A view.
rows = {row["name"]: row for row in ask("view", "ls", "amy", "/d")}
assert all(stamp.fullmatch(row["mtime"]) and row["node"] > 1 for row in rows.values()), rows
is_("names", sorted(rows), ["link", "null"])
is_("a link", [rows["link"][k] for k in ("mode", "links", "size", "target")],
    ["lrwxrwxrwx", 1, 11, "../etc/motd"])
is_("a device", [rows["null"][k] for k in ("mode", "size", "target")], ["crw-r--r--", "1,3", None])
row, = ask("view", "stat", "amy", "/etc/motd")
is_("a file", [row[k] for k in ("name", "mode", "owner", "group", "size")],
    ["/etc/motd", "-rw-------", 5, 6, 5])
is_("a file's text", run("view", "cat", "amy", "/etc/motd").stdout, "desk\n")
row, = ask("view", "stat", "bob", "/d/link")
is_("stat does not follow", row["target"], "elsewhere")
row, = ask("view", "ls", "lab@1", "/d/link")
is_("ls does", [row["name"], row["size"]], ["/d/link", 6])
refused("No such file or directory", "view", "stat", "amy", "/d/f")
refused("Not a directory", "view", "ls", "amy", "/etc/motd/x")

# Why.
def why(host, path):
    rows = ask("view", "explain", host, path)
    for row in rows:
        # The image has no entries; all others say which and since when.
        assert (row["entry"] is None) == (row["layer"] == "image") == (row["changed"] is None), row
        assert row["changed"] is None or stamp.fullmatch(row["changed"]), row
    return [tuple(row[k] for k in ("layer", "makes_it", "mode", "entry")) for row in rows]

is_("the strongest is last", why("amy", "/etc/motd"), [
    ("image", "file", "0640 0:0", None), ("all", "file", "0644 0:0", "/etc/motd"),
    ("group:desk", "file", "0644 0:0", "/etc/motd"), ("host:amy", "file", "0600 5:6", "/etc/motd")])
is_("of another host", why("bob", "/etc/motd"),
    [("image", "file", "0640 0:0", None), ("all", "file", "0644 0:0", "/etc/motd")])
is_("hidden", why("amy", "/d/f"),
    [("image", "file", "0644 0:0", None), ("host:amy", "hidden", None, "/d/f")])
is_("not hidden there", why("bob", "/d/f"), [("image", "file", "0644 0:0", None)])
is_("the profile", why("amy", "/etc/fstab"),
    [("image", "nothing", None, None), ("profile", "file", "0644 0:0", "/etc/fstab")])
is_("a directory", why("amy", "/new"),
    [("image", "nothing", None, None), ("host:amy", "directory", "0755 0:0", "/new")])
for path in "/lib/own", "/usr/lib/own":
    is_("through a link of the image", why("amy", path),
        [("image", "nothing", None, None), ("host:amy", "file", "0644 0:0", "/lib/own")])
is_("another link", why("bob", "/d/link"),
    [("image", "link", "0777 0:0", None), ("host:bob", "link", "0777 0:0", "/d/link")])
is_("a device", why("amy", "/d/null"), [("image", "character device", "0644 0:0", None)])
is_("nothing", why("amy", "/nowhere"), [("image", "nothing", None, None)])
# What it says is what the view has.
for host in "amy", "bob":
    for path in "/etc/motd", "/d/link", "/d/null", "/new", "/lib/own", "/etc/token":
        last = why(host, path)[-1]
        there = run("view", "stat", host, path).returncode == 0
        is_(f"{host} has {path}", last[1] not in ("nothing", "hidden"), there)
table = run("view", "explain", "amy", "/d/f").stdout.splitlines()
assert table[0].split() == ["LAYER", "MAKES", "IT", "MODE", "ENTRY", "CHANGED"], table
assert table[-1].split()[:4] == ["host:amy", "hidden", "-", "/d/f"], table
refused("an image, which has no layers: name a host", "view", "explain", "lab", "/etc")
refused("none: .*", "view", "explain", "none", "/etc")

# Two hosts, and a host beside its image.
rows = {row.pop("path"): (row["in"], row["differs"]) for row in ask("view", "diff", "amy", "bob")}
named = {"/d/f": ("second", None), "/d/link": ("both", "target ../etc/motd, elsewhere"),
    "/etc/motd": ("both", "contents mode 0600, 0644 owner 5:6, 0:0"),
    "/etc/token": ("both", "contents"), "/new": ("first", None), "/usr/lib/own": ("first", None)}
identity = {"/etc/hostname", "/etc/hosts", "/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key",
    "/etc/ssh/ssh_host_ed25519_key.pub"}
is_("who they are differs", {path: rows.pop(path) for path in identity},
    {path: ("both", "contents") for path in identity})
is_("how amy and bob differ", rows, named)
is_("how amy differs from herself", ask("view", "diff", "amy", "amy"), [])
rows = {row["path"]: row["in"] for row in ask("view", "diff", "lab@1", "amy")}
is_("beside the image", [rows[path] for path in ("/d/f", "/etc/motd", "/new", "/linuxrc")],
    ["first", "both", "second", "second"])
text = run("view", "diff", "amy", "bob").stdout
for line in ("> /d/f\n", "< /new\n", "! /etc/hostname  contents\n    @@ -1 +1 @@\n    -amy\n    +bob\n",
        "! /etc/motd  contents mode 0600, 0644 owner 5:6, 0:0\n    @@ -1 +1 @@\n    -desk\n    +all\n"):
    assert line in text, (line, text)
assert "open" not in text and "sesame" not in text and "PRIVATE" not in text, text
# The same tree by another version of the same bytes is the same.
is_("two versions alike", ask("view", "diff", "lab@1", "lab@2"), [])
END

echo "# hosts of another server: a reservation stays one, a lease is no reservation"
# shown HOST: its MACs and its address, in one line.
shown() {
	rs host show "$1" --json | python3 -c 'import json, sys
print(*[row["value"] for row in json.load(sys.stdin) if row["key"] in ("mac", "address")])'
}
cat >"$work/dhcpd.conf" <<-'END'
	host cal { hardware ethernet 52:54:00:00:00:21; fixed-address 10.77.0.21; }
	host amy { hardware ethernet 52:54:00:00:00:22; }
	host dan { hardware ethernet 52:54:00:00:00:23; fixed-address 10.77.0.5; }
	host eve { hardware ethernet 52:54:00:00:00:01; }
	host fay { hardware ethernet 52:54:00:00:00:24; }
END
"$rootstock" host import "$work/dhcpd.conf" >"$work/out" 2>"$work/err"
equal "what came of the reservations" "2 added, 3 left out" "$(cat "$work/out")"
equal "words of those left out" 3 "$(grep -c "dhcpd.conf:[234]: left out: " "$work/err")"
for line in '2: left out: .*amy' '3: left out: .*10.77.0.5' '4: left out: .*52:54:00:00:00:01'; do
	grep -q "^rootstock: host import: $work/dhcpd.conf:$line" "$work/err" ||
		fail "not said: $line: $(cat "$work/err")"
done
equal "a reservation" "52:54:00:00:00:21 10.77.0.21" "$(shown cal)"
equal "one without" "52:54:00:00:00:24 None" "$(shown fay)"
equal "one that was here" "52:54:00:00:00:01 10.77.0.5" "$(shown amy)"
! rs host show dan || fail "a host whose address is another's came in"
fingerprint cal >/dev/null || fail "an imported host has no key"

cat >"$work/dnsmasq.leases" <<-'END'
	1700000000 52:54:00:00:00:31 10.77.0.31 gus 01:52:54
	1700000000 52:54:00:00:00:32 10.77.0.32 * *
	1700000000 52:54:00:00:00:21 10.77.0.33 cal *
END
# Where there is no ssh-keygen they have no key, which is said, and all else.
mkdir "$work/empty"
PATH=$work/empty "$rootstock" host import "$work/dnsmasq.leases" >"$work/out" 2>"$work/err"
equal "what came of the leases" "2 added, 1 left out" "$(cat "$work/out")"
grep -q '^rootstock: host import: no ssh-keygen here: 2 hosts have no SSH host key$' "$work/err" ||
	fail "keyless: $(cat "$work/err")"
equal "a lease" "52:54:00:00:00:31 None" "$(shown gus)"
equal "a lease without a name" "52:54:00:00:00:32 None" "$(shown host-525400000032)"
equal "its reservation" "52:54:00:00:00:21 10.77.0.21" "$(shown cal)"
! rs view stat gus /etc/ssh/ssh_host_ed25519_key || fail "a key out of nothing"
rs view cat gus /etc/machine-id | grep -qxE '[0-9a-f]{32}' || fail "no machine-id"

echo "host x { hardware ethernet zz; }" >"$work/bad"
before=$(rs host list)
for bad in "bad|bad:1: not a MAC address: zz" "none|none: No such file"; do
	! "$rootstock" host import "$work/${bad%%|*}" >"$work/out" 2>"$work/err" || fail "taken: $bad"
	grep -q "^rootstock: host import: $work/${bad#*|}" "$work/err" || fail "$bad: $(cat "$work/err")"
	[[ ! -s $work/out ]] || fail "words of success: $(cat "$work/out")"
done
equal "hosts after what was refused" "$before" "$(rs host list)"

# A file that changed since the scan: what is told of it are the attributes of its bytes.
for name in digested compared; do
	mkdir "$work/$name"
	echo scanned >"$work/$name/f"
	rs image add "$name" "$work/$name" >/dev/null
	echo changed since >"$work/$name/f"
	chmod 600 "$work/$name/f"
done
digest=$(rs view digest digested)
equal "a digest" "$digest" "$(rs view digest digested)"
rs image add whole "$work/compared" --wait >/dev/null
equal "a comparison" "" "$(rs view diff compared whole)"

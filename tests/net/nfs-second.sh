#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A second server with the same rows, manifests and store takes over the clients of the
# first: the same handles, file numbers, cookies and bytes.
set -euo pipefail
if [[ -z ${NFS_TEST_NS:-} ]]; then
	NFS_TEST_NS=1 exec unshare -n "$0" "$@"
fi
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/lib/test.sh
. "$here/../lib/test.sh"

need_root
ip link set lo up
image=$work/image
mkdir -p "$image/sbin" "$image/etc" "$image/many"
for i in $(seq 300); do echo "$i" >"$image/many/a file $i"; done
head -c 200000 /dev/urandom >"$image/data"
ln "$image/data" "$image/same"
ln -s data "$image/link"
echo init >"$image/sbin/init"
export ROOTSTOCK_STATE=$work/first
# All in the store, so that nothing is under way there when it is copied.
"$rootstock" image add lab "$image" --wait >/dev/null 2>&1
"$rootstock" host add 52:54:00:12:34:01 --name north --address 127.0.0.1
echo its own | "$rootstock" overlay put host:north /etc/own
"$rootstock" overlay hide all "/many/a file 7"

serve() { # state
	spawn "serve-$1" "$(dirname "$rootstock")/nfs/nfs-driver-state" "$work/$1"
	server=$spawned
	wait_for 20 "the server" grep -q "NFS on port" "$work/serve-$1.log"
}

# ask FILE [HANDLES]: what a client sees, by handles of its own or by those in HANDLES.
ask() {
	PYTHONPATH=$here python3 - "$@" <<'END'
import json, sys
from nfs_rpc import NFS, Tcp, call, layout, mount, opaque, results, words

t = Tcp()
ask = lambda proc, fh, rest=b"": layout(proc, results(t.ask(call(NFS, 3, proc, opaque(fh) + rest))))
given = json.load(open(sys.argv[2])) if sys.argv[2:] else None
seen = {}


def directory(path, fh):
    cookie = 0
    while True:
        st, f = ask(17, fh, words(0, cookie, 0, 0, 600, 600))
        assert not st, (path, st)
        for e in f["entries"]:
            cookie = e["cookie"]
            name = e["name"].decode()
            if name in (".", ".."):
                continue
            visit(path + "/" + name, e["fh"], cookie)
        if f["eof"]:
            return


def visit(path, fh, cookie):
    if given: # not what this server says it is called
        fh = bytes.fromhex(given[path]["fh"])
    st, f = ask(1, fh)
    assert not st, (path, st)
    one = seen[path] = dict(fh=fh.hex(), cookie=cookie, attr=f["attr"])
    if f["attr"]["type"] == 1:
        st, f = ask(6, fh, words(0, 0, 1 << 20))
        assert not st and f["eof"], (path, st)
        one["data"] = f["data"].hex()
    elif f["attr"]["type"] == 2:
        directory(path, fh)


visit("", mount(t), 0)
json.dump(seen, open(sys.argv[1], "w"), sort_keys=True, indent=1)
END
}

serve first
ask "$work/seen"
grep -q 'a file 300' "$work/seen" || fail "the first server shows too little"
! grep -q 'a file 7"' "$work/seen" || fail "what is hidden is shown"
stop "$server"
mkdir "$work/second"
sqlite3 "$work/first/rootstock.db" ".backup '$work/second/rootstock.db'"
cp -a "$work/first"/{manifests,objects,secrets} "$work/second/"
serve second
ask "$work/second-seen" "$work/seen"
cmp "$work/seen" "$work/second-seen" || fail "the second server is another"
stop "$server"

# A state of a version that had the key of handles in its database, taken over by this one:
# what its clients hold stays good.
hex() {
	od -An -v -tx1 "$@" | tr -d ' \n'
}
key=$(hex "$work/second/secrets/handle-key")
rm "$work/second/secrets/handle-key"
sqlite3 "$work/second/rootstock.db" "INSERT INTO site VALUES ('handle_key', x'$key');
	DROP INDEX entry_retired; PRAGMA user_version = 1"
ROOTSTOCK_STATE=$work/second "$rootstock" group add desk
equal "the key" "$key" "$(hex "$work/second/secrets/handle-key")"
! hex "$work/second"/rootstock.db* | grep -q "$key" || fail "the key is still in the database"
serve second
ask "$work/second-seen" "$work/seen"
cmp "$work/seen" "$work/second-seen" || fail "an upgrade makes another server"

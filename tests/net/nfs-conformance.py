#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Hand-made RPC against a running server, over TCP and UDP: what a socket can do to it.

usage: nfs-conformance.py [lost|short]

The server exports the tree of tests/unit/fake_view.c to this address, which is no admin.
Prints one line a check, and "N passed, N failed" last.  Status 1 when one failed.
"""
import socket
import struct
import sys
import time

import nfs_rpc
from nfs_rpc import (ACCES, ADDRESS, AUTH_NONE, BADHANDLE, Closed, INVAL, IO, ISDIR, MOUNT,
                     NAMETOOLONG, NFS, NOENT, NOTDIR, PMAP, PORT, ROFS, STALE, TOOSMALL, Tcp, Udp,
                     call, check, handle, layout, lookup, mark, mount, opaque, raised, results,
                     status, walk, words)

def statuses(t):
    """Every procedure's every status that can be had here, and its whole layout."""
    root = mount(t)
    data, link, sub, chr_ = walk(t, b"data"), walk(t, b"bin"), walk(t, b"dir/sub"), walk(t, b"dev/chr")
    secret = walk(t, b"secret")
    sattr = words(0, 0, 0, 0, 0, 0)
    times = words(1, 0o644, 1, 5, 1, 6, 1, 0, 7, 2, 8, 9, 1)
    forged = root[:15] + bytes([root[15] ^ 1]) + root[16:]
    node = struct.unpack(">I", data[12:16])[0]
    check(t.name + " handles are made as they were always made", handle(1, 7, node) == data)
    gone = handle(1, 9, 1)  # a version that is no more
    no_node = handle(1, 7, 999999)
    others = handle(2, 7, node)
    bare = handle(0, 7, 1)  # an image's own tree: for admins
    never = {bytes(32): BADHANDLE, forged: BADHANDLE, gone: STALE, no_node: STALE, others: ACCES,
             bare: ACCES}
    fh = opaque
    name = opaque(b"new")
    user = words(1) + opaque(words(0) + opaque(b"client") + words(77, 77, 0))
    cases = [
        # procedure, arguments behind the handle, {handle: status}
        (1, b"", {root: 0, data: 0, link: 0, chr_: 0, secret: 0}),
        (2, sattr + words(0), {data: ROFS, root: ROFS}),
        (2, times + words(1, 2, 3), {data: ROFS}),
        (3, opaque(b"data"), {root: 0, data: NOTDIR, link: NOTDIR}),
        (3, opaque(b"."), {root: 0, sub: 0}),
        (3, opaque(b".."), {root: 0, sub: 0}),
        (3, opaque(b"none"), {root: NOENT}),
        (3, opaque(b"da/ta"), {root: NOENT}),
        (3, opaque(b"data\0"), {root: NOENT}),
        (3, opaque(b"n" * 255), {root: NOENT}),
        (3, opaque(b"n" * 256), {root: NAMETOOLONG}),
        (4, words(0x3F), {root: 0, data: 0, link: 0, chr_: 0}),
        (5, b"", {link: 0, root: INVAL, data: INVAL, chr_: INVAL}),
        (6, words(0, 0, 100), {data: 0, root: ISDIR, link: INVAL, chr_: INVAL}),
        (6, words(0, 0, 0), {data: 0}),
        (6, words(0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF), {data: 0}),
        (7, words(0, 0, 4, 2) + opaque(b"data"), {data: ROFS, root: ROFS}),
        (8, name + words(0) + sattr, {root: ROFS, data: ROFS}),
        (8, name + words(1) + times, {root: ROFS}),
        (8, name + words(2, 0, 0), {root: ROFS}),
        (9, name + sattr, {root: ROFS}),
        (10, name + sattr + name, {root: ROFS}),
        (11, name + words(7) + sattr, {root: ROFS}),
        (11, name + words(4) + sattr + words(1, 2), {root: ROFS}),
        (12, name, {root: ROFS}),
        (13, name, {root: ROFS}),
        (14, name + fh(sub) + name, {root: ROFS}),
        (15, fh(root) + name, {data: ROFS}),
        (16, words(0, 0, 0, 0, 4096), {root: 0, sub: 0, data: NOTDIR, link: NOTDIR}),
        (16, words(0, 0, 0, 0, 64), {root: TOOSMALL}),
        (16, words(0, 77, 5, 5, 4096), {root: 0}),
        (17, words(0, 0, 0, 0, 4096, 8192), {root: 0, sub: 0, data: NOTDIR}),
        (17, words(0, 0, 0, 0, 4096, 64), {root: TOOSMALL}),
        (18, b"", {root: 0, data: 0}),
        (19, b"", {root: 0, data: 0}),
        (20, b"", {root: 0, data: 0}),
        (21, words(0, 0, 0), {data: ROFS}),
    ]
    attrs = {}
    for proc, rest, want in cases:
        for h, st in {**want, **never}.items():
            got, f = layout(proc, results(t.ask(call(NFS, 3, proc, fh(h) + rest))))
            check("%s procedure %d gives %d" % (t.name, proc, st), got == st, "got %d" % got)
            about = f.get("dir") if proc == 3 else f.get("attr")
            if h in never:
                check("%s procedure %d, status %d: nothing of it is told" % (t.name, proc, st),
                      about is None)
                continue
            attrs.setdefault(h, about)
            check("%s procedure %d, status %d: the object's attributes" % (t.name, proc, st),
                  about == attrs[h], "%r %r" % (about, attrs[h]))
        first = next(iter(want))
        whole = fh(first) + rest
        for cut in range(0, len(whole), 4):
            r = t.ask(call(NFS, 3, proc, whole[:cut]))
            check("%s procedure %d, %d bytes of arguments: GARBAGE_ARGS" % (t.name, proc, cut),
                  r[4:] == words(1, 0, 0, 0, 4), r.hex())
    for proc, rest, st in ((3, opaque(b"deep"), ACCES), (16, words(0, 0, 0, 0, 4096), ACCES),
                           (17, words(0, 0, 0, 0, 4096, 8192), ACCES)):
        r = t.ask(call(NFS, 3, proc, fh(sub) + rest, cred=user))
        check("%s procedure %d by somebody else gives %d" % (t.name, proc, st), status(r) == st)
    r = t.ask(call(NFS, 3, 6, fh(secret) + words(0, 0, 9), cred=user))
    check(t.name + " READ of a file that is not for all", status(r) == ACCES)
    both = layout(14, results(t.ask(call(NFS, 3, 14, fh(root) + name + fh(sub) + name))))[1]
    check(t.name + " RENAME tells both directories",
          (both["attr"], both["to"]) == (attrs[root], attrs[sub]))
    both = layout(15, results(t.ask(call(NFS, 3, 15, fh(data) + fh(sub) + name))))[1]
    check(t.name + " LINK tells file and directory",
          (both["attr"], both["to"]) == (attrs[data], attrs[sub]))
    check(t.name + " RENAME into a directory that is gone",
          status(t.ask(call(NFS, 3, 14, fh(root) + name + fh(gone) + name))) == STALE)
    values(t, root, data)
    for n in range(66):
        r = t.ask(call(NFS, 3, 1, opaque(root[:n] + bytes(max(0, n - 32)))))
        if n == 32:
            ok = status(r) == 0
        elif n == 65:
            ok = r[4:] == words(1, 0, 0, 0, 4)
        else:
            ok = status(r) == BADHANDLE
        check("%s handle of %d bytes" % (t.name, n), ok, r.hex())


def values(t, root, data):
    """What the RFC or a client's needs fix in replies that succeed."""
    ask = lambda proc, h, rest=b"": layout(proc, results(t.ask(call(NFS, 3, proc, opaque(h) +
                                                                    rest))))[1]
    tcp = t.name == "tcp"
    most = 1 << 20 if tcp else 32 << 10
    info = ask(19, root)["info"]
    check(t.name + " FSINFO", info == [most, most, 4096, most, most, 4096,
                                       65536 if tcp else 32768, (1 << 63) - 1, 0, 1, 0x0B], info)
    check(t.name + " PATHCONF", ask(20, root)["conf"] == [65000, 255, 1, 1, 0, 1])
    stat = ask(18, root)["stat"]
    check(t.name + " FSSTAT: nothing is free", stat[1:3] == [0, 0] and stat[4:] == [0, 0, 0], stat)
    check(t.name + " ACCESS of a file: read and execute at most",
          ask(4, data, words(0x3F))["access"] == 0x01)
    check(t.name + " ACCESS of a directory: read and lookup",
          ask(4, root, words(0x3F))["access"] == 0x03)
    check(t.name + " ACCESS grants what was asked only",
          ask(4, root, words(0x02))["access"] == 0x02 and ask(4, root, words(0))["access"] == 0)
    size = 3 * 1024 * 1024 + 5
    for offset, count, got, eof in ((0, 10, 10, 0), (size - 10, 10, 10, 1), (size - 10, 11, 10, 1),
                                    (size, 5, 0, 1), (size + 99, 5, 0, 1), (5, 0, 0, 0)):
        f = ask(6, data, words(offset >> 32, offset, count))
        check("%s READ %d at %d" % (t.name, count, offset), (f["count"], f["eof"]) == (got, eof))
    for plus in (0, 1):
        whole = None
        for count in (200 + 200 * plus, 500, 1024, 32768):
            names, cookie, calls = [], 0, 0
            while True:
                rest = words(cookie >> 32, cookie, 0, 0) + (words(count) if plus else b"")
                reply = results(t.ask(call(NFS, 3, 16 + plus, opaque(root) + rest + words(count))))
                st, f = layout(16 + plus, reply)
                check("%s a directory's reply keeps to its %d bytes" % (t.name, count),
                      not st and len(reply) - 4 <= count, "%d: %d" % (st, len(reply)))
                names += [(e["name"], e["fileid"], e["cookie"]) for e in f["entries"]]
                cookie = names[-1][2]
                calls += 1
                if f["eof"]:
                    break
            whole = whole or names
            check("%s a directory in %d replies is the same" % (t.name, calls), names == whole)
        check(t.name + " its cookies are unique and not 0",
              len({n[2] for n in whole}) == len(whole) and all(n[2] for n in whole))
        check(t.name + " it has . and ..", [n[0] for n in whole[:2]] == [b".", b".."])
    mounts(t)


def mounts(t):
    ask = lambda v, proc, args=b"", cred=nfs_rpc.AUTH_ROOT: t.ask(call(MOUNT, v, proc, args,
                                                                       cred=cred))
    for path in (b"/", b"//", b"/dir/", b"//dir//sub/", b"/bin", b""):
        r = results(ask(3, 1, opaque(path)))
        check("%s MNT %s" % (t.name, path), r[:8] == words(0, 32) and r[40:] == words(1, 1), r.hex())
    check(t.name + " MNT without a credential", results(ask(3, 1, opaque(b"/"), AUTH_NONE))[:4] ==
          words(0))
    for path, st in ((b"/none", NOENT), (b"/data", NOTDIR), (b"/hosts/other", ACCES),
                     (b"/images/debian", ACCES), (b"/" + b"n" * 256, NAMETOOLONG)):
        check("%s MNT %s gives %d" % (t.name, path[:20], st),
              results(ask(3, 1, opaque(path))) == words(st))
    check(t.name + " MNT of 1,025 bytes: GARBAGE_ARGS",
          ask(3, 1, opaque(b"/" * 1025))[4:] == words(1, 0, 0, 0, 4))
    results(ask(3, 1, opaque(b"/dir")))
    listed = lambda v: b"/dir" in results(ask(v, 2))
    check(t.name + " DUMP has it", listed(3) and listed(1))
    check(t.name + " UMNT is void", results(ask(3, 3, opaque(b"/dir"))) == b"")
    check(t.name + " and takes it away", not listed(3))
    check(t.name + " UMNTALL is void", results(ask(3, 4)) == b"" == results(ask(1, 4)))
    want = words(1) + opaque(b"/") + words(0, 0)
    check(t.name + " EXPORT", results(ask(3, 5)) == want == results(ask(1, 5)))
    check(t.name + " MNT by version 1: PROC_UNAVAIL",
          ask(1, 1, opaque(b"/"))[4:] == words(1, 0, 0, 0, 3))
    for v in (0, 4):
        check("%s MOUNT version %d: PROG_MISMATCH 1..3" % (t.name, v),
              ask(v, 0)[4:] == words(1, 0, 0, 0, 2, 1, 3))


def lost():
    """The server's option lost=1: no file's bytes can be had."""
    for kind in (Tcp, Udp):
        t = kind()
        st, f = layout(6, results(t.ask(call(NFS, 3, 6, opaque(walk(t, b"data")) +
                                             words(0, 0, 100)))))
        check(t.name + " READ of what cannot be had gives IO, with attributes",
              st == IO and f["attr"]["type"] == 1)
        t.close()
    nfs_rpc.end()


def fake_bytes(offset, count):
    """What tests/unit/fake_view.h has at an offset of its file."""
    return bytes((i * 131 + (i >> 8) * 7 + (i >> 16)) & 255 for i in range(offset, offset + count))


def short():
    """The server's option short=1: the file has ten bytes less than its attributes say."""
    size = 3 * 1024 * 1024 + 5
    read = lambda fh, count: call(NFS, 3, 6, opaque(fh) + words(0, size - count, count))

    def until_closed(count):
        t = Tcp()
        t.send(mark(read(walk(t, b"data"), count)))
        out = b""
        while b := t.s.recv(1 << 20):
            out += b
        t.close()
        return out

    check("a READ by a copy that comes short closes, and sends nothing", until_closed(4096) == b"")
    out = until_closed(65536)
    promised = struct.unpack(">I", out[:4])[0] & 0x7FFFFFFF
    check("one by sendfile sends what there is, no byte more, and closes",
          promised == 24 + 104 + 65536 and len(out) == 4 + promised - 10 and
          out[4 + 24 + 104:] == fake_bytes(size - 65536, 65526), "%d of %d" % (len(out), promised))
    t = Tcp()
    fh = walk(t, b"data")
    st, f = layout(6, results(t.ask(read(fh, 65536))))
    check("who comes back for it is told IO", st == IO)
    st, f = layout(6, results(t.ask(call(NFS, 3, 6, opaque(fh) + words(0, 65536, 65536)))))
    check("and has what is whole", st == 0 and f["data"] == fake_bytes(65536, 65536))
    t.close()
    t = Udp()
    t.s.settimeout(0.5)
    check("by UDP it is not answered", raised(lambda: t.ask(read(fh, 4096)), socket.timeout))
    t.s.settimeout(nfs_rpc.PATIENCE)
    check("and what comes after is", status(t.ask(call(NFS, 3, 1, opaque(fh)))) == 0)
    nfs_rpc.end()


def headers(t):
    ask = lambda *a, **k: t.ask(call(*a, **k))[4:]
    check(t.name + " RPC version 3: RPC_MISMATCH 2..2",
          ask(NFS, 3, 0, rpcvers=3) == words(1, 1, 0, 2, 2))
    for v in (2, 4):
        check(t.name + " NFS version %d: PROG_MISMATCH 3..3" % v,
              ask(NFS, v, 0) == words(1, 0, 0, 0, 2, 3, 3))
    for prog, v in ((100227, 3), (100021, 4), (1, 1), (PMAP, 2)):
        check(t.name + " program %d: PROG_UNAVAIL" % prog,
              ask(prog, v, 0) == words(1, 0, 0, 0, 1))
    for prog, proc in ((NFS, 22), (NFS, 1 << 31), (MOUNT, 6)):
        check(t.name + " procedure %d of %d: PROC_UNAVAIL" % (proc, prog),
              ask(prog, 3, proc) == words(1, 0, 0, 0, 3))
    check(t.name + " NULL with any credential",
          ask(NFS, 3, 0, cred=words(77, 8, 1, 2)) == words(1, 0, 0, 0, 0))
    check(t.name + " a credential of 401 bytes: AUTH_BADCRED",
          ask(NFS, 3, 1, cred=words(1, 404) + bytes(404)) == words(1, 1, 1, 1))
    check(t.name + " 17 groups: AUTH_BADCRED",
          ask(NFS, 3, 1, cred=words(1) + opaque(words(0) + opaque(b"c") + words(0, 0, 17) +
                                                bytes(68))) == words(1, 1, 1, 1))
    check(t.name + " Kerberos: AUTH_REJECTEDCRED",
          ask(NFS, 3, 1, cred=words(6, 4, 0)) == words(1, 1, 1, 2))


def stream():
    t = Tcp()
    fh = mount(t)
    getattr_ = lambda: call(NFS, 3, 1, opaque(fh))
    body = getattr_()
    for b in mark(body):
        t.send(bytes([b]))
    check("a record one byte at a time", status(t.recv()) == 0)
    for cut in (1, 3, 4, 24, len(body) - 1):
        t.send(mark(body[:cut], last=False) + mark(b"", last=False) + mark(body[cut:]))
        check("a record in fragments, cut at %d" % cut, status(t.recv()) == 0)
    calls = [getattr_() for _ in range(1000)]
    t.send(b"".join(mark(c) for c in calls))
    got = [t.recv() for _ in calls]
    check("1,000 records in one write", [g[:4] for g in got] == [c[:4] for c in calls])
    # the replies to one segment come in one segment (the client may read only one)
    t.send(mark(calls[0]) + mark(calls[1]))
    time.sleep(0.05)
    check("two replies in one read", len(t.s.recv(65536)) == 2 * (4 + len(got[0])))
    data = walk(t, b"data")
    big = words(0x80000000 | (1 << 20) + 200) + call(NFS, 3, 7, opaque(data) + words(0, 0, 1 << 20,
                                                                                  2, 1 << 20))
    t.send(big + bytes((1 << 20) + 204 - len(big)))
    check("a WRITE of 1 MiB is read and refused", status(t.recv()) == ROFS)
    r = results(t.ask(call(NFS, 3, 6, opaque(data) + words(0, 1, 1 << 20))))
    check("READ 1 MiB at an odd offset", len(r) == 4 + 88 + 12 + (1 << 20) and
          all(r[104 + i] == byte(1 + i) for i in range(0, 1 << 20, 4097)))
    for size in (1, 2, 3, 5, 32767, 32768, 32769, 65535, 131071):
        r = results(t.ask(call(NFS, 3, 6, opaque(data) + words(0, 7, size))))
        pad = -size % 4
        check("READ %d bytes, padded" % size,
              r[92:104] == words(size, 0, size) and len(r) == 104 + size + pad and
              r[104 + size:] == bytes(pad) and r[104 + size - 1] == byte(7 + size - 1))
    t.close()


def byte(offset):
    return (offset * 131 + (offset >> 8) * 7 + (offset >> 16)) & 255


def bad_streams():
    for name, data in (
        ("HTTP", b"GET / HTTP/1.0\r\n\r\n"),
        ("a record of 2 GiB", words(0xFFFFFFFF)),
        ("a record of nothing", words(0x80000000)),
        ("a READ of 9,000 bytes", words(0x80000000 | 9000) + call(NFS, 3, 6) + bytes(9000)),
        ("a reply", mark(words(1, 1, 0, 0, 0, 0))),
        ("a call of 20 bytes", mark(call(NFS, 3, 0)[:20])),
        ("endless empty fragments", words(0) * 5000),
    ):
        t = Tcp()
        try:
            t.send(data)
        except OSError:
            pass
        check(name + " closes its connection", raised(t.recv, Closed, ConnectionError))
        t.close()


def others_are_served():
    """Half records, clients that never read, idle ones: a call beside them is quick."""
    idle = [Tcp() for _ in range(20)]
    for i, t in enumerate(idle):
        if i % 2:
            t.send(mark(call(NFS, 3, 0))[: 5 + i])
    greedy = Tcp()
    greedy.s.settimeout(0.2)
    fh = walk(greedy, b"data")
    read = mark(call(NFS, 3, 6, opaque(fh) + words(0, 0, 1 << 20)))
    sent = 0
    try:  # never reads; the server must stop reading, too
        while sent < 64 << 20:
            sent += greedy.s.send(read * 400)
    except (socket.timeout, BlockingIOError):
        pass
    check("a client that does not read is not read from", sent < 64 << 20, "took %d" % sent)
    t = Tcp()
    worst = 0
    root = mount(t)
    for _ in range(200):
        at = time.monotonic()
        results(t.ask(call(NFS, 3, 1, opaque(root))))
        worst = max(worst, time.monotonic() - at)
    check("others are served meanwhile", worst < 5, "worst %.3f s" % worst)
    # and the greedy one gets all of its replies once it reads
    greedy.s.settimeout(nfs_rpc.PATIENCE)
    for _ in range(20):
        results(greedy.recv())
    check("and it gets its replies when it reads", True)
    for x in idle + [greedy, t]:
        x.close()


def gone_while_waiting():
    """Clients that ask for one file many times over and leave before it is there."""
    for i in range(20):
        t = Tcp()
        fh = walk(t, b"data")
        t.send(b"".join(mark(call(NFS, 3, 6, opaque(fh) + words(0, n << 16, 1 << 16)))
                        for n in range(48)))
        t.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        t.close()
    t = Tcp()
    fh = walk(t, b"data")
    asks = [call(NFS, 3, 6, opaque(fh) + words(0, n << 16, 1 << 16)) for n in range(200)]
    t.send(b"".join(mark(a) for a in asks))
    got = {t.recv()[:4] for _ in asks}
    check("200 READs of one file are all answered, in whatever order",
          got == {a[:4] for a in asks})
    t.close()


def from_the_address_that_was_asked():
    for a in ("127.0.0.2", "127.0.0.3"):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(nfs_rpc.PATIENCE)
        s.sendto(call(NFS, 3, 0), (a, PORT))
        check("udp reply from " + a, s.recvfrom(100)[1] == (a, PORT))


def portmap():
    for kind in (Tcp, Udp):
        t = kind(111)
        for prog, vers, proto, want in ((NFS, 3, 6, PORT), (NFS, 3, 17, PORT), (MOUNT, 3, 6, PORT),
                                        (NFS, 4, 6, 0), (NFS, 2, 17, 0), (100021, 4, 6, 0)):
            r = results(t.ask(call(PMAP, 2, 3, words(prog, vers, proto, 0), cred=AUTH_NONE)))
            check("%s GETPORT %d %d %d" % (t.name, prog, vers, proto), r == words(want))
        r = results(t.ask(call(PMAP, 4, 3, words(NFS, 3) + opaque(b"tcp") + words(0, 0))))
        want = "%s.%d.%d" % (ADDRESS, PORT >> 8, PORT & 255)
        check(t.name + " GETADDR", r == opaque(want.encode()), r.hex())
        t.close()
    u = Udp(111)
    u.s.settimeout(0.3)
    check("CALLIT is dropped", raised(lambda: u.ask(call(PMAP, 2, 5, words(NFS, 3, 0, 0))),
                                      socket.timeout))


def main():
    if sys.argv[1:] == ["lost"]:
        lost()
    if sys.argv[1:] == ["short"]:
        short()
    for kind in (Tcp, Udp):
        t = kind()
        headers(t)
        statuses(t)
        t.close()
    t = Udp()
    fh = walk(t, b"data")
    r = results(t.ask(call(NFS, 3, 6, opaque(fh) + words(0, 0, 1 << 20))))
    check("udp READ is at most 32 KiB", len(r) == 104 + 32768)
    t.close()
    stream()
    bad_streams()
    others_are_served()
    gone_while_waiting()
    from_the_address_that_was_asked()
    portmap()
    nfs_rpc.end()


if __name__ == "__main__":
    main()

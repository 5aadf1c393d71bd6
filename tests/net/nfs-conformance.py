#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Hand-made RPC against a running server, over TCP and UDP: what a socket can do to it.

usage: nfs-conformance.py ADDRESS [PORT]

The server exports the tree of tests/unit/fake_view.c to this address, which is no admin.
Prints one line a check, and "N passed, N failed" last.  Status 1 when one failed.
"""
import random
import socket
import struct
import sys
import time

ADDRESS = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
PORT = int(sys.argv[2]) if len(sys.argv) > 2 else 2049
NFS, MOUNT, PMAP = 100003, 100005, 100000
ROFS, BADHANDLE, STALE, ACCES, NOENT, NOTDIR, ISDIR, INVAL = 30, 10001, 70, 13, 2, 20, 21, 22
NAMETOOLONG, TOOSMALL = 63, 10005
passed = failed = 0
xid_next = random.randrange(1 << 31)


def words(*v):
    return struct.pack(">%dI" % len(v), *[x & 0xFFFFFFFF for x in v])


def opaque(b):
    return words(len(b)) + b + bytes(-len(b) % 4)


AUTH_NONE = words(0, 0)
AUTH_ROOT = words(1) + opaque(words(0) + opaque(b"client") + words(0, 0, 0))


def call(prog, vers, proc, args=b"", cred=AUTH_ROOT, rpcvers=2, verf=AUTH_NONE):
    global xid_next
    xid_next = (xid_next + 1) & 0xFFFFFFFF
    return words(xid_next, 0, rpcvers, prog, vers, proc) + cred + verf + args


def mark(body, last=True):
    return words((0x80000000 if last else 0) | len(body)) + body


class Closed(Exception):
    pass


class Tcp:
    name = "tcp"

    def __init__(self, port=PORT):
        self.s = socket.socket()
        for p in range(1023, 600, -1):
            try:
                self.s.bind(("", p))
                self.s.connect((ADDRESS, port))
                break
            except OSError:
                self.s.close()
                self.s = socket.socket()
        self.s.settimeout(10)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data):
        self.s.sendall(data)

    def exactly(self, n):
        out = b""
        while len(out) < n:
            b = self.s.recv(min(n - len(out), 1 << 20))
            if not b:
                raise Closed()
            out += b
        return out

    def recv(self):
        (m,) = struct.unpack(">I", self.exactly(4))
        assert m & 0x80000000, "reply in more than one fragment"
        return self.exactly(m & 0x7FFFFFFF)

    def ask(self, body):
        self.send(mark(body))
        return self.recv()

    def close(self):
        self.s.close()


class Udp(Tcp):
    name = "udp"

    def __init__(self, port=PORT):
        self.s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for p in range(1023, 600, -1):
            try:
                self.s.bind(("", p))
                break
            except OSError:
                pass
        self.s.connect((ADDRESS, port))
        self.s.settimeout(3)

    def ask(self, body):
        self.s.send(body)
        return self.s.recv(65536)


def check(name, ok, more=""):
    global passed, failed
    if ok:
        passed += 1
    else:
        failed += 1
    print("%s %s %s" % ("ok" if ok else "NOT OK", name, "" if ok else more), flush=True)


def results(reply):
    """The results of an accepted, successful call."""
    assert reply[4:24] == words(1, 0, 0, 0, 0), reply[:32].hex()
    return reply[24:]


def status(reply):
    return struct.unpack(">I", results(reply)[:4])[0]


def raised(fn, *exceptions):
    try:
        fn()
    except exceptions:
        return True
    return False


def mount(t, path=b"/"):
    r = results(t.ask(call(MOUNT, 3, 1, opaque(path))))
    assert r[:4] == words(0), r.hex()
    return r[8:40]


def lookup(t, fh, name):
    r = results(t.ask(call(NFS, 3, 3, opaque(fh) + opaque(name))))
    assert r[:4] == words(0), r.hex()
    return r[8:40]


def walk(t, path):
    fh = mount(t)
    for name in path.split(b"/"):
        fh = lookup(t, fh, name)
    return fh


def statuses(t):
    root = mount(t)
    data, link, sub = walk(t, b"data"), walk(t, b"bin"), walk(t, b"dir/sub")
    sattr = words(0, 0, 0, 0, 0, 0)
    bad = bytes(32)
    forged = root[:15] + bytes([root[15] ^ 1]) + root[16:]
    fh = opaque
    name = opaque(b"new")
    cases = [
        # procedure, arguments behind the handle, {handle: status}
        (1, b"", {root: 0, data: 0, bad: BADHANDLE, forged: BADHANDLE}),
        (2, sattr + words(0), {data: ROFS, bad: BADHANDLE}),
        (3, opaque(b"data"), {root: 0, data: NOTDIR, bad: BADHANDLE}),
        (3, opaque(b"none"), {root: NOENT}),
        (3, opaque(b"n" * 256), {root: NAMETOOLONG}),
        (4, words(0x3F), {root: 0, data: 0, bad: BADHANDLE}),
        (5, b"", {link: 0, root: INVAL, data: INVAL, bad: BADHANDLE}),
        (6, words(0, 0, 100), {data: 0, root: ISDIR, link: INVAL, bad: BADHANDLE}),
        (7, words(0, 0, 4, 2) + opaque(b"data"), {data: ROFS, root: ROFS, bad: BADHANDLE}),
        (8, name + words(0) + sattr, {root: ROFS, bad: BADHANDLE}),
        (9, name + sattr, {root: ROFS, bad: BADHANDLE}),
        (10, name + sattr + name, {root: ROFS, bad: BADHANDLE}),
        (11, name + words(7) + sattr, {root: ROFS, bad: BADHANDLE}),
        (12, name, {root: ROFS, bad: BADHANDLE}),
        (13, name, {root: ROFS, bad: BADHANDLE}),
        (14, name + fh(sub) + name, {root: ROFS, bad: BADHANDLE}),
        (15, fh(root) + name, {data: ROFS, bad: BADHANDLE}),
        (16, words(0, 0, 0, 0, 4096), {root: 0, data: NOTDIR, bad: BADHANDLE}),
        (16, words(0, 0, 0, 0, 64), {root: TOOSMALL}),
        (17, words(0, 0, 0, 0, 4096, 8192), {root: 0, data: NOTDIR, bad: BADHANDLE}),
        (17, words(0, 0, 0, 0, 4096, 64), {root: TOOSMALL}),
        (18, b"", {root: 0, bad: BADHANDLE}),
        (19, b"", {root: 0, bad: BADHANDLE}),
        (20, b"", {root: 0, bad: BADHANDLE}),
        (21, words(0, 0, 0), {data: ROFS, bad: BADHANDLE}),
    ]
    for proc, rest, want in cases:
        for handle, st in want.items():
            got = status(t.ask(call(NFS, 3, proc, fh(handle) + rest)))
            check("%s procedure %d gives %d" % (t.name, proc, st), got == st, "got %d" % got)
        if rest:
            r = t.ask(call(NFS, 3, proc, (fh(next(iter(want))) + rest)[:-4]))
            check("%s procedure %d, arguments cut: GARBAGE_ARGS" % (t.name, proc),
                  r[4:] == words(1, 0, 0, 0, 4), r.hex())
    for n in range(66):
        r = t.ask(call(NFS, 3, 1, opaque(root[:n] + bytes(max(0, n - 32)))))
        if n == 32:
            ok = status(r) == 0
        elif n == 65:
            ok = r[4:] == words(1, 0, 0, 0, 4)
        else:
            ok = status(r) == BADHANDLE
        check("%s handle of %d bytes" % (t.name, n), ok, r.hex())


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
    check("others are served meanwhile", worst < 0.5, "worst %.3f s" % worst)
    # and the greedy one gets all of its replies once it reads
    greedy.s.settimeout(10)
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
        s.settimeout(3)
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
    if ADDRESS.startswith("127."):
        from_the_address_that_was_asked()
    portmap()
    print("%d passed, %d failed" % (passed, failed))
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-2.0-or-later
"""Hand-made RPC, for the tests that talk to the nfs child by a socket.

The results of every procedure are read as RFC 1813 lays them out, to the last byte.
"""
import random
import socket
import struct
import sys

ADDRESS, PORT = "127.0.0.1", 2049
PATIENCE = 60  # for an answer, on a busy machine
NFS, MOUNT, PMAP = 100003, 100005, 100000
ROFS, BADHANDLE, STALE, ACCES, NOENT, NOTDIR, ISDIR, INVAL = 30, 10001, 70, 13, 2, 20, 21, 22
NAMETOOLONG, TOOSMALL, IO = 63, 10005, 5
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
        self.s.settimeout(PATIENCE)
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
        self.s.settimeout(PATIENCE)

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


def end():
    print("%d passed, %d failed" % (passed, failed))
    sys.exit(failed > 0)


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

# ---- handles: the key of tests/unit/fake_view.c ----


def siphash(key, data):
    """SipHash-2-4."""
    mask = (1 << 64) - 1
    k0, k1 = struct.unpack("<QQ", key)
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D,
         k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rot(x, n):
        return (x << n | x >> (64 - n)) & mask

    def rounds(n):
        for _ in range(n):
            v[0] = (v[0] + v[1]) & mask
            v[1] = rot(v[1], 13) ^ v[0]
            v[0] = rot(v[0], 32)
            v[2] = (v[2] + v[3]) & mask
            v[3] = rot(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & mask
            v[3] = rot(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & mask
            v[1] = rot(v[1], 17) ^ v[2]
            v[2] = rot(v[2], 32)

    tail = data[len(data) & ~7:]
    last = int.from_bytes(tail, "little") | (len(data) & 255) << 56
    for m in struct.unpack("<%dQ" % (len(data) // 8), data[:len(data) & ~7]) + (last,):
        v[3] ^= m
        rounds(2)
        v[0] ^= m
    v[2] ^= 255
    rounds(4)
    return struct.pack("<Q", v[0] ^ v[1] ^ v[2] ^ v[3])


def handle(host, version, node, boot=0, key=b"0123456789abcdef"):
    head = words(1 << 24, host, version, node, boot, 0)
    return head + siphash(key, head)


# ---- results, by RFC 1813 ----


class Reader:
    def __init__(self, data):
        self.data = data

    def take(self, n):
        assert len(self.data) >= n, "too short"
        out, self.data = self.data[:n], self.data[n:]
        return out

    def u32(self):
        return struct.unpack(">I", self.take(4))[0]

    def u64(self):
        return struct.unpack(">Q", self.take(8))[0]

    def flag(self):
        v = self.u32()
        assert v in (0, 1), "no boolean"
        return v

    def opaque(self, most):
        n = self.u32()
        assert n <= most, "opaque of %d bytes" % n
        out = self.take(n)
        assert self.take(-n % 4) == bytes(-n % 4), "padding"
        return out

    def fattr3(self):
        a = dict(type=self.u32(), mode=self.u32(), nlink=self.u32(), uid=self.u32(),
                 gid=self.u32(), size=self.u64(), used=self.u64(), rdev=(self.u32(), self.u32()),
                 fsid=self.u64(), fileid=self.u64())
        for t in ("atime", "mtime", "ctime"):
            a[t] = (self.u32(), self.u32())
            assert a[t][1] < 10**9, "nanoseconds"
        assert 1 <= a["type"] <= 7 and a["mode"] <= 0o7777 and a["nlink"] >= 1
        return a

    def post_op_attr(self):
        return self.fattr3() if self.flag() else None

    def wcc_data(self):
        if self.flag():  # before: size, mtime, ctime
            self.take(24)
        return self.post_op_attr()

    def post_op_fh3(self):
        return self.opaque(64) if self.flag() else None

    def entries(self, plus):
        out = []
        while self.flag():
            e = dict(fileid=self.u64(), name=self.opaque(255), cookie=self.u64())
            if plus:
                e["attr"], e["fh"] = self.post_op_attr(), self.post_op_fh3()
            out.append(e)
        return out, self.flag()


def layout(proc, data):
    """(status, fields) of the results of an NFSv3 procedure; every byte is accounted for."""
    r = Reader(data)
    st = r.u32()
    f = {}
    if proc == 1:
        if not st:
            f["attr"] = r.fattr3()
    elif proc == 3:
        if not st:
            f["fh"], f["attr"] = r.opaque(64), r.post_op_attr()
        f["dir"] = r.post_op_attr()
    elif proc in (2, 7, 8, 9, 10, 11, 12, 13, 21):
        assert st, "a change was made"
        f["attr"] = r.wcc_data()
    elif proc == 14:
        assert st, "a change was made"
        f["attr"], f["to"] = r.wcc_data(), r.wcc_data()
    elif proc == 15:
        assert st, "a change was made"
        f["attr"], f["to"] = r.post_op_attr(), r.wcc_data()
    else:
        f["attr"] = r.post_op_attr()
        if not st:
            if proc == 4:
                f["access"] = r.u32()
            elif proc == 5:
                f["target"] = r.opaque(1024)
            elif proc == 6:
                f["count"], f["eof"] = r.u32(), r.flag()
                f["data"] = r.opaque(1 << 20)
                assert len(f["data"]) == f["count"]
            elif proc in (16, 17):
                r.take(8)  # verifier
                f["entries"], f["eof"] = r.entries(proc == 17)
            elif proc == 18:
                f["stat"] = [r.u64() for _ in range(6)] + [r.u32()]
            elif proc == 19:
                f["info"] = [r.u32() for _ in range(7)] + [r.u64(), r.u32(), r.u32(), r.u32()]
            elif proc == 20:
                f["conf"] = [r.u32(), r.u32()] + [r.flag() for _ in range(4)]
    assert not r.data, "%d bytes too many" % len(r.data)
    return st, f

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""From a capture (pcap, Ethernet) of a client of rootstock to the calls that it made.

usage: nfs-trace.py PCAP > TRACE

One call a line, in the order sent: how long before it the last one was sent (us), how many
were unanswered then, the procedure, the path, and what else it needs:
  getattr PATH | access PATH | readlink PATH | fsstat PATH | fsinfo PATH | pathconf PATH
  lookup PATH NAME | read PATH OFFSET COUNT | readdirplus PATH PAGE DIRCOUNT MAXCOUNT
Paths are learned from the replies of LOOKUP and READDIRPLUS.
"""
import struct
import sys
from urllib.parse import quote


def packets(path):
    with open(path, "rb") as f:
        data = f.read()
    magic, = struct.unpack("<I", data[:4])
    assert magic in (0xA1B2C3D4, 0xA1B23C4D), "not a pcap file of this byte order"
    at = 24
    while at + 16 <= len(data):
        sec, frac, n, _ = struct.unpack("<IIII", data[at:at + 16])
        yield sec * 1000000 + frac // (1000 if magic == 0xA1B23C4D else 1), data[at + 16:at + 16 + n]
        at += 16 + n


class Stream:
    def __init__(self):
        self.next = None
        self.later = {}
        self.bytes = bytearray()

    def add(self, seq, payload):
        if self.next is None:
            self.next = seq
        self.later[seq] = max(self.later.get(seq, b""), payload, key=len)
        while True:
            for s in sorted(self.later):
                ahead = (self.next - s) & 0xFFFFFFFF
                if ahead < 1 << 31:
                    p = self.later.pop(s)
                    if ahead < len(p):
                        self.bytes += p[ahead:]
                        self.next = (self.next + len(p) - ahead) & 0xFFFFFFFF
                        break
            else:
                return

    def records(self):
        while len(self.bytes) >= 4:
            mark, = struct.unpack(">I", self.bytes[:4])
            n = mark & 0x7FFFFFFF
            if len(self.bytes) < 4 + n:
                return
            yield bytes(self.bytes[4:4 + n])
            del self.bytes[:4 + n]


class Cursor:
    def __init__(self, b):
        self.b, self.at = b, 0

    def u32(self):
        v, = struct.unpack_from(">I", self.b, self.at)
        self.at += 4
        return v

    def u64(self):
        return self.u32() << 32 | self.u32()

    def opaque(self):
        n = self.u32()
        v = self.b[self.at:self.at + n]
        self.at += n + (-n & 3)
        return v

    def skip(self, n):
        self.at += n

    def post_op(self):
        if self.u32():
            self.skip(84)


NAMES = {1: "getattr", 3: "lookup", 4: "access", 5: "readlink", 6: "read", 17: "readdirplus",
         18: "fsstat", 19: "fsinfo", 20: "pathconf"}


def main():
    streams = {}
    paths = {}
    waiting = {}
    pages = {}
    out = []
    last = None
    for when, p in packets(sys.argv[1]):
        if p[12:14] != b"\x08\x00" or p[23] != 6:
            continue
        ip = 14 + (p[14] & 15) * 4
        total, = struct.unpack(">H", p[16:18])
        src, dst, seq = struct.unpack(">HHI", p[ip:ip + 8])
        head = (p[ip + 12] >> 4) * 4
        payload = p[ip + head:14 + total]
        flags = p[ip + 13]
        key = (p[26:34], src, dst)
        if flags & 2:
            streams[key] = Stream()
            streams[key].next = (seq + 1) & 0xFFFFFFFF
        if not payload or key not in streams:
            continue
        stream = streams[key]
        stream.add(seq, payload)
        for r in stream.records():
            c = Cursor(r)
            xid, kind = c.u32(), c.u32()
            if kind == 0:
                _, prog, _, proc = c.u32(), c.u32(), c.u32(), c.u32()
                for _ in range(2):
                    c.u32()
                    c.opaque()
                if prog == 100005 and proc == 1:
                    waiting[xid] = ("mnt", None, None)
                if prog != 100003 or proc not in NAMES:
                    continue
                fh = c.opaque()
                name, more = None, ""
                if proc == 3:
                    name = c.opaque()
                    more = " " + quote(name)
                elif proc == 6:
                    more = " %d %d" % (c.u64(), c.u32())
                elif proc == 17:
                    cookie = c.u64()
                    c.skip(8)
                    page = 0 if not cookie else pages.get((fh, cookie), 1)
                    more = " %d %d %d" % (page, c.u32(), c.u32())
                    name = page
                if fh not in paths:
                    continue
                out.append("%d %d %s %s%s" % (when - last if last else 0, len(waiting), NAMES[proc],
                                              quote(paths[fh]), more))
                last = when
                waiting[xid] = (NAMES[proc], fh, name)
                continue
            call, fh, name = waiting.pop(xid, (None, None, None))
            c.skip(4 + 8 + 4)
            if call is None or c.u32():
                continue
            if call == "mnt":
                paths[c.opaque()] = "/"
            elif call == "lookup":
                new = c.opaque()
                if name not in (b".", b".."):
                    paths.setdefault(new, paths[fh].rstrip("/") + "/" + name.decode("latin1"))
            elif call == "readdirplus":
                c.post_op()
                c.skip(8)
                while c.u32():
                    c.skip(8)
                    entry = c.opaque()
                    cookie = c.u64()
                    c.post_op()
                    if c.u32():
                        new = c.opaque()
                        if entry not in (b".", b".."):
                            paths.setdefault(new, paths[fh].rstrip("/") + "/" +
                                             entry.decode("latin1"))
                    pages[fh, cookie] = name + 1
    print("\n".join(out))


main()

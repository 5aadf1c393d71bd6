# SPDX-License-Identifier: GPL-2.0-or-later
"""NFSv3 of a machine: a hard mount.  A call is sent again over a new connection for as long
as the server is away, as Linux does; each result is read to its last byte by
tests/net/nfs_rpc.py."""
import asyncio
import random
import socket
import struct
import time

import nfs_rpc as rpc
from world import Wrong

PATIENCE = 150
AUTH_NONE = rpc.AUTH_NONE
LOOKUP, GETATTR, ACCESS, READLINK, READ, READDIR, READDIRPLUS = 3, 1, 4, 5, 6, 16, 17


class Status(Exception):
    """An NFS or MOUNT status that is no success."""

    def __init__(self, status, what):
        super().__init__("%s: status %d" % (what, status))
        self.status = status


class Stream(asyncio.Protocol):
    def __init__(self):
        self.buffer = bytearray()
        self.waiting = {}

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        b = self.buffer
        b += data
        at = 0
        while len(b) - at >= 4:
            (mark,) = struct.unpack_from(">I", b, at)
            size = mark & 0x7FFFFFFF
            if not mark & 0x80000000 or size > (1 << 20) + 4096:
                self.lost(Wrong("NFS: record mark %08x" % mark))
                self.transport.abort()
                return
            if len(b) - at < 4 + size:
                break
            reply = bytes(b[at + 4:at + 4 + size])
            at += 4 + size
            future = self.waiting.pop(reply[:4], None)
            if future and not future.done():
                future.set_result(reply)
        del b[:at]

    def lost(self, error):
        waiting, self.waiting = self.waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(error)

    def connection_lost(self, error):
        self.lost(ConnectionError("closed"))


class Client:
    def __init__(self, address, server, figures):
        self.address, self.server, self.figures = address, server, figures
        self.streams = {}  # by port
        self.cred = rpc.AUTH_ROOT

    def bind(self, s):
        """To its own address and a reserved port."""
        for source in random.sample(range(600, 1024), 20):
            try:
                return s.bind((self.address, source))
            except OSError:
                pass
        raise OSError("%s: no port" % self.address)

    async def connect(self, port):
        stream = self.streams.get(port)
        if stream and not stream.transport.is_closing():
            return stream
        s = socket.socket()
        s.setblocking(False)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.bind(s)
            loop = asyncio.get_running_loop()
            await asyncio.wait_for(loop.sock_connect(s, (self.server, port)), 5)
            _, stream = await loop.create_connection(Stream, sock=s)
        except BaseException:
            s.close()
            raise
        self.streams[port] = stream
        return stream

    def close(self, abort=False):
        for stream in self.streams.values():
            stream.transport.abort() if abort else stream.transport.close()
        self.streams = {}

    async def call(self, port, prog, vers, proc, args, cred=None, kind=None):
        """The results of one call, however often it must be sent."""
        message = rpc.call(prog, vers, proc, args, self.cred if cred is None else cred)
        began = time.monotonic()
        while True:
            start = time.monotonic()
            try:
                stream = await self.connect(port)
                future = asyncio.get_running_loop().create_future()
                stream.waiting[message[:4]] = future
                stream.transport.write(rpc.mark(message))
                reply = await asyncio.wait_for(future, 60)
                break
            except (OSError, asyncio.TimeoutError) as e:
                if isinstance(e, asyncio.TimeoutError):
                    self.figures.count("NFS calls without an answer for long")
                    self.close(abort=True)
                self.figures.count("NFS calls sent again")
                if self.figures.waited(began) > PATIENCE:
                    raise Wrong("NFS, %s: program %d, procedure %d: no answer for %d s (%s)" % (
                        self.address, prog, proc, PATIENCE, e))
                await asyncio.sleep(random.uniform(0.2, 1))
        self.figures.worst(kind or "NFS call", time.monotonic() - start)
        self.figures.count("NFS calls")
        if reply[4:24] != bytes(3) + b"\1" + bytes(16):
            raise Wrong("NFS, %s: program %d, procedure %d: refused: %s" % (
                self.address, prog, proc, reply[:32].hex()))
        return memoryview(reply)[24:]

    async def udp(self, port, prog, vers, proc, args, cred):
        message = rpc.call(prog, vers, proc, args, cred)
        loop = asyncio.get_running_loop()
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setblocking(False)
        try:
            self.bind(s)
            s.connect((self.server, port))
            for _ in range(60):
                try:
                    s.send(message)
                    reply = await asyncio.wait_for(loop.sock_recv(s, 65536), 2)
                    if reply[:4] == message[:4]:
                        return memoryview(reply)[24:]
                except (OSError, asyncio.TimeoutError):
                    self.figures.count("RPC by UDP sent again")
                    await asyncio.sleep(0.2)
        finally:
            s.close()
        raise Wrong("RPC by UDP, %s: no answer from port %d" % (self.address, port))

    async def port_of(self, prog, tcp):
        args = rpc.words(prog, 3, 6, 0)
        ask = self.call(111, rpc.PMAP, 2, 3, args, AUTH_NONE, "port mapper") if tcp else self.udp(
            111, rpc.PMAP, 2, 3, args, AUTH_NONE)
        return struct.unpack(">I", await ask)[0]

    async def mount(self, path=b"/", klibc=True):
        mount = await self.port_of(rpc.MOUNT, klibc)
        self.port = await self.port_of(rpc.NFS, klibc)
        if mount == 0 or self.port == 0:
            raise Wrong("port mapper, %s: ports %d and %d" % (self.address, mount, self.port))
        r = await self.call(mount, rpc.MOUNT, 3, 1, rpc.opaque(path),
                            AUTH_NONE if klibc else None, "MNT")
        status = struct.unpack(">I", r[:4])[0]
        if status:
            raise Status(status, "MNT %s" % path.decode())
        n = struct.unpack(">I", r[4:8])[0]
        self.root = bytes(r[8:8 + n])
        return self.root

    async def unmount(self):
        await self.udp(self.port, rpc.MOUNT, 3, 3, rpc.opaque(b"/"), self.cred)

    async def nfs(self, proc, args, what):
        r = await self.call(self.port, rpc.NFS, 3, proc, args,
                            kind="NFS READ" if proc == READ else None)
        try:
            status, fields = rpc.layout(proc, r)
        except (AssertionError, struct.error) as e:
            raise Wrong("NFS, %s: %s: results that are none: %s" % (self.address, what, e))
        if status:
            raise Status(status, what)
        return fields

    async def lookup(self, directory, name):
        return await self.nfs(LOOKUP, rpc.opaque(directory) + rpc.opaque(name),
                              "LOOKUP %r" % name)

    async def walk(self, path):
        """(handle, attributes) of `path`, no link followed; None where it is absent."""
        fh, attr = self.root, None
        for name in path.encode().split(b"/"):
            try:
                f = await self.lookup(fh, name)
            except Status as e:
                if e.status == rpc.NOENT:
                    return None
                raise
            fh, attr = bytes(f["fh"]), f["attr"]
        return fh, attr

    async def getattr(self, fh):
        return (await self.nfs(GETATTR, rpc.opaque(fh), "GETATTR"))["attr"]

    async def readlink(self, fh):
        return bytes((await self.nfs(READLINK, rpc.opaque(fh), "READLINK"))["target"])

    async def read(self, fh, offset, count):
        f = await self.nfs(READ, rpc.opaque(fh) + struct.pack(">QI", offset, count),
                           "READ at %d" % offset)
        self.figures.count("NFS bytes", f["count"])
        return f["data"], f["eof"]

    async def read_all(self, fh, size, count=131072):
        """The whole file, with some calls in flight, as read-ahead does."""
        parts = []
        offsets = list(range(0, max(size, 1), count))
        for i in range(0, len(offsets), 4):
            got = await asyncio.gather(*(self.read(fh, o, count) for o in offsets[i:i + 4]))
            parts += [bytes(data) for data, _ in got]
            if got[-1][1]:
                break
        return b"".join(parts)

    async def list(self, fh, count=2048):
        """The entries of a directory, page by page."""
        cookie, verifier, out = 0, bytes(8), []
        while True:
            f = await self.nfs(READDIRPLUS, rpc.opaque(fh) + struct.pack(">Q", cookie) + verifier
                               + rpc.words(count // 4, count), "READDIRPLUS")
            out += f["entries"]
            if f["eof"]:
                return out
            if not f["entries"]:
                raise Wrong("NFS, %s: READDIRPLUS: no entry and no end" % self.address)
            cookie = f["entries"][-1]["cookie"]

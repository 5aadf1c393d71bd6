# SPDX-License-Identifier: GPL-2.0-or-later
"""TFTP of a machine: one file, with the options and the patience of some ROM or loader."""
import asyncio
import random
import struct
import time

from world import Wrong

RRQ, DATA, ACK, ERROR, OACK = 1, 3, 4, 5, 6
UNKNOWN_ID = 5
PATIENCE = 150
# blksize, windowsize as ROMs, iPXE, GRUB and EDK2 ask
MANNERS = [(1456, None), (1432, None), (1024, None), (1468, 4), (1428, 16), (None, None)]


class Refused(Exception):
    """The server's ERROR."""

    def __init__(self, code, words):
        super().__init__("%d %s" % (code, words))
        self.code = code


class Transfer(asyncio.DatagramProtocol):
    def __init__(self, name, server, manner):
        self.blksize, self.window = manner
        self.server = server
        words = [name.encode(), b"octet", b"tsize", b"0"]
        if self.blksize:
            words += [b"blksize", b"%d" % self.blksize]
        if self.window:
            words += [b"windowsize", b"%d" % self.window]
        self.request = struct.pack(">H", RRQ) + b"\0".join(words) + b"\0"
        self.to = (server, 69)
        self.last = self.request
        self.block = 0  # the last in order
        self.since = 0  # blocks since an ACK
        self.size = 512
        self.step = 1
        self.told = None
        self.parts = []
        self.moved = 0  # packets that brought it on
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        transport.sendto(self.request, self.to)

    def ack(self):
        self.last = struct.pack(">HH", ACK, self.block & 0xFFFF)
        self.since = 0
        self.transport.sendto(self.last, self.to)

    def again(self):
        self.transport.sendto(self.last, self.to)

    def datagram_received(self, data, where):
        if self.done.done() or where[0] != self.server:
            return
        if self.to[1] == 69:
            self.to = where
        elif where != self.to:
            return
        code, number = struct.unpack_from(">HH", data)
        if code == ERROR:
            self.done.set_exception(Refused(
                number, data[4:].split(b"\0")[0].decode(errors="replace")))
        elif code == OACK and not self.block:
            self.take_options(data[2:])
            self.moved += 1
            self.ack()
        elif code == DATA and number == (self.block + 1) & 0xFFFF:
            self.block += 1
            self.since += 1
            self.moved += 1
            self.parts.append(data[4:])
            if len(data) - 4 < self.size:
                self.ack()
                self.done.set_result(b"".join(self.parts))
            elif self.since >= self.step:
                self.ack()
        elif code == DATA and self.since:
            self.ack()  # a hole in the window: from here, please

    def take_options(self, data):
        words = data.rstrip(b"\0").split(b"\0")
        for key, value in zip(words[::2], words[1::2]):
            if key == b"blksize":
                self.size = int(value)
            elif key == b"windowsize":
                self.step = int(value)
            elif key == b"tsize":
                self.told = int(value)
        if self.size > (self.blksize or 512) or self.step > (self.window or 1):
            self.done.set_exception(Wrong("TFTP: more than was asked: %r" % data))

    def error_received(self, error):
        pass  # nobody listens there just now


async def fetch(address, server, name, figures, patience=PATIENCE):
    """The file's bytes, from the beginning again whenever the server goes away."""
    began = time.monotonic()
    while True:
        start = time.monotonic()
        transport, t = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Transfer(name, server, random.choice(MANNERS)), local_addr=(address, 0))
        try:
            tries, moved = 0, 0
            while tries < 5:
                try:
                    body = await asyncio.wait_for(asyncio.shield(t.done), 1 + tries)
                except asyncio.TimeoutError:
                    tries = tries + 1 if t.moved == moved else 0
                    moved = t.moved
                    t.again()
                    figures.count("TFTP packets sent again")
                    continue
                except Refused as e:
                    if e.code != UNKNOWN_ID:
                        raise
                    break  # the server was started again, and another has that port now
                if t.told is not None and t.told != len(body):
                    raise Wrong("TFTP, %s, %s: %d bytes, tsize said %d" % (
                        address, name, len(body), t.told))
                figures.count("TFTP files")
                figures.count("TFTP bytes", len(body))
                figures.worst("TFTP file", time.monotonic() - start)
                return body
        finally:
            t.done.cancel()
            transport.close()
        figures.count("TFTP begun again")
        if figures.waited(began) > patience:
            raise Wrong("TFTP, %s, %s: not within %.0f s" % (address, name, patience))

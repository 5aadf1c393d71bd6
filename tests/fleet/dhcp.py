# SPDX-License-Identifier: GPL-2.0-or-later
"""DHCP of a machine at each stage of its boot, as its ROM, iPXE, initrd, kernel or system
asks, and what must hold of every answer."""
import asyncio
import random
import socket
import struct
import time

from world import Wrong

DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE = 1, 2, 3, 4, 5, 6, 7
COOKIE = b"\x63\x82\x53\x63"
PATIENCE = 150  # for a server that is being started again, on a busy machine


def option(code, data):
    return bytes([code, len(data)]) + data


PXE = (option(60, b"PXEClient:Arch:00000:UNDI:002001") + option(93, b"\0\0")
       + option(94, b"\1\2\1") + option(97, b"\0" + bytes(16))
       + option(55, bytes([1, 2, 3, 5, 6, 11, 12, 13, 15, 16, 17, 18, 43, 54, 60, 67, 128])))
STAGES = {
    "rom": PXE,
    "uefi": PXE.replace(b"\x5d\2\0\0", b"\x5d\2\0\7").replace(b"Arch:00000", b"Arch:00007"),
    "ipxe": (option(60, b"PXEClient:Arch:00007:UNDI:003010") + option(93, b"\0\7")
             + option(77, b"iPXE") + option(55, bytes([1, 3, 6, 7, 12, 15, 17, 43, 60, 66, 67]))
             + option(175, b"\xb1\5\1\x1a\xf4\x10\0")),
    "initrd": (option(60, b"Linux ipconfig") + option(57, b"\x02\x40")
               + option(55, bytes([1, 3, 6, 12, 15, 17, 26, 28, 40]))),
    "kernel": option(57, b"\x02\x40") + option(55, bytes([1, 3, 6, 12, 15, 17, 26, 40, 42])),
    "system": option(12, b"soak") + option(55, bytes([1, 28, 2, 3, 15, 6, 12])),
}


def options(data):
    out, at = {}, 240
    while at < len(data) and data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        n = data[at + 1]
        if len(data) < at + 2 + n:
            raise Wrong("an option beyond the end of %s" % data.hex())
        out[data[at]] = out.get(data[at], b"") + data[at + 2:at + 2 + n]
        at += 2 + n
    return out


class Answer:
    def __init__(self, data, source, to):
        self.yiaddr = socket.inet_ntoa(data[16:20])
        self.siaddr = socket.inet_ntoa(data[20:24])
        self.file = data[108:236].split(b"\0")[0].decode()
        self.to = to
        self.source = source
        if data[236:240] != COOKIE:
            raise Wrong("a DHCP answer without its cookie")
        o = self.options = options(data)
        self.kind = o.get(53, b"\0")[0]
        self.server = socket.inet_ntoa(o[54]) if 54 in o else ""
        self.secs = struct.unpack(">I", o[51])[0] if 51 in o else 0
        self.hostname = o.get(12, b"").rstrip(b"\0").decode()
        self.root = o.get(17, b"").rstrip(b"\0").decode()
        if not self.file:
            self.file = o.get(67, b"").rstrip(b"\0").decode()


class Client:
    """The DHCP side of one MAC."""

    def __init__(self, wire, mac, figures, server):
        self.wire, self.mac, self.figures, self.server = wire, mac, figures, server
        self.name = mac.hex(":")

    async def ask(self, kind, stage, more=b"", ciaddr="0.0.0.0", to=None, patience=PATIENCE):
        """Ask until somebody answers: (Answer, when it was first asked, when answered)."""
        xid = random.randbytes(4)
        data = (struct.pack(">BBBB", 1, 1, 6, 0) + xid + struct.pack(">HH", 0, 0)
                + socket.inet_aton(ciaddr) + bytes(12) + self.mac + bytes(10 + 192) + COOKIE
                + option(53, bytes([kind])) + STAGES[stage] + more + b"\xff")
        data += bytes(max(0, 300 - len(data)))
        began = time.monotonic()
        wait = 2.0
        while True:
            future = asyncio.get_running_loop().create_future()
            self.wire.waiting[self.mac, xid] = future
            self.wire.send(self.mac, data, ciaddr, to)
            try:
                answer = Answer(*await asyncio.wait_for(future, wait))
            except asyncio.TimeoutError:
                self.figures.count("DHCP asked again")
                waited = (self.figures.waited(began) if patience == PATIENCE
                          else time.monotonic() - began)
                if waited > patience:
                    return None, began, time.monotonic()
                wait = min(wait * 1.5, 8)
                continue
            finally:
                del self.wire.waiting[self.mac, xid]
            ended = time.monotonic()
            self.check(answer, kind, stage)
            return answer, began, ended

    def check(self, answer, kind, stage):
        def must(ok, what):
            if not ok:
                raise Wrong("DHCP, %s, %s: %s" % (self.name, stage, what))

        must(answer.server == self.server, "server identifier %r" % answer.server)
        must(answer.source == self.server, "sent by %r" % answer.source)
        must(answer.to in (self.mac, b"\xff" * 6) or kind == REQUEST, "to %s" % answer.to.hex())
        if answer.kind == NAK:
            must(answer.yiaddr == "0.0.0.0" and kind == REQUEST, "a NAK with an address")
            return
        must(answer.kind == (OFFER if kind == DISCOVER else ACK), "type %d" % answer.kind)
        must(answer.secs > 0, "no lease time")
        must(answer.siaddr == self.server, "next server %r" % answer.siaddr)
        must(answer.yiaddr != "0.0.0.0", "no address")

    async def lease(self, stage):
        """DISCOVER to ACK.  (ACK, when its first DISCOVER left, when the ACK came)"""
        first = time.monotonic()
        for _ in range(20):
            offer, _, _ = await self.ask(DISCOVER, stage)
            if not offer:
                break
            pick = (option(50, socket.inet_aton(offer.yiaddr))
                    + option(54, socket.inet_aton(offer.server)))
            ack, began, ended = await self.ask(REQUEST, stage, pick, patience=12)
            if not ack:
                continue  # it was started again meanwhile, and forgot its offer
            if ack.kind == NAK:
                self.figures.count("DHCP NAK of a REQUEST")
                continue
            if ack.yiaddr != offer.yiaddr:
                raise Wrong("DHCP, %s: offered %s, then gave %s" % (
                    self.name, offer.yiaddr, ack.yiaddr))
            self.figures.worst("DHCP", ended - began)
            self.figures.count("DHCP exchanges")
            return ack, first, ended
        raise Wrong("DHCP, %s, %s: no lease within %.0f s" % (
            self.name, stage, time.monotonic() - first))

    async def renew(self, address):
        """By unicast, as at T1.  An ACK for the same address, or None."""
        ack, began, ended = await self.ask(REQUEST, "system", ciaddr=address, to=self.server)
        if not ack:
            raise Wrong("DHCP, %s: no answer to a renewal of %s for %.0f s" % (
                self.name, address, ended - began))
        if ack.kind == NAK or ack.yiaddr != address:
            raise Wrong("DHCP, %s: %s is not renewed but %s" % (
                self.name, address, "refused" if ack.kind == NAK else ack.yiaddr))
        self.figures.worst("DHCP renewal", ended - began)
        self.figures.count("DHCP renewals")
        return ack

    def release(self, address):
        data = (struct.pack(">BBBB", 1, 1, 6, 0) + random.randbytes(4) + bytes(4)
                + socket.inet_aton(address) + bytes(12) + self.mac + bytes(10 + 192) + COOKIE
                + option(53, bytes([RELEASE])) + option(54, socket.inet_aton(self.server))
                + b"\xff")
        self.wire.send(self.mac, data + bytes(60), address, self.server)

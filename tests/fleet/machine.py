# SPDX-License-Identifier: GPL-2.0-or-later
"""One simulated machine: switched on, booted stage by stage as its kind does, used for a
while, switched off, and all over again.  Whatever it is given is compared with what the
world says it must get; the first difference ends the soak.

A boot is bound to one version by the first thing that tells it (the kernel, the menu or a
file of the root), which must have been active while it was pinned; from then on all of it
must be of that version.
"""
import asyncio
import os
import random
import re
import time

import dhcp
import nfs
import nfs_rpc as rpc
import tftp
from world import IMAGE, INIT, INITRD, KERNEL, PLAY, VERSION, EPOCH, Wrong, kind_of

FOREVER = float("inf")
SECRETS = ("etc/ssh/ssh_host_ed25519_key", "etc/machine-id")
OWN = PLAY + "/own-secret"  # put with --secret for some hosts
KEYS_SECS = 120  # until a machine that registered itself has its keys


class Machine:
    def __init__(self, soak, number, kind, name=None, groups=()):
        self.soak, self.world, self.figures = soak, soak.world, soak.figures
        self.mac = b"\x52\x54\0\x50" + number.to_bytes(2, "big")
        self.kind = kind  # "bios", "ipxe" or "kernel"
        self.registered = name is not None
        self.name = name or "host-" + self.mac.hex()
        self.groups = groups
        self.rng = random.Random("%d %d" % (soak.seed, number))
        self.renews = number % 2 == 0
        self.dhcp = dhcp.Client(soak.wire, self.mac, soak.figures, soak.server)
        self.address = None
        self.on = False
        self.boots = 0
        self.version = None
        self.began = 0.0
        self.pin_first = self.pin_last = 0.0
        self.first_mount = 0.0
        self.running = False

    def __str__(self):
        return "%s (%s, %s, %s, boot %d, version %s)" % (
            self.name, self.mac.hex(":"), self.address, self.kind, self.boots,
            self.version.number if self.version else "?")

    def scopes(self):
        return ["all"] + ["group:" + g for g in self.groups] + ["host:" + self.name]

    def render(self, text, version):
        keys = {"name": self.name, "mac": self.mac.hex(":"), "image": IMAGE,
                "version": str(version)}
        if self.groups:
            keys["color"] = self.groups[-1]
        return re.sub(r"{{(\w+)}}", lambda m: keys[m[1]], text)

    # ---- its life ----

    async def live(self, delay):
        await asyncio.sleep(delay)
        while True:
            try:
                await self.boot()
                await self.use(self.rng.uniform(0.3, 1) * self.soak.uptime)
                await self.off()
            except Wrong as e:
                raise Wrong("%s: %s" % (self, e)) from None
            except nfs.Status as e:
                raise Wrong("%s: %s" % (self, e)) from None
            except tftp.Refused as e:
                raise Wrong("%s: TFTP refused: %s" % (self, e)) from None
            await asyncio.sleep(self.rng.uniform(0.1, 3))

    async def off(self):
        self.running = self.on = False
        pulled = self.rng.random() < 0.1
        if not pulled and self.rng.random() < 0.5:
            await self.nfs.unmount()
        self.nfs.close(abort=pulled)
        self.soak.wire.down(self.address)
        self.world.hold(self.address, self.dhcp.name, max(self.expires, time.monotonic()),
                        "switched off")

    async def lease(self, stage):
        ack, first, ended = await self.dhcp.lease(stage)
        if self.address and ack.yiaddr != self.address:
            raise Wrong("has %s now" % ack.yiaddr)
        if self.registered and ack.hostname != self.name:
            raise Wrong("is told to be %r" % ack.hostname)
        if ack.root != self.soak.server + ":/":
            raise Wrong("root path %r" % ack.root)
        self.address = ack.yiaddr
        self.expires = ended + ack.secs * 0.9
        self.world.hold(self.address, self.dhcp.name, FOREVER, "DHCP, " + stage)
        self.soak.wire.up(self.address)
        return ack, first, ended

    async def boot(self):
        start = time.monotonic()
        before = self.pin_first
        # A machine without a ROM's DISCOVER goes on with its last boot where word of that
        # boot's mount was lost with a process that was killed.
        lost = self.kind != "bios" and self.figures.killed >= self.began
        self.began = start
        self.version = None
        self.boots += 1
        self.on = True
        first = {"bios": "rom", "ipxe": "ipxe", "kernel": "kernel"}[self.kind]
        ack, self.pin_first, self.pin_last = await self.lease(first)
        # Nor has it a boot of its own where the server forgot it between DISCOVER and ACK
        # (HACKING, "What is not there yet").
        if lost or self.figures.killed >= start:
            self.pin_first = before
        if self.kind != "kernel":
            await self.load(ack)
            self.soak.wire.down(self.address)
            await self.lease("initrd")
        self.nfs = nfs.Client(self.address, self.soak.server, self.figures)
        await self.mount()
        self.held = {}
        await self.file(VERSION)
        await self.file(INIT)
        await self.identity()
        await self.play()
        await self.directory(self.rng.choice(self.version.dirs))
        self.running = True
        self.figures.count("boots")
        self.figures.worst("boot", time.monotonic() - start)

    async def fetch(self, name):
        start = time.monotonic()
        while True:
            try:
                return await tftp.fetch(self.address, self.soak.server, name, self.figures)
            except tftp.Refused as e:
                if ("no machine is registered" not in str(e)
                        or self.figures.waited(start) > KEYS_SECS):
                    raise
                self.figures.count("TFTP refused, asked again")
                await asyncio.sleep(2)

    async def load(self, ack):
        """What comes by TFTP: loader, menu, kernel, initrd."""
        if self.kind == "bios":
            self.loader(ack.file, "pxelinux.0", await self.fetch(ack.file))
            dashed = self.mac.hex("-")
            menu = (await self.fetch("pxelinux.cfg/01-" + dashed)).decode()
            kernel = re.search(r"^  KERNEL (\S+)$", menu, re.M)
            initrd = re.search(r"^  INITRD (\S+)$", menu, re.M)
            line = re.search(r"^  APPEND (.*)$", menu, re.M)
        else:
            if ack.file != "boot.ipxe":
                raise Wrong("iPXE is told to load %r" % ack.file)
            menu = (await self.fetch(ack.file)).decode()
            kernel = re.search(r"^kernel --name kernel (\S+)", menu, re.M)
            initrd = re.search(r"^initrd --name initrd (\S+)", menu, re.M)
            line = re.search(r"^kernel (.*)$", menu, re.M)
        if not kernel or not initrd or not line:
            raise Wrong("a menu that boots nothing: %r" % menu)
        if "nfsroot=%s:/" % self.soak.server not in line[1]:
            raise Wrong("a command line without its root: %r" % line[1])
        told = re.search(r"%s, %s@(\d+)" % (self.name, IMAGE), menu)
        if not told:
            raise Wrong("the menu is not its own: %r" % menu)
        self.bind(int(told[1]), "the menu")
        for name, path in ((kernel[1], KERNEL), (initrd[1], INITRD)):
            self.compare(path, await self.fetch(name), [self.version.tree[path]], "TFTP")
        if self.rng.random() < 0.1:
            try:
                await self.fetch(SECRETS[0])
            except tftp.Refused:
                return
            raise Wrong("a secret was sent by TFTP")

    def loader(self, told, name, body):
        if told != name or body != self.soak.loaders[name]:
            raise Wrong("loader %s: %d bytes that are not those of %s" % (told, len(body), name))

    def bind(self, number, by):
        if self.version:
            if self.version.number != number:
                raise Wrong("%s is of version %d" % (by, number))
            return
        allowed = self.world.active.between(self.pin_first, self.pin_last, self.world.delay)
        if number not in allowed:
            raise Wrong("%s is of version %d, but active when it was pinned, %.1f to %.1f s "
                        "ago, was %s" % (by, number, time.monotonic() - self.pin_first,
                                         time.monotonic() - self.pin_last, allowed))
        self.version = self.world.images.versions[number]

    async def mount(self):
        klibc = self.kind != "kernel"
        start = time.monotonic()
        while True:
            try:
                await self.nfs.mount(b"/", klibc)
                break
            except nfs.Status as e:
                # As the kernel does: the server may just have been started again.
                self.figures.count("MNT refused, asked again")
                if self.figures.waited(start) > nfs.PATIENCE:
                    raise
                await asyncio.sleep(1)
        self.first_mount = self.first_mount or time.monotonic()

    async def use(self, secs):
        """A system that runs: reads, looks again, renews its lease, for `secs`."""
        end = time.monotonic() + secs
        renew = time.monotonic() + 20
        while time.monotonic() < end:
            await asyncio.sleep(self.rng.uniform(0.5, 1.5) * self.soak.pace)
            what = self.rng.random()
            if self.renews and time.monotonic() > renew:
                ack = await self.dhcp.renew(self.address)
                self.expires = time.monotonic() + ack.secs * 0.9
                renew = time.monotonic() + 20
            elif what < 0.3:
                await self.play()
            elif what < 0.5:
                await self.directory(self.rng.choice(self.version.dirs))
            elif what < 0.65:
                await self.range()
            elif what < 0.85:
                await self.again()
            elif what < 0.95:
                await self.identity()
            else:
                await self.trespass()

    # ---- what it looks at ----

    def compare(self, path, body, nodes, by):
        for node in nodes:
            if node and node.body == body:
                return node
        node = next((n for n in nodes if n), None)
        if not node:
            raise Wrong("%s: %s is there, with %r; it must be absent" % (
                by, path, bytes(body[:60])))
        want = bytes(node.body)
        at = next((i for i, (a, b) in enumerate(zip(want, body)) if a != b),
                  min(len(want), len(body)))
        raise Wrong("%s: %s: %d bytes of %s, differing at %d: has %s, must have %s" % (
            by, path, len(body), [n and (n.size, n.rev) for n in nodes], at,
            self.world.explain(path, body[at:]), self.world.explain(path, want[at:])))

    async def file(self, path):
        """Look at one path as an open and a read do."""
        first = time.monotonic()
        found = await self.nfs.walk(path)
        body = kind = None
        if found:
            fh, attr = found
            kind = kind_of(attr)
            if kind == "l":
                body = await self.nfs.readlink(fh)
            elif kind == "f":
                body = await self.nfs.read_all(fh, attr["size"])
        last = time.monotonic()
        if path == VERSION and not self.version:
            self.bind(int(body), "the root")
        nodes = self.world.may_see(self, self.version, path, first, last)
        if not found:
            if None not in nodes:
                raise Wrong("%s is absent; it must be there, revision %s" % (
                    path, [n.rev for n in nodes]))
            return None
        # Of two that it may be, which differ by their mode alone, it is one.
        alike = [n for n in nodes if n and n.kind == kind and n.mode == attr["mode"]]
        node = self.compare(path, body, alike or nodes, "NFS")
        if node.kind != kind or kind == "f" and (
                attr["mode"] != node.mode or attr["size"] != len(body)):
            raise Wrong("%s: attributes %r" % (path, attr))
        if path in self.version.tree and node is self.version.tree[path] and kind == "f":
            others = [n for n in alike if n is not node and n.body == body]
            if (path in self.world.images.sizes and not others
                    and attr["mtime"][0] != EPOCH + node.rev):
                raise Wrong("%s: time %r of revision %d" % (path, attr["mtime"], node.rev))
        if kind == "f" and len(self.held) < 24 and self.rng.random() < 0.3:
            self.held[path] = (fh, attr["fileid"], node)
        return node

    async def again(self):
        """A handle from before still answers what it answered."""
        if not self.held:
            return
        path = self.rng.choice(list(self.held))
        fh, fileid, node = self.held[path]
        attr = await self.nfs.getattr(fh)
        if attr["fileid"] != fileid or attr["size"] != node.size:
            raise Wrong("%s by an old handle: %r, not %d bytes" % (path, attr, node.size))
        self.compare(path, await self.nfs.read_all(fh, node.size), [node], "NFS, an old handle")

    async def play(self):
        """Where overlays change things: one path, or the whole directory."""
        if self.rng.random() < 0.7:
            await self.file(self.rng.choice(self.soak.play))
            return
        first = time.monotonic()
        fh, _ = await self.nfs.walk(PLAY)
        names = self.names(PLAY, await self.nfs.list(fh, 1024))
        last = time.monotonic()
        for path in self.soak.play:
            nodes = self.world.may_see(self, self.version, path, first, last)
            there = os.path.basename(path) in names
            if there and not any(nodes) or not there and None not in nodes:
                raise Wrong("%s: listed: %s; %s" % (
                    path, there, self.world.history(self, path)))

    def names(self, directory, entries):
        names = [bytes(e["name"]).decode() for e in entries]
        if len(set(names)) != len(names):
            raise Wrong("%s: listed twice: %s" % (
                directory, sorted({n for n in names if names.count(n) > 1})))
        return set(names) - {".", ".."}

    async def directory(self, path):
        """All of one of the image's own directories."""
        fh, attr = await self.nfs.walk(path)
        entries = await self.nfs.list(fh)
        names = self.names(path, entries)
        if names != self.version.children[path]:
            raise Wrong("%s: lists %s too much, %s too little" % (
                path, sorted(names - self.version.children[path]),
                sorted(self.version.children[path] - names)))
        for entry in entries:
            name = bytes(entry["name"]).decode()
            node = self.version.tree.get(path + "/" + name)
            if name in (".", "..") or node.kind != "f" or not entry["fh"]:
                continue
            attr = entry["attr"]
            if attr["size"] != node.size or attr["mode"] != node.mode:
                raise Wrong("%s/%s: listed with %r" % (path, name, attr))
            body = await self.nfs.read_all(bytes(entry["fh"]), node.size)
            self.compare(path + "/" + name, body, [node], "NFS")

    async def range(self):
        """Some of a large file."""
        path = self.rng.choice(self.version.large)
        node = self.version.tree[path]
        fh, attr = await self.nfs.walk(path)
        for _ in range(4):
            offset = self.rng.randrange(node.size)
            count = self.rng.choice((4096, 65536, 131072, 1 << 20))
            data, eof = await self.nfs.read(fh, offset, count)
            want = node.body[offset:offset + count]
            if bytes(data) != bytes(want) or eof != (offset + count >= node.size):
                if len(data) != len(want):
                    raise Wrong("%s: %d of %d bytes at %d, end %d" % (
                        path, len(data), len(want), offset, eof))
                at = next((i for i, (a, b) in enumerate(zip(data, want)) if a != b), 0)
                raise Wrong("%s: at %d of %d: has %s, must have %s (revision %d), end %d" % (
                    path, offset + at, node.size, self.world.explain(path, data[at:]),
                    self.world.explain(path, want[at:]), node.rev, eof))

    async def identity(self):
        """What is its own: name, keys, secrets."""
        found = await self.nfs.walk("etc/hostname")
        body = await self.nfs.read_all(found[0], 200) if found else b""
        if body != self.name.encode() + b"\n":
            raise Wrong("its host name is %r" % body)
        for path in SECRETS:
            found = await self.nfs.walk(path)
            if not found:
                if self.registered or self.figures.waited(self.first_mount) > KEYS_SECS:
                    raise Wrong("%s is absent" % path)
                self.figures.count("keys not there yet")
                continue
            body = await self.nfs.read_all(found[0], found[1]["size"])
            if len(body) < 32 or len(body) != found[1]["size"]:
                raise Wrong("%s has %d bytes" % (path, len(body)))
            self.world.secret(body, self.name, path)
        if self.registered:
            await self.file(OWN)

    async def trespass(self):
        """What is another's is not to be had."""
        other = self.soak.somebody(self)
        if not other:
            return
        root = other.nfs.root  # now: it may be switched off while we wait
        self.figures.count("trespasses refused")
        try:
            await self.nfs.mount(b"/hosts/" + other.name.encode())
        except nfs.Status:
            pass
        else:
            raise Wrong("may mount the root of %s" % other.name)
        for proc, what in ((nfs.GETATTR, b""), (nfs.READ, bytes(8) + rpc.words(4096))):
            try:
                await self.nfs.nfs(proc, rpc.opaque(root) + what, "of another")
            except nfs.Status as e:
                if e.status not in (rpc.ACCES, rpc.STALE, rpc.BADHANDLE):
                    raise Wrong("the handle of %s: status %d" % (other.name, e.status))
            else:
                raise Wrong("the handle of %s is honoured" % other.name)


class Guest:
    """A machine that only asks for an address, and goes again."""

    def __init__(self, soak, number):
        self.soak = soak
        self.mac = b"\x52\x54\0\x60" + number.to_bytes(2, "big")
        self.dhcp = dhcp.Client(soak.wire, self.mac, soak.figures, soak.server)

    async def live(self):
        world, name = self.soak.world, self.dhcp.name
        ack, _, ended = await self.dhcp.lease("system")
        world.hold(ack.yiaddr, name, ended + ack.secs * 0.9, "a guest")
        self.soak.figures.count("guests")
        if random.random() < 0.3:
            await asyncio.sleep(5)
            world.let_go(ack.yiaddr, name)
            self.dhcp.release(ack.yiaddr)

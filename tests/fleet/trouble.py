# SPDX-License-Identifier: GPL-2.0-or-later
"""What an administrator and fate do meanwhile: images come, are activated, rolled back and
pruned, overlays change, children are killed, the server is started again, guests come and
go.  Each change is told to the world with the moments between which it took effect."""
import asyncio
import json
import os
import random
import shutil
import signal
import tarfile
import time

from machine import OWN, Guest
from world import IMAGE, PLAY, Node, Wrong

KEEP = 4  # versions that pruning leaves


class Images:
    """Their own sequence of commands."""

    def __init__(self, soak):
        self.soak, self.world, self.server = soak, soak.world, soak.server_process
        self.rng = random.Random(soak.seed + 2)
        self.number = 0
        self.active, self.previous = 1, None
        self.origins = {}  # version -> directory

    async def add(self, activate=False, tar=None):
        self.number += 1
        version, top = self.world.images.grow(self.number)
        source = top
        if tar if tar is not None else self.rng.random() < 0.3:
            source = top + ".tar"
            with tarfile.open(source, "w") as t:
                for name in sorted(os.listdir(top)):
                    t.add(top + "/" + name, name)
        change = self.world.active.begin(self.number) if activate else None
        out = await self.server.command("image", "add", IMAGE, source,
                                        *(["--activate"] if activate else []))
        if out.strip() != "%s@%d" % (IMAGE, self.number):
            raise Wrong("image add: made %r, not version %d" % (out, self.number))
        if activate:
            change.done()
            self.previous, self.active = self.active, self.number
        if source != top:
            os.unlink(source)
            shutil.rmtree(top)
        else:
            self.origins[self.number] = top
        self.soak.figures.count("versions added")

    async def rows(self):
        rows = json.loads(await self.server.command("image", "list", "--json"))
        return {int(r["version"].split("@")[1]): r for r in rows}

    async def change(self, number, *words):
        """A command that makes `number` the active version."""
        change = self.world.active.begin(number)
        await self.server.command("image", *words)
        change.done()
        (active,) = [n for n, r in (await self.rows()).items() if r["active"]]
        if active != number:
            raise Wrong("image %s: active is %d, not %d" % (" ".join(words), active, number))
        if number != self.active:
            self.previous, self.active = self.active, number

    async def one(self):
        rows = await self.rows()
        for number in [n for n in self.origins if n in rows and rows[n]["sealed"]
                       or n not in rows]:
            # Sealed: it may vanish.
            shutil.rmtree(self.origins.pop(number))
        what = self.rng.random()
        if what < 0.4 and len(self.origins) < 3:
            await self.add(activate=self.rng.random() < 0.5)
        elif what < 0.6:
            number = self.rng.choice(list(rows))
            await self.change(number, "activate", "%s@%d" % (IMAGE, number))
            self.soak.figures.count("activations")
        elif what < 0.75 and self.previous in rows:
            await self.change(self.previous, "rollback", IMAGE)
            self.soak.figures.count("rollbacks")
        else:
            await self.server.command("image", "prune", IMAGE, "--keep", str(KEEP))
            left = await self.rows()
            self.soak.figures.count("versions pruned", len(rows) - len(left))

    async def live(self):
        while True:
            await asyncio.sleep(self.rng.uniform(0.5, 1.5) * self.soak.image_secs)
            await self.one()


class Overlays:
    def __init__(self, soak):
        self.soak, self.world, self.server = soak, soak.world, soak.server_process
        self.rng = random.Random(soak.seed + 3)
        self.revs = 0
        self.file = soak.work + "/overlay-body"

    def scope(self):
        what = self.rng.random()
        if what < 0.4:
            return "all"
        if what < 0.7:
            return "group:" + self.rng.choice(self.soak.groups)
        # Of some alone: how much there is of overlays is soon level, and so is memory.
        return "host:" + self.rng.choice(self.soak.registered[:8]).name

    def node(self, path, large):
        self.revs += 1
        size = self.rng.choice((0, 1, 77, 3000, 20000 if large else 4000))
        return Node("f", self.rng.choice((0o644, 0o600, 0o755)), size,
                    self.world.bodies.body("put", self.revs, size), self.revs)

    async def put(self, scope, path, node, *more):
        with open(self.file, "wb") as f:
            f.write(node.body)
        await self.server.command("overlay", "put", scope, "/" + path, "--from", self.file,
                                  "--mode", "%o" % node.mode, *more)

    async def one(self):
        path = self.rng.choice(self.soak.play)
        scope = self.scope()
        line = self.world.line(scope, path)
        # One change of a path at a time: what was there before it is known.
        if not all(l.settled(self.world.delay) for (_, p), l in self.world.entries.items()
                   if p == path):
            return None
        more = ["--next-boot"] if path.startswith(PLAY + "/n") else []
        what = self.rng.random()
        command = self.server.command
        if line.last() is not None and what < 0.35:
            change = line.begin(None)
            await command("overlay", "reset", scope, "/" + path, *more)
        elif what < 0.5:
            change = line.begin(("hide",))
            await command("overlay", "hide", scope, "/" + path, *more)
        elif what < 0.6:
            target = b"p%02d" % self.rng.randrange(24)
            change = line.begin(("file", Node("l", 0o777, len(target), target)))
            await command("overlay", "link", scope, "/" + path, target.decode(), *more)
        elif what < 0.75:
            text = "%d: {{name}} {{mac}} {{image}}@{{version}}\n" % self.rng.randrange(1000)
            if scope.startswith("group:"):
                text += "{{color}}\n"
            change = line.begin(("template", text))
            await command("overlay", "put", scope, "/" + path, "--template", "--mode", "644",
                          *more, stdin=text.encode())
        else:
            node = self.node(path, True)
            change = line.begin(("file", node))
            await self.put(scope, path, node, *more)
        change.done()
        self.soak.figures.count("overlay changes")
        return scope, path, change

    async def secrets(self):
        """A file of its own, which nobody else may see, for each registered machine."""
        for m in self.soak.registered:
            node = self.node(OWN, False)
            body = b"%s's own %d\n" % (m.name.encode(), self.rng.randrange(1 << 60))
            node.body, node.size, node.mode = body, len(body), 0o600
            change = self.world.line("host:" + m.name, OWN).begin(("file", node))
            await self.put("host:" + m.name, OWN, node, "--secret")
            change.done()

    async def watch(self, scope, path, change):
        """How long until a machine that runs sees it."""
        machines = [m for m in self.soak.machines if m.running and scope in m.scopes()]
        if not machines or path.startswith(PLAY + "/n"):
            return
        m = self.rng.choice(machines)
        boot = m.boots
        while m.running and m.boots == boot:
            asked = time.monotonic()
            nodes = self.world.may_see(m, m.version, path, asked, asked)
            want = self.world.merged(m, m.version, path, [
                self.world.line(s, path).last() for s in m.scopes()])
            if len(nodes) == 1 or self.world.line(scope, path).changes[-1] is not change:
                return
            found = await m.nfs.walk(path)
            body = b"" if found and want and want.kind == "f" and not want.size else None
            if found and want and body is None:
                body = await (m.nfs.readlink(found[0]) if want.kind == "l" and
                              found[1]["type"] == 5 else m.nfs.read_all(found[0], 1))
            if (found is None) == (want is None) and (not want or body == want.body):
                self.soak.figures.worst("overlay change seen", asked - change.ended)
                return
            await asyncio.sleep(0.05)

    async def live(self):
        while True:
            await asyncio.sleep(self.rng.uniform(0.5, 1.5) * self.soak.overlay_secs)
            changed = await self.one()
            if changed and self.rng.random() < 0.3:
                self.soak.task(self.watch_quietly(*changed))

    async def watch_quietly(self, *changed):
        """A figure alone: whoever is switched off under it says nothing."""
        try:
            await asyncio.wait_for(self.watch(*changed), 20)
        except Exception:
            pass


class Fate:
    """Kills children, and starts the server again."""

    def __init__(self, soak):
        self.soak, self.server = soak, soak.server_process
        self.rng = random.Random(soak.seed + 4)

    async def live(self):
        restart = time.monotonic() + self.soak.restart_secs
        while True:
            await asyncio.sleep(self.rng.uniform(0.5, 1.5) * self.soak.kill_secs)
            if not self.soak.stormy():
                continue
            self.soak.figures.killed = time.monotonic()
            if time.monotonic() > restart:
                restart = time.monotonic() + self.soak.restart_secs
                how = self.rng.choice((signal.SIGTERM, signal.SIGTERM, signal.SIGKILL))
                await self.server.stop(how)
                await asyncio.sleep(self.rng.uniform(0, 2))
                await self.server.start()
                self.soak.figures.count("server started again after " + how.name)
            else:
                name = self.rng.choice(("copier", "dhcp", "tftp", "nfs"))
                if self.server.kill_child(name):
                    self.soak.figures.count("killed: " + name)
            self.soak.figures.killed = time.monotonic()


class Guests:
    def __init__(self, soak):
        self.soak = soak

    async def live(self):
        number = 0
        while True:
            await asyncio.sleep(random.uniform(0.5, 1.5) * self.soak.guest_secs)
            self.soak.task(Guest(self.soak, number).live())
            number += 1

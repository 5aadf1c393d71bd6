#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The soak itself: makes the world, the server and the machines, lets them live for a while,
and says what came of it.  Called by tests/soak, in the namespace of the machines.

usage: soak.py PROGRAM WORK SERVER-NAMESPACE SERVER-INTERFACE SERVER-ADDRESS
"""
import asyncio
import os
import random
import signal
import sys
import time
import traceback

sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../net"))

from figures import Figures
from machine import Machine
from server import SERVICES, Server
from trouble import Fate, Guests, Images, Overlays
from wire import Wire
from world import PLAY, World, Wrong


def setting(name, usual):
    return type(usual)(os.environ.get(name, usual))


class Soak:
    def __init__(self):
        program, self.work, namespace, self.interface, self.server = sys.argv[1:6]
        self.secs = setting("SECS", 60 * setting("MINUTES", 30.0))
        self.clients = setting("CLIENTS", 300)
        self.seed = setting("SEED", random.randrange(1 << 31))
        self.pace = setting("PACE", 2.0)  # seconds between what a running machine does
        self.delay = setting("DELAY", 3.0)  # until a change must be seen
        self.uptime = min(150, self.secs / 3)
        self.storm = setting("STORM", 0.4)  # the part of the time in which children are killed
        self.kill_secs = max(4, min(15, self.secs / 60))
        self.restart_secs = max(15, min(120, self.secs / 6))
        self.image_secs = max(3, min(10, self.secs / 20))
        self.overlay_secs, self.guest_secs = 0.5, 0.7
        self.groups = ["red", "green", "blue"]
        self.figures = Figures()
        os.mkdir(self.work + "/origins")
        self.world = World(self.seed, self.delay, self.work + "/origins")
        self.play = ["%s/%s%02d" % (PLAY, k, i) for k in "pn" for i in range(16)]
        self.loaders = {}
        self.configure()
        self.server_process = Server(program, self.work + "/state", namespace,
                                     self.work + "/rootstock.conf", self.work + "/serve.log",
                                     self.figures)
        self.tasks = set()

    def configure(self):
        os.mkdir(self.work + "/loaders")
        for name in ("pxelinux.0",):
            self.loaders[name] = bytes(self.world.bodies.body(name, 0, 42000))
            with open("%s/loaders/%s" % (self.work, name), "wb") as f:
                f.write(self.loaders[name])
        pool = self.clients + 200
        first, last = 10 << 24 | 77 << 16 | 256, (10 << 24 | 77 << 16 | 256) + pool
        text = lambda a: ".".join(str(a >> s & 255) for s in (24, 16, 8, 0))
        with open(self.work + "/rootstock.conf", "w") as f:
            f.write("[server]\ninterface = %s\nmode = full\nlease = 60\nloaders = %s\n"
                    "[subnet 10.77.0.0/16]\nrange = %s - %s\n" % (
                        self.interface, self.work + "/loaders", text(first), text(last)))

    def stormy(self):
        return time.monotonic() < self.quiet

    def somebody(self, other):
        running = [m for m in self.machines if m.running and m is not other]
        return random.choice(running) if running else None

    def task(self, coroutine):
        task = asyncio.get_running_loop().create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.ended)
        return task

    def ended(self, task):
        self.tasks.discard(task)
        if not task.cancelled() and task.exception() and not self.failed.done():
            self.failed.set_exception(task.exception())

    async def prepare(self):
        command = self.server_process.command
        images = Images(self)
        await images.add(tar=False)
        for name in self.groups:
            await command("group", "add", name)
            await command("group", "set", name, "color=" + name)
        kinds = ["bios"] * 6 + ["ipxe"] * 3 + ["kernel"]
        self.machines = []
        for i in range(self.clients):
            name, groups = None, ()
            if i < self.clients // 4:
                name = "pc%03d" % i
                groups = random.Random(i).choice(((), ("red",), ("green", "red"), ("blue",),
                                                  ("red", "green", "blue")))
            self.machines.append(Machine(self, i, kinds[i % 10], name, groups))
        self.registered = [m for m in self.machines if m.registered]
        gate = asyncio.Semaphore(4)

        async def add(m):
            async with gate:
                more = [w for g in m.groups for w in ("--group", g)]
                await command("host", "add", m.mac.hex(":"), "--name", m.name, *more)
        await asyncio.gather(*(add(m) for m in self.registered))
        self.overlays = Overlays(self)
        await self.overlays.secrets()
        self.images = images

    async def run(self):
        loop = asyncio.get_running_loop()
        self.failed = loop.create_future()
        self.wire = Wire(loop, "eth0")
        self.quiet = 0.0
        await self.prepare()
        await self.server_process.start()
        self.figures.began = began = time.monotonic()
        self.quiet = began + self.secs * self.storm
        print("soak: seed %d, %d machines, %.0f s, ready after %.0f s" % (
            self.seed, self.clients, self.secs, time.process_time()), flush=True)
        spread = min(20, self.secs / 4)
        for i, m in enumerate(self.machines):
            self.task(m.live(spread * i / len(self.machines)))
        for part in (self.images, self.overlays, Fate(self), Guests(self)):
            self.task(part.live())
        self.task(self.figures.watch(self.server_process, max(1, min(5, self.secs / 60))))
        self.task(self.progress(began))
        try:
            await asyncio.wait_for(asyncio.shield(self.failed), self.secs)
        except asyncio.TimeoutError:
            pass
        self.check_end()

    def check_end(self):
        bad = self.server_process.unexpected()
        if bad:
            raise Wrong("the server's log: " + bad[0])
        if not self.server_process.alive() and not self.server_process.starting:
            raise Wrong("the server has ended")
        # On a busy machine a minute may not be enough for all; each has its own patience.
        if self.figures.counts["boots"] < self.clients / 10:
            raise Wrong("%d boots of %d machines" % (self.figures.counts["boots"], self.clients))
        # On a busy machine the last start may have taken until long after the storm.
        quiet = max(self.quiet, self.figures.killed)
        grown = self.figures.level(quiet, self.clients, ("supervisor", *SERVICES))
        if grown:
            raise Wrong("; ".join(grown))

    async def progress(self, began):
        while True:
            await asyncio.sleep(max(10, self.secs / 20))
            c = self.figures.counts
            print("%5.0f s  %s  %d boots, %d calls, %d MB by NFS, %d exchanges, %d up" % (
                time.monotonic() - began, "storm" if self.stormy() else "quiet", c["boots"],
                c["NFS calls"], c["NFS bytes"] // 1000000, c["DHCP exchanges"],
                sum(m.running for m in self.machines)), flush=True)

    async def main(self):
        wrong = None
        signal_task = asyncio.current_task()
        for s in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(s, signal_task.cancel)
        try:
            await self.run()
        except Wrong as e:
            wrong = str(e)
        except Exception:
            wrong = "the soak itself failed:\n" + traceback.format_exc()
        finally:
            for task in list(self.tasks):
                task.cancel()
            try:
                await self.server_process.stop()
            except Exception as e:
                wrong = wrong or "stopping the server: %r" % e
        print(self.figures.table())
        if wrong:
            print("soak: WRONG (SEED=%d, at %.1f s): %s" % (
                self.seed, time.monotonic() - self.figures.began, wrong))
            sys.exit(1)
        print("soak: nothing wrong in %.0f s, seed %d" % (self.secs, self.seed))


asyncio.run(Soak().main())

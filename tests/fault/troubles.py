#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes wrong around a server while machines boot from it.

	troubles.py NETWORK-NAMESPACE FOLDER children SECONDS | clock | link | readonly

Machines may be in trouble meanwhile; they are never told anything wrong, no lease is lost,
and afterwards all goes on.
"""
import os
import random
import subprocess
import sys
import threading
import time

import judge
from faults import ALWAYS, SERVICES
from machines import PATIENCE, Machines, Server, Trouble, Wrong, wait_for

WORK = ("dhcp", "boot_files", "nfs", "fill", "register")


def soon(machines, work):
    """It goes on."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return getattr(machines, work)()
        except Trouble as trouble:
            if time.monotonic() > end:
                raise Wrong("%s does not go on: %s" % (work, trouble)) from trouble
            time.sleep(0.1)


def all_goes_on(server, machines):
    for work in WORK:
        soon(machines, work)
    lost = machines.leases_lost()
    if lost:
        raise Wrong("leases are lost: %s" % lost[:5])
    if server.process.poll() is not None:
        raise Wrong("the supervisor has ended")


def net(server, *words):
    subprocess.run(["nsenter", "--net=/run/netns/" + server.ns, *words], check=True)


def died(server, mark):
    return [line for line in server.said(mark) if "starting it again" in line]


# ---- children killed at random ----

class Load(threading.Thread):
    """One kind of work, over and over."""

    def __init__(self, machines, work, stop):
        super().__init__(daemon=True)
        self.machines, self.work, self.stop = machines, work, stop
        self.done = self.troubles = 0
        self.wrong = None

    def run(self):
        while not self.stop.is_set() and not self.wrong:
            try:
                getattr(self.machines, self.work)()
                self.done += 1
            except Trouble:
                self.troubles += 1
                time.sleep(0.05)
            except Exception as wrong:
                self.wrong = wrong


def children(server, machines, seconds="60"):
    stop, seed = threading.Event(), int(os.environ.get("SEED", random.randrange(1 << 30)))
    rng = random.Random(seed)
    loads = [Load(machines, "dhcp", stop), Load(machines, "fill", stop),
             *(Load(machines, "boot_files", stop) for _ in range(2)),
             *(Load(machines, "nfs", stop) for _ in range(4))]
    end, kills = time.monotonic() + int(seconds), dict.fromkeys(SERVICES[1:], 0)
    for load in loads:
        load.start()
    print("seed %d" % seed, flush=True)
    # On a busy machine a whole fill between two deaths is rare: a little longer, until each
    # kind of work was done.
    while not any(load.wrong for load in loads):
        undone = {load.work for load in loads} - {load.work for load in loads if load.done}
        if time.monotonic() > end + PATIENCE * bool(undone):
            break
        time.sleep(rng.uniform(0, 1.5))
        # Who is dead waits, longer from death to death: the others meanwhile.
        there = server.children()
        if there:
            name = rng.choice(sorted(there))
            server.kill(name)
            kills[name] += 1
    stop.set()
    for load in loads:
        load.join(PATIENCE)
        if load.wrong:
            raise load.wrong
    print("killed: %s" % kills)
    for work in sorted({load.work for load in loads}):
        mine = [load for load in loads if load.work == work]
        print("%-10s %6d done, %5d in trouble" % (
            work, sum(load.done for load in mine), sum(load.troubles for load in mine)))
        if not sum(load.done for load in mine):
            raise Wrong("no %s was ever done" % work)
    if min(kills.values()) == 0:
        raise Wrong("some were never killed: %s" % kills)
    others = [line for line in died(server, 0) if "killed by signal 9" not in line]
    if others:
        raise Wrong("died otherwise: %s" % others[:3])
    all_goes_on(server, machines)


# ---- the wall clock ----

def clock(server, machines):
    hour, year = 3600, 365 * 86400
    mark = server.mark()
    for jump in (hour, -2 * hour, 30 * 86400, -30 * 86400, 9 * year, -20 * year, 0):
        server.faults.clock(jump)
        all_goes_on(server, machines)
        print("%+11d s: all goes on" % jump, flush=True)
    if died(server, mark):
        raise Wrong("children died: %s" % died(server, mark))


# ---- the interface ----

def ticks(pid):
    with open("/proc/%d/stat" % pid, encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def link(server, machines):
    for _ in range(3):
        net(server, "ip", "link", "set", "br0", "down")
        there = server.children()
        before = {name: ticks(pid) for name, pid in there.items()}
        try:
            machines.boot_files()
            raise Wrong("served by an interface that is down")
        except Trouble:
            pass
        # That was eight seconds; nobody turns in circles.
        for name, pid in server.children().items():
            if there.get(name) == pid and ticks(pid) - before[name] > 200:
                raise Wrong("%s used %d ticks while the interface was down" % (
                    name, ticks(pid) - before[name]))
        net(server, "ip", "link", "set", "br0", "up")
        all_goes_on(server, machines)
    if any("killed" in line for line in died(server, 0)):
        raise Wrong("children died: %s" % died(server, 0))


# ---- the state is read-only ----

def readonly(server, machines):
    wait_for("all copies", lambda: "version 1: sealed" in server.log())
    mac, address = machines.dhcp()
    mark = server.mark()
    for service in SERVICES:
        server.faults.arm(service, "disk+journal", "EROFS", run=ALWAYS)
    # What needs no writing goes on; what cannot be kept is not promised.
    for _ in range(3):
        soon(machines, "nfs")
        machines.tftp("kernel", expect=machines.kernel)
    try:
        machines.dhcp()
        raise Wrong("a lease was acknowledged that is nowhere")
    except Trouble:
        pass
    if not server.said(mark):
        raise Wrong("nothing was said: " + server.log(mark))
    # A child that starts then, too.
    server.kill("nfs")
    for service in SERVICES:
        server.faults.disarm(service)
    if machines.acked.get(mac) != address:
        raise Wrong("another address")
    all_goes_on(server, machines)
    killed = [line for line in died(server, mark) if "signal" in line and " 9;" not in line]
    if killed:
        raise Wrong("died: %s" % killed)


def readonly_start(server):
    """Mounted so: one line, and the next start with room to write works."""
    server.stop()
    subprocess.run(["mount", "-o", "remount,ro", server.state], check=True)
    try:
        mark = server.mark()
        server.launch()
        if server.process.wait(PATIENCE) != 1:
            raise Wrong("serve on a read-only state: %d" % server.process.returncode)
        server.process = None
        lines = server.log(mark).splitlines()
        if len(lines) != 1 or not lines[0].startswith("rootstock: "):
            raise Wrong("serve on a read-only state says: %s" % lines)
        done = server.run("host", "add", "52:54:00:00:00:77", check=False)
        if done.returncode != 1 or len(done.stderr.splitlines()) != 1:
            raise Wrong("host add on a read-only state: %s" % done)
    finally:
        subprocess.run(["mount", "-o", "remount,rw", server.state], check=True)
    server.start()


def main():
    ns, folder, what, *rest = sys.argv[1:]
    server = Server(ns, folder)
    machines = Machines(server)
    machines.settle()
    server.start()
    try:
        all_goes_on(server, machines)
        {"children": children, "clock": clock, "link": link,
         "readonly": readonly}[what](server, machines, *rest)
        if what == "readonly":
            readonly_start(server)
            all_goes_on(server, machines)
        server.stop()
        judge.judge(server.state)
    except (Wrong, judge.Broken) as wrong:
        print("%s\n%s" % (wrong, server.log()[-4000:]), file=sys.stderr)
        return 1
    finally:
        server.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())

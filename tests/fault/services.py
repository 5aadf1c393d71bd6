#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Lets the Nth call fail in each service of a running server, in what it mainly does.

	services.py NETWORK-NAMESPACE FOLDER [--every] [--seed N] [SERVICE[:KIND[:ERROR[:WHEN[:N]]]]...]

WHEN is `work` (the Nth call of a scenario), `start` (the Nth of a child that starts, and
the scenario after it) or `first` (of the supervisor's own start).  Without --every some N
are taken of each, evenly from a place that the seed draws.

Whatever fails: no process dies of a signal; what a machine is told is late or an error, but
never wrong; when a machine was in trouble, the log says something; afterwards the same
scenario succeeds; and no lease is lost.
"""
import argparse
import os
import random
import re
import subprocess
import sys
import time

import judge
from machines import PATIENCE, Machines, Server, Trouble, Wrong, wait_for

# What may fail, and how.
FAILURES = [("memory", "ENOMEM"), ("descriptor", "EMFILE"), ("disk", "ENOSPC"), ("disk", "EIO"),
            ("read", "EIO"), ("database", "EIO"), ("database", "EBUSY"), ("journal", "EIO"),
            ("journal", "ENOSPC")]
# What each does, by the method of Machines.
WORK = {"supervisor": "register", "copier": "fill", "dhcp": "dhcp", "tftp": "boot_files",
        "nfs": "live"}
# What must have failed at least once, by the beginnings of its runs: a scenario that no longer
# comes there would pass and prove nothing.  How often memory is asked for differs from run to
# run, so that some numbers are never reached; so with descriptors.
MUST = ([service + kind for service in WORK for kind in (":memory", ":descriptor")] +
        ["supervisor:%s:work" % kind for kind in ("disk", "database", "journal")] +
        ["copier:%s:work" % kind for kind in ("disk", "read", "database")] +
        ["dhcp:database:work", "dhcp:journal:work", "tftp:read:work", "tftp:database:work",
         "nfs:read:work", "nfs:database:work"] +
        # While they start, at least.
        ["supervisor:read", "copier:journal", "tftp:journal", "nfs:journal"])
SAMPLE = {"work": 4, "start": 3, "first": 4}
DEATHS = 4  # of children, after which a new server is cheaper than its patience


class Runs:
    def __init__(self, server, machines, args):
        self.server, self.machines, self.args = server, machines, args
        self.rng = random.Random(args.seed)
        self.runs = self.hits = self.bad = self.deaths = 0
        self.failed = set()  # SERVICE:KIND:WHEN of which a call failed
        self.group = 0  # where the log of these runs begins

    # ---- one run ----

    def scenario(self, service):
        getattr(self.machines, WORK[service])()

    def again(self, service):
        """It goes on: soon the scenario is whole."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return self.scenario(service)
            except Trouble as trouble:
                if time.monotonic() > end:
                    raise Wrong("does not go on: %s" % trouble) from trouble
                time.sleep(0.05)

    def one(self, service, kind, err, when, n):
        server, faults, trouble = self.server, self.server.faults, None
        mark = server.mark()
        if when == "first":
            server.stop()
            mark = server.mark()
        faults.arm(service, kind, err, n)
        if when == "first":
            server.launch()
            wait_for("a start or its end",
                     lambda: server.process.poll() is not None or server.serves())
        elif when == "start":
            server.kill(service)
            self.deaths += 1
        if server.process.poll() is None:
            try:
                self.scenario(service)
            except Trouble as error:
                trouble = error
        hits, count, where = faults.disarm(service)
        if when == "first" and server.process.poll() is not None:
            if server.process.returncode != 1 or len(server.said(mark)) < 1:
                raise Wrong("serve ends with %d: %s" % (server.process.returncode,
                                                        server.log(mark)))
            server.process = None
            server.start()
        if server.process.poll() is not None:
            raise Wrong("the supervisor ended with %d: %s" % (server.process.returncode,
                                                              server.log(mark)))
        if hits:
            self.again(service)
        said = server.said(mark)
        self.deaths += sum("starting it again" in line for line in said)
        killed = [line for line in said if "killed by signal" in line]
        hung = 0
        if "libseccomp" in where:
            # What it builds with too little memory lacks calls, and it says nothing: a filter
            # that is stricter, under which a process cannot even end in its own way, or hangs
            # until the supervisor ends it.
            killed = [line for line in killed if " 9;" in line]
            hung = sum("silent for a minute" in line for line in said)
        if len(killed) > (when == "start") + hung or any(" 9;" not in line for line in killed):
            raise Wrong("a process died: %s" % killed)
        # Repeats are rationed: what was said of this failure before will do.
        words = [line for line in server.said(self.group) if " 9;" not in line]
        if hits and trouble and not words:
            raise Wrong("nothing was said; the machine: %s" % trouble)
        return hits, count, where

    def settled(self):
        """A server whose children have not just died."""
        if self.deaths >= DEATHS or self.server.process is None:
            self.server.stop()
            self.server.start()
            self.deaths = 0

    def count(self, service, kind, err, when):
        """How many calls there are."""
        return self.one(service, kind, err, when, 1 << 60)[1]

    def points(self, when, count):
        most = count if self.args.every else min(count, SAMPLE[when])
        if not most:
            return []
        at = self.rng.random()
        return sorted({min(count, int((i + at) * count / most) + 1) for i in range(most)})

    # ---- all of them ----

    def wanted(self):
        for service in WORK:
            for kind, err in FAILURES:
                for when in ("work", "first" if service == "supervisor" else "start"):
                    yield service, kind, err, when

    def chosen(self, *run):
        if not self.args.only:
            return True
        return any(list(run)[:len(o.split(":"))] == o.split(":")[:4] for o in self.args.only)

    def numbers(self, *run):
        named = [int(o.split(":")[4]) for o in self.args.only
                 if o.count(":") == 4 and o.split(":")[:4] == list(run)]
        return named or self.points(run[3], self.count(*run))

    def some(self, run):
        service, kind, _, when = run
        start, runs, hits, bad = time.monotonic(), self.runs, self.hits, self.bad
        self.settled()
        self.group = self.server.mark()
        for n in self.numbers(*run):
            self.settled()
            self.guarded(*run, n)
        if self.hits > hits:
            self.failed.add(":".join((service, kind, when)))
        lost = self.machines.leases_lost()
        if lost:
            self.bad += 1
            print("%s: leases are lost: %s" % (":".join(run), lost[:5]))
        print("%-10s %-10s %-6s %-5s %5d runs, %5d failed, %d bad %6.1f s" % (
            *run, self.runs - runs, self.hits - hits, self.bad - bad,
            time.monotonic() - start), flush=True)

    def all(self):
        for run in self.wanted():
            if self.chosen(*run):
                self.some(run)
        # Of calls that are made now and then none may have come where they were counted, or
        # none but when they were.
        for _ in range(3 if not self.args.only else 0):
            for missed in self.missed():
                for service, kind, err, when in self.wanted():
                    if (":".join((service, kind, when)) + ":").startswith(missed + ":"):
                        self.some((service, kind, err, when))

    def missed(self):
        """What of MUST had no call that failed."""
        return [m for m in MUST if not any((f + ":").startswith(m + ":") for f in self.failed)]

    def guarded(self, *run):
        self.runs += 1
        mark = self.server.mark()
        where = ""
        try:
            hits, _, where = self.one(*run)
            self.hits += bool(hits)
        except (Wrong, judge.Broken, AssertionError, subprocess.TimeoutExpired) as problem:
            hits, _, at = self.server.faults.disarm(run[0])
            self.hits += bool(hits)
            self.bad += 1
            print("%s (%s): %s %s\n    %s" % (
                ":".join(str(r) for r in run), at or where, type(problem).__name__, problem,
                self.server.log(mark)[-1500:].replace("\n", "\n    ")), flush=True)
            self.server.end()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("ns")
    parser.add_argument("folder")
    parser.add_argument("--every", action="store_true")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("only", nargs="*")
    args = parser.parse_intermixed_args()
    print("seed %d" % args.seed, flush=True)
    server = Server(args.ns, args.folder)
    machines = Machines(server)
    machines.settle()
    runs = Runs(server, machines, args)
    server.start()
    machines.fill()
    try:
        runs.all()
        server.stop()
        judge.judge(server.state)
    finally:
        server.end()
    print("%d runs, %d of them with a call that failed, %d bad" % (
        runs.runs, runs.hits, runs.bad))
    missed = [] if args.only else runs.missed()
    if missed:
        print("no call failed of " + ", ".join(missed))
    return bool(runs.bad or missed or not runs.hits)


if __name__ == "__main__":
    sys.exit(main())

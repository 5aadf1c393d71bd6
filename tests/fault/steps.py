#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Operations that are cut off, or fail, at each of their steps.

	steps.py kill|fail [--every] [--serve] [OPERATION[:STEP[:HOW]]...]

kill: everything ends with SIGKILL before a step, or in the midst of a write.  fail: one
step ends with an error, or the disk is full from a step on.  Without --every steps are
left out that find the same as the one before, and the middle of runs of equal calls.

A step is run on a copy of the operation's base.  Then the state must be whole (judge.py)
and one of the operation's milestones, what was answered must be in it, every view must be
that milestone's, the same command must do what is missing, and a sweep must find nothing
to leave.  With --serve a server must start on it too, once an operation.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import time
import traceback

import judge
from judge import Broken, need
from places import PATIENCE, ROOTSTOCK, STEPPER
from runs import all_runs

KILLED = 98
SWEEPS = {"empty": [("image", "add", "junk", "@PLACE@/junk1"),
                    ("image", "add", "junk", "@PLACE@/junk2")]}
NETWORK = ("ip link set lo up; ip link add br0 type bridge stp_state 0 forward_delay 0;"
           " ip address add 10.77.0.1/24 dev br0; ip link set br0 up; ")
LOG_LINE = re.compile(rb"\d\d:\d\d:\d\d\.\d+ rootstock ")


class Scene:
    """One operation, and what its milestones look like."""

    def __init__(self, place, operation):
        self.place, self.op = place, operation
        self.dumps, self.digests = [], []
        place.base(operation.base)
        for commands in [[], *operation.milestones]:
            place.fresh(operation.base)
            for words in commands:
                self.done = place.run(*words, stdin=operation.stdin)
            self.dumps.append(self.dump())
            self.digests.append(self.digest(commands != []))
            judge.judge(place.state, keys=True)
        need(not self.done.returncode, "does not work at all:", self.done.stderr)

    @property
    def last(self):
        return len(self.dumps) - 1

    def dump(self):
        """What the database has; seals only where their order is known."""
        dump = judge.dump(self.place.state)
        if not self.op.seals and dump:
            dump["version"] = sorted(tuple(c for c in row if c[0] not in ("sealed", "digest"))
                                     for row in dump["version"])
        return dump

    def digest(self, changed):
        """Of each target.  The times of what was changed are those of the run: once
        rootstock has recovered the state, they are made the same in all."""
        out = {}
        if changed:
            self.place.run("image", "list")
            judge.set_times(self.place.state)
        for target in self.op.targets:
            done = self.place.run("view", "digest", target)
            out[target] = done.stdout if not done.returncode else None
        return out

    def milestone(self):
        """The first and the last that the state is."""
        dump = self.dump()
        same = [i for i, d in enumerate(self.dumps) if d == dump]
        need(same, "half done:", *self.differs(dump))
        return same[0], same[-1]

    def differs(self, dump):
        for number, mine in enumerate(self.dumps):
            for table in sorted({*mine, *dump}):
                here, there = mine.get(table, []), dump.get(table, [])
                more = [r for r in there if r not in here] + [r for r in here if r not in there]
                if more:
                    yield "\n    not milestone %d: %s: %s" % (number, table, str(more)[:400])

    # ---- steps ----

    def stepper(self, mode, n=0, err="EIO"):
        log = self.place.path("log")
        return [STEPPER, "-d", self.place.state, "-n", str(n), "-e", err, "-o", log, mode]

    def run(self, wrap):
        os.makedirs(self.place.fresh(self.op.base), exist_ok=True)
        return self.place.run(*self.op.words, stdin=self.op.stdin, wrap=wrap)

    def steps(self):
        """(number, call, changed, path) of each."""
        done = self.run(self.stepper("list"))
        need(not done.returncode, "listing the steps of", self.op.name, done.stderr)
        with open(self.place.path("log"), encoding="utf-8") as log:
            rows = [line.rstrip("\n").split("\t") for line in log]
        return [(int(n), call, changed == "1", path) for n, call, changed, path in rows]

    def what(self):
        with open(self.place.path("log"), encoding="utf-8") as log:
            return " ".join(log.read().split()[1:]).replace(self.place.dir + "/", "")

    def after(self, answer, sure):
        """All that must be true of the state, once the operation is over.  `sure`: it was
        said to have gone well."""
        place = self.place
        judge.judge(place.state, keys="host" in self.op.words)
        first, last = self.milestone()
        need(not sure or last == self.last, "it went well, and is only milestone", last)
        for text, number in self.op.answers:
            need(text not in answer.decode() or last >= number, "answered", text,
                 "and lost: this is milestone", last)
        need(self.done.stdout.startswith(answer), "another answer:", answer[:80])
        digests = self.digest(first > 0)
        need(digests in self.digests[first:last + 1], "digests are", digests, "and not",
             self.digests[first])

        again = place.run(*self.op.words, stdin=self.op.stdin)
        need(again.returncode == 0 or (again.returncode == 1 and last == self.last),
             "the next try: exit", again.returncode, again.stderr)
        judge.judge(place.state)
        if first == 0 and self.last == last == 0:
            need(again.stdout == self.done.stdout, "the next try answers", again.stdout[:80])
        if last == 0:
            need(self.milestone()[1] == self.last, "the next try is only milestone",
                 self.milestone()[1])
        for words in SWEEPS.get(self.op.base, []):
            place.must(*words)
        place.must("image", "remove", "junk@2")
        left = judge.leftovers(place.state)
        need(not left, "never swept:", left)

    def cut(self, how, n, serve):
        done = self.run(self.stepper(how, n))
        need(done.returncode in (0, KILLED), "exit", done.returncode, done.stderr)
        if serve:
            self.serve()
        self.after(done.stdout, not done.returncode)

    def serve(self):
        """A server starts on a copy of what is left, in a network of its own, and ends when
        asked."""
        state, log = self.place.path("served"), self.place.path("serve.log")
        shutil.rmtree(state, ignore_errors=True)
        subprocess.run(["cp", "-a", self.place.state, state], check=True)
        end = time.monotonic() + PATIENCE
        with open(log, "wb") as out:
            server = subprocess.Popen(
                ["unshare", "-n", "sh", "-c", NETWORK + "exec \"$0\" serve --interface br0",
                 ROOTSTOCK], stdout=out, stderr=out, env=dict(os.environ, ROOTSTOCK_STATE=state))
            try:
                while b"NFS on port" not in judge.read(log):
                    need(server.poll() is None, "serve ended:", judge.read(log))
                    need(time.monotonic() < end, "serve does not serve:", judge.read(log))
                    time.sleep(0.02)
                server.terminate()
                need(server.wait(PATIENCE) == 0, "serve: exit", server.returncode,
                     judge.read(log))
            finally:
                server.kill()
                server.wait()
        judge.judge(state, keys=True)

    def fail(self, how, n, err):
        done = self.run(self.stepper(how, n, err))
        need(done.returncode in (0, 1), "exit", done.returncode, done.stderr)
        lines = [l for l in done.stderr.splitlines() if not LOG_LINE.match(l)]
        # What the shell of a user sees.
        need(len(lines) == done.returncode and all(l.startswith(b"rootstock: ") for l in lines),
             "exit", done.returncode, "and these lines:", lines)
        self.after(done.stdout, not done.returncode)


# ---- which steps ----

def kind(row):
    """Equal for the calls of one run of them."""
    return row[1], re.sub(r"[0-9a-f]{6,}", "*", row[3])


def is_page(row):
    """A write to a database, which is SQLite's to care for."""
    return "write" in row[1] and row[3].endswith((".db", "-wal"))


def telling(rows, alike):
    """The steps before which there is something that was not there before the last one; of a
    run of equal calls the first, one in the middle and the last, or that alone."""
    start = 0
    for i, row in enumerate(rows):
        if i and kind(rows[i - 1]) != kind(row):
            start = i
        end = start
        while end + 1 < len(rows) and kind(rows[end + 1]) == kind(row):
            end += 1
        places = (end,) if alike or row[3].endswith(".db") else (start, (start + end + 1) // 2, end)
        if i in places and (i == 0 or rows[i - 1][2]):
            yield row, i == end


def plan(mode, op, rows, every):
    """(how, step, error) of all runs."""
    if mode == "kill":
        for row, last in [(row, True) for row in rows] if every else telling(rows, op.alike):
            yield "kill", row[0], "EIO"
            if "write" in row[1] and (every or last or not is_page(row)):
                yield "torn", row[0], "EIO"
        yield "kill", len(rows) + 1, "EIO"
        return
    if op.waits and not every:
        return  # the copier rests for 10 s after each error
    seen = {}
    for row in rows:
        seen[kind(row)] = seen.get(kind(row), 0) + 1
        if not every and (seen[kind(row)] > 1 or (op.alike and row[1] != "fdatasync")):
            continue
        if "write" in row[1] or row[1] in ("openat", "mkdir", "mkdirat", "ftruncate"):
            yield "fail", row[0], "ENOSPC"
        if "write" in row[1] and not op.waits:  # it would wait for room until there is some
            yield "short", row[0], "ENOSPC"
        if every or not ("write" in row[1] or "open" in row[1]):
            yield "fail", row[0], "EIO"


def act(mode, every, serve):
    def operation(place, op, only):
        scene = Scene(place, op)
        runs = list(plan(mode, op, scene.steps(), every))
        for i, (how, n, err) in enumerate(runs):
            if only and [str(n), how][:len(only)] != only:
                continue
            try:
                if mode == "kill":
                    scene.cut(how, n, serve and (i == len(runs) // 2 or only))
                else:
                    scene.fail(how, n, err)
                yield None
            except Exception as error:
                words = str(error) if isinstance(error, Broken) else traceback.format_exc()
                yield "%d:%s (%s, %s)\n    %s" % (n, how, err, scene.what(), words)
    return operation


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=("kill", "fail"))
    parser.add_argument("--every", action="store_true")
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("operations", nargs="*")
    args = parser.parse_intermixed_args()
    return all_runs(act(args.mode, args.every, args.serve), args.operations, "runs")


if __name__ == "__main__":
    sys.exit(main())

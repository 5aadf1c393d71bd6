#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a power cut may leave of an operation.

	powercut.py [--every] [--unless fsync|syncfs] [OPERATION[:STATE]...]

stepper records what an operation does to its state directory.  Until a file is synced
(fsync, fdatasync) its bytes may be lost, and until a directory is synced its names may
be; syncfs makes all of it durable.  Nothing else promises anything: POSIX knows no order
between what is not synced.  So at each moment there is a set of changes that may be lost,
each for itself.  Of all those sets these are built: none of them kept; all but one; one
alone; a prefix, as journals replay; all names and no bytes (files that are empty, or
zeros); all bytes and no names; the last write torn.

In each of those states the database must check, every object be what its name says,
everything that a row names be there, the state be a milestone of the operation and no
earlier one than was answered, and the operation must work then.

--unless: as if the operation had not made those calls.  That must find something, or
this program cannot.

SQLite's rollback journal, of a database's first transaction, and its WAL are under the
same rules.
"""
import argparse
import hashlib
import itertools
import os
import shutil
import sys
import traceback

import judge
from judge import Broken, need
from runs import all_runs
from steps import Scene

ENDED = -1  # how much was answered: all, and the command has said that it went well


class Change:
    """One that may be lost."""

    def __init__(self, kind, where, *what):
        self.kind = kind  # "bytes" of an inode, or "name" in a directory
        self.where = where
        self.what = what


class Files:
    """Names, and the bytes behind them."""

    def __init__(self):
        self.bodies = {}  # inode -> bytearray
        self.names = {}  # path -> inode, or None for a directory

    def copy(self):
        other = Files()
        other.bodies = {inode: bytearray(body) for inode, body in self.bodies.items()}
        other.names = dict(self.names)
        return other

    def read(self, top):
        for folder, dirs, names in os.walk(top):
            for name in dirs:
                self.names[os.path.join(folder, name)] = None
            for name in names:
                path = os.path.join(folder, name)
                inode = os.lstat(path).st_ino
                self.names[path] = inode
                self.bodies[inode] = bytearray(judge.read(path))

    def apply(self, change, zeros=False):
        if change.kind == "name":
            verb, *args = change.what
            if verb == "rename":
                old, new = args
                if old in self.names:
                    self.names[new] = self.names.pop(old)
                else:  # made and renamed since the last sync: it appears under its new name
                    self.names[new] = change.inode
            elif verb in ("unlink", "rmdir"):
                self.names.pop(args[0], None)
            else:
                self.names[args[0]] = args[1]
            return
        body = self.bodies.setdefault(change.where, bytearray())
        if change.what[0] == "cut":
            size = change.what[1]
            del body[size:]
            body.extend(bytes(size - len(body)))
            return
        _, at, data = change.what
        if len(body) < at + len(data):
            body.extend(bytes(at + len(data) - len(body)))
        if not zeros:
            body[at:at + len(data)] = data

    def key(self):
        total = hashlib.sha256()
        for path in sorted(self.names):
            inode = self.names[path]
            body = self.bodies.get(inode, b"") if inode is not None else b"/"
            total.update(b"%s\0%d\0%s" % (path.encode(), len(body), body))
        return total.digest()

    def write(self, base, top):
        """Below `top`; modes and owners are those of `base`, where it has them."""
        shutil.rmtree(top, ignore_errors=True)
        os.mkdir(top, 0o750)
        for path in sorted(self.names):
            inode = self.names[path]
            if not os.path.isdir(os.path.dirname(path)):
                continue  # below a directory whose name was lost
            if inode is None:
                os.mkdir(path)
            else:
                with open(path, "wb") as file:
                    file.write(self.bodies.get(inode, b""))
            old = base + path[len(top):]
            if os.path.lexists(old):
                st = os.lstat(old)
                os.chown(path, st.st_uid, st.st_gid)
                os.chmod(path, st.st_mode & 0o7777)
            else:
                os.chmod(path, 0o750 if inode is None else 0o640)


def record(scene):
    """(files before, events) of one run; sockets and the -shm are not part of it."""
    place = scene.place
    place.fresh(scene.op.base)
    os.makedirs(place.state, exist_ok=True)
    files = Files()
    files.read(place.state)
    dirs = {os.lstat(p).st_ino: p for p, i in files.names.items() if i is None}
    dirs[os.lstat(place.state).st_ino] = place.state
    done = place.run(*scene.op.words, stdin=scene.op.stdin, wrap=scene.stepper("record"))
    need(not done.returncode, "recording", scene.op.name, done.stderr)
    for folder, names, _ in os.walk(place.state):
        for name in names:  # what was made meanwhile
            path = os.path.join(folder, name)
            dirs.setdefault(os.lstat(path).st_ino, path)
    with open(place.path("log"), encoding="utf-8") as log, \
            open(place.path("log.data"), "rb") as data:
        return files, list(events(log, data, dirs)), done.stdout


def events(log, data, dirs):
    """A file system gives the number of a file that is gone to the next that is made, or to
    somebody else's: what is made here has one below 0, which is nobody's after it."""
    inodes = {}  # path -> inode, of what was made here
    numbers = {path: number for number, path in dirs.items()}
    made, now = itertools.count(-1, -1), {}
    for line in log:
        verb, *args = line.rstrip("\n").split("\t")
        if verb in ("create", "draft"):
            now[args[0]] = next(made)
        elif verb == "mkdir":
            now.pop(str(numbers.get(args[0])), None)
        if verb in ("create", "draft", "link", "write", "cut", "sync"):
            args[0] = inode = now.get(args[0], int(args[0]))
        if verb == "write":
            yield Change("bytes", inode, "write", int(args[1]), data.read(int(args[2])))
        elif verb == "cut":
            yield Change("bytes", inode, "cut", int(args[1]))
        elif verb in ("create", "link"):
            inodes[args[1]] = inode
            yield Change("name", os.path.dirname(args[1]), verb, args[1], inode)
        elif verb == "mkdir":
            yield Change("name", os.path.dirname(args[0]), verb, args[0], None)
        elif verb == "rename":
            change = Change("name", os.path.dirname(args[1]), verb, *args)
            change.inode = inodes[args[1]] = inodes.pop(args[0], None)
            yield change
        elif verb in ("unlink", "rmdir"):
            yield Change("name", os.path.dirname(args[0]), verb, args[0])
        elif verb == "sync":
            yield ("sync", dirs.get(inode, inode))
        elif verb == "answer":
            yield ("answer", int(args[0]))
        elif verb == "syncfs":
            yield ("sync", None)


def is_durable(change, sync):
    return sync is None or sync == change.where


def pick(pending, every):
    """(name, changes that are kept, those of them that are zeros)."""
    n = len(pending)
    yield "none", [], ()
    yield "all", pending, ()
    yield "names", [c for c in pending if c.kind == "name"], ()
    yield "bytes", [c for c in pending if c.kind == "bytes"], ()
    yield "zeros", pending, [c for c in pending if c.kind == "bytes"]
    numbers = range(n)
    if not every and n > 6:  # the pages of one transaction are much alike
        numbers = [0, 1, n // 2, n - 2, n - 1]
    for i in numbers:
        yield "without-%d" % i, pending[:i] + pending[i + 1:], ()
        yield "only-%d" % i, [pending[i]], ()
        yield "prefix-%d" % i, pending[:i], ()
    last = pending[-1] if pending else None
    if last and last.kind == "bytes" and last.what[0] == "write":
        half = Change("bytes", last.where, "write", last.what[1],
                      last.what[2][:len(last.what[2]) // 2])
        yield "torn", [*pending[:-1], half], ()


def states(files, happened, every, unless):
    """(name, files, how much was answered) of every state that a cut may leave.  The sets
    are largest right before a sync; what a later one of them holds is not built twice."""
    seen = set()
    pending = []
    answered = 0
    for number, event in enumerate([*happened, ("end", 0)]):
        if isinstance(event, Change):
            pending.append(event)
            continue
        verb, what = event
        if verb == "answer":
            answered += what
        elif verb == "end":
            answered = ENDED
        for name, kept, zeros in pick(pending, every):
            after = files.copy()
            for change in kept:
                after.apply(change, change in zeros)
            key = (after.key(), answered)
            if key not in seen:
                seen.add(key)
                yield "%d-%s" % (number, name), after, answered
        if verb == "sync" and unless != ("fsync" if what else "syncfs"):
            for change in [c for c in pending if is_durable(c, what)]:
                files.apply(change)
            pending = [c for c in pending if not is_durable(c, what)]


def check(scene, files, answer, answered):
    place = scene.place
    answer = answer if answered == ENDED else answer[:answered]
    files.write(place.base(scene.op.base), place.state)
    judge.judge(place.state)
    first, last = scene.milestone()
    need(answered != ENDED or last == scene.last, "it went well, and is only milestone", last)
    for text, number in scene.op.answers:
        need(text not in answer.decode() or last >= number, "answered", text,
             "and lost: this is milestone", last)
    again = place.run(*scene.op.words, stdin=scene.op.stdin)
    need(again.returncode == 0 or (again.returncode == 1 and last == scene.last),
         "the next try: exit", again.returncode, again.stderr)
    judge.judge(place.state)
    need(last or scene.milestone()[1] == scene.last, "the next try is half done")
    for target in scene.op.targets:
        done = place.run("view", "digest", target)
        need(done.returncode == (scene.digests[-1][target] is None), target, done.stderr)


def act(every, unless):
    def operation(place, op, only):
        scene = Scene(place, op)
        files, happened, answer = record(scene)
        for state, after, answered in states(files, happened, every, unless):
            if only and state != only[0]:
                continue
            try:
                check(scene, after, answer, answered)
                yield None
            except Exception as error:
                words = str(error) if isinstance(error, Broken) else traceback.format_exc()
                yield "%s\n    %s" % (state, words)
    return operation


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--every", action="store_true")
    parser.add_argument("--unless", choices=("fsync", "syncfs"))
    parser.add_argument("operations", nargs="*")
    args = parser.parse_intermixed_args()
    return all_runs(act(args.every, args.unless), args.operations, "states")


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: GPL-2.0-or-later
"""What every machine must see: the images, which of them was active when, each overlay's
entries and when they changed, and who holds which address.

The oracle of the soak.  It knows what commands were given and when, and nothing of how
rootstock does its work.  A command takes effect somewhere between its start and `delay`
after its end; what is seen in between may be either.  Each file's bytes are a stretch of
one random block, found by its name and revision, so that a wrong byte says whose it is.
"""
import hashlib
import os
import random
import stat
import time

IMAGE = "lab"
EPOCH = 1_700_000_000  # the files' times are this and their revision
KERNEL = "boot/vmlinuz-6.1.0-1-amd64"
INITRD = "boot/initrd.img-6.1.0-1-amd64"
INIT = "sbin/init"
VERSION = "etc/version"
PLAY = "etc/soak"  # where overlays change things
now = time.monotonic
FOREVER = float("inf")


class Wrong(Exception):
    """The server did what it must not."""


class Bytes:
    """Bodies: a name, a revision and a size say all of it."""

    SIZE = 128 << 20  # so that few of them overlap

    def __init__(self, seed):
        self.block = random.Random(seed).randbytes(self.SIZE)
        self.view = memoryview(self.block)

    def start(self, name, rev, size):
        h = hashlib.blake2b(b"%s %d" % (name.encode(), rev), digest_size=8).digest()
        return int.from_bytes(h, "big") % (self.SIZE - size)

    def body(self, name, rev, size):
        at = self.start(name, rev, size)
        return self.view[at:at + size]

    def whose(self, piece, bodies):
        """Where wrong bytes are from, in words; `bodies` are (name, revision, size)."""
        piece = bytes(piece[:64])
        if piece and not piece.strip(b"\0"):
            return "zeros"
        at = self.block.find(piece) if len(piece) >= 8 else -1
        if at < 0:
            return "no file's: " + piece[:32].hex()
        for name, rev, size in bodies:
            start = self.start(name, rev, size)
            if start <= at < start + size:
                return "%s, revision %d, at %d" % (name, rev, at - start)
        return "another file's"


class Node:
    """A name in a tree: kind "f", "d" or "l"."""

    __slots__ = ("kind", "mode", "size", "body", "rev")

    def __init__(self, kind, mode, size=0, body=b"", rev=0):
        self.kind, self.mode, self.size, self.body, self.rev = kind, mode, size, body, rev

    def same(self, kind, mode, body):
        return self.kind == kind and self.mode == mode and self.body == body


class Version:
    def __init__(self, number, tree):
        self.number, self.tree = number, tree
        self.children = {}
        for path in tree:
            self.children.setdefault(os.path.dirname(path), set()).add(os.path.basename(path))
        self.files = [p for p, n in tree.items() if n.kind == "f" and p.startswith("usr/lib/")]
        self.dirs = sorted({os.path.dirname(p) for p in self.files})
        self.large = [p for p in tree if p.startswith("usr/share/large")]


class Images:
    """Makes the next version out of the last one: some files change, some come and go."""

    def __init__(self, seed, bodies, directory):
        self.rng = random.Random(seed)
        self.bodies, self.directory = bodies, directory
        self.versions = {}
        self.sizes = {KERNEL: 60_000, INITRD: 150_000, INIT: 40_000}
        for d in range(24):
            for f in range(10):
                small = self.rng.randrange(0, 9000)
                self.sizes["usr/lib/d%02d/f%02d" % (d, f)] = (
                    small if self.rng.random() < 0.8 else small * 12)
        for i, size in enumerate((1 << 20, 3_000_001, 5_300_000, 9_000_000)):
            self.sizes["usr/share/large%d" % i] = size
        for i in range(0, 24, 2):
            self.sizes["%s/p%02d" % (PLAY, i)] = 100 * i
            self.sizes["%s/n%02d" % (PLAY, i)] = 50 * i
        self.fixed = {"usr/share/initramfs-tools/init": b"", "etc/ssh/ssh_config": b"#\n"}

    def newest(self):
        return self.versions[max(self.versions)]

    def grow(self, number):
        """The tree of version `number`, in memory and below self.directory."""
        old = self.newest().tree if self.versions else {}
        tree = {}
        always = {KERNEL, INITRD, INIT}
        for name, size in self.sizes.items():
            was = old.get(name)
            if name.startswith("usr/lib/") and self.rng.random() < 0.03:
                continue
            if was and name not in always and self.rng.random() < (
                    0.15 if size < 1 << 20 else 0.25):
                was = None
            rev = was.rev if was and name not in always else number
            tree[name] = Node("f", 0o755 if name == INIT else 0o644, size,
                              self.bodies.body(name, rev, size), rev)
        tree[VERSION] = Node("f", 0o644, 0, b"%d\n" % number, number)
        tree[VERSION].size = len(tree[VERSION].body)
        for name, body in self.fixed.items():
            tree[name] = Node("f", 0o644, len(body), body, 0)
        for i in range(12):
            tree["usr/lib/link%02d" % i] = Node("l", 0o777, 0, b"d%02d/f%02d" % (i, i), 0)
        for name in list(tree):
            while name := os.path.dirname(name):
                tree.setdefault(name, Node("d", 0o755))
        version = self.versions[number] = Version(number, tree)
        return version, self.write(version)

    def write(self, version):
        top = "%s/%d" % (self.directory, version.number)
        os.mkdir(top)
        for name in sorted(version.tree):
            node, path = version.tree[name], top + "/" + name
            if node.kind == "d":
                os.mkdir(path)
                continue
            if node.kind == "l":
                os.symlink(node.body, path)
                continue
            with open(path, "wb") as f:
                f.write(node.body)
            os.chmod(path, node.mode)
            # Size and time as in the version before say that it did not change.
            os.utime(path, (EPOCH + node.rev, EPOCH + node.rev))
        return top


class Change:
    def __init__(self, value):
        self.value, self.began, self.ended = value, now(), FOREVER

    def done(self):
        """The command that made it has ended."""
        self.ended = now()


class Line:
    """One thing's values over time, each from somewhere between two moments."""

    def __init__(self, value):
        self.changes = [Change(value)]
        self.changes[0].began = self.changes[0].ended = 0.0

    def begin(self, value):
        """A command is about to change it; done() of what this returns when it has."""
        self.changes.append(Change(value))
        return self.changes[-1]

    def last(self):
        return self.changes[-1].value

    def settled(self, delay):
        return now() > self.changes[-1].ended + delay

    def between(self, first, last, delay):
        """What it may have been at some moment from `first` to `last`."""
        out = []
        for i, change in enumerate(self.changes):
            until = self.changes[i + 1].ended + delay if i + 1 < len(self.changes) else FOREVER
            if change.began <= last and until >= first:
                out.append(change.value)
        return out


class World:
    def __init__(self, seed, delay, directory):
        self.seed, self.delay = seed, delay
        self.bodies = Bytes(seed)
        self.images = Images(seed + 1, self.bodies, directory)
        self.active = Line(1)
        self.entries = {}  # (scope, path) -> Line of None, ("hide",), ("file", Node), ...
        self.holders = {}  # address -> (mac, until, what of it was seen last)
        self.secrets = {}  # bytes -> whose

    # ---- overlays ----

    def line(self, scope, path):
        return self.entries.setdefault((scope, path), Line(None))

    def merged(self, machine, version, path, states):
        """The node at `path` (None: absent) with these states, the weakest first."""
        node = version.tree.get(path)
        for state in states:
            if state is None:
                continue
            if state[0] == "hide":
                node = None
            elif state[0] == "template":
                body = machine.render(state[1], version.number).encode()
                node = Node("f", 0o644, len(body), body, 0)
            else:
                node = state[1]
        return node

    def may_see(self, machine, version, path, first, last):
        """All nodes that `machine` may find at `path` from `first` to `last`."""
        combinations = [[]]
        for scope in machine.scopes():
            line = self.entries.get((scope, path))
            if not line:
                continue
            # Changes for the next boot are in force from what the boot was pinned to.
            if path.startswith(PLAY + "/n"):
                states = line.between(machine.pin_first, machine.pin_last, self.delay)
            else:
                states = line.between(first, last, self.delay)
            combinations = [c + [s] for c in combinations for s in states]
        return [self.merged(machine, version, path, c) for c in combinations]

    def history(self, machine, path):
        """In words: when the boot was pinned, and what was done at `path` around that."""
        ago = lambda t: "%.1f" % (now() - t)
        words = ["pinned %s..%s s ago" % (ago(machine.pin_first), ago(machine.pin_last))]
        for scope in machine.scopes():
            line = self.entries.get((scope, path))
            changes = line.changes[-5:] if line else []
            words += ["%s %s %s..%s" % (scope, c.value[0] if c.value else "reset", ago(c.began),
                                        ago(c.ended)) for c in changes if c.began]
        return ", ".join(words)

    # ---- addresses ----

    def hold(self, address, mac, until, why):
        """`mac` was given `address`: nobody else may have it."""
        other = self.holders.get(address)
        if other and other[0] != mac and other[1] > now():
            raise Wrong("%s: %s given to %s while %s has it (%s, for another %.0f s)" % (
                why, address, mac, other[0], other[2], other[1] - now()))
        self.holders[address] = (mac, until, why)

    def let_go(self, address, mac):
        if self.holders.get(address, ("",))[0] == mac:
            del self.holders[address]

    # ---- secrets ----

    def secret(self, body, owner, what):
        """The body of a host's own secret: never another's, always the same."""
        body = bytes(body)
        was = self.secrets.setdefault(body, (owner, what))
        if was != (owner, what):
            raise Wrong("%s of %s is %s of %s" % (what, owner, was[1], was[0]))
        was = self.secrets.setdefault((owner, what), body)
        if was != body:
            raise Wrong("%s of %s changed from %r to %r" % (what, owner, was[:80], body[:80]))

    def explain(self, path, body):
        """Whose bytes these are that were read as `path`'s."""
        bodies = {(p, n.rev, n.size) for v in self.images.versions.values()
                  for p, n in v.tree.items() if n.kind == "f"}
        bodies |= {("put", s[1].rev, s[1].size) for line in self.entries.values()
                   for s in (c.value for c in line.changes) if s and s[0] == "file"}
        return self.bodies.whose(body, sorted(bodies, key=lambda b: b[0] != path))


KINDS = {1: "f", 2: "d", 5: "l"}


def kind_of(attr):
    return KINDS.get(attr["type"], "?")

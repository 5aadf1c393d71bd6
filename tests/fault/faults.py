# SPDX-License-Identifier: GPL-2.0-or-later
"""The other end of tests/fault/faults.c: what fails in a running server, and its clock."""
import ctypes
import errno
import mmap
import os

KINDS = ("nothing", "memory", "descriptor", "disk", "read", "database", "journal")
SERVICES = ("supervisor", "copier", "dhcp", "tftp", "nfs")
ALWAYS = (1 << 64) - 1
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIBRARY = os.path.join(os.path.dirname(os.environ.get("ROOTSTOCK") or
                                       os.path.join(TOP, "build/rootstock")), "tests/faults.so")


class Slot(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("kinds", "err", "nth", "run", "hits")] + [
        ("count", ctypes.c_uint64 * len(KINDS)), ("where", ctypes.c_char * 80)]


class Shared(ctypes.Structure):
    _fields_ = [("clock_ns", ctypes.c_int64), ("state", ctypes.c_char * 248),
                ("slots", Slot * len(SERVICES))]


class Faults:
    def __init__(self, path, state):
        with open(path, "wb") as file:
            file.truncate(ctypes.sizeof(Shared))
        with open(path, "r+b") as file:
            self.shared = Shared.from_buffer(mmap.mmap(file.fileno(), 0))
        self.shared.state = state.encode()
        self.env = {"LD_PRELOAD": LIBRARY, "ROOTSTOCK_FAULTS": path}

    def slot(self, service):
        return self.shared.slots[SERVICES.index(service)]

    def arm(self, service, kind, err, nth=1, run=1):
        """From here on the nth call of the kind fails, and `run` - 1 more; of each of several
        kinds (`disk+database`)."""
        slot = self.slot(service)
        slot.kinds = 0
        for i in range(len(KINDS)):
            slot.count[i] = 0
        slot.hits, slot.nth, slot.run, slot.where = 0, nth, run, b""
        slot.err = getattr(errno, err)
        slot.kinds = sum(1 << KINDS.index(k) for k in kind.split("+"))

    def disarm(self, service):
        """(how many calls failed, how many of the kind there were, the first that failed)"""
        slot = self.slot(service)
        kinds, slot.kinds = slot.kinds, 0
        count = sum(n for kind, n in enumerate(slot.count) if kinds >> kind & 1)
        return slot.hits, count, slot.where.decode(errors="replace")

    def clock(self, seconds):
        self.shared.clock_ns = int(seconds * 10**9)

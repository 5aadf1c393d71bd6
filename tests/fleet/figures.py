# SPDX-License-Identifier: GPL-2.0-or-later
"""What the soak counts and measures, and whether the server's memory and descriptors are
level: in the quiet part of the run, when nobody is killed, each process's last third is
compared with its middle third; the first is for warming up.  One of the server's processes
that could not be compared is as bad as one that grew."""
import asyncio
import collections
import os
import time


TICKS = os.sysconf("SC_CLK_TCK")
OBJECTS_MAX = 3000  # descriptors of the store that a process may keep: a cache, not a leak
LONG_SECS = 100  # a third from which growth is told from warming up
SHORT_SECS = 10  # a third in which there are enough samples, however busy the machine


class Process:
    def __init__(self, name, pid):
        self.name, self.pid = name, pid
        self.samples = []  # (when, RSS KiB, PSS KiB, descriptors, of them objects)
        self.cpu = 0.0  # seconds

    def sample(self):
        with open("/proc/%d/smaps_rollup" % self.pid) as f:
            rollup = dict(line.split()[:2] for line in f if line[0].isupper())
        with open("/proc/%d/stat" % self.pid) as f:
            fields = f.read().rsplit(")", 1)[1].split()
        self.cpu = (int(fields[11]) + int(fields[12])) / TICKS
        fds, objects = os.listdir("/proc/%d/fd" % self.pid), 0
        for fd in fds:
            try:
                name = os.readlink("/proc/%d/fd/%s" % (self.pid, fd))
                objects += "/objects/" in name or "/secrets/" in name
            except OSError:
                pass  # closed meanwhile
        self.samples.append((time.monotonic(), int(rollup["Rss:"]), int(rollup["Pss:"]),
                             len(fds) - objects, objects))


def mean(samples, column):
    return sum(s[column] for s in samples) / len(samples)


class Figures:
    def __init__(self):
        self.counts = collections.Counter()
        self.slowest = {}
        self.processes = {}
        self.began = time.monotonic()
        self.killed = 0.0  # when a process last was

    def waited(self, since):
        """How long somebody has waited for a server that nobody disturbed."""
        return time.monotonic() - max(since, self.killed)

    def count(self, what, n=1):
        self.counts[what] += n

    def worst(self, what, secs):
        if secs > self.slowest.get(what, 0):
            self.slowest[what] = secs

    async def watch(self, server, secs):
        while True:
            await asyncio.sleep(secs)
            if not server.alive():
                continue
            for name, pid in [("supervisor", server.process.pid), *server.children().items()]:
                process = self.processes.setdefault(pid, Process(name, pid))
                try:
                    process.sample()
                except (OSError, KeyError, ValueError):
                    pass  # it has just ended

    def level(self, since, machines, names):
        """What grew, as text, of those that lived all the time since then; and which of
        `names` had none that did."""
        out, compared = [], set()
        end = time.monotonic()
        third = (end - since) / 3
        for p in self.processes.values():
            objects = max((s[4] for s in p.samples), default=0)
            if objects > OBJECTS_MAX:
                out.append("%s (%d) had %d objects open" % (p.name, p.pid, objects))
            quiet = [s for s in p.samples if s[0] > since]
            middle = [s for s in quiet if since + third < s[0] <= since + 2 * third]
            last = [s for s in quiet if s[0] > since + 2 * third]
            if not middle or not last or quiet[0][0] > since + third or end - last[-1][0] > third:
                continue
            compared.add(p.name)
            long = third > LONG_SECS
            share = 0.05 if long else 0.25
            # Machines whose server was killed still come back: two connections each.
            for column, unit, room in ((1, "KiB RSS", 1024 if long else 8192),
                                       (3, "descriptors", 16 if long else 16 + 2 * machines)):
                was, is_now = mean(middle, column), mean(last, column)
                if is_now - was > was * share + room:
                    out.append("%s (%d) grew from %.0f to %.0f %s within %.0f s" % (
                        p.name, p.pid, was, is_now, unit, third))
        missing = [name for name in names if name not in compared]
        if third < SHORT_SECS:
            print("-- too short to tell whether memory and descriptors are level")
        elif missing:
            out.append("not compared, whether it grew: " + ", ".join(missing))
        else:
            print("-- memory and descriptors compared, %.0f s with %.0f s, of %s" % (
                third, third, ", ".join(names)))
        return out

    def table(self):
        secs = time.monotonic() - self.began
        lines = ["-- counted in %.0f s" % secs]
        lines += ["%-40s %12d" % (k, v) for k, v in sorted(self.counts.items())]
        lines += ["-- slowest, s"]
        lines += ["%-40s %12.2f" % (k, v) for k, v in sorted(self.slowest.items())]
        lines += ["%-12s %12s %20s %20s %22s %8s %8s" % (
            "-- process", "began..ended", "RSS MiB first..last", "PSS MiB first..last",
            "fds first..most..last", "objects", "CPU s")]
        for p in sorted(self.processes.values(), key=lambda p: (p.name, p.pid)):
            if len(p.samples) < 5:
                continue
            first, last = p.samples[0], p.samples[-1]
            # Its first sample comes while it still starts.
            first = p.samples[min(2, len(p.samples) - 1)]
            lines.append("%-12s %12s %20s %20s %22s %8d %8.1f" % (
                p.name, "%.0f..%.0f" % (first[0] - self.began, last[0] - self.began),
                "%.1f..%.1f" % (first[1] / 1024, last[1] / 1024),
                "%.1f..%.1f" % (first[2] / 1024, last[2] / 1024),
                "%d..%d..%d" % (first[3], max(s[3] for s in p.samples), last[3]),
                max(s[4] for s in p.samples), p.cpu))
        lines.append("%-12s %95s %8.1f" % ("the machines", "", time.process_time()))
        return "\n".join(lines)

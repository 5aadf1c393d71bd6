# SPDX-License-Identifier: GPL-2.0-or-later
"""The server under test: the process, its children, its commands; killed and started again."""
import asyncio
import os
import re
import signal
import time

from world import Wrong

SERVICES = ("copier", "dhcp", "tftp", "nfs")
COMMAND_SECS = 240


class Server:
    def __init__(self, program, state, namespace, config, log, figures):
        self.program, self.state, self.namespace = program, state, namespace
        self.config, self.log, self.figures = config, log, figures
        self.process = None
        self.kills = 0  # of children, by us
        self.starting = False

    async def start(self):
        self.starting = True
        self.output = open(self.log, "ab")
        self.process = await asyncio.create_subprocess_exec(
            "nsenter", "--net=" + self.namespace, self.program, "--state", self.state, "serve",
            "--config", self.config, stdin=asyncio.subprocess.DEVNULL, stdout=self.output,
            stderr=self.output)
        self.starting = False

    def alive(self):
        return self.process and self.process.returncode is None

    async def stop(self, how=signal.SIGTERM):
        if not self.alive():
            return
        children = list(self.children().values())
        self.process.send_signal(how)
        await asyncio.wait_for(self.process.wait(), 120)
        # Its children end with it; the ports are free then.
        end = time.monotonic() + 120
        while any(os.path.exists("/proc/%d" % c) for c in children):
            if time.monotonic() > end:
                raise Wrong("children outlive their supervisor")
            await asyncio.sleep(0.05)
        self.output.close()

    def children(self):
        """Its services' processes, by name."""
        out = {}
        try:
            with open("/proc/%d/task/%d/children" % ((self.process.pid,) * 2)) as f:
                pids = f.read().split()
        except OSError:
            return out
        for pid in pids:
            try:
                with open("/proc/%s/cmdline" % pid, "rb") as f:
                    words = f.read().split(b"\0")
            except OSError:
                continue
            if len(words) > 4 and words[3] == b"child":
                out[words[4].decode()] = int(pid)
        return out

    def kill_child(self, name):
        pid = self.children().get(name)
        if pid:
            os.kill(pid, signal.SIGKILL)
            self.kills += 1
        return pid

    async def command(self, *words, stdin=None, fails=None):
        """Its standard output; `fails` is a pattern of what it may refuse with (then None)."""
        began = time.monotonic()
        p = await asyncio.create_subprocess_exec(
            self.program, "--state", self.state, *words,
            stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
        try:
            out, err = await asyncio.wait_for(p.communicate(stdin), COMMAND_SECS)
        except asyncio.TimeoutError:
            p.kill()
            raise Wrong("%s: not done within %d s" % (" ".join(words), COMMAND_SECS)) from None
        self.figures.count("commands")
        self.figures.worst("command %s %s" % words[:2], time.monotonic() - began)
        if p.returncode:
            text = err.decode(errors="replace").strip()
            if fails and p.returncode == 1 and re.search(fails, text):
                self.figures.count("commands refused as they may be")
                return None
            raise Wrong("%s: exit %d: %s" % (" ".join(words), p.returncode, text))
        return out.decode()

    def unexpected(self):
        """Lines of its log that tell of a fault of its own."""
        with open(self.log, errors="replace") as f:
            text = f.read()
        bad = re.findall(r"^.*(?:AddressSanitizer|runtime error|ThreadSanitizer|Assertion"
                         r"|ended with status|killed by signal (?!9;)|does not end).*$", text, re.M)
        kills = len(re.findall(r"killed by signal 9;", text))
        if kills > self.kills:
            bad.append("%d children died by SIGKILL, of which %d were ours" % (kills, self.kills))
        return bad

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What many bad clients can do to the nfs child: see nfs-siege.sh, which starts it.

usage: nfs-siege.py idle | full PID | held DIR | greedy NFS_LOAD
"""
import os
import resource
import select
import socket
import sqlite3
import subprocess
import sys
import time

import nfs_rpc as rpc

resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
check = rpc.check
SLOW = 5  # seconds for a call: a busy machine comes nowhere near, and who waits for others does


def connect(source):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((source, 0))
    s.connect(("127.0.0.1", 2049))
    return s


def closed(s):
    """Has the server hung up on it?"""
    p = select.poll()
    p.register(s, select.POLLIN)
    if not p.poll(0):
        return False
    try:
        return s.recv(1) == b""
    except OSError:
        return True


def served():
    """Seconds of the slowest of 200 calls."""
    t = rpc.Tcp()
    fh = rpc.mount(t)
    worst = 0
    for _ in range(200):
        at = time.monotonic()
        rpc.results(t.ask(rpc.call(rpc.NFS, 3, 1, rpc.opaque(fh))))
        worst = max(worst, time.monotonic() - at)
    t.close()
    return worst


def until(seconds, condition):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def idle():
    half = rpc.mark(rpc.call(rpc.NFS, 3, 0))[:30]
    conns = []
    refused = 0
    for i in range(2000):
        s = connect("127.0.1.%d" % (1 + i // 20))
        if i % 2:
            s.send(half)
        conns.append(s)
        refused += i >= 50 and closed(conns[i - 50])  # before its time is over
    check("2,000 idle and half-open connections are taken", not refused, "%d are not" % refused)
    worst = served()
    check("others are served beside them", worst < SLOW, "%.3f s" % worst)
    loris = connect("127.0.2.1")
    for b in half[:8]:
        attempt(lambda: loris.send(bytes([b])))
        time.sleep(0.05)
    alive = rpc.Tcp()
    rpc.results(alive.ask(rpc.call(rpc.NFS, 3, 0)))
    check("half a record is not waited for", until(60, lambda: all(closed(s) for s in conns[1::2])))
    check("nor one byte after another", until(60, lambda: closed(loris)))
    check("nor a connection that never calls", until(60, lambda: all(closed(s) for s in conns[::2])))
    check("but one that called may be idle", not closed(alive.s))
    crowd = [connect("127.0.3.1") for _ in range(90)]
    for s in crowd:  # who called may be idle: what is closed is closed for its number
        attempt(lambda: s.send(rpc.mark(rpc.call(rpc.NFS, 3, 0))))
    over = lambda: sum(closed(s) for s in crowd)
    check("an address has its limit", until(60, lambda: over() >= 90 - 64))
    check("and no less", over() == 90 - 64, "%d of 90 closed" % over())
    check("others do not feel it", served() < SLOW)


def full(pid):
    calm = rpc.Tcp()
    fh = rpc.mount(calm)
    used = len(os.listdir("/proc/%s/fd" % pid))
    subprocess.run(["prlimit", "--pid", pid, "--nofile=%d:%d" % (used + 10, used + 10)], check=True)
    conns = [connect("127.0.1.%d" % (1 + i)) for i in range(60)]
    check("out of descriptors: new ones are hung up on",
          until(25, lambda: sum(closed(s) for s in conns) >= 40),  # before their time is over
          "%d" % sum(closed(s) for s in conns))
    check("those that are there are served",
          rpc.status(calm.ask(rpc.call(rpc.NFS, 3, 1, rpc.opaque(fh)))) == 0)
    busy = cpu(pid)
    time.sleep(1)
    check("and nothing spins", cpu(pid) - busy < 0.3)
    for s in conns:
        s.close()
    check("with room again, so is everybody", until(60, lambda: attempt(served)))


def attempt(fn):
    try:
        fn()
        return True
    except (rpc.Closed, OSError):
        return False


def cpu(pid):
    with open("/proc/%s/stat" % pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def tenant(state, n):
    """The address of a machine that has a lease and is no host."""
    address = "127.0.4.%d" % n
    db = sqlite3.connect(state + "/leases.db")
    db.execute("INSERT INTO lease (address, mac, state, started, expires) VALUES (?, ?, 2, 0, 0)",
               (0x7F000400 + n, bytes([0x52, 0x54, 0, 0, 4, n])))
    db.commit()
    return address


def register(state, n):
    db = sqlite3.connect(state + "/rootstock.db")
    db.execute("INSERT INTO host (id, name, added, changed) VALUES (?, ?, 0, 0)",
               (100 + n, "late%d" % n))
    db.execute("INSERT INTO host_mac VALUES (?, ?)", (bytes([0x52, 0x54, 0, 0, 4, n]), 100 + n))
    db.commit()


def readable(s, seconds):
    return bool(select.select([s], [], [], seconds)[0])


def held(state):
    calm = rpc.Tcp()
    mnt = lambda: rpc.call(rpc.MOUNT, 3, 1, rpc.opaque(b"/"))
    granted = rpc.words(0, 32)

    address = tenant(state, 1)
    t = rpc.Tcp.__new__(rpc.Tcp)
    t.s = connect(address)
    t.s.settimeout(30)
    t.send(rpc.mark(mnt()) + rpc.mark(rpc.call(rpc.NFS, 3, 0)))
    check("a MNT before its machine is registered waits", not readable(t.s, 0.5))
    check("others do not", served() < SLOW)
    register(state, 1)
    check("it is granted when the machine is registered", rpc.results(t.recv())[:8] == granted)
    check("what came behind it is answered next", rpc.results(t.recv()) == b"")
    t.close()

    address = tenant(state, 2)
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    u.bind((address, 0))
    u.connect(("127.0.0.1", 2049))
    ask = mnt()
    for _ in range(3):
        u.send(ask)
    check("the same by UDP", not readable(u, 0.5))
    register(state, 2)
    check("it is granted", readable(u, 30) and rpc.results(u.recv(4096))[:8] == granted)
    check("once, however often it was asked", not readable(u, 0.5))

    address = tenant(state, 3)
    crowd = [connect(address) for _ in range(10)]
    for s in crowd:
        s.send(rpc.mark(mnt()))
    ready = lambda: [s for s in crowd if readable(s, 0)]
    at = time.monotonic()
    check("an address has few of them", until(4, lambda: len(ready()) == 6), "%d" % len(ready()))
    crowd = [s for s in crowd if s not in ready()]
    crowd.pop().close()  # gone while it is held
    check("an end comes to waiting", until(30, lambda: len(ready()) == len(crowd)))
    check("but not too soon", time.monotonic() - at > 4)
    refused = {s.recv(4096)[28:] for s in crowd}
    check("with a refusal", refused == {rpc.words(rpc.ACCES)}, str(refused))
    rpc.results(calm.ask(rpc.call(rpc.NFS, 3, 0)))


def greedy(load):
    """Others never let the server run out of calls: nobody has to wait for their end."""
    for op, depth in (("getattr", "2000"), ("read1m", "16")):
        crowd = subprocess.Popen([load, "127.0.0.1", "2049", "2049", "/", "127.0.0.2", op, "8",
                                  depth, "4", str(os.getpid())], stdout=subprocess.PIPE, text=True)
        t = rpc.Tcp.__new__(rpc.Tcp)
        t.s = connect("127.0.0.1")
        fh = rpc.mount(t)
        end = time.monotonic() + 120
        calls = 0
        while crowd.poll() is None and time.monotonic() < end:
            rpc.results(t.ask(rpc.call(rpc.NFS, 3, 1, rpc.opaque(fh))))
            calls += 1
        t.close()
        line = crowd.communicate()[0]
        check("beside %s in crowds others get their answers" % op, calls >= 20, "%d" % calls)
        share = float(line.split()[7]) if crowd.returncode == 0 else 0
        check("and each of the crowd its share", share >= 0.33, line)


if sys.argv[1] == "idle":
    idle()
elif sys.argv[1] == "greedy":
    greedy(sys.argv[2])
elif sys.argv[1] == "held":
    held(sys.argv[2])
else:
    full(sys.argv[2])
rpc.end()

# SPDX-License-Identifier: GPL-2.0-or-later
"""A server with faults in it, and what the machines of its network do: an exchange by DHCP,
a fetch by TFTP, a mount and a walk by NFS, a new image's files.

What a machine is told may be late or an error (Trouble); it is never wrong (Wrong).
"""
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../net"))
import nfs_rpc
from faults import TOP, Faults
from nfs_rpc import MOUNT, NFS, Reader, call, layout, mark, opaque, words

ROOTSTOCK = os.environ.get("ROOTSTOCK") or os.path.join(TOP, "build/rootstock")
SERVER = "10.77.0.1"
PC = "10.77.0.9"  # its address, and that of all others until they have one
PATIENCE = 120
CONFIG = """[server]
interface = br0
mode = full
admin = 10.77.0.0/24
[subnet 10.77.0.0/16]
range = 10.77.16.0 - 10.77.199.255
"""
# NFS3ERR_IO and NFS3ERR_SERVERFAULT; MNT may say that it is not (yet) allowed.
ERRORS = (5, 10006)
MNT_ERRORS = (5, 13, 10006)


class Trouble(Exception):
    """An answer that is an error, or none."""


class Wrong(Exception):
    """An answer that no machine may ever get."""


def wait_for(what, condition, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Wrong("gave up waiting for " + what)
        time.sleep(0.02)


class Server:
    """rootstock serve in the namespace `ns`, its state on a file system of its own."""

    def __init__(self, ns, work):
        self.ns, self.work = ns, work
        self.state = os.path.join(work, "state")
        self.log_path = os.path.join(work, "serve.log")
        self.config = os.path.join(work, "rootstock.conf")
        with open(self.config, "w", encoding="ascii") as file:
            file.write(CONFIG)
        self.faults = Faults(os.path.join(work, "faults"), self.state)
        self.env = dict(os.environ, ROOTSTOCK_STATE=self.state, LC_ALL="C")
        self.process = None

    def run(self, *args, check=True):
        done = subprocess.run([ROOTSTOCK, *args], env=self.env, capture_output=True,
                              timeout=PATIENCE, check=False)
        if check and done.returncode:
            raise RuntimeError("%s: %s" % (" ".join(args), done.stderr.decode()))
        return done

    def start(self):
        self.launch()
        wait_for("the server", lambda: self.process.poll() is not None or self.serves())
        if self.process.poll() is not None:
            raise Wrong("serve ended: " + self.log())

    def launch(self):
        with open(self.log_path, "ab") as log:
            self.begun = self.mark()
            self.process = subprocess.Popen(
                ["nsenter", "--net=/run/netns/" + self.ns, ROOTSTOCK, "serve", "--config",
                 self.config], env=dict(self.env, **self.faults.env), stdout=log, stderr=log,
                stdin=subprocess.DEVNULL)

    def serves(self):
        """All four children have begun."""
        return len(self.children()) == 4 and "NFS on port" in self.log(self.begun)

    def children(self):
        """Of what processes the supervisor is the parent: name -> process."""
        found = {}
        try:
            pid = self.process.pid
            with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as file:
                pids = file.read().split()
        except OSError:
            return found
        for pid in pids:
            try:
                with open("/proc/%s/cmdline" % pid, "rb") as file:
                    line = file.read().split(b"\0")
            except OSError:
                continue
            if b"child" in line:
                found[line[line.index(b"child") + 1].decode()] = int(pid)
        return found

    def kill(self, name):
        pid = self.children().get(name)
        if pid:
            os.kill(pid, signal.SIGKILL)
            wait_for("the end of " + name, lambda: self.children().get(name) != pid)

    def end(self):
        """At once, its children too."""
        if not self.process:
            return
        children = self.children().values()
        self.process.kill()
        self.process.wait()
        self.process = None
        wait_for("the end of children",
                 lambda: not any(os.path.exists("/proc/%d" % pid) for pid in children))

    def stop(self):
        """As an administrator does; it must end well."""
        if not self.process:
            return
        self.process.terminate()
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired as error:
            self.process.kill()
            raise Wrong("serve does not end") from error
        finally:
            self.process = None
        if status:
            raise Wrong("serve ends with %d: %s" % (status, self.log(self.begun)))

    # ---- what it says ----

    def mark(self):
        return os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0

    def log(self, since=0):
        if not os.path.exists(self.log_path):
            return ""
        with open(self.log_path, "rb") as file:
            file.seek(since)
            return file.read().decode(errors="replace")

    def said(self, since):
        """Errors and warnings, or the one line of a server that ends."""
        return re.findall(r"^(?:[\d:.]+ \S+ (?:error|warn): |rootstock: ).*", self.log(since),
                          re.MULTILINE)


class Tcp:
    """To the NFS port, from an address of one's own and a privileged port."""

    def __init__(self, source):
        for _ in range(50):
            self.s = socket.socket()
            self.s.settimeout(10)
            # Ports are few: none rests after its connection.
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            try:
                self.s.bind((source, random.randrange(600, 1023)))
                self.s.connect((SERVER, 2049))
                return
            except OSError as error:
                self.s.close()
                if error.errno != 98 and error.errno != 99:
                    raise Trouble("NFS: %s" % error) from error
        raise Trouble("NFS: no port")

    def ask(self, prog, proc, args):
        body = call(prog, 3, proc, args)
        try:
            self.s.sendall(mark(body))
            (head,) = struct.unpack(">I", self.exactly(4))
            reply = self.exactly(head & 0x7FFFFFFF)
        except OSError as error:
            raise Trouble("NFS: %s" % error) from error
        if reply[:4] != body[:4]:
            raise Wrong("the reply to another call")
        if reply[4:24] != words(1, 0, 0, 0, 0):
            raise Trouble("RPC: " + reply[4:24].hex())
        return reply[24:]

    def exactly(self, n):
        out = b""
        while len(out) < n:
            more = self.s.recv(n - len(out))
            if not more:
                raise Trouble("NFS: closed")
            out += more
        return out

    def close(self):
        self.s.close()


class Machines:
    def __init__(self, server):
        self.server = server
        self.acked = {}  # MAC -> address
        self.last = random.randrange(1 << 20) << 8
        self.images = 0

    # ---- DHCP ----

    def message(self, kind, mac, options=b""):
        head = struct.pack(">BBBBIHH", 1, 1, 6, 0, self.last & 0xFFFFFFFF, 0, 0x8000)
        return (head + bytes(16) + mac + bytes(10 + 192) + b"\x63\x82\x53\x63" +
                bytes([53, 1, kind]) + options + b"\xff").ljust(300, b"\0")

    @staticmethod
    def options(data):
        found, at = {}, 240
        while at + 1 < len(data) and data[at] != 255:
            if data[at]:
                found[data[at]] = data[at + 2:at + 2 + data[at + 1]]
                at += 1 + data[at + 1]
            at += 1
        return found

    def dhcp_ask(self, s, packet, mac, wants):
        for _ in range(4):  # as any client repeats itself
            try:
                s.sendto(packet, ("255.255.255.255", 67))
                while True:
                    data = s.recv(2048)
                    if data[28:34] != mac or data[4:8] != packet[4:8]:
                        continue
                    kind = self.options(data)[53][0]
                    if kind in (wants, 6):
                        return kind, data
            except OSError:
                continue
        raise Trouble("DHCP: no answer")

    def dhcp(self):
        """A machine that was never seen before; what it is given is nobody else's."""
        self.last += 1
        mac = b"\x02" + struct.pack(">Q", self.last)[3:]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
            s.bind(("", 68))
            s.settimeout(2)
            kind, offer = self.dhcp_ask(s, self.message(1, mac), mac, 2)
            if kind == 6:
                raise Trouble("DHCP: NAK")
            asks = b"\x32\x04" + offer[16:20] + b"\x36\x04" + self.options(offer)[54]
            kind, ack = self.dhcp_ask(s, self.message(3, mac, asks), mac, 5)
            if kind == 6:
                raise Trouble("DHCP: NAK")
        address = socket.inet_ntoa(ack[16:20])
        if ack[16:20] != offer[16:20]:
            raise Wrong("offered %s, given %s" % (socket.inet_ntoa(offer[16:20]), address))
        if address in self.acked.values():
            raise Wrong(address + " is given to two")
        self.acked[mac] = address
        return mac, address

    def leases_lost(self):
        """What was acknowledged and is not in the database."""
        done = self.server.run("lease", "list")
        rows = dict(reversed(pair) for pair in re.findall(
            r"(\d+\.\d+\.\d+\.\d+)\s+((?:[0-9a-f]{2}:){5}[0-9a-f]{2})", done.stdout.decode()))
        return [(mac, address) for mac, address in self.acked.items()
                if rows.get(":".join("%02x" % b for b in mac)) != address]

    # ---- TFTP ----

    def tftp(self, name="kernel", source=PC, expect=None):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind((source, 0))
            s.settimeout(1)
            got, packet, to = b"", b"\0\1" + name.encode() + b"\0octet\0", (SERVER, 69)
            block, tries = 1, 0
            while True:
                try:
                    s.sendto(packet, to)
                    data, sender = s.recvfrom(2048)
                except OSError as error:
                    tries += 1
                    if tries == 8:
                        raise Trouble("TFTP: no answer") from error
                    continue
                if data[:2] == b"\0\5":
                    raise Trouble("TFTP: " + data[4:].decode(errors="replace"))
                if data[:2] != b"\0\3" or struct.unpack(">H", data[2:4])[0] != block & 0xFFFF:
                    continue
                to, tries = sender, 0
                got += data[4:]
                packet = b"\0\4" + data[2:4]
                block += 1
                if len(data) < 516:
                    s.sendto(packet, to)
                    break
        if expect is not None and got != expect:
            raise Wrong("TFTP: %s differs: %d bytes of %d" % (name, len(got), len(expect)))
        return got

    # ---- NFS ----

    @staticmethod
    def answer(proc, reply, errors=ERRORS):
        status, fields = layout(proc, reply)
        if status in errors:
            raise Trouble("NFS: procedure %d: status %d" % (proc, status))
        if status:
            raise Wrong("NFS: procedure %d: status %d" % (proc, status))
        return fields

    def read(self, t, fh, expect):
        got = b""
        while True:
            f = self.answer(6, t.ask(NFS, 6, opaque(fh) + struct.pack(">QI", len(got), 65536)))
            got += f["data"]
            if f["eof"]:
                break
            if not f["data"]:
                raise Wrong("NFS: READ has no end")
        if got != expect:
            raise Wrong("NFS: other bytes: %d of %d" % (len(got), len(expect)))

    def nfs(self, path=b"/", files=None, source=PC):
        """Mounts, lists the root, walks to each of the files and reads it."""
        t = Tcp(source)
        try:
            r = Reader(t.ask(MOUNT, 1, opaque(path)))
            status = r.u32()
            if status in MNT_ERRORS:
                raise Trouble("MNT: status %d" % status)
            if status:
                raise Wrong("MNT: status %d" % status)
            root = r.opaque(64)
            names, cookie, end = set(), 0, False
            while not end:
                f = self.answer(17, t.ask(NFS, 17, opaque(root) + struct.pack(
                    ">QQII", cookie, 0, 4096, 32768)))
                names |= {e["name"] for e in f["entries"]}
                end = f["eof"]
                if f["entries"]:
                    cookie = f["entries"][-1]["cookie"]
            for name, body in (files or self.files).items():
                fh = root
                if name.split("/")[0].encode() not in names:
                    raise Wrong("NFS: %s is not listed" % name)
                for part in name.split("/"):
                    f = self.answer(3, t.ask(NFS, 3, opaque(fh) + opaque(part.encode())))
                    fh = f["fh"]
                self.answer(1, t.ask(NFS, 1, opaque(fh)))
                self.read(t, fh, body)
        finally:
            t.close()

    # ---- images ----

    def image(self, name, files):
        origin = os.path.join(self.server.work, "origin-%s-%d" % (name, self.images))
        self.images += 1
        for path, body in files.items():
            full = os.path.join(origin, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "wb") as file:
                file.write(body)
        done = self.server.run("image", "add", name, origin, "--activate")
        return done.stdout.split()[0]  # NAME@N

    def settle(self):
        """An image with a kernel, all of it copied, and a machine that boots it."""
        rng = random.Random(5)
        self.files = {"etc/conf": b"conf\n", "usr/lib/data": rng.randbytes(200000),
                      "sbin/init": b"init\n", "usr/share/empty": b""}
        self.kernel = rng.randbytes(30000)
        self.image("lab", dict(self.files, **{
            "boot/vmlinuz-6.1.0-1-amd64": self.kernel,
            "boot/initrd.img-6.1.0-1-amd64": rng.randbytes(3000),
            "usr/share/initramfs-tools/init": b""}))
        self.server.run("host", "add", "52:54:00:00:00:09", "--name", "pc", "--address", PC)

    def change(self):
        """A file of every machine is changed by a command, so that services load it."""
        self.changes = getattr(self, "changes", 0) + 1
        body = b"%d\n" % self.changes
        # Two may do so at once.
        with tempfile.NamedTemporaryFile(dir=self.server.work) as file:
            file.write(body)
            file.flush()
            os.chmod(file.name, 0o644)
            self.server.run("overlay", "put", "all", "/etc/now", "--from", file.name)
        return {"etc/now": body}

    def boot_files(self):
        self.change()
        self.tftp("kernel", expect=self.kernel)

    def live(self):
        """A change that is seen while it is mounted, at once or soon, and then stays."""
        new, end = self.change(), time.monotonic() + PATIENCE
        while True:
            self.nfs()
            try:
                return self.nfs(files=new)
            except Wrong:
                if time.monotonic() > end:
                    raise
            time.sleep(0.05)

    def fill(self):
        """A new version, read while it is copied: a small file, and one that comes by
        extents."""
        n = self.images
        rng = random.Random(n)
        files = {"a/small": rng.randbytes(5000 + n), "a/more": rng.randbytes(70000),
                 "large": rng.randbytes(5 << 20)}
        version = self.image("fill", files)
        self.nfs(b"/images/" + version, files)

    def register(self):
        """A machine that nobody knows mounts: it becomes a host."""
        mac, address = self.dhcp()
        subprocess.run(["ip", "address", "add", address + "/16", "dev", "eth0"], check=True)
        try:
            self.nfs(source=address)
        finally:
            subprocess.run(["ip", "address", "del", address + "/16", "dev", "eth0"], check=True)

# SPDX-License-Identifier: GPL-2.0-or-later
"""The states that operations start from, and running rootstock on copies of them.

All lives in one directory below $TMPDIR.  It may be a tmpfs: a kill loses nothing that the
kernel has, and what a power cut loses is worked out (powercut.py), so the disk would only
cost time.
"""
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ROOTSTOCK = os.environ.get("ROOTSTOCK") or os.path.join(TOP, "build/rootstock")
STEPPER = os.path.join(os.path.dirname(ROOTSTOCK), "tests/stepper")
STAMP = 1600000000  # of every file, so that two runs make the same manifests
PATIENCE = 120


class Place:
    """A folder with origins and bases, and below it one for each process that works."""

    def __init__(self):
        self.shared = self.dir = tempfile.mkdtemp(prefix="fault.")
        os.chmod(self.dir, 0o755)
        self.bases = {}
        origins(self)

    def enter(self):
        """From here on this process has a state of its own."""
        self.dir = tempfile.mkdtemp(prefix="w.", dir=self.shared)
        os.chmod(self.dir, 0o755)
        self.state = self.path("state")

    def clear(self):
        shutil.rmtree(self.shared)

    def path(self, *names):
        return os.path.join(self.dir, *names)

    # ---- running ----

    def run(self, *words, state=None, stdin=b"", wrap=()):
        env = dict(os.environ, ROOTSTOCK_STATE=state or self.state, LC_ALL="C")
        words = [w.replace("@PLACE@", self.shared) for w in words]
        with open(self.path("answer"), "w+b") as out:
            done = subprocess.run([*wrap, ROOTSTOCK, *words], env=env, stdout=out,
                                  stderr=subprocess.PIPE, input=stdin, timeout=PATIENCE,
                                  cwd=self.dir)
            out.seek(0)
            done.stdout = out.read()
        return done

    def must(self, *words, **options):
        done = self.run(*words, **options)
        if done.returncode:
            raise RuntimeError("%s: exit %d: %s" % (" ".join(words), done.returncode,
                                                    done.stderr.decode()))
        return done.stdout.decode()

    def fresh(self, base, to=None):
        """A copy of a base, over what was there."""
        to = to or self.state
        shutil.rmtree(to, ignore_errors=True)
        subprocess.run(["cp", "-a", self.base(base), to], check=True)
        return to

    # ---- bases ----

    def base(self, name):
        if name not in self.bases:
            self.bases[name] = os.path.join(self.shared, "base-" + name)
            getattr(self, "make_" + name)(self.bases[name])
        return self.bases[name]

    def make_empty(self, path):
        os.mkdir(path)

    def make_site(self, path):
        """Images with versions to go back to and to lose, hosts, a group, entries."""
        def rs(*words, stdin=b""):
            self.must(*words, state=path, stdin=stdin)

        for origin in ("first", "second", "third"):
            rs("image", "add", "lab", "@PLACE@/" + origin, "--wait")
        rs("image", "activate", "lab@2")
        for origin in ("junk1", "junk2"):
            rs("image", "add", "junk", "@PLACE@/" + origin, "--wait")
        rs("group", "add", "desk")
        rs("group", "set", "desk", "printer=lp1")
        rs("host", "add", "52:54:00:00:00:01", "--name", "amy", "--image", "lab", "--group",
           "desk", "--address", "10.77.0.50")
        rs("host", "add", "52:54:00:00:00:02", "--name", "bob", "--image", "lab")
        rs("overlay", "put", "all", "/etc/motd", stdin=b"welcome\n")
        rs("overlay", "put", "host:amy", "/etc/token", "--secret", stdin=b"amy's\n")
        rs("overlay", "put", "group:desk", "/etc/printer", "--template",
           stdin=b"{{name}} {{printer}}\n")

    def make_half(self, path):
        """A version of which one file is copied."""
        for origin in ("junk1", "junk2"):
            self.must("image", "add", "junk", "@PLACE@/" + origin, "--wait", state=path)
        self.must("image", "add", "lab", "@PLACE@/first", state=path)
        self.must("view", "cat", "lab", "/etc/conf", state=path)

    def more(self, path, *words):
        self.fresh("site", path)
        self.must(*words, state=path)

    def make_third(self, path):
        self.more(path, "image", "activate", "lab@3")

    def make_oci(self, path):
        self.more(path, "image", "add", "oci", "@PLACE@/layout1")

    def make_lounge(self, path):
        self.more(path, "group", "add", "lounge")
        self.must("group", "set", "lounge", "printer=lp3", state=path)
        self.must("overlay", "mkdir", "group:lounge", "/srv", state=path)


# ---- origins ----

FIRST = {"etc/conf": b"conf\n", "etc/empty": b"", "usr/bin/tool": b"\x7fELF" * 40000,
         "usr/share/doc": b"words\n" * 1000}
SECOND = dict(FIRST, **{"etc/conf": b"another\n", "etc/new": b"new\n"})
THIRD = dict(SECOND, **{"usr/share/doc": b"other words\n" * 500})


def tree(path, files):
    for name, body in files.items():
        full = os.path.join(path, name)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "wb") as file:
            file.write(body)
    os.link(os.path.join(path, next(iter(files))), os.path.join(path, "hard"))
    os.symlink(next(iter(files)), os.path.join(path, "soft"))
    for top, dirs, names in os.walk(path):
        for name in [*dirs, *names, "."]:
            os.utime(os.path.join(top, name), (STAMP, STAMP), follow_symlinks=False)


def tar_bytes(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(body), STAMP
            tar.addfile(info, io.BytesIO(body))
    return out.getvalue()


def layout(path, layers):
    """An OCI image layout."""
    blobs = os.path.join(path, "blobs/sha256")
    os.makedirs(blobs)

    def blob(kind, body):
        digest = hashlib.sha256(body).hexdigest()
        with open(os.path.join(blobs, digest), "wb") as file:
            file.write(body)
        return {"mediaType": "application/vnd.oci.image." + kind, "digest": "sha256:" + digest,
                "size": len(body)}

    def text(value):
        return json.dumps(value).encode()

    tars = [tar_bytes(files) for files in layers]
    config = {"architecture": "amd64", "os": "linux", "rootfs": {
        "type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(t).hexdigest() for t in tars]}}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": blob("config.v1+json", text(config)),
                "layers": [blob("layer.v1.tar", t) for t in tars]}
    index = {"schemaVersion": 2, "manifests": [blob("manifest.v1+json", text(manifest))]}
    with open(os.path.join(path, "index.json"), "wb") as file:
        file.write(text(index))
    with open(os.path.join(path, "oci-layout"), "wb") as file:
        file.write(text({"imageLayoutVersion": "1.0.0"}))


def folder(path, files):
    """A configuration to import."""
    for name, text in dict(files, **{"rootstock-export": "format=1\n"}).items():
        full = os.path.join(path, name)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)
        os.utime(full, (STAMP, STAMP))


def origins(place):
    folder(place.path("folder"), {
        "images": "lab=3\n", "groups/hall/group": "printer=lp3\n",
        "hosts/amy/host": "mac=52:54:00:00:00:01\naddress=10.77.0.51\ngroup=hall\n",
        "hosts/carl/host": "mac=52:54:00:00:00:09\naddress=10.77.0.50\nimage=lab@2\n",
        "hosts/amy/overlay": "put /etc/conf mode=0600\n", "hosts/amy/files/etc/conf": "amy's\n",
        "all/overlay": "hide /usr/share\ntemplate /etc/who\n", "all/files/etc/who": "{{name}}\n"})
    folder(place.path("folder0"), {"all/overlay": "put /etc/motd\n",
                                   "all/files/etc/motd": "welcome\n",
                                   "groups/desk/group": "printer=lp1\n"})
    for name, files in (("first", FIRST), ("second", SECOND), ("third", THIRD),
                        ("junk1", {"a": b"junk 1"}), ("junk2", {"a": b"junk 2"})):
        tree(place.path(name), files)
    for name, files in (("first.tar", FIRST), ("second.tar", SECOND)):
        with open(place.path(name), "wb") as file:
            file.write(tar_bytes(files))
    layout(place.path("layout1"), [FIRST, {"etc/.wh.empty": b""}])
    layout(place.path("layout2"), [FIRST, {"etc/.wh.empty": b""}, {"etc/new": b"new\n"}])

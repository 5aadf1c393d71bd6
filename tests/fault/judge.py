# SPDX-License-Identifier: GPL-2.0-or-later
"""Is a state directory whole?  An independent judge: it shares no code with rootstock.

judge() takes the directory as a crash left it and changes nothing in it: databases are
opened as copies, so that it is rootstock that recovers them afterwards.  It checks that
every object is what its name says, that every manifest that a row names is there and
whole, that the databases check, and that whatever a row, a manifest or a journal names
is in the store.  dump() tells what the database holds, without times and without what
is drawn at random, so that two states can be compared.
"""
import hashlib
import os
import re
import shutil
import sqlite3
import stat
import struct
import subprocess
import tempfile

MANIFEST_HEADER, MANIFEST_BLOCK = 4096, 65536
SEALED, GONE, UNKEPT, NONE = 1, 1, 4, bytes(32)
ENTRY_FILE, SCOPE_GROUP, SCOPE_HOST = 1, 1, 2
KEY = b"etc/ssh/ssh_host_ed25519_key"
MACHINE_ID = b"etc/machine-id"


class Broken(Exception):
    """A state that nobody should ever find."""


def need(condition, *words):
    if not condition:
        raise Broken(" ".join(str(w) for w in words))


def read(path):
    with open(path, "rb") as file:
        return file.read()


# ---- the store ----

def objects(state, store):
    """name -> path of every object; each is what its name says."""
    found = {}
    top = os.path.join(state, store)
    for prefix in os.listdir(top) if os.path.isdir(top) else []:
        if not re.fullmatch("[0-9a-f]{2}", prefix):
            need(re.fullmatch("tmp|damaged|removals|suspect|w[0-9a-f]{16}"
                              "|handle-key(.new)?", prefix),
                 os.path.join(top, prefix), "is of nobody")
            need(prefix != "damaged" or not os.listdir(os.path.join(top, prefix)), top,
                 "has damaged files")
            continue
        for name in os.listdir(os.path.join(top, prefix)):
            path = os.path.join(top, prefix, name)
            body = read(path)
            need(hashlib.sha256(body).hexdigest() == prefix + name, path,
                 "is not what its name says: %d bytes" % len(body))
            need(store == "objects" or not stat.S_IMODE(os.stat(path).st_mode) & 0o007, path,
                 "may be read by anybody")
            found[prefix + name] = path
    return found


class Manifest:
    """One version's index, checked as a whole."""

    def __init__(self, path, version):
        data = read(path)
        need(len(data) >= MANIFEST_HEADER, path, "is cut short")
        (magic, form, self.flags, number, nodes, _, _,
         self.bytes) = struct.unpack_from("<8s6IQ", data, 0)
        need(magic == b"rootstck" and form == 1, path, "is not a manifest")
        need(number == version, path, "is of version", number)
        section = [struct.unpack_from("<QQ", data, 40 + 16 * i) for i in range(4)]
        sums_at, sums_len = struct.unpack_from("<QQ", data, 104)
        self.digest = data[152:184]
        need(hashlib.sha256(data[:152] + NONE).digest() == self.digest, path, "damaged header")
        sums = data[sums_at:sums_at + sums_len]
        need(hashlib.sha256(sums).digest() == data[120:152], path, "damaged sums")
        rest = data[MANIFEST_HEADER:sums_at]
        blocks = [rest[i:i + MANIFEST_BLOCK] for i in range(0, len(rest), MANIFEST_BLOCK)]
        need(b"".join(hashlib.sha256(b).digest() for b in blocks) == sums, path, "damaged block")
        self.files = {}  # position -> [hash, size, flags]
        self.given = set()  # what was read of it, and may be in the store
        for pos in range(nodes):
            node = struct.unpack_from("<IHHIIQqIIIIIII", data, section[0][0] + 64 * pos)
            mode, size, link, index, flags = node[2], node[5], node[9], node[11], node[12]
            if stat.S_ISREG(mode) and link == pos:
                at = section[1][0] + 32 * index
                self.files[pos] = [data[at:at + 32], size, flags & GONE]

    @property
    def sealed(self):
        return bool(self.flags & SEALED)

    def learn(self, journal):
        """What the copier knows beyond it, up to the first torn record."""
        for at in range(0, len(journal) - 79, 80):
            magic, check = struct.unpack_from("<II", journal, at)
            record = journal[at + 8:at + 80]
            good = struct.unpack_from("<I", hashlib.sha256(record).digest())[0]
            if magic != 0x46494C31 or check != good:
                break
            pos, flags, _, _, _, _, _, size = struct.unpack_from("<6IqQ", record, 0)
            need(pos in self.files, "a journal names position", pos, "which is no file")
            if flags & UNKEPT:  # given out; it may have got its name before a sync failed
                self.given.add(record[40:72].hex())
                continue
            self.files[pos] = [record[40:72], size, flags >> 1 & 1]


# ---- databases ----

def db_open(state, name):
    """A copy, in a directory of its own that goes with it."""
    path = os.path.join(state, name)
    if not os.path.exists(path) or not os.path.getsize(path):
        return None
    copy = tempfile.mkdtemp(prefix="judge.", dir=os.path.dirname(state))
    try:
        for suffix in ("", "-wal", "-journal"):
            if os.path.exists(path + suffix):
                shutil.copy(path + suffix, os.path.join(copy, name + suffix))
        db = sqlite3.connect(os.path.join(copy, name), isolation_level=None)
        db.text_factory = bytes
        try:
            rows = db.execute("PRAGMA integrity_check").fetchall()
            need(rows == [(b"ok",)], name, rows)
            rows = db.execute("PRAGMA foreign_key_check").fetchall()
            need(not rows, name, "names rows that are not there:", rows)
            if not db.execute("PRAGMA user_version").fetchone()[0]:
                need(not db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0], name,
                     "is half made")
                db.close()
                return None
            return db
        except sqlite3.DatabaseError as error:
            raise Broken("%s: %s" % (name, error)) from error
    finally:
        shutil.rmtree(copy)  # the descriptors that are open stay good


HIDDEN = {  # times, and what is drawn at random
    "version": {"added"}, "host": {"added", "changed"}, "grp": {"changed"},
    "entry": {"changed", "retired_at", "mtime"}, "site": {"value"},
    "lease": {"started", "expires", "last_alive"},
    "boot": {"opened", "mounted", "init", "last_alive", "ended"},
}


def dump(state):
    db = db_open(state, "rootstock.db")
    if not db:
        return {}
    out = {}
    names = {path_id for path_id, path in db.execute("SELECT id, path FROM path")
             if path.startswith(KEY) or path == MACHINE_ID}
    for (table,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
        table = table.decode()
        rows = db.execute("SELECT * FROM %s" % table)
        columns = [c[0] for c in rows.description]
        kept = []
        for row in rows:
            row = {k: v for k, v in zip(columns, row) if k not in HIDDEN.get(table, ())}
            if "sealed" in row:
                row["sealed"] = row["sealed"] is not None
            if table == "entry" and row["path"] in names:
                row["object"] = row["size"] = "drawn"
            kept.append(tuple(sorted((k, str(v)) for k, v in row.items())))
        out[table] = sorted(kept)
    db.close()
    return out


def set_times(state):
    """Directories are as old as the last change below them: make that one moment."""
    path = os.path.join(state, "rootstock.db")
    if not os.path.exists(path):
        return
    db = sqlite3.connect(path)
    if db.execute("PRAGMA user_version").fetchone()[0]:
        db.execute("UPDATE entry SET changed = 1, mtime = 1, retired_at = 1 + 0 * retired_at")
        db.execute("UPDATE host SET changed = 1")
        db.execute("UPDATE grp SET changed = 1")
        db.commit()
    db.close()


def check_versions(state, db, have):
    # A full store lets go of what an unsealed version can have again from its origin.
    evicted = os.path.exists(os.path.join(state, "objects", "removals"))
    for number, sealed, digest in db.execute("SELECT id, sealed, digest FROM version"):
        path = os.path.join(state, "manifests", str(number))
        need(os.path.exists(path), "version", number, "has no manifest")
        m = Manifest(path, number)
        need(not sealed or (m.sealed and m.digest == digest), "version", number,
             "is sealed, but its manifest is not the one that the row tells of")
        if not m.sealed and os.path.exists(path + ".fill"):
            m.learn(read(path + ".fill"))
        for pos, (body, size, gone) in m.files.items():
            if gone or (body == NONE and not m.sealed):
                continue
            if evicted and not m.sealed:
                continue
            need(body.hex() in have, "version", number, "file at", pos, "is not in the store:",
                 body.hex())
            need(os.path.getsize(have[body.hex()]) == size, "version", number, "file at", pos,
                 "has another size than its object")


def check_entries(db, have, secrets):
    for kind, path, body, size, secret in db.execute(
            "SELECT e.kind, p.path, e.object, e.size, e.secret FROM entry e"
            " JOIN path p ON p.id = e.path"):
        if kind != ENTRY_FILE:
            continue
        store = secrets if secret else have
        need(body and body.hex() in store, path, "names a body that is not there")
        need(os.path.getsize(store[body.hex()]) == size, path, "has another size than its body")
        need(size or not path.startswith(KEY), path, "is an empty key")


def check_hosts(db, have, secrets):
    """A host is whole or not there; its keys are a pair, and nobody else's."""
    keys = set()
    for host, name in db.execute("SELECT id, name FROM host"):
        rows = dict(db.execute(
            "SELECT p.path, e.object FROM entry e JOIN path p ON p.id = e.path"
            " JOIN scope s ON s.id = e.scope WHERE s.kind = ? AND s.owner = ?"
            " AND e.retired IS NULL", (SCOPE_HOST, host)))
        need(db.execute("SELECT count(*) FROM host_mac WHERE host = ?", (host,)).fetchone()[0],
             name, "has no MAC")
        need(MACHINE_ID in rows and KEY in rows and KEY + b".pub" in rows, name,
             "lacks a part of its identity:", sorted(rows))
        private = secrets[rows[KEY].hex()]
        public = read(have[rows[KEY + b".pub"].hex()]).split()
        need(private not in keys, name, "has another's key")
        keys.add(private)
        os.chmod(private, 0o600)
        made = subprocess.run(["ssh-keygen", "-y", "-P", "", "-f", private], capture_output=True)
        need(made.stdout.split()[:2] == public[:2], name, "has keys that are not a pair:",
             made.stderr)
        os.chmod(private, 0o640)
    for table in ("setting", "scope"):
        for kind, owner in db.execute("SELECT kind, owner FROM %s" % table):
            there = {SCOPE_GROUP: "grp", SCOPE_HOST: "host"}.get(kind)
            need(not there or db.execute("SELECT 1 FROM %s WHERE id = ?" % there,
                                         (owner,)).fetchone(),
                 table, "row of a", there, "that is not there")


def judge(state, keys=False):
    """Raises Broken.  `keys`: those of hosts, too, which costs a process each."""
    have, secrets = objects(state, "objects"), objects(state, "secrets")
    key = os.path.join(state, "secrets", "handle-key")
    need(not os.path.exists(key) or (os.path.getsize(key) == 16 and
                                     not os.stat(key).st_mode & 0o007), key, "is no key")
    db = db_open(state, "rootstock.db")
    if db:
        check_versions(state, db, have)
        check_entries(db, have, secrets)
        if keys:
            check_hosts(db, have, secrets)
        db.close()
    for name in ("leases.db", "trace.db"):
        db = db_open(state, name)
        if db:
            db.close()


def leftovers(state):
    """What nobody names, after a sweep: nothing."""
    left = []
    db = db_open(state, "rootstock.db")
    rows = dict(db.execute("SELECT id, sealed FROM version"))
    wanted = {body.hex() for (body,) in db.execute(
        "SELECT object FROM entry WHERE object IS NOT NULL")}
    for number in rows:
        path = os.path.join(state, "manifests", str(number))
        m = Manifest(path, number)
        if not m.sealed and os.path.exists(path + ".fill"):
            m.learn(read(path + ".fill"))
        wanted.update(body.hex() for body, _, gone in m.files.values() if not gone)
        wanted |= m.given
    for name in os.listdir(os.path.join(state, "manifests")):
        number, rest = re.fullmatch(r"\.?(\d+)(.*)", name).groups()
        sealed = rows.get(int(number), True)
        # What a copier may be writing right now goes once the version is sealed.
        if sealed and (name != number or int(number) not in rows):
            left.append("manifests/" + name)
    for store in ("objects", "secrets"):
        tmp = os.path.join(state, store, "tmp")
        left += [store + "/tmp/" + d for d in os.listdir(tmp)] if os.path.isdir(tmp) else []
        left += [store + "/" + o for o in objects(state, store) if o not in wanted]
    db.close()
    return left

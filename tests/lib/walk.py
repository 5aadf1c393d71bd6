#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Prints one line a path: type, mode, owner, links, size, mtime, device, link
target and SHA-256, sorted by path.

	walk.py DIR			a folder, through the kernel
	walk.py nfs://SERVER/PATH	an export, through libnfs

A folder's size and link count are "-" with --plain, since they are a matter of
the file system and not of the tree.
"""
import ctypes
import hashlib
import os
import stat
import sys

FIELDS = """dev ino mode nlink uid gid rdev size blksize blocks atime mtime ctime
	atime_nsec mtime_nsec ctime_nsec used""".split()


class Stat(ctypes.Structure):
    """struct nfs_stat_64 of <nfsc/libnfs.h>"""
    _fields_ = [(name, ctypes.c_uint64) for name in FIELDS]


class Dirent(ctypes.Structure):
    """struct nfsdirent, as far as the name"""
    _fields_ = [("next", ctypes.c_void_p), ("name", ctypes.c_char_p)]


class Nfs:
    def __init__(self, url):
        server, path = url[len("nfs://"):].split("/", 1)
        self.lib = ctypes.CDLL("libnfs.so.13")
        for name in "nfs_init_context", "nfs_get_error":
            getattr(self.lib, name).restype = ctypes.c_void_p
        self.lib.nfs_readdir.restype = ctypes.POINTER(Dirent)
        self.nfs = ctypes.c_void_p(self.lib.nfs_init_context())
        self.call("nfs_mount", server.encode(), b"/" + path.encode())

    def call(self, name, *args):
        result = getattr(self.lib, name)(self.nfs, *args)
        if result < 0:
            error = ctypes.string_at(self.lib.nfs_get_error(self.nfs))
            sys.exit("%s %s: %s" % (name, args[0], error.decode(errors="replace")))
        return result

    def names(self, path):
        folder = ctypes.c_void_p()
        self.call("nfs_opendir", path, ctypes.byref(folder))
        found = []
        while entry := self.lib.nfs_readdir(self.nfs, folder):
            found.append(entry.contents.name)
        self.lib.nfs_closedir(self.nfs, folder)
        return found

    def stat(self, path):
        st = Stat()
        self.call("nfs_lstat64", path, ctypes.byref(st))
        return (st.mode, st.uid, st.gid, st.nlink, st.size,
                st.mtime * 10**9 + st.mtime_nsec, st.rdev)

    def link(self, path):
        target = ctypes.create_string_buffer(4097)
        self.call("nfs_readlink", path, target, 4096)
        return target.value

    def blocks(self, path):
        file = ctypes.c_void_p()
        block = ctypes.create_string_buffer(1 << 20)
        self.call("nfs_open", path, os.O_RDONLY, ctypes.byref(file))
        while count := self.call("nfs_read", file, ctypes.c_uint64(1 << 20), block):
            yield block[:count]
        self.lib.nfs_close(self.nfs, file)


class Folder:
    def __init__(self, root):
        self.root = os.fsencode(root)

    def names(self, path):
        return os.listdir(self.root + path)

    def stat(self, path):
        st = os.lstat(self.root + path)
        return (st.st_mode, st.st_uid, st.st_gid, st.st_nlink, st.st_size,
                st.st_mtime_ns, st.st_rdev)

    def link(self, path):
        return os.readlink(self.root + path)

    def blocks(self, path):
        with open(self.root + path, "rb") as file:
            while block := file.read(1 << 20):
                yield block


def walk(tree, plain):
    todo = [b"/"]
    lines = []
    while todo:
        path = todo.pop()
        mode, uid, gid, links, size, mtime, device = tree.stat(path)
        target = digest = b"-"
        if stat.S_ISDIR(mode):
            todo += [path.rstrip(b"/") + b"/" + name
                     for name in tree.names(path) if name not in (b".", b"..")]
            if plain:
                links = size = "-"
        elif stat.S_ISLNK(mode):
            target = tree.link(path)
        elif stat.S_ISREG(mode):
            sha = hashlib.sha256()
            for block in tree.blocks(path):
                sha.update(block)
            digest = sha.hexdigest().encode()
        if not (stat.S_ISBLK(mode) or stat.S_ISCHR(mode)):
            device = 0
        facts = "%o %d:%d %s %s %d %d" % (mode, uid, gid, links, size, mtime, device)
        lines.append(b" ".join((path.replace(b"\n", b"\\n"), facts.encode(), target, digest)))
    return sorted(lines)


def main():
    plain = "--plain" in sys.argv[1:]
    (where,) = [arg for arg in sys.argv[1:] if arg != "--plain"]
    tree = Nfs(where) if where.startswith("nfs://") else Folder(where)
    for line in walk(tree, plain):
        sys.stdout.buffer.write(line + b"\n")


main()

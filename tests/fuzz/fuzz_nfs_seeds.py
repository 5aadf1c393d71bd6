#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Write one seed a procedure for fuzz_nfs into the directory named on the command line."""
import os
import struct
import sys

W = lambda *v: b"".join(struct.pack(">I", x & 0xFFFFFFFF) for x in v)
FH = W(32, 0x01000000, 1, 7, 2) + bytes(16)
DIR = W(32, 0x01000000, 1, 7, 1) + bytes(16)
NAME = W(4) + b"name"
SATTR = W(0, 0, 0, 0, 0, 0)
CRED = W(1, 28, 0, 4) + b"host" + W(0, 0, 1, 0) + W(0, 0)

NFS = [b"", FH, FH + SATTR + W(0), DIR + NAME, FH + W(0x3F), FH, FH + W(0, 0, 4096),
       FH + W(0, 0, 4, 2, 4) + b"data", DIR + NAME + W(0) + SATTR, DIR + NAME + SATTR,
       DIR + NAME + SATTR + NAME, DIR + NAME + W(7) + SATTR, DIR + NAME, DIR + NAME,
       DIR + NAME + DIR + NAME, FH + DIR + NAME, DIR + W(0, 0, 0, 0, 4096),
       DIR + W(0, 0, 0, 0, 4096, 8192), FH, FH, FH, FH + W(0, 0, 0)]
MNT = [b"", W(1) + b"/\0\0\0", b"", W(1) + b"/\0\0\0", b"", b""]
PMAP = [b"", W(100003, 3, 6, 0), W(100003, 3, 6, 0), W(100003, 3, 6, 0), b"", W(1, 1, 1, 0)]
RPCB = W(100003, 3, 3) + b"tcp\0" + W(0, 0)


def call(prog, vers, proc, args):
    body = W(7, 0, 2, prog, vers, proc) + CRED + args
    return W(0x80000000 | len(body)) + body


def main(folder):
    os.makedirs(folder, exist_ok=True)
    seeds = {}
    for proc, args in enumerate(NFS):
        seeds["nfs%d" % proc] = call(100003, 3, proc, args)
    for proc, args in enumerate(MNT):
        seeds["mount%d" % proc] = call(100005, 3, proc, args)
    for proc, args in enumerate(PMAP):
        seeds["pmap%d" % proc] = call(100000, 2, proc, args)
    for proc in range(13):
        seeds["rpcb%d" % proc] = call(100000, 4, proc, RPCB)
    seeds["all"] = b"".join(seeds.values())
    for name, data in seeds.items():
        for head in (b"\0\0", b"\x0a\x05"):
            with open(os.path.join(folder, name + head.hex()), "wb") as f:
                f.write(head + data)


main(sys.argv[1])

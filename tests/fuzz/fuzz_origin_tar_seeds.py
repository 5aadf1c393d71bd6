#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Write archives in every dialect for fuzz_origin_tar into the directory named on the command line."""
import io
import os
import sys
import tarfile

KINDS = [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
ACL = "user::rw-,user:5:rw-,group::r--,mask::rw-,other::r--"


def archive(form, mode, names):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=form) as tar:
        for i, name in enumerate(names):
            info = tarfile.TarInfo(name)
            info.type = KINDS[i % len(KINDS)]
            info.linkname = names[0] if info.type == tarfile.LNKTYPE else "to/" + name
            info.mtime = 1.5
            if form == tarfile.PAX_FORMAT:
                info.pax_headers = {"SCHILY.xattr.user.x": "v", "SCHILY.acl.access": ACL}
            if info.type == tarfile.REGTYPE:
                info.size = 5
            tar.addfile(info, io.BytesIO(b"hello"))
    return out.getvalue()


def main(folder):
    os.makedirs(folder, exist_ok=True)
    plain = ["./a", "d/", "l", "h", "dev/c", "f", "a", "n" * 200, "d/.wh.x", "d/.wh..wh..opq", "é"]
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        names = plain if form != tarfile.USTAR_FORMAT else plain[:7]
        for mode in ("w", "w:gz", "w:bz2", "w:xz"):
            for layers in range(3):
                with open(os.path.join(folder, "%d-%s-%d" % (form, mode[2:], layers)), "wb") as f:
                    f.write(bytes([layers]) + archive(form, mode, names) * max(layers, 1))


main(sys.argv[1])

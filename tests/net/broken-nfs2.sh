#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=quick limit=240
# Kernels that ask for NFS version 2: by what they are, and by what they are told.
set -euo pipefail
# shellcheck source=tests/lib/doctor.sh
. "$(dirname "$0")/../lib/doctor.sh"

doctor_up
printf "CONFIG_X=y\nCONFIG_NFS_FS=y\nCONFIG_NFS_V2=y\n# CONFIG_NFS_V3 is not set\n" \
	>"$work/image/boot/config-6.1.0-1-amd64"
rm -r "$work"/image/boot/initrd* "$work/image/usr/share/initramfs-tools"
doctor_add
doctor_serve
doctor north
doctor_only "no NFS version 3, only version 2"

# One that could, and is told otherwise.
printf "CONFIG_X=y\nCONFIG_%s=y\n" >"$work/config" \
	NFS_FS NFS_V2 NFS_V3 ROOT_NFS IP_PNP IP_PNP_DHCP
sed -i "1!s/^CONFIG_X=y$//" "$work/config"
overlay_text all /boot/config-6.1.0-1-amd64 <"$work/config"
doctor north
equal "exit of doctor, of a kernel that is fine: $(grep ^error "$work/doctor")" 0 "$doctor_status"
"$rootstock" host set north cmdline="nfsroot=10.77.0.1:/"
doctor north
doctor_only "no vers=3: one with NFS version 2"
"$rootstock" host set north cmdline="nfsroot=10.77.0.1:/,vers=2,tcp"
doctor north
doctor_only "told vers=2"
mend=$(sed -n "/^error *nfs/{n;s/^ *-> //p}" "$work/doctor")
bash -c "${mend/rootstock/"$rootstock"}" || fail "the remedy is no command: $mend"
doctor north
equal "exit of doctor, mended: $(grep ^error "$work/doctor")" 0 "$doctor_status"
"$rootstock" host set north cmdline="nfsroot=10.77.0.1:/,vers=2,tcp"

# One that does so: MOUNT version 1, as a kernel with CONFIG_NFS_V2 asks.
machine_rom
machine_files pxelinux.0 pxelinux.cfg/01-52-54-00-aa-00-01 kernel
cat >"$work/v1.py" <<'END'
import socket, struct
s = socket.create_connection(("10.77.0.1", 2049), 20)
call = struct.pack(">10I", 77, 0, 2, 100005, 1, 1, 0, 0, 0, 0) + struct.pack(">I4s", 1, b"/")
s.sendall(struct.pack(">I", 0x80000000 | len(call)) + call)
assert len(s.recv(100)) >= 24
END
machine python3 "$work/v1.py"
shown mount "asks for NFS version 2 or 4"
grep -q "^remedy: .*: rootstock boot plan north" "$work/show" || fail "$(cat "$work/show")"

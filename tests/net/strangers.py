#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Has ports, and tells what the kernel says of those who want them then, bound as the
server's sockets are.

    strangers.py IF=ADDRESS[,IF=ADDRESS]... udp|tcp:PORT:ADDRESS[%DEVICE][+OPTION]...

OPTION is v6only, reuseaddr or reuseport.  A line for each port, "udp 67 taken" or "tcp 111
free", and "ready" at the end."""
import socket
import sys
import time

faces = [face.split("=") for face in sys.argv[1].split(",")]


def bound(proto, address, port, device=None, options=()):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    s = socket.socket(family, socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, "v6only" in options)
    if "reuseaddr" in options:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if "reuseport" in options:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if device:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    s.bind((address, port))
    if proto == "tcp":
        s.listen()
    return s


def as_ours(proto, port):
    """The arguments of bound(), of each socket of the server's."""
    if port in (67, 4011):
        return [("0.0.0.0", port, name) for name, _ in faces]
    if port == 69:
        return [(address, port, name) for name, address in faces]
    return [(faces[0][1] if len(faces) == 1 else "0.0.0.0", port)]


held = []
wanted = []
for spec in sys.argv[2:]:
    proto, port, where = spec.split(":", 2)
    where, *options = where.split("+")
    address, _, device = where.partition("%")
    held.append(bound(proto, address, int(port), device, options))
    wanted.append((proto, int(port)))
for proto, port in wanted:
    said = "free"
    for ours in as_ours(proto, port):
        try:
            reuse = ("reuseaddr",) if proto == "tcp" else ()
            bound(proto, *ours, *((None,) * (3 - len(ours))), reuse).close()
        except OSError:
            said = "taken"
    print(proto, port, said)
print("ready", flush=True)
time.sleep(600)

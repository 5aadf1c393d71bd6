#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Many machines behind one relay: asks for addresses, and writes each ACK down.

usage: dhcp-storm.py RELAY SERVER FIRST COUNT SECONDS FILE

Machines FIRST..FIRST+COUNT-1 ask over and over, as fast as they are answered;
FILE gets a line "mac address" for each ACK, flushed before the next is asked.
"""
import os
import random
import select
import socket
import struct
import sys
import time

relay, server = sys.argv[1:3]
first, count = int(sys.argv[3]), int(sys.argv[4])
end = time.monotonic() + float(sys.argv[5])
log = open(sys.argv[6], "a", buffering=1)
giaddr = socket.inet_aton(relay)
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
sock.bind((relay, 67))
sock.setblocking(False)


def message(kind, n, options=b""):
    mac = b"\x02\x77" + struct.pack(">I", n)
    return (
        struct.pack(">BBBBIHH", 1, 1, 6, 1, n, 0, 0)
        + bytes(12)
        + giaddr
        + mac
        + bytes(10 + 192)
        + b"\x63\x82\x53\x63"
        + bytes([53, 1, kind])
        + options
        + b"\xff"
    )


def send(data):
    try:
        sock.sendto(data, (server, 67))
    except OSError:
        pass  # the server is down for a moment


def option(data, code):
    at = 240
    while at + 1 < len(data) and data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        if data[at] == code:
            return data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]
    return b""


def later(n):
    todo.insert(random.randrange(len(todo) + 1), n)


waiting = {}
todo = list(range(first, first + count))
random.shuffle(todo)
while time.monotonic() < end:
    now = time.monotonic()
    for n in [n for n, at in waiting.items() if now - at > 0.5]:
        later(n)  # not first: those without an address would leave nobody else a turn
        del waiting[n]
    while todo and len(waiting) < 200:
        n = todo.pop()
        waiting[n] = now
        send(message(1, n))
    if not select.select([sock], [], [], 0.05)[0]:
        continue
    while True:
        try:
            data = sock.recv(2048)
        except OSError:
            break
        kind = option(data, 53)
        n = struct.unpack(">I", data[30:34])[0]
        address = data[16:20]
        if kind == b"\x02":
            send(message(3, n, b"\x32\x04" + address + b"\x36\x04" + option(data, 54)))
            waiting[n] = time.monotonic()
        elif kind == b"\x05":
            log.write("%s %s\n" % (data[28:34].hex(), int.from_bytes(address, "big")))
            waiting.pop(n, None)
            later(n)
        elif kind == b"\x06":
            waiting.pop(n, None)
            later(n)
os._exit(0)

# SPDX-License-Identifier: GPL-2.0-or-later
"""The one interface that all machines share: their addresses on it, and their frames for
DHCP, since a machine that asks for an address has none yet.

Each machine's frames carry its own MAC; what comes for port 68 is given to who waits for
that MAC and transaction.  All else goes by ordinary sockets, bound to the machine's
address, which stands on the interface from its ACK until the machine is switched off.
"""
import ctypes
import os
import socket
import struct

SERVER, CLIENT = 67, 68
RTM_NEWADDR, RTM_DELADDR = 20, 21


class Filter(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8),
                ("k", ctypes.c_uint32)]


class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_uint16), ("filter", ctypes.POINTER(Filter))]


def port_filter(port):
    """Unfragmented UDP over IPv4 to `port`, past an Ethernet header."""
    code = [(0x28, 0, 0, 12), (0x15, 0, 8, 0x0800), (0x30, 0, 0, 23), (0x15, 0, 6, 17),
            (0x28, 0, 0, 20), (0x45, 4, 0, 0x1FFF), (0xB1, 0, 0, 14), (0x48, 0, 0, 16),
            (0x15, 0, 1, port), (6, 0, 0, 65535), (6, 0, 0, 0)]
    return (Filter * len(code))(*code)


def checksum(data):
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


class Wire:
    def __init__(self, loop, interface):
        self.index = socket.if_nametoindex(interface)
        self.waiting = {}  # (mac, xid) -> Future
        self.strays = 0
        self.server_mac = b"\xff" * 6
        self.s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK)
        code = port_filter(CLIENT)
        program = Program(len(code), code)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setsockopt(self.s.fileno(), socket.SOL_SOCKET, 26, ctypes.byref(program),
                           ctypes.sizeof(program)):
            raise OSError(ctypes.get_errno(), "SO_ATTACH_FILTER")
        self.s.setsockopt(socket.SOL_SOCKET, 33, 4 << 20)  # SO_RCVBUFFORCE
        self.s.bind((interface, 0x0800))
        # An answer by ordinary UDP finds its port taken, as on a real client.
        self.taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.taken.bind(("", CLIENT))
        self.netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        self.netlink.bind((0, 0))
        loop.add_reader(self.s.fileno(), self.ready)

    def ready(self):
        for _ in range(64):
            try:
                frame = self.s.recv(2048)
            except BlockingIOError:
                return
            header = 14 + (frame[14] & 15) * 4 + 8
            data = frame[header:]
            if len(data) < 240 or data[0] != 2:
                continue
            key = (data[28:34], data[4:8])
            future = self.waiting.get(key)
            if future is None or future.done():
                self.strays += 1  # a second answer, or one that came too late
                continue
            self.server_mac = frame[6:12]
            future.set_result((data, socket.inet_ntoa(frame[26:30]), frame[:6]))

    def send(self, mac, data, source="0.0.0.0", to=None):
        """As a broadcast, or to the server's address `to`."""
        udp = struct.pack(">HHHH", CLIENT, SERVER, 8 + len(data), 0) + data
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0x4000, 64, 17, 0,
                         socket.inet_aton(source), socket.inet_aton(to or "255.255.255.255"))
        ip = ip[:10] + struct.pack(">H", checksum(ip)) + ip[12:]
        frame = (self.server_mac if to else b"\xff" * 6) + mac + b"\x08\x00" + ip + udp
        try:
            self.s.send(frame)
        except OSError:
            pass  # a full queue: lost, as on any wire

    def address(self, kind, address):
        data = socket.inet_aton(address)
        # Of /32: with one network's first address the kernel takes all others away.
        body = struct.pack("=BBBBI", socket.AF_INET, 32, 0x80, 0, self.index)
        for attribute in (2, 1):  # IFA_LOCAL, IFA_ADDRESS
            body += struct.pack("=HH", 8, attribute) + data
        flags = 0x5 | (0x500 if kind == RTM_NEWADDR else 0)  # REQUEST ACK, CREATE REPLACE
        self.netlink.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body)
        answer = self.netlink.recv(4096)
        return -struct.unpack_from("=i", answer, 16)[0]

    def up(self, address):
        error = self.address(RTM_NEWADDR, address)
        if error:
            raise OSError(error, "%s: %s" % (address, os.strerror(error)))

    def down(self, address):
        self.address(RTM_DELADDR, address)

#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Between `doctor HOST` and the nfs child, on its control socket: all goes through as it is,
but for the replies to one procedure.

    meddler.py CONTROL-DIR PROGRAM PROCEDURE tcp|udp WORD=VALUE|cut|fragment|close|late

WORD counts from the reply's xid; `cut` ends it in its header, `fragment` says that more of
the record comes, `close` hangs up in its place, `late` holds it back until the next call is
answered."""
import os
import socket
import struct
import sys
import threading

folder, program, procedure, proto, how = sys.argv[1:]
target = int(program), int(procedure)
path, real_path = folder + "/nfs", folder + "/nfs.real"


def receive(sock, stream):
    """One message, without the record's mark; b"": no more."""
    if not stream:
        return sock.recv(1 << 17)
    mark = sock.recv(4, socket.MSG_WAITALL)
    if len(mark) < 4:
        return b""
    return sock.recv(struct.unpack(">I", mark)[0] & 0x7FFFFFFF, socket.MSG_WAITALL)


def send(sock, stream, message, last=0x80000000):
    sock.sendall((struct.pack(">I", last | len(message)) if stream else b"") + message)


def altered(reply):
    if how == "cut":
        return reply[:20]
    word, value = map(int, how.split("="))
    return reply[: word * 4] + struct.pack(">I", value) + reply[word * 4 + 4 :]


def calls(client, server, stream):
    """One after another, as doctor makes them."""
    held = b""
    while call := receive(client, stream):
        send(server, stream, call)
        reply = receive(server, stream)
        if not reply:
            break
        if struct.unpack(">12xI4xI", call[:24]) == target and stream == (proto == "tcp"):
            if how == "close":
                break
            if how == "late":
                held = reply
                continue
            if how == "fragment":
                send(client, stream, reply, 0)
                continue
            reply = altered(reply)
        if held:
            send(client, stream, held)
            held = b""
        send(client, stream, reply)
    client.close()
    server.close()


def hang_up(asker, real):
    asker.recv(1)
    real.shutdown(socket.SHUT_RDWR)


def serve(asker):
    request, fds, _, _ = socket.recv_fds(asker, 4096, 1)
    real = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    real.connect(real_path)
    if fds:
        client = socket.socket(fileno=fds[0])
        ours, theirs = socket.socketpair(socket.AF_UNIX, client.type)
        socket.send_fds(real, [request], [theirs.fileno()])
        theirs.close()
        stream = client.type == socket.SOCK_STREAM
        threading.Thread(target=calls, args=(client, ours, stream), daemon=True).start()
    else:
        real.send(request)
    threading.Thread(target=hang_up, args=(asker, real), daemon=True).start()
    while packet := real.recv(1 << 17):
        try:
            asker.send(packet)
        except OSError:
            break
    asker.close()
    real.close()


if not os.path.exists(real_path):
    os.rename(path, real_path)
elif os.path.exists(path):
    os.unlink(path)
listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listener.bind(path)
listener.listen()
print("meddling", flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=quick limit=240
# status --watch on a terminal: drawn again and again, fits whatever size the terminal has,
# and leaves it as it was, by a key, by ^C and by a stop; elsewhere it prints once.
set -euo pipefail
# shellcheck source=tests/lib/server.sh
. "$(dirname "$0")/../lib/server.sh"
server_state
mkdir "$work/image"
"$rootstock" image add lab "$work/image" >/dev/null 2>&1

"$rootstock" status --watch >"$work/once" || true
grep -q '^hosts: 0 registered' "$work/once" || fail "once: $(cat "$work/once")"
! grep -q $'\033' "$work/once" || fail "it draws into a file"

python3 - "$rootstock" <<'END' || fail "on a terminal (its words above)"
import fcntl, os, pty, re, select, signal, struct, sys, termios, time

def start(rows=24, columns=80):
    pid, fd = pty.fork()
    if not pid:
        os.execv(sys.argv[1], [sys.argv[1], "status", "--watch"])
    resize(fd, rows, columns)
    return pid, fd

def resize(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

def until(fd, what, seconds=60):
    seen, end = b"", time.monotonic() + seconds
    while not re.search(what, seen, re.S):
        if time.monotonic() > end:
            sys.exit(f"no {what} in {seen}")
        if select.select([fd], [], [], 1)[0]:
            try:
                seen += os.read(fd, 65536)
            except OSError:
                sys.exit(f"it ended before {what}: {seen}")
    return seen

def last(fd, pid):
    seen = b""
    while True:
        try:
            got = os.read(fd, 65536)
        except OSError:
            break
        if not got:
            break
        seen += got
    _, status = os.waitpid(pid, 0)
    return seen, status

ENTER, LEAVE = rb"\x1b\[\?1049h\x1b\[\?25l", b"\x1b[?25h\x1b[?1049l"

for end in (b"q", b"\x03"):
    pid, fd = start()
    before = termios.tcgetattr(fd)
    until(fd, ENTER + rb".*hosts: 0.*\x1b\[J")
    held = set(os.listdir(f"/proc/{pid}/fd"))
    until(fd, rb"(hosts: 0.*\x1b\[J.*){2}")
    give_up = time.monotonic() + 60 # this may be in the midst of a look
    while not set(os.listdir(f"/proc/{pid}/fd")) <= held:
        assert time.monotonic() < give_up, "a look keeps what it opened"
    assert not termios.tcgetattr(fd)[3] & termios.ECHO
    os.write(fd, end)
    seen, status = last(fd, pid)
    assert seen.endswith(LEAVE), seen
    assert status == 0, (end, status)

# A small one: never more lines or columns than there are.
pid, fd = start()
until(fd, ENTER)
resize(fd, 4, 11)
until(fd, rb"\x1b\[H\d\d:\d\d:\d\d  \(\r\n")
frame = until(fd, rb"\x1b\[H[^\x1b].*?\x1b\[J")
frame = re.findall(rb"\x1b\[H(.*?)\x1b\[J", frame, re.S)[-1]
lines = re.sub(rb"\x1b\[K", b"", frame).split(b"\r\n")
assert len(lines) <= 4 and all(len(line) <= 11 for line in lines), lines

# Stopped, the terminal is given back; it goes on where it was.
os.kill(pid, signal.SIGTSTP)
until(fd, re.escape(LEAVE))
os.waitpid(pid, os.WUNTRACED)
os.kill(pid, signal.SIGCONT)
until(fd, ENTER + rb".*\x1b\[J")
os.kill(pid, signal.SIGTERM)
seen, status = last(fd, pid)
assert seen.endswith(LEAVE) and status == 0, (seen, status)
END

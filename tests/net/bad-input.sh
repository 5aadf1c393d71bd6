#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What cannot be done is refused with one line that names the thing, exit 1, and
# leaves nothing behind; a wrong call is exit 2 with the usage.
set -euo pipefail
# shellcheck source=tests/lib/server.sh
. "$(dirname "$0")/../lib/server.sh"
need_root
server_state
net_up

# refused STATUS REGEX COMMAND ARGS...
refused() {
	local want=$1 regex=$2 got=0 lines
	shift 2
	"$@" >"$work/out" 2>"$work/err" </dev/null || got=$?
	equal "exit of: $*" "$want" "$got"
	lines=$(wc -l <"$work/err")
	[[ $want != 1 || $lines == 1 ]] || fail "$*: $lines lines of error: $(cat "$work/err")"
	grep -Eq -- "$regex" "$work/err" || fail "$*: no /$regex/ in: $(cat "$work/err")"
}

rs() {
	"$rootstock" "$@"
}

nothing_made() {
	[[ ! -e $ROOTSTOCK_STATE ]] || fail "$1 left $(ls "$ROOTSTOCK_STATE")"
}

# Before there is anything.
refused 1 'eth9: no such interface' net_run "$rootstock" serve --interface eth9
nothing_made "an unknown interface"
refused 1 'no interface: name one' net_run "$rootstock" serve
refused 2 'log: loud: not one of' "$rootstock" --log loud host list
refused 2 'log: needs a value' "$rootstock" host list --log
refused 1 '/nowhere: No such file' net_run "$rootstock" serve --config /nowhere
nothing_made "a missing configuration"
refused 2 'usage: rootstock' rs
refused 2 'unknown command' rs image frobnicate
refused 2 'usage: rootstock image add' rs image add x
refused 2 '--frob: unknown option' rs host add 52:54:00:00:00:01 --frob
refused 2 '^rootstock: -z: unknown option' rs mount /nowhere -zq
refused 2 '^rootstock: --wait=now: takes no value' rs image add x /x --wait=now
refused 1 'not a MAC address' rs host add 52:54:00:00:00
nothing_made "a bad MAC"
refused 1 'nothing here yet' rs host list
nothing_made "a list"

# A configuration's errors name file, line and key.
conf() {
	printf '%b' "$1" >"$work/conf"
	refused 1 "$2" net_run "$rootstock" serve --config "$work/conf"
	nothing_made "a bad configuration"
}
conf '[server]\ninterface = br0\nmode = half\n' 'conf:3: mode: half: not one of full, proxy'
conf '[server]\ninterface = br0\nlog = loud\n' 'conf:3: log: loud: not one of error, warn'
conf '[server]\nfrob = 1\n' 'conf:2: frob: no such key'
conf '# x\n[sever]\n' 'conf:2: sever: no such section'
conf 'interface = br0\n' 'conf:1: interface: stands before'
conf '[subnet 10.77.0.0/24]\nrange = 10.77.0.9 - 10.77.0.3\n' 'conf:2: range: 10.77.0.3: not behind'
conf '[subnet 10.77.0.0/24]\noption.150 = ip:10.0.0.1\n' 'conf:2: option.150: write it as option-150'
conf '[subnet 10.77.0.0/24]\noption-53 = u8:1\n' "conf:2: option-53: is the protocol's own"
conf '[subnet 10.77.0.0/24]\noption-150 = ip:1\n' 'conf:2: option-150: ip:1: not an option value'
conf '[subnet 10.77.0.1/24]\nrouter = 10.77.0.1\n' 'conf:1: subnet 10.77.0.1/24.*host bits'
conf '[server]\nlease = 5\n' 'conf:2: lease: 5: not a number from 60'
conf "[server]\ninterface = $(printf 'x%.0s' {1..300})\n" 'conf:2: line:'
conf '[server]\ninterface = br0\njust words\n' 'conf:3: not a'
refused 1 "a,b: not an interface's name" net_run "$rootstock" serve --interface a,b
conf '[subnet 10.77.0.0]\n' 'conf:1: subnet 10.77.0.0: 10.77.0.0: not a network'
conf '[subnet 10.77.0.0/24]\ndomain = lab example\n' 'conf:2: domain: lab example: not a domain'
# What stands behind blanks is a key too, not more of the value above.
conf '[subnet 10.77.0.0/24]\n  domain = lab.example\n\t dns = nobody\n' 'conf:3: dns: nobody: not'
conf '  [server]\n  frob = 1\n' 'conf:2: frob: no such key'
mkdir "$work/folder"
refused 1 'folder: Is a directory' net_run "$rootstock" serve --config "$work/folder" --interface br0
nothing_made "a configuration that cannot be read"

# A port in use, by a server that nobody here wrote.
spawn busy nsenter --net="/run/netns/$net_ns" python3 -c '
import socket, time
s = socket.socket(); s.bind(("0.0.0.0", 2049)); s.listen(); time.sleep(600)'
wait_for 10 "the stranger" net_listening tcp 2049
refused 1 'port 2049: in use' net_run "$rootstock" serve --interface br0
nothing_made "a port in use"
stop "$spawned"

# Images and origins.
mkdir "$work/origin"
echo text >"$work/origin/file"
ln -s loop1 "$work/origin/loop2"
ln -s loop2 "$work/origin/loop1"
refused 1 'nowhere: No such file' rs image add debian "$work/nowhere"
refused 1 '/dev/null: not a directory|/dev/null: not a' rs image add debian /dev/null
refused 1 'unfit as a name of images' rs image add 'a/b' "$work/origin"
# hostile NAME TYPE LINK: an archive with such an entry behind a link to /tmp.
hostile() {
	python3 - "$work/hostile.tar" "$@" <<-'EOF'
		import sys, tarfile
		with tarfile.open(sys.argv[1], "w") as tar:
		    for name, kind, link in (("link", "2", "/tmp"), sys.argv[2:]):
		        info = tarfile.TarInfo(name)
		        info.type, info.linkname = kind.encode(), link
		        tar.addfile(info)
	EOF
}
escapee=rootstock-escapee-$$
hostile "/tmp/$escapee" 0 ''
refused 1 "hostile.tar: /tmp/$escapee: an absolute name" rs image add debian "$work/hostile.tar"
hostile "../../../../../../tmp/$escapee" 0 ''
refused 1 "/tmp/$escapee: a name with '..'" rs image add debian "$work/hostile.tar"
hostile "link/$escapee" 0 ''
refused 1 "link/$escapee: below a symbolic link" rs image add debian "$work/hostile.tar"
hostile "$escapee" 1 /etc/passwd
refused 1 "$escapee: a hard link to /etc/passwd: an absolute name" \
	rs image add debian "$work/hostile.tar"
head -c 700 "$work/hostile.tar" >"$work/cut.tar"
refused 1 'cut.tar: cut short' rs image add debian "$work/cut.tar"
echo words >"$work/words"
refused 1 'words: not a tar archive' rs image add debian "$work/words"
[[ ! -e /tmp/$escapee ]] || fail "an archive wrote outside"
[[ -z $(ls "$ROOTSTOCK_STATE/manifests") ]] || fail "a refused image left a manifest"
[[ -z $(ls "$ROOTSTOCK_STATE/objects/tmp") ]] || fail "a refused image left a draft"
rs image add debian "$work/origin" >/dev/null
refused 1 'debian@7: no such version' rs image activate debian@7
refused 1 'no earlier active version' rs image rollback debian
refused 1 'nope: no such image' rs host add 52:54:00:00:00:01 --image nope
[[ $(rs host list --json | tr -d ' \n') == '[]' ]] || fail "a refused host was kept"
rs host add 52:54:00:00:00:01 --name amy --address 10.77.0.50
refused 1 '52:54:00:00:00:01: is amy already' rs host add 52-54-00-00-00-01 --name bob
refused 1 'amy: there is a host' rs host add 52:54:00:00:00:02 --name amy
refused 1 "10.77.0.50: is amy's already" rs host add 52:54:00:00:00:02 --address 10.77.0.50
refused 1 'unfit as a name of hosts' rs host add 52:54:00:00:00:02 --name 'a b'
refused 1 'bob: no such host' rs host set bob x=1
refused 1 'not KEY=VALUE' rs host set amy x
refused 1 'macs: a reserved name' rs host set amy macs=1
rs group add kiosks
for one in 'menu=maybe: not one of no, yes' 'mode=ramdisk: not one of tmpfs, overlay' \
	'dialect=casper: not one of kernel, klibc, dracut, mkinitcpio, live' \
	'menu_secs=1h: not 0 to 3600 seconds' 'attr_secs=-1: not 0 to 86400 seconds' \
	'console=ttyS0;x: not consoles' 'kernel=vmlinuz: not an absolute path' \
	'initrd=no: not an absolute path .* or none' 'init=/sbin/init 3: not .* without spaces' \
	'loader=a b: not a file' 'option-150=ip:10.0.0: not text, or a value behind ip:' \
	'maintenance=rescue: no such image' 'maintenance=debian@9: no such version'; do
	refused 1 "host set: $one" rs host set amy x=1 "${one%%: *}"
	refused 1 "group set: $one" rs group set kiosks x=1 "${one%%: *}"
done
refused 1 'host set: option.150: write it as option-150' rs host set amy option.150=ip:10.0.0.1
refused 1 'host set: option-53: is the protocol' rs host set amy option-53=u8:1
refused 1 'host set: option-255: not option-1 to option-254' rs host set amy option-255=x
refused 1 'host set: image=nope: no such image' rs host set amy image=nope
refused 1 'host set: address=10.0.0: not an IPv4 address' rs host set amy address=10.0.0
refused 1 'host set: mac=x: not a MAC address' rs host set amy mac=x
refused 1 'host set: pending=maybe: not one of no, yes' rs host set amy pending=maybe
! rs host show amy | grep '^x ' || fail "half of a refused host set was kept"

# Overlays.
echo put >"$work/put"
refused 1 'hosts:amy: not a scope' rs overlay put hosts:amy /etc/x --from "$work/put"
refused 1 'lab: no such group' rs overlay put group:lab /etc/x --from "$work/put"
refused 1 'with \. or \.\.' rs overlay put all /etc/../x --from "$work/put"
refused 1 'a file is in the way' rs overlay put all /file/x --from "$work/put"
refused 1 'a loop of links' rs overlay put all /loop1/x --from "$work/put"
echo '{{nope}}' >"$work/template"
refused 1 'for host amy: \{\{nope\}\}: unknown key' \
	rs overlay put all /x --template --from "$work/template"
refused 1 'nowhere: No such file' rs overlay put all /x --from "$work/nowhere"
refused 1 'has no entry for it' rs overlay reset all /x
refused 1 "9: not an octal mode" rs overlay put all /x --mode 9 --from "$work/put"
[[ $(rs overlay list all --json | tr -d ' \n') == '[]' ]] || fail "a refused entry was kept"
refused 1 'view cat: /nope: No such file' rs view cat amy /nope
refused 1 'view cat: /loop1: Too many' rs view cat amy /loop1

# A disk that is full under what is said, also by who has bad news.
full() {
	"$rootstock" "$@" >/dev/full
}
refused 1 '^rootstock: host list: standard output: No space left' full host list
refused 1 '^rootstock: doctor: standard output: No space left' full doctor
refused 1 '^rootstock: standard output: No space left' full --version

# A database of a newer version, or of another program, is left alone.
cp "$ROOTSTOCK_STATE/rootstock.db" "$work/kept.db"
sqlite3 "$ROOTSTOCK_STATE/rootstock.db" 'PRAGMA user_version = 99' >/dev/null
sum=$(sha256sum <"$ROOTSTOCK_STATE/rootstock.db")
refused 1 'written by a newer rootstock' rs host add 52:54:00:00:00:09
refused 1 'written by a newer rootstock' net_run "$rootstock" serve --interface br0
equal "the newer database" "$sum" "$(sha256sum <"$ROOTSTOCK_STATE/rootstock.db")"
head -c 5000 /dev/urandom >"$ROOTSTOCK_STATE/rootstock.db"
refused 1 'rootstock.db: file is not a database' rs host list

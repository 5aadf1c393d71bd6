#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=quick limit=120
# Who has a port of the server's, at whatever address and however: doctor says that it is taken
# where the kernel would not give it to us, and at no other time; and how to be rid of him.
set -euo pipefail
# shellcheck source=tests/lib/doctor.sh
. "$(dirname "$0")/../lib/doctor.sh"

need_root
for tool in strace unshare; do
	command -v $tool >/dev/null || skip "$tool is not installed"
done
net_up
server_state
"$rootstock" host add "$doctor_mac" --name north >/dev/null
net_run sh -c 'echo 0 >/proc/sys/net/ipv6/conf/lo/disable_ipv6'
net_run ip address add 10.77.0.2/24 dev br0
net_run ip link add br2 type bridge
net_run ip address add 10.79.0.1/24 dev br2
net_run ip link set br2 up
under=()

# have FACES SPEC...: strangers.py.
have() {
	spawn strangers nsenter --net="/run/netns/$net_ns" "$tests/net/strangers.py" "$@"
	wait_for 20 "the strangers" grep -qs ready "$work/strangers.log"
}

# look FACES: doctor, of a server there (IF=ADDRESS,...), without one.
look() {
	local -a faces args=()
	local face
	IFS=, read -ra faces <<<"$1"
	for face in "${faces[@]}"; do
		args+=(--interface "${face%=*}")
	done
	net_run "${under[@]}" "$rootstock" doctor north "${args[@]}" >"$work/doctor" || true
}

# strangers FACES SPEC...: doctor says what the kernel does.
strangers() {
	local proto port said
	have "$@"
	look "$1"
	while read -r proto port said; do
		proto="[A-Za-z ]*${proto^^}[A-Za-z ]*"
		case $said in
		taken) said="[a-z]*  *port  *$proto $port (.*): taken by strangers.py (process $spawned)" ;;
		free) said="ok  *port  *$proto $port (.*): free" ;;
		*) continue ;;
		esac
		grep -q "^$said" "$work/doctor" ||
			fail "$*: not said: $said: $(grep " port " "$work/doctor")"
	done <"$work/strangers.log"
	stop "$spawned"
}

# says LEVEL TEXT [REMEDY]: the last doctor did.
says() {
	local found
	found=$(grep -m1 -A1 "^$1  *port  *$2" "$work/doctor") ||
		fail "not said: $1 $2: $(grep -A1 " port " "$work/doctor")"
	equal "the remedy of: $2" "${3-}" "$(sed -n '2s/^ *-> //p' <<<"$found")"
}

one=br0=10.77.0.1
both=$one,br2=10.79.0.1
# Without sock_diag, as some containers are, nobody tells device and IPv6 alone.  (A sanitizer
# looks for leaks by ptrace, which is strace's.)
blind="env ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0
	strace -qq -o /dev/null -e trace=sendto -e inject=sendto:error=ENOENT"
seen=(udp:67:10.79.0.1 udp:4011:127.0.0.1 udp:69:10.79.0.1 tcp:111:10.79.0.1 udp:111:127.0.0.1
	tcp:2049::: udp:2049:::1)
mapped=(udp:67::: udp:4011::: udp:69:::ffff:10.77.0.1 tcp:111:::ffff:10.79.0.1
	udp:111:::ffff:10.77.0.1 tcp:2049:::1 udp:2049:::)
for faces in "$one" "$both"; do
	for words in "" "$blind"; do
		read -d "" -ra under <<<"$words" || true
		strangers "$faces" "${seen[@]}"
		strangers "$faces" "${mapped[@]}"
	done
	under=()
	strangers "$faces" udp:67:10.77.0.2 udp:4011:0.0.0.0%br2 udp:69:::+v6only \
		tcp:111:::+v6only udp:111:0.0.0.0%br2 tcp:2049:10.77.0.2 udp:2049:::%br2+v6only
	strangers "$faces" udp:67:0.0.0.0%br0+reuseaddr udp:4011:::%br0 udp:69:0.0.0.0+reuseaddr \
		tcp:111:0.0.0.0+reuseaddr udp:111:10.77.0.1+reuseaddr+reuseport \
		tcp:2049:10.79.0.1%br2 udp:2049:10.77.0.2%br0
done

# In words, and with the command that mends it.
have "$both" udp:67:127.0.0.1 udp:4011::: tcp:111:10.79.0.1 udp:2049:0.0.0.0%br2
look "$both"
end="kill $spawned  # strangers.py; or keep it from starting"
who="taken by strangers.py (process $spawned)"
says error "UDP 67 (DHCP): $who at 127.0.0.1, and ours is for all addresses$" "$end"
says warn "UDP 4011 (PXE): $who: of use in mode = proxy alone$" "$end"
says error "TCP 111 (the port mapper): $who at 10.79.0.1, and ours is for all addresses$" "$end"
says error "UDP 2049 (NFS): $who on br2, and ours is for all interfaces$" "$end"

# part NAME TEXT: of /proc/PID, in the namespace of the next doctor.
parts=""
part() {
	echo "$2" >"$work/$1"
	parts+="mount --bind $work/$1 /proc/$spawned/$1; "
}
look_at_parts() {
	under=(unshare -m sh -ec "${parts}exec \"\$@\"" look)
	look "$both"
}
part cgroup "0::/system.slice/some.service"
look_at_parts
says error "UDP 67 (DHCP)" "systemctl status $spawned  # why does some.service start strangers.py?"
part status "PPid:	1"
look_at_parts
says error "UDP 67 (DHCP)" "systemctl disable --now some.service"
part comm systemd-network
look_at_parts
says error "UDP 67 (DHCP)" "set DHCPServer=no in the .network file; networkctl reload"
part comm systemd
look_at_parts
says error "UDP 67 (DHCP)" \
	"systemctl list-sockets  # then systemctl disable --now the unit that has port 67"
part comm rpcbind
look_at_parts
says error "TCP 111 (the port mapper): taken by rpcbind (process $spawned) at 10.79.0.1" \
	"take -h out of OPTIONS in /etc/default/rpcbind; systemctl restart rpcbind"
look "$one"
says ok "TCP and UDP 111 (the port mapper): free"
stop "$spawned"

# One that would share NFS's port is not let to.
under=()
have "$one" udp:2049:10.77.0.1+reuseport
printf '[server]\nmode = full\n' >"$work/rootstock.conf"
! net_run timeout 60 "$rootstock" serve --interface br0 --config "$work/rootstock.conf" \
	>"$work/out" 2>"$work/err" || fail "it serves"
grep -q "port 2049: in use" "$work/err" || fail "serve: $(cat "$work/err")"

# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A bare Debian 12, booted by its own systemd in a container: its network is the private
# one, its disk is forgotten at the end.
#
#	debian_up SYSTEM FOLDER:THERE...	boots tests/lib/image.sh's "server"; it sees
#						the folders, and $work, for reading
#	debian_run COMMAND ARGS...		in there
#	debian_apt ARGS...			apt-get, which has no network: packages come
#						from a folder or from the cache of the image
#
# $rootstock is then the program in there: other parts of the library call it.
#
# Reads tests/lib/test.sh and tests/lib/net.sh first.

debian_up() {
	local system=$1 folder
	local -a folders=()
	shift
	for folder; do
		folders+=("--bind-ro=$folder")
	done
	# --read-only: the one below what is forgotten, so that two may run from one system.
	spawn debian systemd-nspawn --quiet --directory="$system" --boot --read-only \
		--volatile=overlay --register=no --keep-unit --console=passive \
		--network-namespace-path="/run/netns/$net_ns" \
		--capability=CAP_NET_ADMIN,CAP_NET_RAW --hostname=server \
		--bind-ro="$work" "${folders[@]}"
	debian=$spawned
	wait_for 60 "the container's systemd" debian_booted
	rootstock=$work/rootstock
	{
		echo '#!/bin/bash'
		declare -f debian_run
		echo "debian_init=$debian_init"
		echo 'debian_run rootstock "$@"'
	} >"$rootstock"
	chmod 755 "$rootstock"
}

debian_booted() {
	alive "$debian" || {
		cat "$work/debian.log" >&2
		fail "the container ended"
	}
	debian_init=$(pgrep -P "$debian" | head -n 1) && [[ -n $debian_init ]] || return
	[[ $(debian_run systemctl is-system-running 2>/dev/null) =~ running|degraded ]]
}

debian_run() {
	nsenter --target "$debian_init" --all --root --wd env -i \
		PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@"
}

debian_apt() {
	debian_run apt-get -qq -y -o Dpkg::Use-Pty=0 "$@" >>"$work/apt.log" 2>&1 || {
		tail -n 30 "$work/apt.log" >&2
		fail "apt-get $*"
	}
}

# debian_service PROPERTY: of the unit of ours.
debian_service() {
	debian_run systemctl show -P "$1" rootstock
}

# debian_start: it is ready when systemctl returns, and not before.
debian_start() {
	local socket
	debian_run systemctl start rootstock || {
		debian_words
		fail "the service does not start"
	}
	for socket in 'udp 67' 'udp 69' 'tcp 111' 'tcp 2049'; do
		# shellcheck disable=SC2086
		net_listening $socket || fail "started, but nobody listens on $socket"
	done
	equal "the service" active "$(debian_service ActiveState)"
	equal "its status" "serving on br0" "$(debian_service StatusText)"
}

# debian_child NAME: the process in there; it has neither ps nor pgrep.
debian_child() {
	# shellcheck disable=SC2016
	debian_run sh -c 'for p in /proc/[0-9]*; do
		if tr "\0" " " <$p/cmdline 2>/dev/null | grep -q "child $0 "; then
			exec echo ${p#/proc/}
		fi
	done' "$1"
}

# debian_journal FIELD=VALUE...: entries of the unit, as JSON.
debian_journal() {
	debian_run journalctl --no-pager -o json -u rootstock "$@"
}

# What the service said, for whoever reads of a failure.
debian_words() {
	debian_run journalctl --no-pager -u rootstock 2>/dev/null | tail -n 40 >&2
}

# debian_story MAC NAME: what the journal has of a machine that booted, by its fields, once
# it was written.
debian_story() {
	local part
	for part in dhcp tftp; do
		debian_tells "\"ROOTSTOCK_SERVICE\":\"$part\"" "ROOTSTOCK_MAC=$1"
	done
	debian_tells "\"ROOTSTOCK_HOST\":\"$2\"" "ROOTSTOCK_MAC=$1"
	debian_tells '"MESSAGE":"[0-9.]*: mounted /[a-z]*"' ROOTSTOCK_SERVICE=nfs
}

# debian_tells WORDS FIELD=VALUE: of an entry, as JSON.
debian_tells() {
	wait_for 10 "the journal to tell: $1, of $2" debian_has "$@"
}

debian_has() {
	debian_journal "$2" >"$work/story" && grep -q -- "$1" "$work/story"
}

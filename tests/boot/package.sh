#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=all limit=3600
# A bare Debian 12, booted by its own systemd in a container: the package is installed, an
# image is added, the service started, and a machine without a disk boots from it.  Then
# the package is upgraded while it serves, and purged, and what stays is what its
# README.Debian says.
set -euo pipefail
# shellcheck source=tests/lib/boot.sh
. "$(dirname "$0")/../lib/boot.sh"

need_root
command -v systemd-nspawn >/dev/null || skip "systemd-nspawn is not installed"
package=$("$boot_lib/package.sh")
system=$("$boot_lib/image.sh" server)
image=$("$boot_lib/image.sh")
deb=$(basename "$package"/rootstock_*.deb)
next=$(basename "$package"/next/rootstock_*.deb)
net_up

# ---- the server ----

spawn nspawn systemd-nspawn --quiet --directory="$system" --boot --volatile=overlay \
	--register=no --keep-unit --console=passive --network-namespace-path="/run/netns/$net_ns" \
	--capability=CAP_NET_ADMIN,CAP_NET_RAW --hostname=server \
	--bind-ro="$package:/srv/package" --bind-ro="$image:/srv/debian" --bind-ro="$work"
nspawn=$spawned

# in_server COMMAND ARGS...
in_server() {
	nsenter --target "$init" --all --root --wd env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin \
		DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@"
}

server_up() {
	alive "$nspawn" || {
		cat "$work/nspawn.log" >&2
		fail "the container ended"
	}
	init=$(pgrep -P "$nspawn" | head -n 1) && [[ -n $init ]] || return
	[[ $(in_server systemctl is-system-running 2>/dev/null) =~ running|degraded ]]
}
wait_for 60 "the server's systemd" server_up

service() {
	in_server systemctl show -P "$1" rootstock
}

# child NAME: the process in there; it has neither ps nor pgrep.
child() {
	# shellcheck disable=SC2016
	in_server sh -c 'for p in /proc/[0-9]*; do
		tr "\0" " " <$p/cmdline 2>/dev/null | grep -q "child $0 " && echo ${p#/proc/}
	done' "$1" | head -n 1
}

# There is no network in there: all that is needed is in the cache of its apt.
apt() {
	in_server apt-get -qq -y -o Dpkg::Use-Pty=0 "$@" >>"$work/apt.log" 2>&1 || {
		tail -n 30 "$work/apt.log" >&2
		fail "apt-get $*"
	}
}

# Told at the end, should it come to that.
server_words() {
	in_server journalctl --no-pager -u rootstock 2>/dev/null | tail -n 40 >&2
}

apt install --no-install-recommends "/srv/package/$deb" pxelinux syslinux-common
equal "after the installation" inactive "$(service ActiveState)"
equal "at the next start" disabled "$(in_server systemctl is-enabled rootstock || true)"
for user in copier dhcp tftp nfs metrics; do
	in_server id "rootstock-$user" | grep -q 'groups=.*(rootstock)' || fail "no rootstock-$user"
done
echo "installed"

# The library's tools talk to the one in there.
rootstock=$work/rootstock
declare -p init >"$work/server"
{
	echo '#!/bin/bash'
	declare -f in_server
	echo "init=$init"
	echo 'in_server rootstock "$@"'
} >"$rootstock"
chmod 755 "$rootstock"

"$rootstock" image add debian /srv/debian
in_server sed -i 's/^#interface = .*/interface = br0/' /etc/rootstock.conf
boot_host north mode=tmpfs
boot_before=$(image_digest "$image")

# ---- a boot ----

in_server systemctl start rootstock || {
	server_words
	fail "the service does not start"
}
# Ready means ready.
for socket in 'udp 67' 'udp 69' 'tcp 111' 'tcp 2049'; do
	# shellcheck disable=SC2086
	net_listening $socket || fail "started, but nobody listens on $socket"
done
equal "the service" active "$(service ActiveState)"
equal "its status" "serving on br0" "$(service StatusText)"
echo "started: $(service StatusText)"

qemu_start north "$boot_mac"
boot_check
equal "init" systemd "$(selfcheck_value north init)"
echo "booted"

# One machine's story, by a field; each service under its own user and name.
in_server journalctl --no-pager -o json -u rootstock "ROOTSTOCK_MAC=$boot_mac" >"$work/story"
for part in dhcp tftp; do
	grep -q "\"ROOTSTOCK_SERVICE\":\"$part\"" "$work/story" || {
		cat "$work/story" >&2
		server_words
		fail "no entry of $part about $boot_mac"
	}
done
grep -q '"ROOTSTOCK_HOST":"north"' "$work/story" || fail "no entry names the host"
in_server journalctl --no-pager -o json -u rootstock ROOTSTOCK_SERVICE=nfs |
	grep -q '"MESSAGE":"[0-9.]*: mounted /"' || fail "no entry of nfs about the mount"
for part in copier dhcp tftp nfs; do
	equal "the user of $part" "rootstock-$part" "$(in_server stat -c %U "/proc/$(child "$part")")"
done

# ---- a child that dies, an upgrade ----

pid=$(service MainPID)
in_server sh -c "kill -9 $(child nfs)"
wait_for 30 "nfs to serve again" net_listening tcp 2049
equal "the service" active "$(service ActiveState)"

apt install --no-install-recommends "/srv/package/next/$next"
[[ $(service MainPID) != "$pid" ]] || fail "an upgrade left the old server running"
equal "the upgraded service" active "$(service ActiveState)"
in_server grep -q '^interface = br0' /etc/rootstock.conf || fail "the upgrade took the configuration"
"$rootstock" host show north >/dev/null
echo "upgraded"

# ---- the end ----

apt purge rootstock
equal "processes" "" "$(in_server sh -c 'cat /proc/[0-9]*/comm' 2>/dev/null | grep -x rootstock || true)"
left() {
	in_server find / -xdev \( -path /proc -o -path /sys -o -path /srv -o -path /tmp -o \
		-path /run -o -path /var/cache/apt -o -path /var/log -o -path "$work" \) -prune \
		-o -path '*rootstock*' -print | sort
}
left | grep -v '^/var/lib/rootstock' >"$work/left" || true
[[ ! -s $work/left ]] || fail "left by purge: $(paste -sd' ' "$work/left")"
in_server test -e /var/lib/rootstock/rootstock.db || fail "purge took the state"
grep -q '/var/lib/rootstock has images or machines in it and is kept' "$work/apt.log" ||
	fail "purge did not say what it keeps"

# Nothing in it: nothing stays.
in_server rm -r /var/lib/rootstock
apt install --no-install-recommends "/srv/package/$deb"
"$rootstock" group add nobody
apt purge rootstock
equal "left" "" "$(left)"
echo "purged"

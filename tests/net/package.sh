#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=default limit=900
# The package on a bare Debian 12 with systemd: installed, configured, started, asked by a
# machine's programs; what its unit closes leaves room for what each child closes for itself;
# it is upgraded while it serves, and purged, and what stays is what its README.Debian says.
set -euo pipefail
lib=$(dirname "$0")/../lib
for part in test net debian; do
	# shellcheck source=/dev/null
	. "$lib/$part.sh"
done
need_root
need lintian systemd-nspawn udhcpc tftp nfs-cat
package=$("$lib/package.sh")
system=$("$lib/image.sh" server)
deb=$(basename "$package"/rootstock_*.deb)
next=$(basename "$package"/next/rootstock_*.deb)
spawn lintian lintian --allow-root --fail-on error,warning --tag-display-limit 0 \
	"$package"/rootstock_*.changes
lintian=$spawned

image=$work/image
mkdir -p "$image"/{boot,sbin,usr/share/initramfs-tools}
head -c 300000 /dev/urandom >"$image/boot/vmlinuz-6.1.0-1-amd64"
head -c 900000 /dev/urandom >"$image/boot/initrd.img-6.1.0-1-amd64"
touch "$image/usr/share/initramfs-tools/init"
head -c 100000 /dev/urandom >"$image/sbin/init"
net_up
debian_up "$system" "$package:/srv/package" "$image:/srv/lab"

# What the package leaves, and what nobody asks about.
left() {
	debian_run find / -xdev \( -path /proc -o -path /sys -o -path /srv -o -path /tmp -o \
		-path /run -o -path /var/cache/apt -o -path /var/log -o -path "$work" \) -prune \
		-o -path '*rootstock*' -print | sort
}
equal "before the installation" "" "$(left)"
debian_apt install --no-install-recommends "/srv/package/$deb" pxelinux syslinux-common
equal "after the installation" inactive "$(debian_service ActiveState)"
equal "at the next start" disabled "$(debian_run systemctl is-enabled rootstock || true)"
for user in copier dhcp tftp nfs metrics; do
	debian_run id "rootstock-$user" | grep -q 'groups=.*(rootstock)' || fail "no rootstock-$user"
done
echo "installed"

mac=52:54:00:12:34:01
"$rootstock" image add lab /srv/lab
"$rootstock" host add $mac --name north
debian_run sed -i 's|^#interface = .*|interface = br0\nmetrics = /run/rootstock/metrics|' \
	/etc/rootstock.conf
debian_start
echo "started: $(debian_service StatusText)"

# ---- a machine ----

net_peer pc $mac
net_lease pc
net_peer_run pc tftp -m binary 10.77.0.1 -c get kernel "$work/kernel"
cmp "$work/kernel" "$image/boot/vmlinuz-6.1.0-1-amd64"
reads_init() {
	net_peer_run pc nfs-cat nfs://10.77.0.1/sbin/init >"$work/init" 2>/dev/null
}
wait_for 20 "its root" reads_init
cmp "$work/init" "$image/sbin/init"
debian_story $mac north
echo "a machine was served"

# ---- what its children may, below the unit ----

supervisor=$(debian_service MainPID)
for part in copier dhcp tftp nfs metrics; do
	pid=$(debian_child $part)
	[[ -n $pid ]] || fail "no $part"
	equal "the user of $part" "rootstock-$part" "$(debian_run stat -c %U "/proc/$pid")"
	debian_run cat "/proc/$pid/status" >"$work/status"
	capabilities=0000000000000000
	[[ $part != copier ]] || capabilities=0000000000000004 # DAC_READ_SEARCH
	for line in "Seccomp 2" "NoNewPrivs 1" "CapPrm $capabilities" "CapBnd 0000000000000000"; do
		equal "$part: ${line% *}" "${line#* }" \
			"$(awk -v name="${line% *}:" '$1 == name { print $2 }' "$work/status")"
	done
	for space in mnt net; do
		[[ $part != tftp || $space != net ]] || continue # it opens a socket a transfer
		[[ $(debian_run readlink "/proc/$pid/ns/$space") != \
			$(debian_run readlink "/proc/$supervisor/ns/$space") ]] ||
			fail "$part: shares ns $space with the supervisor"
	done
	equal "$part: what its root has of /etc, /home, /root, /sys" "" \
		"$(debian_run sh -c "cd /proc/$pid/root && ls -d etc home root sys 2>/dev/null" || true)"
done
debian_run journalctl --no-pager -o cat -u rootstock >"$work/words"
! grep -E 'the whole file system can be seen|system call [0-9]' "$work/words" ||
	fail "the unit keeps a child from its sandbox (above)"
echo "its children are closed in"

# ---- a child that dies, an upgrade ----

debian_run sh -c "kill -9 $(debian_child nfs)"
wait_for 30 "nfs to serve again" net_listening tcp 2049
wait_for 30 "its root again" reads_init
equal "the service" active "$(debian_service ActiveState)"
debian_apt install --no-install-recommends "/srv/package/next/$next"
[[ $(debian_service MainPID) != "$supervisor" ]] || fail "an upgrade left the old server running"
equal "the upgraded service" active "$(debian_service ActiveState)"
debian_run grep -q '^interface = br0' /etc/rootstock.conf || fail "the upgrade took the configuration"
"$rootstock" host show north >/dev/null
wait_for 30 "its root from the upgraded one" reads_init
echo "upgraded"

# ---- the end ----

debian_apt purge rootstock
equal "processes" "" "$(debian_run sh -c 'cat /proc/[0-9]*/comm' 2>/dev/null | grep -x rootstock || true)"
left | grep -v '^/var/lib/rootstock' >"$work/left" || true
[[ ! -s $work/left ]] || fail "left by purge: $(paste -sd' ' "$work/left")"
debian_run test -e /var/lib/rootstock/rootstock.db || fail "purge took the state"
grep -q '/var/lib/rootstock has images or machines in it and is kept' "$work/apt.log" ||
	fail "purge did not say what it keeps"

# Nothing in it: nothing stays.
debian_run rm -r /var/lib/rootstock
debian_apt install --no-install-recommends "/srv/package/$deb"
"$rootstock" group add nobody
debian_apt purge rootstock
equal "left" "" "$(left)"
echo "purged"

status=0
wait "$lintian" || status=$?
((status == 0)) || fail "lintian (exit $status): $(cat "$work/lintian.log")"

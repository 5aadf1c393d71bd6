# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A check that runs inside the guest, put there by its overlay: it says on the
# console what the guest sees of itself.
#
# Reads tests/lib/server.sh and tests/lib/qemu.sh first.

# selfcheck_probe IMAGE: a file of one to two MiB, the same one each time.
selfcheck_probe() {
	find "$1/usr/lib" -type f -size +1024k -size -2048k -printf '/usr/lib/%P\n' |
		LC_ALL=C sort | sed -n 1p
}

# selfcheck_put HOST PROBE: started last by whichever init the image has.
selfcheck_put() {
	overlay_text "host:$1" /usr/local/sbin/selfcheck --mode 0755 <<END
#!/bin/sh
# The kernel writes in the midst of our line: from here on only what it is in need to say.
echo 1 >/proc/sys/kernel/printk
# From the daemon, not from the file: what a stranger would be shown.
key=\$(ssh-keyscan -T 240 -t ed25519 127.0.0.1 2>/dev/null | ssh-keygen -lf - | cut -d' ' -f2)
if write=\$(LC_ALL=C touch /usr/written 2>&1); then
	write=done
else
	write=\$(echo "\$write" | sed 's/.*Read-only file system/EROFS/; s/ /_/g')
fi
sum=\$(sha256sum $2 | cut -c1-64)
failed=
if [ -d /run/systemd/system ]; then
	# Which, and whether they failed or were not waited for long enough.
	for unit in \$(systemctl --failed --plain --no-legend | cut -d' ' -f1); do
		failed=\$failed\${failed:+,}\$unit:\$(systemctl show -P Result "\$unit")
	done
elif [ -d /run/openrc ]; then
	failed=\$(rc-status --crashed | paste -sd,)
fi
printf '\\nSELFCHECK name=%s machine_id=%s key=%s write=%s sum=%s init=%s failed=%s END\\n' \\
	"\$(hostname)" "\$(cat /etc/machine-id)" "\$key" "\$write" "\$sum" \\
	"\$(cat /proc/1/comm)" "\$failed" >/dev/console
END
	if "$rootstock" view stat "$1" /etc/inittab >/dev/null 2>&1; then
		# init has started all of the runlevel by then: the lines come in order.
		{
			"$rootstock" view cat "$1" /etc/inittab
			echo 'sc:2:wait:/usr/local/sbin/selfcheck'
			echo 'T0:23:respawn:/sbin/getty -L ttyS0 115200 vt100'
		} | overlay_text "host:$1" /etc/inittab
		return
	fi
	# On a busy machine the serial console may take longer to appear than systemd waits,
	# and then nobody can log in.
	overlay_text "host:$1" /etc/systemd/system.conf.d/slow.conf <<'END'
[Manager]
DefaultTimeoutStartSec=900
DefaultDeviceTimeoutSec=900
END
	# Some have a limit of their own: of its 90 s, systemd-sysctl took 85 on a fifth of a
	# processor.
	overlay_text "host:$1" /etc/systemd/system/service.d/slow.conf <<'END'
[Service]
TimeoutStartSec=900
END
	overlay_text "host:$1" /etc/systemd/system/selfcheck.service <<'END'
[Unit]
Description=Self-check
After=ssh.service systemd-logind.service

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/selfcheck
END
	"$rootstock" overlay mkdir "host:$1" /etc/systemd/system/multi-user.target.wants
	"$rootstock" overlay link "host:$1" \
		/etc/systemd/system/multi-user.target.wants/selfcheck.service \
		/etc/systemd/system/selfcheck.service
}

# selfcheck_value NAME KEY: what the guest said.
selfcheck_value() {
	sed -n "s/.*SELFCHECK.* $2=\([^ ]*\) .*/\1/p" < <(qemu_console "$1")
}

# selfcheck_compare HOST IMAGE PROBE WRITE: each value with what the server's side
# says of this host.
selfcheck_compare() {
	local host=$1 sum
	sum=$(sha256sum <"$2$3" | cut -c1-64)
	equal "the host name" "$("$rootstock" view cat "$host" /etc/hostname)" \
		"$(selfcheck_value "$host" name)"
	equal "the host name" "$host" "$(selfcheck_value "$host" name)"
	equal "the machine-id" "$("$rootstock" view cat "$host" /etc/machine-id)" \
		"$(selfcheck_value "$host" machine_id)"
	equal "the host key" "$(fingerprint "$host")" "$(selfcheck_value "$host" key)"
	equal "writing outside tmpfs" "$4" "$(selfcheck_value "$host" write)"
	equal "$3 in the guest" "$sum" "$(selfcheck_value "$host" sum)"
	equal "$3 in the view" "$sum" \
		"$("$rootstock" view cat "$host" "$3" | sha256sum | cut -c1-64)"
	equal "services that failed" "" "$(selfcheck_value "$host" failed)"
}

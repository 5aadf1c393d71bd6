# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A check that runs inside the guest, put there by its overlay: it says on the
# console what the guest sees of itself, and switches it off.
#
# Reads tests/lib/server.sh and tests/lib/qemu.sh first.

# selfcheck_probe IMAGE: a file of one to two MiB, the same one each time.
selfcheck_probe() {
	find "$1/usr/lib" -type f -size +1024k -size -2048k -printf '/usr/lib/%P\n' |
		LC_ALL=C sort | sed -n 1p
}

# selfcheck_put HOST PROBE
selfcheck_put() {
	overlay_text "host:$1" /usr/local/sbin/selfcheck --mode 0755 <<END
#!/bin/sh
# From the daemon, not from the file: what a stranger would be shown.
key=\$(ssh-keyscan -t ed25519 127.0.0.1 2>/dev/null | ssh-keygen -lf - | cut -d' ' -f2)
if write=\$(LC_ALL=C touch /usr/written 2>&1); then
	write=done
else
	write=\$(echo "\$write" | sed 's/.*Read-only file system/EROFS/; s/ /_/g')
fi
sum=\$(sha256sum $2 | cut -c1-64)
failed=\$(systemctl --failed --plain --no-legend | cut -d' ' -f1 | paste -sd,)
printf '\\nSELFCHECK name=%s machine_id=%s key=%s write=%s sum=%s failed=%s END\\n' \\
	"\$(hostname)" "\$(cat /etc/machine-id)" "\$key" "\$write" "\$sum" "\$failed" \\
	>/dev/console
systemctl --no-block poweroff
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
	equal "units that failed" "" "$(selfcheck_value "$host" failed)"
}

# selfcheck_boot HOST MAC IMAGE WRITE: boots the host, which is registered, and
# compares; nothing may have changed in the image.
selfcheck_boot() {
	local host=$1 mac=$2 image=$3 write=$4 probe before
	probe=$(selfcheck_probe "$image")
	selfcheck_put "$host" "$probe"
	before=$(image_digest "$image")
	server_start
	qemu_start "$host" "$mac"
	qemu_wait "$host" 600 'SELFCHECK .* END'
	qemu_wait_off "$host" 240
	qemu_console "$host" | grep -a SELFCHECK
	selfcheck_compare "$host" "$image" "$probe" "$write"
	equal "the image" "$before" "$(image_digest "$image")"
}

# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A boot as a test, whole: an image, a server, one machine without a disk.  The
# machine starts by its firmware, the guest says what it sees of itself, somebody
# logs in at its console and turns it off; nothing may have changed in the image.
#
#	boot_image KIND			$image: one of tests/lib/image.sh's
#	boot_host NAME KEY=VALUE...	the machine: a registered host with settings
#	boot_machine [OPTIONS...]	serve, and switch it on
#	boot_check			as above
#	boot_hook			all of these, by the hook behind the image's initrd
#
# Reads all other parts that it needs.

boot_lib=$(dirname "${BASH_SOURCE[0]}")
for boot_part in test net qemu server image selfcheck; do
	# shellcheck source=/dev/null
	. "$boot_lib/$boot_part.sh"
done

boot_limit=${BOOT_LIMIT:-900} # seconds to the guest's own words
boot_writes=EROFS	       # what becomes of a write outside memory: or "done"
boot_ends=poweroff	       # the command that is typed at last: or reboot
boot_mac=52:54:00:12:34:01

# boot_image KIND: the network and the state too.
boot_image() {
	need_root
	image=$("$boot_lib/image.sh" "$1")
	net_up
	server_state
	"$rootstock" image add debian "$image" >"$work/image-add.log"
}

# boot_host NAME KEY=VALUE...
boot_host() {
	boot_name=$1
	shift
	"$rootstock" host add "$boot_mac" --name "$boot_name"
	"$rootstock" host set "$boot_name" console=ttyS0,115200 "$@"
	boot_probe=$(selfcheck_probe "$image")
	selfcheck_put "$boot_name" "$boot_probe"
}

# boot_machine [OPTIONS...]: to the server.
# shellcheck disable=SC2120 # the scripts pass them
boot_machine() {
	boot_before=$(image_digest "$image")
	server_start "$@"
	qemu_start "$boot_name" "$boot_mac"
}

# boot_shows REGEX: a line of the console matches, or the test fails.
boot_shows() {
	qemu_shows "$boot_name" "$1" || {
		qemu_console "$boot_name" | tail -n 40 >&2
		fail "$boot_name: no '$1' on the console (last lines above)"
	}
}

# boot_fetched FILE: the server's log says that it was sent by TFTP.
boot_fetched() {
	grep -q "file=/*$1 " "$work/serve.log" || {
		grep 'file=' "$work/serve.log" >&2
		fail "$boot_name did not fetch $1 (what it did is above)"
	}
}

boot_check() {
	qemu_wait "$boot_name" "$boot_limit" 'SELFCHECK .* END'
	qemu_console "$boot_name" | grep -a SELFCHECK
	qemu_wait "$boot_name" 300 "^$boot_name login:"
	qemu_send "$boot_name" $'root\n'
	qemu_wait "$boot_name" 300 "root@$boot_name:.*#"
	qemu_send "$boot_name" "$boot_ends"$'\n'
	qemu_wait_off "$boot_name" 300
	selfcheck_compare "$boot_name" "$image" "$boot_probe" "$boot_writes"
	equal "the image" "$boot_before" "$(image_digest "$image")"
}

# boot_hook: a whole boot in overlay mode where /linuxrc is hidden, so that the hook that
# goes along with the image's initrd makes the root writable.
boot_hook() {
	boot_host hook mode=overlay
	"$rootstock" overlay hide host:hook /linuxrc
	grep -q 'hook that makes the root writable' < <("$rootstock" boot plan hook) ||
		fail "no hook planned"
	boot_writes="done"
	boot_machine
	boot_check
	boot_shows 'rootstock: the root is writable, in memory'
	! "$rootstock" view cat hook /usr/written 2>/dev/null ||
		fail "the guest's file is in its view"
}

# boot_kernel: $kernel, a small one with ROOT_NFS.  Building it takes many minutes:
# tests/check does that aside, and here it is built only when asked for.
boot_kernel() {
	if [[ ${ROOTSTOCK_KERNEL_BUILD-} == 1 ]]; then
		kernel=$("$boot_lib/kernel.sh")
	else
		kernel=$("$boot_lib/kernel.sh" --cached) ||
			skip "no kernel with ROOT_NFS in the cache (tests/lib/kernel.sh builds one)"
	fi
}

# boot_own_kernel: the host boots that one, without an initrd.
boot_own_kernel() {
	"$rootstock" overlay put "host:$boot_name" /boot/vmlinuz-nfsroot --from "$kernel"
	"$rootstock" host set "$boot_name" kernel=/boot/vmlinuz-nfsroot initrd=none \
		dialect=kernel
}

# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A machine that is to boot, whole or with one thing broken: a small image with all that a
# boot by NFS asks for; what `doctor` says of it; a machine that tries, by clients that
# others wrote; and what `boot show` says of that.

# shellcheck source=tests/lib/server.sh
. "${BASH_SOURCE[0]%/*}/server.sh"

doctor_mac=52:54:00:aa:00:01

# doctor_initrd FILE NAMES...: an initrd that has (empty) files of these names in it.
doctor_initrd() {
	local file=$1 tree=$work/initrd-tree name
	shift
	rm -rf "$tree"
	for name; do
		mkdir -p "$tree/$(dirname "$name")"
		: >"$tree/$name"
	done
	(cd "$tree" && find . | cpio --quiet -o -H newc | gzip) >"$file"
}

# doctor_image DIR: a system by initramfs-tools, of kernel 6.1.0-1-amd64.
doctor_image() {
	local image=$1 version=6.1.0-1-amd64 modules=usr/lib/modules/6.1.0-1-amd64/kernel
	mkdir -p "$image"/{boot,dev,etc,proc,sys,tmp,run,usr/{bin,sbin,lib/systemd}} \
		"$image/usr/share/initramfs-tools"
	ln -s usr/bin "$image/bin"
	ln -s usr/sbin "$image/sbin"
	ln -s usr/lib "$image/lib"
	: >"$image/usr/share/initramfs-tools/init"
	head -c 300000 /dev/urandom >"$image/boot/vmlinuz-$version"
	printf HdrS | dd of="$image/boot/vmlinuz-$version" bs=1 seek=514 conv=notrunc status=none
	printf 'CONFIG_X=y\nCONFIG_NFS_FS=m\nCONFIG_NFS_V3=m\n' >"$image/boot/config-$version"
	doctor_initrd "$image/boot/initrd.img-$version" bin/ipconfig bin/nfsmount \
		"$modules/fs/nfs/nfs.ko" "$modules/fs/nfs/nfsv3.ko" \
		"$modules/drivers/net/ethernet/intel/e1000/e1000.ko"
	printf '#!/bin/sh\n' >"$image/usr/lib/systemd/systemd"
	ln -s /lib/systemd/systemd "$image/usr/sbin/init"
	cp /bin/busybox "$image/usr/bin/sh"
	chmod 755 "$image/usr/lib/systemd/systemd"
}

# doctor_up: an image "lab", a host "north" that boots it, and nothing broken yet; the
# server is started by doctor_serve.
doctor_up() {
	need_root
	command -v cpio >/dev/null || skip "cpio is not installed"
	[[ -x /bin/busybox ]] || skip "busybox is not installed"
	net_up
	server_state
	doctor_image "$work/image"
	net_peer north "$doctor_mac"
}

# doctor_serve OPTIONS...: serve, until all of its processes answer.
doctor_serve() {
	server_start "$@"
	wait_for 30 "the server to answer" doctor_all_answer
}

doctor_all_answer() {
	# The server and its four.
	[[ $("$rootstock" status --json | grep -c '"answers":.*true') == 5 ]]
}

doctor_add() {
	"$rootstock" image add lab "$work/image" "$@" >/dev/null
	"$rootstock" host add "$doctor_mac" --name north >/dev/null
}

# doctor HOST ARGS...: its findings into $work/doctor, each with its remedy; its exit status
# into $doctor_status.
doctor() {
	doctor_status=0
	net_run "$rootstock" doctor "$@" >"$work/doctor" 2>"$work/doctor.err" || doctor_status=$?
	awk '/^ / { found = ""; next }
		found { exit }
		/^(warn|error) / { found = $0 }
		END { print found; exit found != "" }' "$work/doctor" >"$work/doctor.bare" ||
		fail "a finding without a remedy: $(cat "$work/doctor.bare")"
}

# doctor_names WORDS: the last doctor found an error that says so.
doctor_names() {
	[[ $doctor_status == 1 ]] || fail "doctor exits with $doctor_status: $(cat "$work/doctor"*)"
	grep -q "^error .*$1" "$work/doctor" || fail "no error '$1' in: $(cat "$work/doctor"*)"
}

# doctor_only WORDS: and no other error.
doctor_only() {
	doctor_names "$1"
	[[ $(grep -c '^error' "$work/doctor") == 1 ]] || fail "more errors: $(grep '^error' "$work/doctor")"
}

# machine COMMAND...: as the host north.
machine() {
	net_peer_run north "$@"
}

# machine_dhcp OPTIONS...: an address by udhcpc; fails where there is none.
machine_dhcp() {
	cat >"$work/udhcpc" <<-'END'
		#!/bin/sh
		[ "$1" != bound ] || ip address replace "$ip/24" dev "$interface"
	END
	chmod 755 "$work/udhcpc"
	machine busybox udhcpc -f -q -n -i eth0 -t 20 -T 3 -s "$work/udhcpc" "$@" \
		>>"$work/machine.log" 2>&1
}

machine_rom() {
	machine_dhcp -V PXEClient:Arch:00000:UNDI:002001 -x 0x5d:0000
}

# machine_files NAME...: by TFTP, one after another; the last one may be refused.
machine_files() {
	local name
	for name; do
		rm -f "$work/got"
		(cd "$work" && machine tftp -m binary 10.77.0.1 -c get "$name" got) \
			>>"$work/machine.log" 2>&1 || true
	done
}

# machine_loads: all that comes by TFTP.
machine_loads() {
	machine_rom || fail "no address: $(cat "$work/machine.log")"
	machine_files pxelinux.0 pxelinux.cfg/01-52-54-00-aa-00-01 kernel initrd
	[[ -s $work/got ]] || fail "no initrd: $(cat "$work/machine.log")"
}

machine_initrd() {
	machine_dhcp -V "Linux ipconfig" || fail "no address: $(cat "$work/machine.log")"
}

# The machine was told of WORDS, and then nothing came for a while: what was told is made
# older, so that nobody waits for it.
machine_is_silent() {
	wait_for 20 "an event: $1" was_told "$1"
	sqlite3 -cmd '.timeout 20000' "$ROOTSTOCK_STATE/trace.db" \
		"UPDATE event SET at = at - 600000000000"
	sqlite3 -cmd '.timeout 20000' "$ROOTSTOCK_STATE/leases.db" \
		"UPDATE boot SET opened = opened - 600000000000"
}

was_told() {
	grep -q "$1" < <("$rootstock" boot show north 2>/dev/null)
}

# shown STAGE REASON: what `boot show` says of the machine's last boot.
shown() {
	wait_for 20 "boot show to say so: $2" is_shown "$1" "$2" || {
		"$rootstock" boot show north
		false
	}
}

is_shown() {
	"$rootstock" boot show north >"$work/show" 2>&1 &&
		grep -q "^stopped at: $1" "$work/show" && grep -q "^reason: .*$2" "$work/show"
}

# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A PC without a disk, with a serial console.  Its firmware is SeaBIOS and the network
# card's iPXE ROM, or OVMF with its own drivers, or that with Secure Boot switched on
# and Microsoft's keys enrolled.
#
# Reads tests/lib/test.sh and tests/lib/net.sh first.  Always plain emulation:
# /dev/kvm may exist and not work.

qemu_ram=1024
qemu_card=virtio-net-pci
qemu_firmware=bios # or uefi, secure
declare -A qemu_pid

# qemu_firmware_options NAME: in $firmware_options; the firmware keeps its settings in
# $work/NAME.vars.
qemu_firmware_options() {
	local at=/usr/share/OVMF code=OVMF_CODE_4M.fd vars=OVMF_VARS_4M.fd
	local machine=q35,accel=tcg,graphics=off
	firmware_options=(-machine "$machine")
	[[ $qemu_firmware != bios ]] || return 0
	if [[ $qemu_firmware == secure ]]; then
		code=OVMF_CODE_4M.secboot.fd
		vars=OVMF_VARS_4M.ms.fd
		# It keeps its variables out of the system's reach by this mode.
		firmware_options=(-machine "$machine,smm=on"
			-global "driver=cfi.pflash01,property=secure,value=on")
	fi
	[[ -e $at/$code && -e $at/$vars ]] || skip "no $at/$code and $vars (package ovmf)"
	cp "$at/$vars" "$work/$1.vars"
	firmware_options+=(
		-drive "if=pflash,unit=0,format=raw,readonly=on,file=$at/$code"
		-drive "if=pflash,unit=1,format=raw,file=$work/$1.vars"
	)
}

# qemu_console_open NAME: its console goes to $work/NAME.console.
qemu_console_open() {
	net_tap "t-$1"
	: >"$work/$1.console"
	mkfifo "$work/$1.serial.in" "$work/$1.serial.out"
	spawn "$1.reader" dd status=none bs=4096 if="$work/$1.serial.out" of="$work/$1.console"
}

# qemu_start NAME MAC [OPTIONS...]
qemu_start() {
	local name=$1 mac=$2 card=$qemu_card firmware_options
	shift 2
	qemu_firmware_options "$name"
	# The card's ROM is iPXE for UEFI too, and would keep OVMF's own driver off.
	[[ $qemu_firmware == bios ]] || card+=,romfile=
	qemu_console_open "$name"
	# graphics=off: the ROMs too talk on the serial line.
	# RDRAND: the guest need not wait for entropy.  Not -cpu max: its 5-level
	# page tables make Linux print /proc/mounts as "xxx" under emulation.
	spawn "$name.qemu" nsenter --net="/run/netns/$net_ns" \
		qemu-system-x86_64 "${firmware_options[@]}" \
		-cpu qemu64,+rdrand -m "$qemu_ram" -nodefaults -no-user-config \
		-no-reboot -display none \
		-chardev "pipe,id=console,path=$work/$name.serial" -serial chardev:console \
		-netdev "tap,id=net,ifname=t-$name,script=no,downscript=no" \
		-device "$card,netdev=net,mac=$mac,bootindex=0" \
		"$@"
	qemu_pid[$name]=$spawned
}

# qemu_board NAME MAC FIRMWARE: a 64-bit ARM board instead.
qemu_board() {
	qemu_console_open "$1"
	spawn "$1.qemu" nsenter --net="/run/netns/$net_ns" \
		qemu-system-aarch64 -machine virt,accel=tcg -cpu cortex-a57 -m "$qemu_ram" \
		-nodefaults -no-user-config -no-reboot -display none -bios "$3" \
		-chardev "pipe,id=console,path=$work/$1.serial" -serial chardev:console \
		-netdev "tap,id=net,ifname=t-$1,script=no,downscript=no" \
		-device "virtio-net-pci,netdev=net,mac=$2,romfile="
	qemu_pid[$1]=$spawned
}

# The console without carriage returns and terminal control.
qemu_console() {
	sed -e 's/\r//g' -e 's/\x1b[][()#?]*[0-9;]*[a-zA-Z]//g' "$work/$1.console"
}

# qemu_shows NAME REGEX: a line of the console matches.  Not a pipe: grep -q ends
# early, and pipefail would take that for a failure.
qemu_shows() {
	grep -aqE "$2" < <(qemu_console "$1")
}

# qemu_wait NAME SECONDS REGEX: until a line of the console matches.
qemu_wait() {
	local name=$1 end=$((SECONDS + $2))
	until qemu_shows "$name" "$3"; do
		if gone "${qemu_pid[$name]}" || ((SECONDS >= end)); then
			# What was written between the look and the end counts.
			! qemu_shows "$name" "$3" || return 0
			cat "$work/$name.qemu.log" >&2
			qemu_console "$name" | tail -n 40 >&2
			fail "$name: no '$3' on the console (last lines above)"
		fi
		sleep 0.2
	done
}

# qemu_send NAME TEXT: types it.
qemu_send() {
	printf '%s' "$2" >"$work/$1.serial.in"
}

# qemu_wait_off NAME SECONDS: until the guest has switched itself off or, which ends
# it too, asked for another start.
qemu_wait_off() {
	local end=$((SECONDS + $2))
	while alive "${qemu_pid[$1]}"; do
		((SECONDS < end)) || {
			qemu_console "$1" | tail -n 40 >&2
			fail "$1: still on after $2 s (last lines above)"
		}
		sleep 0.2
	done
	qemu_shows "$1" 'reboot: (Power down|Restarting system)' || {
		qemu_console "$1" | tail -n 40 >&2
		fail "$1: went off without saying so (last lines above)"
	}
}

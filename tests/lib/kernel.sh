#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A small x86_64 kernel that mounts its root by NFS itself: ROOT_NFS and IP_PNP
# built in, no modules, no initrd, as the seed's clients have.  Debian's own
# kernel has neither, so this builds one from Debian's linux-source.
#
#	tests/lib/kernel.sh		builds it into the cache; prints its path
#	tests/lib/kernel.sh --cached	prints the path only if it is built, else fails
set -euo pipefail
lib=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=tests/lib/cache.sh
. "$lib/cache.sh"

kernel_series=6.1

# Everything not named here stays off (allnoconfig): that keeps the build short.
kernel_options() {
	xargs -n1 <<'END'
		64BIT EMBEDDED EXPERT MULTIUSER PRINTK BUG ELF_CORE BASE_FULL FUTEX
		EPOLL SIGNALFD TIMERFD EVENTFD SHMEM AIO ADVISE_SYSCALLS MEMBARRIER
		POSIX_TIMERS KALLSYMS FHANDLE SYSVIPC POSIX_MQUEUE FILE_LOCKING
		HIGH_RES_TIMERS NO_HZ_IDLE CGROUPS CGROUP_PIDS CGROUP_SCHED
		FAIR_GROUP_SCHED CGROUP_DEVICE CGROUP_FREEZER MEMCG NAMESPACES UTS_NS
		IPC_NS PID_NS NET_NS USER_NS SECCOMP SECCOMP_FILTER BINFMT_ELF
		BINFMT_SCRIPT COREDUMP BLK_DEV_INITRD RD_GZIP KERNEL_GZIP
		PROC_FS PROC_SYSCTL SYSCTL SYSFS TMPFS TMPFS_POSIX_ACL TMPFS_XATTR
		DEVTMPFS DEVTMPFS_MOUNT INOTIFY_USER AUTOFS_FS OVERLAY_FS MISC_FILESYSTEMS
		TTY UNIX98_PTYS SERIAL_8250 SERIAL_8250_CONSOLE RTC_CLASS RTC_DRV_CMOS
		BLOCK PCI PCI_MSI ACPI ACPI_BUTTON INPUT INPUT_EVDEV DMI DMIID HPET_TIMER
		X86_TSC X86_MSR RANDOM_TRUST_CPU HW_RANDOM HW_RANDOM_VIRTIO
		VIRTIO_MENU VIRTIO_PCI VIRTIO_PCI_LEGACY
		NET INET UNIX PACKET NETDEVICES NET_CORE ETHERNET NET_VENDOR_INTEL
		E1000 E1000E VIRTIO_NET NET_VENDOR_REALTEK 8139CP
		IP_PNP IP_PNP_DHCP IP_PNP_BOOTP NETWORK_FILESYSTEMS NFS_FS NFS_V3
		NFS_V3_ACL ROOT_NFS CRYPTO CRYPTO_HMAC CRYPTO_SHA256 CRYPTO_USER_API_HASH
END
}

kernel_build() {
	local out=$1 src=$1/src option
	mkdir "$src"
	tar -C "$src" --strip-components=1 -xf "/usr/src/linux-source-$kernel_series.tar.xz"
	kernel_options | sed 's/.*/CONFIG_&=y/' >"$out/wanted"
	make -s -C "$src" ARCH=x86_64 KCONFIG_ALLCONFIG="$out/wanted" allnoconfig
	for option in $(kernel_options); do
		grep -q "^CONFIG_$option=y" "$src/.config" ||
			echo "kernel: CONFIG_$option is not set" >&2
	done
	nice -n 10 make -s -C "$src" ARCH=x86_64 -j"$(nproc)" bzImage
	mv "$src/arch/x86/boot/bzImage" "$out/vmlinuz"
	mv "$src/.config" "$out/config"
	rm -rf "$src" "$out/wanted"
	chmod 755 "$out"
}

kernel_path() {
	local stamp
	stamp=$(declare -f kernel_options kernel_build | cache_stamp)
	echo "$cache/kernel-$stamp"
}

kernel_main() {
	local path
	if [[ ${1-} == --cached ]]; then
		path=$(kernel_path)
	else
		"$lib/deps.sh" kernel >&2
		path=$(kernel_path)
		cache_make "$path" kernel_build >&2
		cache_prune kernel "$path"
	fi
	[[ -e $path/vmlinuz ]] && echo "$path/vmlinuz"
}

[[ ${BASH_SOURCE[0]} != "$0" ]] || kernel_main "$@"

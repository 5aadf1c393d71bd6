#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The one list of Debian packages that rootstock needs, by what for.
#
#	tests/lib/deps.sh build net		installs what is missing of them
#	tests/lib/deps.sh --print build		prints the names only
#
# Installing starts no daemon: a policy-rc.d refuses, where the machine has none.
set -euo pipefail

declare -A deps=(
	[build]="gcc libc6-dev meson ninja-build pkg-config rpcsvc-proto
		libfuse3-dev libtirpc-dev libsqlite3-dev libarchive-dev libssl-dev
		libsodium-dev libcap-ng-dev libseccomp-dev libinih-dev libcjson-dev libsystemd-dev
		libmicrohttpd-dev
		libcmocka-dev zlib1g-dev libzstd-dev fuse3 openssh-client"
	[net]="iproute2 procps util-linux python3 libnfs-dev libnfs-utils
		udhcpc busybox-static isc-dhcp-client tftp-hpa atftp curl tshark
		isc-dhcp-relay dhcpcd-base klibc-utils dnsmasq-base strace pxelinux
		nfs-common rpcbind sqlite3 cpio attr acl zstd xz-utils mandoc bsdextrautils
		shellcheck git nftables prometheus bash-completion systemd
		qemu-system-x86 ipxe-qemu seabios ovmf"
	[boot]="qemu-system-x86 qemu-system-arm ipxe-qemu seabios ovmf u-boot-qemu
		pxelinux syslinux-common ipxe shim-signed grub-efi-amd64-signed
		dnsmasq-base mmdebstrap squashfs-tools cpio zstd"
	[variants]="clang llvm libclang-rt-dev cppcheck"
	[package]="dpkg-dev debhelper fakeroot lintian bash-completion systemd systemd-container
		mmdebstrap"
	[kernel]="linux-source-6.1 make flex bison bc libelf-dev libssl-dev
		xz-utils cpio rsync"
	[bench]="nfs-ganesha nfs-ganesha-vfs dnsmasq-base kea-admin kea-dhcp4-server atftpd
		fuse-overlayfs unionfs-fuse"
)

deps_names() {
	local group
	for group; do
		[[ -v deps[$group] ]] || {
			echo "deps: no group $group (${!deps[*]})" >&2
			return 2
		}
		xargs -n1 <<<"${deps[$group]}"
	done | sort -u
}

deps_missing() {
	local name
	deps_names "$@" | while read -r name; do
		[[ $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) == installed ]] ||
			echo "$name"
	done
}

deps_apt() {
	DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600 \
		-o Dpkg::Use-Pty=0 "$@"
}

# Two checks may install at the same time; the policy file must not vanish
# under one of them, so one waits for the other.
deps_install() (
	local missing policy=/usr/sbin/policy-rc.d log
	mapfile -t missing < <(deps_missing "$@")
	[[ ${#missing[@]} -gt 0 ]] || return 0
	[[ $(id -u) == 0 ]] || {
		echo "deps: run as root, or install: ${missing[*]}" >&2
		return 1
	}
	exec 9>/run/rootstock-deps.lock
	flock 9
	mapfile -t missing < <(deps_missing "$@")
	[[ ${#missing[@]} -gt 0 ]] || return 0
	log=$(mktemp)
	trap 'rm -f "$log"' EXIT
	if [[ ! -e $policy ]]; then
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod 755 $policy
		trap 'rm -f "$log" '$policy EXIT
	fi
	echo "installing ${#missing[@]} packages: ${missing[*]}"
	# Old lists name packages that the mirror no longer has.
	deps_apt install --no-install-recommends -y "${missing[@]}" >"$log" 2>&1 ||
		{
			deps_apt update >>"$log" 2>&1 &&
				deps_apt install --no-install-recommends -y "${missing[@]}" >>"$log" 2>&1
		} || {
		tail -n 20 "$log" >&2
		echo "deps: apt-get could not install: ${missing[*]}" >&2
		return 1
	}
)

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
	if [[ ${1-} == --print ]]; then
		deps_names "${@:2}"
	else
		deps_install "$@"
	fi
fi

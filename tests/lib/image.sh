#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Real Debian 12 trees, each made once from the machine's own package sources: the
# distribution's kernel and initrd, an init, sshd.  Nothing in them knows of
# diskless machines: making them that is rootstock's work.
#
#	tests/lib/image.sh [KIND]	makes it in the cache; prints the folder
#	tests/lib/image.sh --cached KIND	prints the folder only if it is made, else fails
#
# KIND is "image" (initramfs-tools and systemd, what Debian installs by default),
# "dracut" (dracut's initrd instead), "sysvinit" or "openrc" (that init instead), or
# "live" (a live system's medium).  "server" is a bare one to install our package on.
set -euo pipefail
lib=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=tests/lib/cache.sh
. "$lib/cache.sh"

image_kind=image

image_packages() {
	echo linux-image-amd64 initramfs-tools busybox systemd-sysv udev dbus \
		openssh-server ifupdown isc-dhcp-client iproute2 iputils-ping netbase \
		kmod procps less nano
}

# What a package of ours may pull in: it is in the image's apt cache, so that a test needs
# no network.
image_downloads() {
	echo openssh-client libarchive13 libcap-ng0 libcjson1 libfuse3-3 libinih1 libmicrohttpd12 \
		libseccomp2 libsodium23 libsqlite3-0 libssl3 libsystemd0 libtirpc3 zlib1g fuse3 \
		pxelinux syslinux-common
}

# What another kind changes in the first one, in apt-get's words.
image_changes() {
	case $image_kind in
	dracut) echo dracut dracut-network nfs-common iputils-arping initramfs-tools- ;;
	sysvinit) echo sysvinit-core systemd-sysv- ;;
	openrc) echo sysvinit-core openrc systemd-sysv- ;;
	live) echo live-boot live-boot-initramfs-tools ;;
	*) return 1 ;;
	esac
}

# The sources as apt itself parsed them, whatever files they are written in.
image_sources() {
	local uri release component signed
	apt-get indextargets \
		--format '$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)' \
		'Created-By: Packages' |
		sed -n 's/^Debian|//p' | sort -u |
		while IFS='|' read -r uri release component signed; do
			[[ $release == bookworm* && $component == main ]] || continue
			[[ $signed == /* ]] || signed=/usr/share/keyrings/debian-archive-keyring.gpg
			echo "deb [signed-by=$signed] $uri $release $component"
		done
}

image_build() {
	local out=$1 root=$1/root sources
	sources=$(image_sources)
	[[ -n $sources ]] || {
		apt-get -qq update
		sources=$(image_sources)
	}
	[[ -n $sources ]] || {
		echo "image: apt knows no source of Debian bookworm, main" >&2
		return 1
	}
	# A proxy that the machine needs must not stay in the image.
	apt-config dump --format '%F "%v";%n' Acquire::http Acquire::https >"$out/proxy"
	# "passwd -d": the serial console takes root without a password; sshd does not.
	echo "$sources" | mmdebstrap --quiet --mode=root --variant=minbase \
		--include="$(image_packages | tr ' ' ,)" --aptopt="$out/proxy" \
		--customize-hook='rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap"' \
		--customize-hook='chroot "$1" passwd -qd root' \
		--customize-hook='echo debian >"$1/etc/hostname"' \
		bookworm "$root" -
	rm "$out/proxy"
	image_check_initrd "$root"
	chmod 755 "$out"
}

# Without these the image cannot mount its root over the wire at all.
image_check_initrd() {
	local initrd=("$1"/boot/initrd.img-*) list name tools='bin/nfsmount bin/ipconfig'
	if [[ $image_kind == dracut ]]; then
		list=$(chroot "$1" lsinitrd "/boot/${initrd[0]##*/}")
		tools='sbin/mount.nfs sbin/dhclient sbin/ifup'
	else
		list=$(chroot "$1" lsinitramfs "/boot/${initrd[0]##*/}")
	fi
	for name in nfsv3.ko virtio_net.ko e1000.ko $tools; do
		grep -q "$name" <<<"$list" || {
			echo "image: the initrd lacks $name" >&2
			return 1
		}
	done
}

# Left to itself this dracut takes networkd, by which it never comes to mount NFS.
image_dracut() {
	mkdir -p "$1/etc/dracut.conf.d"
	printf '%s\n' 'add_dracutmodules+=" network-legacy nfs "' 'compress="gzip -1"' \
		>"$1/etc/dracut.conf.d/10-nfs.conf"
}

# A Debian that is no client but a server: what debootstrap gives, and an init.
image_server() {
	local out=$1 sources
	sources=$(image_sources)
	[[ -n $sources ]] || {
		apt-get -qq update
		sources=$(image_sources)
	}
	apt-config dump --format '%F "%v";%n' Acquire::http Acquire::https >"$out/proxy"
	# shellcheck disable=SC2016
	echo "$sources" | mmdebstrap --quiet --mode=root --variant=minbase \
		--include=systemd-sysv,dbus --aptopt="$out/proxy" \
		--skip=cleanup/apt/lists,cleanup/apt/cache \
		--customize-hook="chroot \"\$1\" apt-get -qq --download-only -y \
			install $(image_downloads)" \
		--customize-hook='rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap"' \
		bookworm "$out/root" -
	rm "$out/proxy"
	chmod 755 "$out"
}

# A kind is a copy of the first one, changed by the distribution's own means.
image_vary() {
	local root=$1/root
	cp -a --reflink=auto "$(image_kind=image image_path)/root" "$root"
	apt-config dump --format '%F "%v";%n' Acquire::http Acquire::https \
		>"$root/etc/apt/apt.conf.d/99build"
	cp -L /etc/resolv.conf "$root/etc/resolv.conf.build"
	printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
	chmod 755 "$root/usr/sbin/policy-rc.d"
	[[ $image_kind != dracut ]] || image_dracut "$root"
	# shellcheck disable=SC2016,SC2046
	unshare --mount --pid --fork --kill-child sh -c '
		set -e
		root=$1
		shift
		mount -t proc proc "$root/proc"
		mount --rbind /dev "$root/dev"
		[ ! -e "$root/etc/resolv.conf" ] ||
			mount --bind "$root/etc/resolv.conf.build" "$root/etc/resolv.conf"
		export DEBIAN_FRONTEND=noninteractive LC_ALL=C
		chroot "$root" apt-get -qq update
		chroot "$root" apt-get -qq -o Dpkg::Use-Pty=0 --allow-remove-essential \
			--no-install-recommends -y install "$@"
		chroot "$root" apt-get -qq -y --purge autoremove
		chroot "$root" apt-get -qq clean' \
		image "$root" $(image_changes) || return
	rm -rf "$root"/var/lib/apt/lists/* "$root/etc/apt/apt.conf.d/99build" \
		"$root/etc/resolv.conf.build" "$root/usr/sbin/policy-rc.d"
	chmod 755 "$1"
}

# The system becomes one file of the medium.
image_live() {
	local system=$1/system
	mv "$1/root" "$system"
	mkdir -p "$1/root/live"
	cp "$system"/boot/vmlinuz-* "$1/root/live/vmlinuz"
	cp "$system"/boot/initrd.img-* "$1/root/live/initrd.img"
	mksquashfs "$system" "$1/root/live/filesystem.squashfs" -quiet -no-progress \
		-comp gzip -Xcompression-level 1 || return
	rm -rf "$system"
}

image_make() {
	[[ $image_kind != server ]] || {
		image_server "$1"
		return
	}
	if [[ $image_kind == image ]]; then
		image_build "$1"
	else
		image_vary "$1"
	fi && image_check_initrd "$1/root" || return
	[[ $image_kind != live ]] || image_live "$1"
}

# image_facts DIR: one line a path with all that a write would change, ctime
# too: equal before and after means that nobody wrote, not even the same bytes.
image_facts() (
	cd "$1"
	find . -printf '%P\t%y\t%#m\t%U:%G\t%s\t%T@\t%C@\t%n\t%l\n' | LC_ALL=C sort
	find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
)

image_digest() {
	image_facts "$1" | sha256sum | cut -c1-64
}

image_path() {
	local stamp
	stamp=$({
		image_packages
		declare -f image_build
		! image_changes || declare -f image_vary
		[[ $image_kind != server ]] || declare -f image_server image_downloads
		[[ $image_kind != dracut ]] || declare -f image_dracut
		[[ $image_kind != live ]] || declare -f image_live
	} | cache_stamp)
	echo "$cache/$image_kind-$stamp"
}

image_main() {
	local path made=0
	[[ ${1-} != --cached ]] || {
		made=1
		shift
	}
	image_kind=${1:-image}
	path=$(image_path)
	if ((made)); then
		[[ -e $path ]] || return 1
	else
		"$lib/deps.sh" boot >&2
		[[ $image_kind == image || $image_kind == server ]] || "$lib/image.sh" >/dev/null
		cache_make "$path" image_make >&2
		cache_prune "$image_kind" "$path"
	fi
	echo "$path/root"
}

[[ ${BASH_SOURCE[0]} != "$0" ]] || image_main "$@"

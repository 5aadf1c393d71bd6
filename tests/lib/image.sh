#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A real Debian 12 tree, made once from the machine's own package sources: the
# distribution's kernel and initrd, systemd, sshd.  Nothing in it knows of
# diskless machines: making it one is rootstock's work.
#
#	tests/lib/image.sh		makes it in the cache; prints the folder
set -euo pipefail
lib=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=tests/lib/cache.sh
. "$lib/cache.sh"

image_packages() {
	echo linux-image-amd64 initramfs-tools busybox systemd-sysv udev dbus \
		openssh-server ifupdown isc-dhcp-client iproute2 iputils-ping netbase \
		kmod procps less nano
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
	local initrd=("$1"/boot/initrd.img-*) list name
	list=$(chroot "$1" lsinitramfs "/boot/${initrd[0]##*/}")
	for name in nfsv3.ko virtio_net.ko e1000.ko bin/nfsmount bin/ipconfig; do
		grep -q "$name" <<<"$list" || {
			echo "image: the initrd lacks $name" >&2
			return 1
		}
	done
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
	} | cache_stamp)
	echo "$cache/image-$stamp"
}

image_main() {
	local path
	"$lib/deps.sh" boot >&2
	path=$(image_path)
	cache_make "$path" image_build >&2
	cache_prune image "$path"
	echo "$path/root"
}

[[ ${BASH_SOURCE[0]} != "$0" ]] || image_main "$@"

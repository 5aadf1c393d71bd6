#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A Debian 13 with what a build needs, for what Debian 12's libraries cannot do yet.
# Made once, from the machine's own package sources.
#
#	tests/lib/trixie.sh		makes it in the cache; prints the folder
set -euo pipefail
lib=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=tests/lib/image.sh
. "$lib/image.sh"

trixie_packages() {
	"$lib/deps.sh" --print build
}

# Debian 12's main archive has Debian 13, too.
trixie_sources() {
	image_sources | sed -n 's/ bookworm / trixie /p'
}

trixie_build() {
	local out=$1 sources
	sources=$(trixie_sources)
	[[ -n $sources ]] || {
		apt-get -qq update
		sources=$(trixie_sources)
	}
	[[ -n $sources ]] || {
		echo "trixie: apt knows no source of Debian, main" >&2
		return 1
	}
	apt-config dump --format '%F "%v";%n' Acquire::http Acquire::https >"$out/proxy"
	echo "$sources" | mmdebstrap --quiet --mode=root --variant=minbase \
		--include="$(trixie_packages | paste -sd,)" --aptopt="$out/proxy" \
		--customize-hook='rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap"' \
		trixie "$out/root" -
	rm "$out/proxy"
	chmod 755 "$out"
}

trixie_main() {
	local path
	"$lib/deps.sh" boot >&2
	path=$cache/trixie-$({
		trixie_packages
		declare -f trixie_build
	} | cache_stamp)
	cache_make "$path" trixie_build >&2
	cache_prune trixie "$path"
	echo "$path/root"
}

[[ ${BASH_SOURCE[0]} != "$0" ]] || trixie_main "$@"

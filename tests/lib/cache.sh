# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The cache folder, outside the tree: what takes minutes to make is made once.
# A thing in it is named by a stamp of its recipe, so a changed recipe makes a
# new one, and is renamed into place when whole, so a killed run leaves no half.

cache=${ROOTSTOCK_CACHE:-/var/cache/rootstock-tests}

# cache_stamp: a short name for the recipe on stdin.
cache_stamp() {
	sha256sum | cut -c1-12
}

# cache_make PATH FUNCTION ARGS...: unless PATH exists, run FUNCTION ARGS... TMP
# and rename TMP to PATH.  Runs that overlap wait for the one that makes it.
cache_make() (
	local path=$1 tmp
	shift
	[[ ! -e $path ]] || exit 0
	mkdir -p "$cache"
	exec 8>"$path.lock"
	flock 8
	[[ ! -e $path ]] || exit 0
	rm -rf "${path%/*}/.tmp.${path##*/}".*
	tmp=$(mktemp -d "${path%/*}/.tmp.${path##*/}.XXXXXX")
	# What is made must not keep the lock when this run is killed.
	"$@" "$tmp" 8>&- || {
		rm -rf "$tmp"
		exit 1
	}
	mv -T "$tmp" "$path"
)

# cache_prune NAME PATH: drop NAME-* of older recipes.
cache_prune() {
	local old
	for old in "$cache/$1"-*; do
		[[ $old == "$2" || $old == "$2".lock || ! -e $old ]] || rm -rf "$old"
	done
}

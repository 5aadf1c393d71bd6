#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The Debian package, built as its users would, from the files of this tree.
#
#	tests/lib/package.sh	builds it once for each state of the tree; prints the folder
#
# The folder has the package, its .changes for lintian, and next/: the same of a later
# version, to upgrade to.
set -euo pipefail
lib=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=tests/lib/cache.sh
. "$lib/cache.sh"

package_top=$(dirname "$(dirname "$lib")")

# What is of the tree, without what was built.
package_files() {
	(cd "$package_top" && find . \( -name 'build*' -o -name .git -o -name __pycache__ \) -prune \
		-o -type f -print | LC_ALL=C sort)
}

# Another test needs no new package.
package_stamp() {
	package_files | grep -v '^./tests/' | (cd "$package_top" && xargs -d '\n' sha256sum) |
		cache_stamp
}

package_build() {
	local out=$1 tree=$1/source/rootstock path=$PATH
	mkdir -p "$tree" "$out/next"
	(cd "$package_top" && package_files | tar -cf - -T -) | tar -xf - -C "$tree"
	[[ ! -d /usr/lib/ccache ]] || path=/usr/lib/ccache:$path
	# The build has a home of its own, where nothing is cached.
	(cd "$tree" && PATH=$path CCACHE_DIR=$cache/ccache DEB_BUILD_OPTIONS=noautodbgsym \
		dpkg-buildpackage -us -uc) >"$out/build.log" 2>&1 || {
		tail -n 40 "$out/build.log"
		return 1
	}
	mv "$out"/source/rootstock_* "$out"
	dpkg-deb -R "$out"/rootstock_*.deb "$out/source/next"
	sed -i '/^Version:/s/$/+next/' "$out/source/next/DEBIAN/control"
	dpkg-deb --root-owner-group -b "$out/source/next" "$out/next" >/dev/null
	rm -rf "$out/source"
	chmod 755 "$out"
}

package_main() {
	local path
	"$lib/deps.sh" build package >&2
	path=$cache/package-$(package_stamp)
	cache_make "$path" package_build >&2
	cache_prune package "$path"
	echo "$path"
}

[[ ${BASH_SOURCE[0]} != "$0" ]] || package_main "$@"

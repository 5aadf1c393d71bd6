#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The Debian package asks for each library that the build does, its version is meson's, and
# the unit of systemd is correct and as closed as it was: a score below 4.5 (of 10, less is
# better; root with the right to mount for its children's views is not to be had for less).
set -euo pipefail
cd "$(dirname "$0")/../.."
status=0
for name in $(tests/lib/deps.sh --print build | grep -- '-dev$'); do
	case $name in
	libc6-dev | libcmocka-dev | libzstd-dev) continue ;; # everybody's, and the tests'
	esac
	grep -qx " $name," debian/control || {
		echo "debian/control: no Build-Depends on $name"
		status=1
	}
done
meson=$(sed -n "s/^  version: '\(.*\)',/\1/p" meson.build)
debian=$(sed -n '1s/.*(\(.*\)).*/\1/p' debian/changelog)
[[ $meson == "$debian" ]] || {
	echo "meson.build says $meson, debian/changelog $debian"
	status=1
}
command -v systemd-analyze >/dev/null || {
	echo "systemd-analyze is not installed"
	exit 1
}
unit=$(mktemp -d)
trap 'rm -rf "$unit"' EXIT
sed 's|@bindir@|/bin|; s|/bin/rootstock|/bin/true|' cli/dist/rootstock.service.in \
	>"$unit/rootstock.service"
systemd-analyze security --no-pager --offline=true --threshold=45 "$unit/rootstock.service" \
	>"$unit/score" || status=1
tail -n 1 "$unit/score"
words=$(systemd-analyze verify --man=no "$unit/rootstock.service" 2>&1 | grep rootstock || true)
[[ -z $words ]] || {
	echo "$words"
	status=1
}
exit $status

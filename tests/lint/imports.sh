#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The program asks libc's name services nothing: they load libraries into who asks, and a
# process that has no memory for that is aborted.
set -euo pipefail
cd "$(dirname "$0")/../.."
[[ -x build/rootstock ]] || {
	echo "not built: build/rootstock"
	exit 77
}
names='(set|get|end)?(pw|gr)(nam|uid|gid|ent)(_r)?|getaddrinfo|getnameinfo|gethost.*|getserv.*|getproto.*|initgroups|getgrouplist'
mapfile -t found < <(nm -D --undefined-only build/rootstock | awk '{ print $NF }' |
	sed 's/@.*//' | sort)
((${#found[@]} > 100)) || {
	echo "only ${#found[@]} imports: is nm there?"
	exit 1
}
if printf '%s\n' "${found[@]}" | grep -xE "$names"; then
	echo "build/rootstock asks libc's name services"
	exit 1
fi

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The NFS calls of one real boot of the Debian image, for nfs-replay: recorded once into
# the cache (tests/bench/nfs-record.sh).
#
#	tests/lib/nfs-trace.sh		records it; prints its path
set -euo pipefail
lib=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=tests/lib/cache.sh
. "$lib/cache.sh"

record() {
	"$lib/../bench/nfs-record.sh" "$1/trace"
}

path=$cache/trace-$({
	cat "$lib/../bench/nfs-record.sh" "$lib/../bench/nfs-trace.py"
	"$lib/image.sh"
} | cache_stamp)
cache_make "$path" record >&2
cache_prune trace "$path"
echo "$path/trace"

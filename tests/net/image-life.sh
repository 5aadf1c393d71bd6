#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# An image's versions come, share what they have in common, go, and leave nothing.
set -euo pipefail
# shellcheck source=tests/lib/server.sh
. "$(dirname "$0")/../lib/server.sh"
need_root
server_state
origin=$work/origin

objects() {
	find "$ROOTSTOCK_STATE/objects" -type f | wc -l
}

rs() {
	"$rootstock" "$@" 2>>"$work/log"
}

refused() {
	! "$rootstock" "$@" 2>"$work/err" || fail "$* was not refused"
}

mkdir "$origin"
for i in {1..200}; do
	echo "file $i" >"$origin/$i"
done
rs image add lab "$origin" --wait >/dev/null
equal "objects of lab@1" 200 "$(objects)"
first=$(rs view digest lab@1)

# One file in a hundred changes: as many are copied.
echo changed >"$origin/7"
echo changed too >"$origin/8"
# What looks for leaks traces the process itself.
strace=()
[[ ${CHECK_VARIANT-} == asan ]] || strace=(strace -f -e trace=openat2 -o "$work/trace")
"${strace[@]}" "$rootstock" image add lab "$origin" --wait >/dev/null 2>>"$work/log"
equal "objects of both" 202 "$(objects)"
if [[ ${#strace[@]} -gt 0 ]]; then
	equal "files read again" 2 "$(grep -c 'openat2(.*, "[0-9]*", .*O_RDONLY' "$work/trace")"
fi
equal "lab@1" "$first" "$(rs view digest lab@1)"
[[ $(rs view digest lab@2) != "$first" ]] || fail "lab@2 is lab@1"
# Every object is what its name says.
find "$ROOTSTOCK_STATE/objects" -type f -path '*/??/*' | while read -r path; do
	sum=$(sha256sum "$path" | cut -d' ' -f1)
	equal "$path" "$sum" "$(basename "$(dirname "$path")")$(basename "$path")"
done

# The origin may go once the version is sealed.
rm -rf "$origin"
equal "lab@1 without its origin" "file 7" "$(rs view cat lab@1 /7)"
equal "lab@2 without its origin" changed "$(rs view cat lab@2 /7)"

# What is in use stays.
refused image remove lab@1
grep -q 'lab@1: it is active' "$work/err" || fail "remove: $(cat "$work/err")"
rs host add 52:54:00:00:00:01 --name amy --image lab@2
refused image remove lab@2
grep -q 'lab@2: host amy is set to it' "$work/err" || fail "remove: $(cat "$work/err")"
rs image activate lab@2
rs host set amy image=
echo body | rs overlay put all /put
rs image remove lab@1 >"$work/out"
equal "freed with lab@1" "2 files of 14 bytes freed" "$(cat "$work/out")"
equal "the rest of lab@2" changed "$(rs view cat amy /7)"
equal "an overlay's body" body "$(rs view cat amy /put)"
rs view cat amy /200 >/dev/null
refused image rollback lab
[[ $(rs image list | wc -l) == 2 ]] || fail "versions: $(rs image list)"

# A body of a pipe goes into the store alone, a secret's as well.
head -c 3000000 /dev/urandom >"$work/random"
mkfifo "$work/pipe"
cat "$work/random" >"$work/pipe" &
rs overlay put all /key --secret --from "$work/pipe"
rs view cat amy /key | cmp - "$work/random" || fail "a body of a pipe is another"
[[ -n $(find "$ROOTSTOCK_STATE/secrets" -type f -size 3000000c) ]] || fail "it is not among the secrets"
[[ -z $(find "$ROOTSTOCK_STATE"/*/tmp -type f) ]] || fail "drafts are left"

# Who waits for a version that goes hears of it.
mkdir "$origin"
truncate -s 100G "$origin/endless"
"$rootstock" image add lab "$origin" --wait >"$work/out" 2>"$work/waits" &
waits=$!
wait_for 30 "the version" grep -q lab@3 "$work/out"
rs image remove lab@3
! wait $waits || fail "a version that was removed is said to be whole"
grep -q 'the version was removed' "$work/waits" || fail "who waits: $(cat "$work/waits")"

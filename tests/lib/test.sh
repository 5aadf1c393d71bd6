# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What every script here needs: a work folder, things to undo at the end, and
# waiting for a condition.  Undoing runs in reverse order, however the script ends.
# Read once, by whichever part a script asks for.

! declare -F undo_all >/dev/null || return 0
tests=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
lib=$tests/lib
top=$(dirname "$tests")
undo=()
rootstock=${ROOTSTOCK:-$top/build/rootstock}
build=$(dirname "$rootstock")

at_exit() {
	undo+=("$(printf '%q ' "$@")")
}

undo_all() {
	local status=$? i
	trap - EXIT
	set +e
	for ((i = ${#undo[@]} - 1; i >= 0; i--)); do
		eval "${undo[i]}"
	done
	exit "$status"
}
# Who is ended from outside, as when his time is over, says at what he was.
ended() {
	local -i i
	local log
	echo "${0##*/}: ended while at: $BASH_COMMAND" >&2
	for ((i = 1; i < ${#FUNCNAME[@]} - 1; i++)); do
		echo "  in ${FUNCNAME[i]}, from line ${BASH_LINENO[i]}" >&2
	done
	for log in "$work"/*.{log,err}; do
		[[ ! -s $log ]] || tail -n 3 -v "$log" >&2
	done
	exit 143
}
trap undo_all EXIT
trap 'exit 130' INT
trap ended TERM HUP

work=$(mktemp -d "${TMPDIR:-/tmp}/rootstock-${0##*/}.XXXXXX")
# NFS and FUSE servers may have given up root before they read in here.
chmod 755 "$work"
at_exit rm -rf --one-file-system "$work"

# What a sanitizer has said of any process of the script, once all have ended: a child that
# dies of it is started again, and nothing else would tell.
sanitizers() {
	local found
	# As they begin a line: trees that scripts work on have tests like this one in them.
	local words='^(==[0-9]+==.*Sanitizer|WARNING: ThreadSanitizer|[^ ]+:[0-9]+: runtime error: )'
	found=$(grep -rlIsE "$words" "$work") || return 0
	# shellcheck disable=SC2034 # undo_all's
	status=1
	# shellcheck disable=SC2086 # names of our own
	cat $found | grep -E -A 60 -m 1 "$words" >&2
}
[[ -z ${CHECK_VARIANT-} ]] || at_exit sanitizers

fail() {
	echo "${0##*/}: $*" >&2
	exit 1
}

skip() {
	echo "$*"
	exit 77
}

# need COMMAND...: tests/lib/deps.sh installs each, so that one which is missing is a
# failure: a skip would hide what is no longer checked.
need() {
	local command
	for command; do
		command -v "$command" >/dev/null || fail "$command is not installed"
	done
}

need_root() {
	[[ $(id -u) == 0 ]] || skip "needs root"
}

# equal WHAT EXPECTED ACTUAL
equal() {
	[[ $2 == "$3" ]] || fail "$1: expected '$2', got '$3'"
}

# wait_for SECONDS WHAT COMMAND ARGS...: until it succeeds.  SECONDS are an idle machine's:
# a test never fails because others are at work, but says so.  How long a machine stands
# still has nothing to do with how long it should take.
wait_for() {
	local began=$SECONDS most=$1 what=$2
	shift 2
	until "$@"; do
		((SECONDS < began + 60 + 6 * most)) || fail "gave up waiting for $what"
		sleep 0.1
	done
	((SECONDS <= began + most)) ||
		echo "# $((SECONDS - began)) s, and not $most, for $what" >&2
}

alive() {
	kill -0 "$1" 2>/dev/null
}

gone() {
	! alive "$1"
}

# ours PID: a child of this script's, or of the subshell that asks, still.  The number of one
# that has ended is another program's some minutes later, and that may be another test's.
ours() {
	local stat
	{ read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
	stat=${stat##*) } # state and parent come behind the name
	[[ ${stat#* } == "$$ "* || ${stat#* } == "$BASHPID "* ]]
}

# stop PID: of a child; asks, waits a minute, insists.
stop() {
	local end=$((SECONDS + 60))
	ours "$1" || return 0
	kill "$1" 2>/dev/null || return 0
	while ours "$1"; do
		if ((SECONDS >= end)); then
			kill -9 "$1" 2>/dev/null || true
			break
		fi
		sleep 0.1
	done
	wait "$1" 2>/dev/null || true
}

# spawn NAME COMMAND ARGS...: in the background until the end, its output in
# $work/NAME.log; its process id in $spawned.
spawn() {
	local log=$work/$1.log
	shift
	# Of one that ran before: sanitizers() reads it.
	[[ ! -s $log ]] || mv "$log" "$log.$SRANDOM"
	"$@" >"$log" 2>&1 </dev/null &
	spawned=$!
	at_exit stop "$spawned"
}

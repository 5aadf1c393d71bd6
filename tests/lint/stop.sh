#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A script ends what it started, and nobody who has the number of one of these by then: in a
# process namespace of its own, where the next number can be chosen.
set -euo pipefail
if [[ -z ${PID_TEST_NS-} ]]; then
	[[ $(id -u) == 0 ]] || {
		echo "needs root"
		exit 77
	}
	PID_TEST_NS=1 exec unshare --pid --fork --mount-proc "$0" "$@"
fi
# shellcheck source=tests/lib/test.sh
. "$(dirname "$0")/../lib/test.sh"

[[ -w /proc/sys/kernel/ns_last_pid ]] || skip "no ns_last_pid: a kernel without CHECKPOINT_RESTORE"
cat >"$work/script" <<END
#!/bin/bash
. "$lib/test.sh"
spawn short true
echo "\$spawned"
wait "\$spawned"
spawn long sleep 1000
echo "\$spawned"
read -r
END
mkfifo "$work/enough"
bash "$work/script" <"$work/enough" >"$work/numbers" &
script=$!
exec 5>"$work/enough"
numbers() {
	[[ $(wc -l <"$work/numbers") == 2 ]]
}
wait_for 5 "what it started" numbers
{ read -r short && read -r long; } <"$work/numbers"
gone "$short" || fail "the short one has not ended"
echo $((short - 1)) >/proc/sys/kernel/ns_last_pid
sleep 1000 &
equal "the number of another" "$short" $!
echo >&5
wait "$script" || fail "the script ends with $?"
gone "$long" || fail "what it started is there still"
alive "$short" || fail "it ended another's process"

# In a subshell, as one end of a pipe is, too.
{
	spawn piped sleep 1000
	stop "$spawned"
	gone "$spawned" || fail "what a subshell started is there still"
} | cat

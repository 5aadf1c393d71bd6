#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The words by which the timeline's rules know a refusal are words that a service says:
# who rewords one there finds it here.
set -euo pipefail
cd "$(dirname "$0")/../.."
status=0
mapfile -t pieces < <(sed -n 's/.*\.said = "\(.*\)",.*/\1/p' cli/verdict.c | sort -u)
((${#pieces[@]} > 20)) || {
	echo "only ${#pieces[@]} pieces found in cli/verdict.c: has its table another form?"
	exit 1
}
for piece in "${pieces[@]}"; do
	case $piece in
	offer) continue ;;	# a kind of event
	error) continue ;;	# strerror's
	"port 0") continue ;; # made of a number
	esac
	# Sources break long strings over lines.
	cat dhcp/*.c tftp/*.c nfs/*.[ch] | tr -d '\n\t' | sed 's/""//g; s/" *"//g' |
		grep -qF -- "$piece" || {
		echo "cli/verdict.c: no service says '$piece'"
		status=1
	}
done
exit $status

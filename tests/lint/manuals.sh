#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The manual pages are correct mdoc, and have every command, option, setting and
# configuration key that the program knows.
set -euo pipefail
cd "$(dirname "$0")/../.."
mapfile -t pages < <(find . -path './build*' -prune -o -name '*.[1-8]' -print | sort)
mandoc -Tlint -Wwarning "${pages[@]}"
[[ -x build/rootstock ]] || {
	echo "not built: build/rootstock"
	exit 77
}
commands=$(mandoc -Tascii -Owidth=300 cli/rootstock.8 | col -bx)
settings=$commands
keys=$(mandoc -Tascii -Owidth=300 cli/dist/rootstock.conf.5 | col -bx)
status=0

# needs WHAT TEXT PAGE
needs() {
	grep -qE -- "$2" <<<"$3" || {
		echo "no $1 in the manual"
		status=1
	}
}

while read -r kind first rest; do
	case $kind in
	command) needs "command $first $rest" "^ +$first${rest:+ $rest}( |$)" "$commands" ;;
	option) needs "option $first" "(^|[^a-z-])$first" "$commands" ;;
	command-option)
		option=${rest##* }
		words="$first ${rest% *}"
		[[ $rest == *' '* ]] || words=$first
		needs "$words $option" "^ +$words .*$option" "$commands"
		;;
	setting)
		end='([ ,]|$)'
		[[ $first != *- ]] || end='n([ ,]|$)' # any number
		needs "setting $first" "(^|[ ,])$first$end" "$settings"
		;;
	key) needs "key $rest of [$first]" "(^|[ ,])${rest//./\\.}" "$keys" ;;
	esac
done < <(build/rootstock complete)
exit $status

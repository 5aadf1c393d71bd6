#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Bash completes commands, options, names, settings and their values: what a person gets
# who types the beginning of a line and presses Tab, in a shell of his own.
set -euo pipefail
# shellcheck source=tests/lib/server.sh
. "$(dirname "$0")/../lib/server.sh"
need_root
common=/usr/share/bash-completion/bash_completion
[[ -e $common ]] || skip "bash-completion is not installed"
server_state
mkdir "$work/origin" "$work/bin"
ln -s "$rootstock" "$work/bin/rootstock"
"$rootstock" image add debian "$work/origin" >/dev/null
"$rootstock" group add kiosks
"$rootstock" host add 52:54:00:00:00:01 --name north
"$rootstock" host add 52:54:00:00:00:02 --name nadir
cat >"$work/rc" <<END
PATH=$work/bin:\$PATH
. $common
. $top/cli/dist/rootstock.bash
bind 'set enable-bracketed-paste off'
HISTFILE= PS1='> '
cd $work
END

# typed LINE...: as at a terminal; \t is Tab.
typed() {
	python3 - "$work/rc" "$@" >"$work/terminal" <<-'END' || fail "the shell did not end"
		import os, pty, select, sys, time
		pid, terminal = pty.fork()
		if not pid:
		    os.execlp("bash", "bash", "--noprofile", "--rcfile", sys.argv[1], "-i")
		for line in sys.argv[2:] + ["exit"]:
		    os.write(terminal, line.encode().decode("unicode_escape").encode() + b"\n")
		end = time.monotonic() + 120
		while time.monotonic() < end and select.select([terminal], [], [], 120)[0]:
		    try:
		        text = os.read(terminal, 4096)
		    except OSError: # it has ended
		        sys.exit(0)
		    os.write(1, text)
		sys.exit(1)
	END
}

# has HOST LINE
has() {
	"$rootstock" host show "$1" | grep -qx -- "$2" || {
		cat "$work/terminal" >&2
		fail "$1 has no /$2/: $("$rootstock" host show "$1")"
	}
}

echo "# one that fits is typed to its end"
echo words >"$work/motd"
# shellcheck disable=SC1003
typed 'rootstock hos\tse\tno\tmod\tov\t' 'rootstock host set na\tgrou\tki\t' \
	'rootstock ov\tpu\thost:no\t/etc/motd --f\tmo\t' \
	'rootstock host set north option-\t150=ip:10.0.0.1' 'rootstock host set north imag\tde\t'
has north 'mode *overlay'
has north 'image *debian@1'
has north 'option-150 *ip:10.0.0.1'
has nadir 'group *kiosks'
equal "the overlay's file" words "$("$rootstock" view cat north /etc/motd)"

# completes WORDS EXPECTED...: what is offered for the last, as Readline would put it in.
completes() {
	local line=$1
	shift
	# shellcheck disable=SC2016
	PATH=$work/bin:$PATH bash --norc -c '. "$1"
		. "$2"
		compopt() { :; }
		COMP_LINE=$3 COMP_POINT=${#3}
		read -ra COMP_WORDS <<<"$(sed "s/[:=]/ & /g" <<<"$3")"
		[[ $3 != *" " ]] || COMP_WORDS+=("")
		COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
		_rootstock
		printf "%s\n" "${COMPREPLY[@]}"' \
		completes "$common" "$top/cli/dist/rootstock.bash" "$line" >"$work/got"
	equal "for '$line'" "$*" "$(paste -sd' ' "$work/got")"
}

echo "# of several all are offered"
completes 'rootstock b' boot backup
completes 'rootstock boot ' list show plan end
completes 'rootstock nonsense ' ''
completes 'rootstock host show n' nadir north
completes 'rootstock group show ' kiosks
completes 'rootstock image show d' debian
completes 'rootstock image activate debian@' debian@1
completes 'rootstock overlay put ' all group:kiosks host:nadir host:north
completes 'rootstock overlay put host:' nadir north
completes 'rootstock overlay put all /x --' --from --template --secret --next-boot --mode \
	--owner --state --log --json
completes 'rootstock host set north me' menu= menu_secs=
completes 'rootstock group set kiosks i' image= initrd= init=
completes 'rootstock all set i' initrd= init=
completes 'rootstock host set north dialect=' kernel klibc dracut mkinitcpio live
completes 'rootstock host set north menu=' no yes
completes 'rootstock host set north mode=x' ''
completes 'rootstock host set north x=1 maintenance=' debian
completes 'rootstock --log e' error
completes 'rootstock --state /nowhere host show ' ''

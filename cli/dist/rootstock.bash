# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Completion for bash.  The program itself says what may come next, names of hosts,
# groups and images among it.

_rootstock() {
	local cur words cword candidates breaks='' before
	_get_comp_words_by_ref -n := cur words cword
	mapfile -t candidates < <("${words[0]}" complete -- "${words[@]:1:cword}" 2>/dev/null)
	if [[ ${candidates[0]-} == :files ]]; then
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
	fi
	# Readline takes a word for two at these, and puts in what is behind the last.
	[[ $COMP_WORDBREAKS != *:* ]] || breaks+=:
	[[ $COMP_WORDBREAKS != *=* ]] || breaks+='='
	before=${breaks:+${cur%"${cur##*["$breaks"]}"}}
	COMPREPLY=("${candidates[@]#"$before"}")
	# A key waits for its value, a kind of option for its number.
	[[ ${COMPREPLY[*]} != *[=-] ]] || compopt -o nospace
} && complete -F _rootstock rootstock

# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Completion for bash.  The program itself says what may come next, names of hosts,
# groups and images among it.

_rootstock() {
	local cur words cword candidates
	_get_comp_words_by_ref -n := cur words cword
	mapfile -t candidates < <("${words[0]}" complete -- "${words[@]:1:cword}" 2>/dev/null)
	if [[ ${candidates[0]-} == :files ]]; then
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
	fi
	COMPREPLY=("${candidates[@]}")
	# A key waits for its value.
	[[ ${COMPREPLY[*]} != *= ]] || compopt -o nospace
	__ltrim_colon_completions "$cur"
} && complete -F _rootstock rootstock

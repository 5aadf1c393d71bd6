#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The configuration goes to a folder and comes back, under a server's eyes, and one change
# is one small difference for git.
# check: when=quick
set -euo pipefail
# shellcheck source=tests/lib/server.sh
. "$(dirname "$0")/../lib/server.sh"
need_root
need git nfs-cat
net_up
server_state

rs() {
	"$rootstock" "$@" 2>>"$work/log"
}

refused() {
	! "$rootstock" "$@" >"$work/out" 2>"$work/err" || fail "$* was not refused"
}

git() {
	command git -C "$work/conf" -c user.name=t -c user.email=t@t "$@"
}

# changes FILES: so many files differ from the last commit, by one line added and one
# removed in each text at most.
changes() {
	rs export "$work/conf"
	git add -A
	equal "files that differ after $2" "$1" "$(git diff --cached --name-only | wc -l)"
	while read -r added removed name; do
		((added <= 1 && removed <= 1)) || fail "$name: $added added, $removed removed"
	done < <(git diff --cached --diff-filter=M --numstat)
	git commit -q --allow-empty -m "$2"
}

mkdir -p "$work/origin/etc"
echo conf >"$work/origin/etc/conf"
rs image add lab "$work/origin" --wait >/dev/null
rs group add desk
rs group set desk printer=lp1
for i in {1..9}; do
	rs host add "52:54:00:00:00:0$i" --name "h$i" --group desk --address "10.77.0.10$i"
done
rs overlay put all /etc/motd < <(echo welcome)
rs overlay put group:desk /etc/printer --template < <(echo '{{printer}}')
rs overlay put host:h1 /etc/token --secret < <(echo word)

server_start
net_peer h2 52:54:00:00:00:02
net_peer_run h2 ip address add 10.77.0.102/24 dev eth0
# h2_sees PATH TEXT: by NFS.
h2_sees() {
	[[ $(net_peer_run h2 timeout 20 nfs-cat "nfs://10.77.0.1$1" 2>/dev/null) == "$2" ]]
}
wait_for 20 "what h2 has" h2_sees /etc/motd welcome
h2_sees /etc/printer lp1 || fail "h2's printer"

rs export "$work/conf"
git init -q
git add -A
git commit -qm first
changes 0 "nothing"
rs host set h3 console=ttyS0
changes 1 "a setting"
rs host set h3 address=10.77.0.33
changes 1 "an address"
rs overlay put all /etc/motd < <(echo goodbye)
changes 1 "a body"
rs overlay put all /etc/new < <(echo new)
changes 2 "a file"
rs overlay reset all /etc/new
changes 2 "no file"
rs overlay attr all /etc/conf --mode 0600
changes 1 "a mode"
rs group set desk printer=lp2
changes 1 "a group's setting"
rs all set printer=none
changes 1 "settings for all"
equal "all show" "printer none" "$(rs all show --json |
	python3 -c 'import json, sys; print(*(w for r in json.load(sys.stdin) for w in (r["key"], r["value"])))')"
rs host remove h9
changes 1 "a host less"
! grep -rq -e word -e PRIVATE --exclude-dir=.git "$work/conf" || fail "secrets in the export"

# Back to the first commit, by one command; what did not change is what it was.
before=$(rs view digest h1)
git checkout -q "$(git rev-list --max-parents=0 HEAD)"
"$rootstock" import "$work/conf" --dry-run >"$work/plan"
equal "a look changes nothing" "$before" "$(rs view digest h1)"
wait_for 5 "h2 to see what was put" h2_sees /etc/motd goodbye
"$rootstock" import "$work/conf" >"$work/done" 2>>"$work/log"
# By a machine that runs, within a second.
wait_for 1 "h2 to see a body that was imported" h2_sees /etc/motd welcome
wait_for 1 "h2 to see a group's setting" h2_sees /etc/printer lp1
diff "$work/plan" "$work/done" || fail "what was done is not what was planned"
sort >"$work/expected" <<-END
	all set printer=
	group set desk printer=lp1
	host add h9
	host set h3 address=10.77.0.103
	host set h3 console=
	host set h9 address=10.77.0.109
	host set h9 group=desk
	host set h9 mac=52:54:00:00:00:09
	overlay put all /etc/motd
	overlay reset all /etc/conf
END
sort "$work/done" | diff "$work/expected" - || fail "other changes than expected"
equal "again" "nothing to change" "$(rs import "$work/conf")"
rs export "$work/conf"
equal "git says" "" "$(git status --porcelain)"
equal "the secret" word "$(rs view cat h1 /etc/token)"
equal "a body" welcome "$(rs view cat h2 /etc/motd)"

# A bad folder is refused whole, with file and line, and makes no state.
echo "mac=52:54:00:00:00:01" >>"$work/conf/hosts/h2/host"
before=$(rs view digest h1)
refused import "$work/conf"
grep -q "^rootstock: import: $work/conf/hosts/h2/host:4: 52:54:00:00:00:01: is h1's already" \
	"$work/err" || fail "import: $(cat "$work/err")"
equal "after a refusal" "$before" "$(rs view digest h1)"
! ROOTSTOCK_STATE=$work/none "$rootstock" import "$work/conf" 2>/dev/null || fail "taken"
[[ ! -e $work/none ]] || fail "a refused import made a state"
git checkout -q .
! ROOTSTOCK_STATE=$work/none "$rootstock" import "$work/conf" --dry-run 2>/dev/null ||
	fail "a look at what is not there"
[[ ! -e $work/none ]] || fail "a look made a state"
alive "$server_pid" || fail "serve has ended"
stop "$server_pid"
! grep -i ' error' "$work/serve.log" || fail "errors in the log of the server"

# On another server, where the images were added: the same text.
ROOTSTOCK_STATE=$work/other
export ROOTSTOCK_STATE
rs image add lab "$work/origin" --wait >/dev/null
rs import "$work/conf" >/dev/null
rs export "$work/conf2"
diff -r -x .git "$work/conf" "$work/conf2" || fail "another text on another server"

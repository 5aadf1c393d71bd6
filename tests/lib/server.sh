# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A rootstock of this script's own: its state in the work folder, serving on the
# bridge of the private network.

# shellcheck source=tests/lib/net.sh
. "${BASH_SOURCE[0]%/*}/net.sh"

# server_state [DIR]: an empty state folder, $work/state by default.
server_state() {
	[[ -x $rootstock ]] || skip "not built: $rootstock"
	export ROOTSTOCK_STRICT=1 # a system call that no list has ends its child
	export ROOTSTOCK_STATE=${1:-$work/state}
	rm -rf "$ROOTSTOCK_STATE"
}

# server_start [OPTIONS...]: serve, and wait until every service listens.
server_start() {
	local service
	spawn serve nsenter --net="/run/netns/$net_ns" \
		"$rootstock" serve --interface br0 "$@"
	server_pid=$spawned
	for service in 'udp 67' 'udp 69' 'tcp 111' 'tcp 2049'; do
		# shellcheck disable=SC2086
		wait_for 30 "serve to listen on $service" server_listens $service
	done
}

server_listens() {
	alive "$server_pid" || {
		cat "$work/serve.log" >&2
		fail "serve ended early (its last words above)"
	}
	net_listening "$@"
}

# overlay_text SCOPE PATH [OPTIONS...]: a file of an overlay, from stdin.
overlay_text() {
	local scope=$1 path=$2
	shift 2
	cat >"$work/overlay-text"
	"$rootstock" overlay put "$scope" "$path" --from "$work/overlay-text" "$@"
}

# fingerprint HOST: of the SSH host key that the host's view holds.
fingerprint() {
	"$rootstock" view cat "$1" /etc/ssh/ssh_host_ed25519_key.pub |
		ssh-keygen -lf - | cut -d' ' -f2
}

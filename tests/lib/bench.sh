# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Figures of a bench, for tests/bench/run to lay side by side; a bench that runs alone
# prints its own words, and these go nowhere.

# bench_result AREA WHAT UNIT SERVER VALUE: one figure.  AREA is the bench ("nfs"), WHAT
# what is measured ("getattr 8x8"), SERVER whose figure it is: "rootstock" is ours, any
# other name a peer's.  Of a UNIT that ends in "/s" more is better, of any other less.
# VALUE is a number; ">N" where it was cut off at N; "-" where it failed.  Of several
# figures of one thing the median counts.
bench_result() {
	case $5 in
	- | [0-9]* | \>[0-9]* | .[0-9]*) ;;
	*)
		echo "bench_result: no figure: $*" >&2
		return 1
		;;
	esac
	[ -z "${BENCH_RESULTS:-}" ] ||
		printf '%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" "$5" >>"$BENCH_RESULTS"
}

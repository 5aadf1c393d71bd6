# shellcheck shell=bash
# shellcheck disable=SC2154 # what tests/check sets
# SPDX-License-Identifier: GPL-2.0-or-later
# What tests/check does beside build/: each variant is a folder build-NAME of its own, made
# by another compiler or with other options, and what is run in it.
#
#	clang		no warnings from the other compiler either; the unit tests
#	asan		wrong addresses, leaks, undefined behaviour: unit and network tests
#	tsan		threads that race: unit tests, and the network tests of what has threads
#	fuzz		every fuzzer for some seconds, from its corpus and seeds
#	coverage	how much of each folder's lines the unit and network tests run
#	analyse		cppcheck, which looks at paths that no test takes
#
# A result is a line of $logs/results, as everywhere.  What a sanitizer finds in a process
# that a script started, the supervisor's children among them, is that script's failure
# (tests/lib/test.sh).
#
# Reads tests/check's own functions: say, unit, run_scripts, result.

variants=(clang asan tsan fuzz coverage analyse)
fuzz_seconds=${FUZZ_SECONDS:-15}

variant_build() {
	local compiler=gcc
	local -a options=()
	case $1 in
	clang)
		compiler=clang
		options=(-Dwerror=true)
		;;
	asan) options=(-Dwerror=true "-Db_sanitize=address,undefined" -Db_lundef=false) ;;
	tsan) options=(-Dwerror=true -Db_sanitize=thread -Db_lundef=false) ;;
	fuzz)
		compiler=clang
		options=(-Dfuzz=true -Dtests=disabled "-Db_sanitize=address,undefined"
			-Db_lundef=false -Dc_args=-fno-sanitize-recover=undefined)
		;;
	coverage)
		# Counters in memory that is the file: a process that ends without a word, or
		# that may write nowhere any more, is counted too.
		compiler=clang
		options=(-Dbuildtype=debug -Dc_link_args=-fprofile-instr-generate
			"-Dc_args=-fprofile-instr-generate -fcoverage-mapping -mllvm -runtime-counter-relocation")
		;;
	analyse) return 0 ;;
	esac
	! command -v ccache >/dev/null || compiler="ccache $compiler"
	if [[ ! -e build-$1/build.ninja ]]; then
		rm -rf "build-$1"
		CC=$compiler meson setup "build-$1" "${options[@]}" >"$logs/$1-meson.log" || {
			cat "$logs/$1-meson.log"
			return 1
		}
	fi
	local -a targets=()
	# What is no fuzzer has nothing that takes in what the compiler adds for one.
	[[ $1 != fuzz ]] || mapfile -t targets < <(ninja -C build-fuzz -t targets all |
		sed -n 's,^\(tests/fuzz_[a-z0-9_]*\):.*,\1,p')
	ninja --quiet -C "build-$1" "${targets[@]}"
}

# Scripts that bring something there: clients' and users' input and what a process owns
# for asan, threads at work for tsan, each service and the larger commands for coverage.  A
# boot, a storm or a stretch of time would only be slower.
variant_scripts() {
	local -a names=()
	case $1 in
	asan) names=(backup bad-input control doctor doctor-system extents folder image-life image-origins
		metrics mount-log nfs-conformance reload server-life status-watch
		whole-path) ;;
	tsan) names=(extents image-life nfs-clients nfs-conformance server-life whole-path) ;;
	coverage) names=(backup control dhcp-clients doctor folder image-life image-origins
		metrics mount-log nfs-conformance reload server-life status-watch whole-path) ;;
	esac
	printf 'tests/net/%s.sh\n' "${names[@]}"
}

variant_run() {
	local name=$1
	export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:exitcode=99
	export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:exitcode=99
	# A test's child that ends as it is leaves threads unjoined: that is no race.
	export TSAN_OPTIONS=second_deadlock_stack=1:report_thread_leaks=0:exitcode=99
	TSAN_OPTIONS+=:suppressions=$here/tests/lib/tsan.supp
	[[ $name == clang ]] || local -x ROUNDS=6 # random trees, which cost a multiple there
	export LLVM_PROFILE_FILE=$logs/profile/%p-%m%c.profraw
	if ! variant_build "$name" >"$logs/$name-build.log" 2>&1; then
		result fail "$name/build" <"$logs/$name-build.log"
		return 0
	fi
	[[ $name != clang ]] || result pass clang/build
	case $name in
	clang) unit build-clang clang/ ;;
	asan | tsan)
		unit "build-$name" "$name/"
		mapfile -t scripts < <(variant_scripts "$name")
		run_scripts "$name" "${scripts[@]}"
		;;
	fuzz) fuzz_run ;;
	coverage) coverage_run ;;
	analyse) analyse_run ;;
	esac
}

# ---- fuzz ----

# fuzz_one NAME: from its kept corpus and what its seeds are made of; what it finds stays
# in the logs.
fuzz_one() {
	local name=$1 start=$SECONDS log=$logs/fuzz-$1.log new=$logs/fuzz-$1
	local -a folders=("$new")
	mkdir -p "$new"
	[[ ! -e tests/fuzz/fuzz_${name}_seeds.py ]] || python3 "tests/fuzz/fuzz_${name}_seeds.py" "$new"
	[[ ! -d tests/fuzz/corpus_$name ]] || folders+=("tests/fuzz/corpus_$name")
	if "build-fuzz/tests/fuzz_$name" -max_total_time="$fuzz_seconds" -timeout=60 \
		-rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$logs/fuzz-$name-" \
		"${folders[@]}" >"$log" 2>&1; then
		result pass "fuzz/$name" $((SECONDS - start)) "$(sed -n \
			's/^stat::number_of_executed_units: */, runs: /p' "$log")"
	else
		grep -vE '^#[0-9]+\s' "$log" | result fail "fuzz/$name" $((SECONDS - start))
	fi
}

fuzz_run() {
	local fuzzer
	# On two processors two of them at a time.
	for fuzzer in build-fuzz/tests/fuzz_*; do
		[[ -f $fuzzer && -x $fuzzer ]] || continue
		while (($(jobs -rp | wc -l) >= 2)); do
			wait -n || true # it may have ended since
		done
		fuzz_one "${fuzzer##*/fuzz_}" &
	done
	wait
}

# ---- coverage ----

coverage_run() {
	local -a objects=(build-coverage/rootstock)
	local program figures=
	mkdir -p "$logs/profile"
	chmod 1777 "$logs/profile" # children are other users by then
	unit build-coverage coverage/
	mapfile -t scripts < <(variant_scripts coverage)
	run_scripts coverage "${scripts[@]}"
	find "$logs/profile" -name '*.profraw' -size +0 >"$logs/profiles"
	for program in build-coverage/tests/test_* build-coverage/{dhcp,tftp,nfs}/*-driver*; do
		[[ ! -f $program || ! -x $program ]] || objects+=(-object "$program")
	done
	if llvm-profdata merge --failure-mode=all -sparse --input-files="$logs/profiles" \
		-o "$logs/coverage.profdata" 2>"$logs/coverage.log" &&
		llvm-cov export -summary-only -instr-profile "$logs/coverage.profdata" \
			"${objects[@]}" >"$logs/coverage.json" 2>>"$logs/coverage.log" &&
		figures=$(python3 tests/lib/coverage.py "$logs/coverage.json"); then
		result pass coverage/figures
		echo "$figures"
	else
		cat "$logs/coverage.log" - <<<"$figures" | result fail coverage/figures
	fi
	rm -rf "$logs/profile"
}

# ---- analyse ----

analyse_run() {
	local start=$SECONDS
	if cppcheck --quiet --error-exitcode=1 -j 2 --std=c11 --platform=unix64 \
		--enable=warning,portability,performance --inline-suppr \
		--suppressions-list=tests/lib/cppcheck.list --template=gcc \
		--library=tests/lib/cppcheck.cfg \
		--project=build/compile_commands.json >"$logs/cppcheck.log" 2>&1; then
		result pass analyse/cppcheck $((SECONDS - start))
	else
		result fail analyse/cppcheck $((SECONDS - start)) <"$logs/cppcheck.log"
	fi
}

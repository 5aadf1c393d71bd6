/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Counting calls: each is in the bucket of its turn's time, and the sum of the workers is
 * what is said.
 */
#include "tests/unit/unit.h"

#include "common/clock.h"
#include "common/stats.h"
#include "nfs/tally.h"

static char *text_of(const struct tally *const *tallies, unsigned int n)
{
	struct stats *stats;
	char *text;
	size_t len;

	assert_int_equal(stats_new(&stats), 0);
	tally_stats(tallies, n, stats);
	assert_int_equal(stats_finish(stats, &text, &len), 0);
	return text;
}

static void has(const char *text, const char *line)
{
	if (!strstr(text, line))
		fail_msg("no %s in:\n%s", line, text);
}

#define OF(suffix, labels)                                                                         \
	"\nrootstock_nfs_call_duration_seconds" suffix                                             \
	"{program=\"nfs\",procedure=\"GETATTR\"" labels "} "

static void calls_of_a_turn_have_its_time(void **state)
{
	struct tally *a = calloc(1, sizeof(*a));
	struct tally *b = calloc(1, sizeof(*b));
	const struct tally *const both[] = {a, b};
	char *text;

	(void)state;
	tally_call(a, TALLY_NFS + 1);
	tally_call(a, TALLY_NFS + 1);
	tally_call(a, TALLY_PORTMAP);
	tally_turn(a, 4096);
	tally_call(a, TALLY_NFS + 1);
	tally_turn(a, 4097);
	tally_call(b, TALLY_NFS + 1);
	tally_turn(b, 100 * NS_PER_SEC);
	tally_turn(b, 100 * NS_PER_SEC); /* of nothing */
	text = text_of(both, 2);
	has(text, OF("_bucket", ",le=\"4.096e-06\"") "2\n");
	has(text, OF("_bucket", ",le=\"1.6384e-05\"") "3\n");
	has(text, OF("_bucket", ",le=\"4.2949673\"") "3\n");
	has(text, OF("_bucket", ",le=\"+Inf\"") "4\n");
	has(text, OF("_count", "") "4\n");
	has(text, OF("_sum", "") "100.000012289");
	has(text, "{program=\"portmap\",procedure=\"any\"} 1\n");
	free(text);
	free(a);
	free(b);
}

static void a_turn_that_is_too_long_writes_nowhere_else(void **state)
{
	struct tally *a = calloc(1, sizeof(*a));
	const struct tally *const one[] = {a};
	char *text;

	(void)state;
	for (unsigned int i = 0; i < 3 * TALLY_TURN; i++)
		tally_call(a, TALLY_SLOTS - 1);
	tally_turn(a, -5);
	text = text_of(one, 1);
	has(text, "{program=\"portmap\",procedure=\"any\"} 512\n");
	free(text);
	free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_of_a_turn_have_its_time),
		cmocka_unit_test(a_turn_that_is_too_long_writes_nowhere_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

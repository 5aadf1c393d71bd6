/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

#include "tftp/deadlines.h"

enum { OWNERS = 300, TURNS = 20000 };

/* Beside a plain array: whoever is due is taken, and nobody else, whatever was set,
 * moved and cleared before. */
static void exactly_those_that_are_due_are_taken(void **state)
{
	static struct deadline owner[OWNERS];
	static int64_t due[OWNERS]; /* 0: none */
	struct deadlines ds;
	unsigned int seed = 1;
	int64_t now = 1;

	(void)state;
	assert_int_equal(deadlines_init(&ds, OWNERS), 0);
	for (int turn = 0; turn < TURNS; turn++) {
		int i = rand_r(&seed) % OWNERS;
		struct deadline *d;

		if (rand_r(&seed) % 8) {
			due[i] = now + 1 + rand_r(&seed) % 1000;
			deadlines_set(&ds, &owner[i], (struct instant){due[i]});
		} else {
			due[i] = 0;
			deadlines_clear(&ds, &owner[i]);
		}
		now += rand_r(&seed) % 10;
		while ((d = deadlines_take(&ds, (struct instant){now}))) {
			assert_in_range(due[d - owner], 1, now);
			due[d - owner] = 0;
		}
		for (int j = 0; j < OWNERS; j++) {
			assert_true(!due[j] || due[j] > now);
			if (due[j])
				assert_true(deadlines_next(&ds).ns <= due[j]);
		}
	}
	deadlines_fini(&ds);
}

static void a_deadline_that_moves_to_later_costs_nothing_until_then(void **state)
{
	static struct deadline owner[OWNERS];
	struct deadlines ds;
	uint64_t steps;

	(void)state;
	assert_int_equal(deadlines_init(&ds, OWNERS), 0);
	for (int i = 0; i < OWNERS; i++)
		deadlines_set(&ds, &owner[i], (struct instant){1000 + i});
	steps = ds.steps;
	for (int turn = 1; turn < 1000; turn++)
		for (int i = 0; i < OWNERS; i++)
			deadlines_set(&ds, &owner[i], (struct instant){1000 + turn + i});
	assert_int_equal(ds.steps, steps);
	assert_null(deadlines_take(&ds, (struct instant){1998}));
	assert_ptr_equal(deadlines_take(&ds, (struct instant){1999}), &owner[0]);
	deadlines_fini(&ds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exactly_those_that_are_due_are_taken),
		cmocka_unit_test(a_deadline_that_moves_to_later_costs_nothing_until_then),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

#include <sys/stat.h>

#include "common/log.h"
#include "common/schema.h"
#include "common/state.h"

static void path_of(void **state, const char *name, char out[static PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s/%s", (char *)*state, name);
}

/* Overwrites what it is from `at` on. */
static void damage(void **state, const char *name, long at)
{
	char path[PATH_MAX];
	FILE *f;

	path_of(state, name, path);
	f = fopen(path, "r+");
	assert_non_null(f);
	assert_int_equal(fseek(f, at, SEEK_SET), 0);
	for (int i = 0; i < 8192; i++)
		fputc("garbage"[i % 7], f);
	fclose(f);
}

static int open_services(void **state, struct why *why)
{
	struct db *leases;
	struct db *trace;
	int r = state_open_services(*state, &leases, &trace, why);

	if (r)
		return r;
	assert_int_equal(db_run(trace, "INSERT INTO event (at, kind) VALUES (1, 1)", ""), 0);
	db_close(trace);
	db_close(leases);
	return 0;
}

static void a_damaged_timeline_begins_anew(void **state)
{
	static const long places[] = {0, 4096}; /* no database; not a sound one */
	char aside[PATH_MAX];
	struct stat st;

	if (geteuid())
		skip(); /* owners are set */
	log_set_level(LOG_LEVEL_NONE);
	path_of(state, "trace.db.damaged", aside);
	assert_int_equal(open_services(state, NULL), 0);
	assert_int_equal(stat(aside, &st), -1);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		struct why why = {""};

		damage(state, "trace.db", places[i]);
		if (open_services(state, &why))
			fail_msg("%s", why.text);
		assert_int_equal(stat(aside, &st), 0);
		assert_int_equal(unlink(aside), 0);
		assert_int_equal(open_services(state, NULL), 0);
		assert_int_equal(stat(aside, &st), -1);
	}
}

static void damaged_leases_are_refused(void **state)
{
	struct why why = {""};

	if (geteuid())
		skip();
	assert_int_equal(open_services(state, NULL), 0);
	damage(state, "leases.db", 0);
	assert_int_equal(open_services(state, &why), -EMEDIUMTYPE);
	assert_non_null(strstr(why.text, "leases.db"));
}

/* All services are in that group: none may put its own in place of what root runs by. */
static void what_its_group_may_write_to_is_taken_from_it(void **state)
{
	static const char *const names[] = {"", "/manifests", "/objects", "/secrets"};
	char path[PATH_MAX];
	struct stat st;
	gid_t group;

	if (geteuid())
		skip();
	assert_int_equal(chmod(*state, 02775), 0);
	assert_int_equal(state_make(*state, &group, NULL), 0);
	for (unsigned int again = 0; again < 2; again++) {
		for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
			snprintf(path, sizeof(path), "%s%s", (char *)*state, names[i]);
			assert_int_equal(stat(path, &st), 0);
			assert_int_equal(st.st_mode & (S_IWGRP | S_IWOTH), 0);
			assert_int_equal(chmod(path, st.st_mode | S_IWGRP), 0);
		}
		assert_int_equal(state_make(*state, &group, NULL), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_damaged_timeline_begins_anew, unit_dir_setup,
						unit_dir_teardown),
		cmocka_unit_test_setup_teardown(damaged_leases_are_refused, unit_dir_setup,
						unit_dir_teardown),
		cmocka_unit_test_setup_teardown(what_its_group_may_write_to_is_taken_from_it,
						unit_dir_setup, unit_dir_teardown),
	};

	return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}

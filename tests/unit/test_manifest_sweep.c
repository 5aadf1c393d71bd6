/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/site.h"

#include "fsd/manifest_sweep.h"
#include "fsd/sweep.h"

static void put(struct site *s, const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/manifests/%s", s->state, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
	assert_true(fd >= 0);
	close(fd);
}

static bool there(struct site *s, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/manifests/%s", s->state, name);
	return !access(path, F_OK);
}

static void what_a_kill_left_goes_and_all_else_stays(void **state)
{
	/* 1 is being filled, 2 is sealed, 3 has no row. */
	static const struct {
		const char *name;
		bool stays;
	} files[] = {
		{"1", true},
		{"2", true},
		{"3", false},
		{"1.fill", true},
		{"2.fill", false},
		{"3.fill", false},
		{".1.0123456789abcdef", true},
		{".2.0123456789abcdef", false},
		{".3.0123456789abcdef", false},
		{"4294967296", true},
		{"notes", true},
		{".3.bak", true},
		{"3.bak", true},
	};
	struct why why = {""};
	struct site s;

	(void)state;
	site_init(&s);
	assert_int_equal(db_exec(s.db,
				 "INSERT INTO image (id, name) VALUES (1, 'lab');"
				 "INSERT INTO version (id, image, number, origin_kind, origin,"
				 " added, sealed) VALUES (1, 1, 1, 'dir', '/', 0, NULL),"
				 " (2, 1, 2, 'dir', '/', 0, 1)"),
			 0);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		put(&s, files[i].name);
	assert_int_equal(manifest_sweep(s.db, s.state, &why), 0);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (there(&s, files[i].name) != files[i].stays)
			fail_msg("%s: %s", files[i].name, files[i].stays ? "went" : "stays");
	site_fini(&s);
}

static void a_sweep_takes_them(void **state)
{
	struct objects_swept swept;
	struct why why = {""};
	struct site s;

	(void)state;
	site_init(&s);
	put(&s, "7");
	assert_int_equal(sweep(s.db, s.state, &swept, &why), 0);
	assert_false(there(&s, "7"));
	site_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_kill_left_goes_and_all_else_stays),
		cmocka_unit_test(a_sweep_takes_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

#include <openssl/sha.h>

#include "fsd/intake.h"

enum { LARGE = 3 << 20 };

struct world {
	char path[128];
	struct objects *objects;
	struct intake *intake;
};

static void world_init(struct world *w, const char *dir)
{
	snprintf(w->path, sizeof(w->path), "%s/objects", dir);
	assert_int_equal(objects_open(dir, STORE_OBJECTS, true, &w->objects, NULL), 0);
	assert_int_equal(intake_new(w->objects, &w->intake), 0);
}

static void world_fini(struct world *w)
{
	char path[160];
	DIR *tmp;

	intake_free(w->intake);
	objects_close(w->objects);
	snprintf(path, sizeof(path), "%s/tmp", w->path);
	tmp = opendir(path);
	for (struct dirent *d = readdir(tmp); d; d = readdir(tmp))
		assert_true(d->d_name[0] == '.');
	closedir(tmp);
}

static void a_body_in_parts_is_the_sum_of_them_holes_among_them(void **state)
{
	static const size_t sizes[] = {0, 1, 1000, 1 << 20, (1 << 20) + 1, LARGE};
	uint8_t *want = calloc(1, LARGE);
	struct world w;

	world_init(&w, *state);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t size = sizes[i];
		struct hash hash;
		struct hash sum;

		memset(want, 0, LARGE);
		assert_int_equal(intake_begin(w.intake, size), 0);
		/* A third of data, a hole, a byte, a hole. */
		memset(want, 'a', size / 3);
		assert_int_equal(intake_put(w.intake, want, size / 3, 0), 0);
		if (size > 1000) {
			want[size - 100] = 'b';
			assert_int_equal(intake_put(w.intake, want + size - 100, 1, size - 100), 0);
		}
		assert_int_equal(intake_end(w.intake, &hash), 0);
		SHA256(want, size, sum.octet);
		assert_memory_equal(&hash, &sum, sizeof(sum));
		assert_false(objects_has(w.objects, &hash)); /* not before it is durable */
	}
	assert_int_equal(intake_finish(w.intake), 0);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t size = sizes[i];
		struct hash sum;
		uint8_t *have;
		int fd;

		memset(want, 0, LARGE);
		memset(want, 'a', size / 3);
		if (size > 1000)
			want[size - 100] = 'b';
		SHA256(want, size, sum.octet);
		fd = objects_get(w.objects, &sum, OBJECT_ANY_SIZE);
		assert_true(fd >= 0);
		have = malloc(LARGE + 1);
		assert_int_equal(read(fd, have, LARGE + 1), size);
		assert_memory_equal(have, want, size);
		close(fd);
		free(have);
	}
	free(want);
	world_fini(&w);
}

static void parts_out_of_order_or_beyond_the_end_are_refused(void **state)
{
	static const size_t sizes[] = {100, LARGE};
	struct world w;

	world_init(&w, *state);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t size = sizes[i];

		assert_int_equal(intake_begin(w.intake, size), 0);
		assert_int_equal(intake_put(w.intake, "abc", 3, 10), 0);
		assert_int_equal(intake_put(w.intake, "abc", 3, 12), -EBADMSG);
		assert_int_equal(intake_put(w.intake, "abc", 3, size - 2), -EBADMSG);
		assert_int_equal(intake_put(w.intake, "abc", 3, size + 1), -EBADMSG);
		assert_int_equal(intake_put(w.intake, "abc", 3, UINT64_MAX), -EBADMSG);
		assert_int_equal(intake_put(w.intake, "", 0, size), 0);
	}
	assert_true(intake_begin(w.intake, UINT64_MAX) < 0);
	world_fini(&w);
}

static void one_that_ends_early_leaves_nothing(void **state)
{
	struct world w;
	struct hash hash;

	world_init(&w, *state);
	assert_int_equal(intake_begin(w.intake, 3), 0);
	assert_int_equal(intake_put(w.intake, "abc", 3, 0), 0);
	assert_int_equal(intake_end(w.intake, &hash), 0);
	assert_int_equal(intake_begin(w.intake, LARGE), 0);
	assert_int_equal(intake_put(w.intake, "abc", 3, 0), 0);
	world_fini(&w); /* looks */
	world_init(&w, *state);
	assert_false(objects_has(w.objects, &hash));
	world_fini(&w);
}

static void a_name_that_fails_can_be_tried_again(void **state)
{
	const struct hash hash = {{0xab}};
	struct object_draft draft;
	char path[160];
	struct world w;
	int fd;

	world_init(&w, *state);
	snprintf(path, sizeof(path), "%s/ab", w.path);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(objects_draft(w.objects, &draft), 0);
	assert_int_equal(objects_commit(w.objects, &draft, &hash), -ENOTDIR);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(objects_commit(w.objects, &draft, &hash), 0);
	assert_true(objects_has(w.objects, &hash));
	assert_int_equal(draft.fd, -1);
	world_fini(&w);
}

#define SCRATCH(fn) cmocka_unit_test_setup_teardown(fn, unit_dir_setup, unit_dir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCRATCH(a_body_in_parts_is_the_sum_of_them_holes_among_them),
		SCRATCH(parts_out_of_order_or_beyond_the_end_are_refused),
		SCRATCH(one_that_ends_early_leaves_nothing),
		SCRATCH(a_name_that_fails_can_be_tried_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

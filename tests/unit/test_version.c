/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a process learns of a version that is not sealed, and what it does not believe
 * of its journal.
 */
#include "tests/unit/unit.h"

#include <sys/stat.h>

#include "fsd/version.h"

static const struct hash bytes = {{1}};

static void setup(const char *dir, struct version **out)
{
	const struct manifest_attr file = {.mode = S_IFREG | 0644, .size = 5};
	struct manifest_builder *b;
	char path[PATH_MAX];
	uint32_t index;

	snprintf(path, sizeof(path), "%s/manifests", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(manifest_builder_new(&b), 0);
	assert_int_equal(manifest_builder_add(b, 0, "a", 1, &file, &index), 0);
	assert_int_equal(manifest_builder_write(b, path, 1, false), 0);
	manifest_builder_free(b);
	assert_int_equal(version_open(dir, 1, out, NULL), 0);
}

static void a_drifted_file_has_its_new_attributes(void **state)
{
	const struct fill_record drifted = {
		.pos = 1, .flags = FILL_DRIFT, .mode = S_IFREG | 0600, .size = 7, .hash = bytes};
	struct version_progress p;
	struct manifest_node node;
	struct version *v;

	setup(*state, &v);
	version_learn(v, &drifted);
	assert_int_equal(version_node(v, 1, &node), 0);
	assert_int_equal(node.mode, S_IFREG | 0600);
	assert_int_equal(node.size, 7);
	version_progress(v, &p);
	assert_int_equal(p.copied, 1);
	assert_int_equal(p.drifted, 1);
	version_unref(v);
}

static void what_was_copied_and_then_lost_counts_once(void **state)
{
	const struct fill_record copied = {.pos = 1, .hash = bytes};
	const struct fill_record gone = {.pos = 1, .flags = FILL_GONE};
	struct version_progress p;
	struct fill_record known;
	struct version *v;

	setup(*state, &v);
	version_learn(v, &copied);
	version_learn(v, &gone);
	version_progress(v, &p);
	assert_int_equal(p.copied, 0);
	assert_int_equal(p.gone, 1);
	assert_true(version_known(v, 1, &known));
	assert_int_equal(known.flags, FILL_GONE);
	version_unref(v);
}

static void a_record_that_cannot_be_is_not_believed(void **state)
{
	const struct fill_record bad[] = {
		/* drifted into what is no file */
		{.pos = 1, .flags = FILL_DRIFT, .mode = S_IFDIR | 0755, .hash = bytes},
		{.pos = 1, .flags = FILL_DRIFT, .mode = 1 << 16 | S_IFREG, .hash = bytes},
		{.pos = 1, .flags = FILL_DRIFT | FILL_GONE, .mode = S_IFIFO},
		/* copied without bytes, gone with them */
		{.pos = 1, .flags = FILL_DRIFT, .mode = S_IFREG | 0644},
		{.pos = 1},
		{.pos = 1, .flags = FILL_GONE, .hash = bytes},
		/* no file, nothing at all */
		{.pos = 0, .hash = bytes},
		{.pos = 2, .hash = bytes},
	};
	struct version_progress p;
	struct fill_record known;
	struct manifest_node node;
	struct version *v;
	char path[PATH_MAX];
	int fd;

	setup(*state, &v);
	version_unref(v);
	snprintf(path, sizeof(path), "%s/manifests", (char *)*state);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		fd = fill_open(path, 1, 0);
		assert_true(fd >= 0);
		assert_int_equal(fill_write(fd, &bad[i], 1), 0);
		close(fd);
		assert_int_equal(version_open(*state, 1, &v, NULL), 0);
		assert_false(version_known(v, 1, &known));
		assert_int_equal(version_node(v, 1, &node), 0);
		assert_int_equal(node.mode, S_IFREG | 0644);
		version_progress(v, &p);
		assert_int_equal(p.copied + p.drifted + p.gone, 0);
		version_unref(v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_drifted_file_has_its_new_attributes,
						unit_dir_setup, unit_dir_teardown),
		cmocka_unit_test_setup_teardown(what_was_copied_and_then_lost_counts_once,
						unit_dir_setup, unit_dir_teardown),
		cmocka_unit_test_setup_teardown(a_record_that_cannot_be_is_not_believed,
						unit_dir_setup, unit_dir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "fsd/manifest_format.h"
#include "fsd/version.h"

static const struct manifest_attr dir_attr = {.mode = S_IFDIR | 0755};
static const struct manifest_attr file_attr = {.mode = S_IFREG | 0644, .size = 5, .mtime_sec = 7};

static uint32_t add(struct manifest_builder *b, uint32_t dir, const char *name,
		    const struct manifest_attr *attr)
{
	uint32_t index;

	assert_int_equal(manifest_builder_add(b, dir, name, strlen(name), attr, &index), 0);
	return index;
}

static uint32_t find(struct manifest *m, const char *path)
{
	const char *at = path;
	uint32_t pos = 0;

	while (*at) {
		size_t len = strcspn(at, "/");

		assert_int_equal(manifest_find(m, manifest_at(m, pos), at, len, &pos), 0);
		at += len + (at[len] == '/');
	}
	return pos;
}

static struct manifest *sample(const char *dir)
{
	cleanup(manifest_builder_freep) struct manifest_builder *b = NULL;
	struct manifest_attr link = {.mode = S_IFLNK | 0777,
				     .target = {(const uint8_t *)"usr/bin", 7}};
	struct manifest_attr node = {.mode = S_IFCHR | 0600, .rdev_major = 5, .rdev_minor = 1};
	struct manifest *m;
	uint32_t usr;
	uint32_t bin;
	uint32_t env;
	uint32_t index;

	assert_int_equal(manifest_builder_new(&b), 0);
	usr = add(b, 0, "usr", &dir_attr);
	bin = add(b, usr, "bin", &dir_attr);
	env = add(b, bin, "env", &file_attr);
	add(b, bin, "e", &file_attr);
	add(b, 0, "bin", &link);
	add(b, 0, "console", &node);
	assert_int_equal(manifest_builder_link(b, bin, "env2", 4, env, &index), 0);
	assert_int_equal(manifest_builder_link(b, 0, "a", 1, env, &index), 0);
	assert_int_equal(manifest_builder_write(b, dir, 3, false), 0);
	assert_int_equal(manifest_open(dir, 3, &m, NULL), 0);
	return m;
}

static void a_written_tree_reads_back(void **state)
{
	struct manifest *m = sample(*state);
	const struct manifest_node *env;
	const struct manifest_node *a;
	char path[64];

	assert_int_equal(manifest_count(m), 9);
	env = manifest_at(m, find(m, "usr/bin/env"));
	a = manifest_at(m, find(m, "a"));
	assert_int_equal(env->nlink, 3);
	assert_int_equal(a->nlink, 3);
	assert_int_equal(env->link, a->link);
	assert_int_equal(env->data, a->data);
	assert_int_equal(a->size, 5);
	assert_true(manifest_has_links(m));
	assert_int_equal(manifest_bytes(m), 10); /* a group counts once */
	assert_int_equal(manifest_at(m, find(m, "usr"))->nlink, 3);
	assert_int_equal(manifest_at(m, 0)->nlink, 3);
	assert_int_equal(manifest_at(m, find(m, "console"))->data, 5);
	assert_memory_equal(manifest_target(m, manifest_at(m, find(m, "bin"))).at, "usr/bin", 7);
	assert_int_equal(manifest_path(m, find(m, "usr/bin/env2"), path, sizeof(path)), 12);
	assert_string_equal(path, "usr/bin/env2");
	assert_int_equal(manifest_path(m, find(m, "usr/bin/env2"), path, 12), -ENAMETOOLONG);
	assert_int_equal(manifest_path(m, 0, path, sizeof(path)), 0);
	assert_null(manifest_at(m, 9));
	manifest_close(m);
}

static void the_builder_replaces_and_removes_whole_trees(void **state)
{
	cleanup(manifest_builder_freep) struct manifest_builder *b = NULL;
	cleanup(manifest_closep) struct manifest *m = NULL;
	uint32_t a;
	uint32_t i;

	assert_int_equal(manifest_builder_new(&b), 0);
	a = add(b, 0, "a", &dir_attr);
	for (i = 0; i < 5000; i++) {
		char name[16];

		snprintf(name, sizeof(name), "d%u", i);
		a = i % 3 ? a : add(b, a, name, &dir_attr);
		add(b, a, "f", &file_attr);
	}
	assert_int_equal(manifest_builder_find(b, 0, "a", 1, &a), 0);
	add(b, 0, "a", &file_attr); /* a file over the deep tree */
	assert_int_equal(manifest_builder_add(b, 0, "..", 2, &file_attr, &i), -EINVAL);
	assert_int_equal(manifest_builder_add(b, 0, "x/y", 3, &file_attr, &i), -EINVAL);
	assert_int_equal(manifest_builder_add(b, 0, "", 0, &file_attr, &i), -EINVAL);
	assert_int_equal(manifest_builder_write(b, *state, 1, false), 0);
	assert_int_equal(manifest_open(*state, 1, &m, NULL), 0);
	assert_int_equal(manifest_count(m), 2);
}

static bool is_even(void *ctx, uint32_t index)
{
	(void)ctx;
	return index % 2 == 0;
}

static void pruning_takes_whole_trees_and_keeps_the_rest(void **state)
{
	cleanup(manifest_builder_freep) struct manifest_builder *b = NULL;
	cleanup(manifest_closep) struct manifest *m = NULL;
	uint32_t odd;
	uint32_t even;
	uint32_t i;

	assert_int_equal(manifest_builder_new(&b), 0);
	odd = add(b, 0, "odd", &dir_attr);
	even = add(b, 0, "even", &dir_attr);
	assert_int_equal(odd % 2, 1);
	assert_int_equal(even % 2, 0);
	for (i = 0; i < 1000; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%u", i);
		add(b, i % 3 ? even : odd, name, &file_attr);
		add(b, i % 3 ? even : odd, "replaced", &file_attr);
	}
	manifest_builder_prune(b, 0, is_even, NULL);
	assert_int_equal(manifest_builder_find(b, 0, "odd", 3, &i), MANIFEST_NOENT);
	assert_int_equal(manifest_builder_find(b, odd, "0", 1, &i), MANIFEST_NOENT);
	for (i = 0; i < 1000; i++) {
		uint32_t index;
		char name[16];

		snprintf(name, sizeof(name), "%u", i);
		if (i % 3 && !manifest_builder_find(b, even, name, strlen(name), &index))
			assert_int_equal(index % 2, 0);
	}
	assert_int_equal(manifest_builder_write(b, *state, 1, false), 0);
	assert_int_equal(manifest_open(*state, 1, &m, NULL), 0);
	assert_int_equal(manifest_at(m, 0)->extra, 1);
	for (i = 2; i < manifest_count(m); i++)
		assert_int_equal(manifest_at(m, i)->parent, 1);
}

/* Read all of it, however wrong: nothing may crash. */
static bool whole(struct manifest *m)
{
	bool good = true;
	char path[256];

	for (uint32_t i = 0; i < manifest_count(m); i++) {
		const struct manifest_node *n = manifest_at(m, i);

		if (!n) {
			good = false;
			continue;
		}
		good &= !i || manifest_name(m, n).len;
		good &= !S_ISLNK(n->mode) || manifest_target(m, n).len;
		good &= manifest_path(m, i, path, sizeof(path)) >= 0;
	}
	return good;
}

static void a_cut_or_flipped_manifest_is_refused(void **state)
{
	char path[PATH_MAX];
	struct manifest *m = sample(*state);
	struct stat st;
	uint8_t *data;
	int fd;

	assert_true(whole(m));
	manifest_close(m);
	snprintf(path, sizeof(path), "%s/3", (char *)*state);
	fd = open(path, O_RDWR);
	assert_int_equal(fstat(fd, &st), 0);
	data = malloc((size_t)st.st_size);
	assert_int_equal(read(fd, data, (size_t)st.st_size), st.st_size);
	for (off_t i = 0; i < st.st_size; i++) {
		uint8_t flipped = data[i] ^ 0x40;

		/* Behind its fields the header page is padding. */
		if (i >= (off_t)sizeof(struct manifest_header) && i < MANIFEST_HEADER)
			continue;
		assert_int_equal(pwrite(fd, &flipped, 1, i), 1);
		if (!manifest_open(*state, 3, &m, NULL)) {
			assert_false(whole(m));
			manifest_close(m);
		}
		assert_int_equal(pwrite(fd, &data[i], 1, i), 1);
	}
	for (off_t len = 0; len < st.st_size; len += 97) {
		assert_int_equal(pwrite(fd, data, (size_t)st.st_size, 0), st.st_size);
		assert_int_equal(ftruncate(fd, len), 0);
		assert_int_equal(manifest_open(*state, 3, &m, NULL), -EUCLEAN);
	}
	free(data);
	close(fd);
	assert_int_equal(manifest_open(*state, 4, &m, NULL), -ENOENT);
}

static void forget(void *ctx, uint32_t pos, struct manifest_node *node)
{
	(void)ctx;
	(void)pos;
	(void)node;
}

static void sealing_keeps_every_number(void **state)
{
	char copy[PATH_MAX];
	struct hash hashes[2] = {{{1}}, {{2}}};
	struct hash digest;
	struct manifest *m = sample(*state);
	struct manifest *sealed;

	snprintf(copy, sizeof(copy), "%s/sealed", (char *)*state);
	assert_int_equal(mkdir(copy, 0700), 0);
	assert_false(manifest_sealed(m));
	assert_int_equal(manifest_hash_count(m), 2);
	assert_int_equal(manifest_seal(m, copy, hashes, forget, NULL, &digest), 0);
	assert_int_equal(manifest_open(copy, 3, &sealed, NULL), 0);
	assert_true(manifest_sealed(sealed));
	assert_memory_equal(manifest_digest(sealed), &digest, sizeof(digest));
	for (uint32_t i = 0; i < manifest_count(m); i++)
		assert_memory_equal(manifest_at(m, i), manifest_at(sealed, i),
				    sizeof(struct manifest_node));
	assert_int_equal(manifest_hash(sealed, 1)->octet[0], 2);
	manifest_close(sealed);
	manifest_close(m);
}

static void what_the_journal_says_is_learned_and_a_torn_tail_is_not(void **state)
{
	char dir[PATH_MAX];
	char path[PATH_MAX + 8];
	struct fill_record record = {
		.flags = FILL_DRIFT, .mode = S_IFREG | 0600, .size = 99, .hash = {{9}}};
	struct fill_record known;
	struct manifest_node node;
	struct version_progress p;
	struct version *v;
	struct manifest *m;
	uint32_t env;
	int fd;

	snprintf(dir, sizeof(dir), "%s/manifests", (char *)*state);
	assert_int_equal(mkdir(dir, 0700), 0);
	m = sample(dir);
	env = manifest_at(m, find(m, "usr/bin/env"))->link;
	manifest_close(m);
	record.pos = env;
	fd = fill_open(dir, 3, 0);
	assert_true(fd >= 0);
	assert_int_equal(fill_write(fd, &record, 1), 0);
	record.size = 100;
	assert_int_equal(fill_write(fd, &record, 1), 0);
	assert_int_equal(write(fd, &record, sizeof(record)), sizeof(record)); /* no header */
	close(fd);
	assert_int_equal(version_open(*state, 3, &v, NULL), 0);
	assert_true(version_known(v, env, &known));
	assert_int_equal(known.size, 100);
	assert_int_equal(version_node(v, env, &node), 0);
	assert_int_equal(node.size, 100);
	version_progress(v, &p);
	assert_int_equal(p.files, 2);
	assert_int_equal(p.copied, 1);
	assert_int_equal(p.drifted, 1);
	version_unref(v);
	snprintf(path, sizeof(path), "%s/3.fill", dir);
	assert_int_equal(truncate(path, 100), 0); /* within the second record */
	assert_int_equal(version_open(*state, 3, &v, NULL), 0);
	assert_int_equal(version_node(v, env, &node), 0);
	assert_int_equal(node.size, 99);
	version_unref(v);
}

#define SCRATCH(fn) cmocka_unit_test_setup_teardown(fn, unit_dir_setup, unit_dir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCRATCH(a_written_tree_reads_back),
		SCRATCH(the_builder_replaces_and_removes_whole_trees),
		SCRATCH(pruning_takes_whole_trees_and_keeps_the_rest),
		SCRATCH(a_cut_or_flipped_manifest_is_refused),
		SCRATCH(sealing_keeps_every_number),
		SCRATCH(what_the_journal_says_is_learned_and_a_torn_tail_is_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

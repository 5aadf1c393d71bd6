/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The order in which boots read decides the order of the next version's fill.
 */
#include "tests/unit/site.h"

#include <signal.h>
#include <sys/resource.h>

#include "common/log.h"
#include "fsd/hot.h"
#include "fsd/version.h"

struct bench {
	struct site site;
	struct db *trace;
	struct hot *hot;
};

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	site_init(&b->site);
	assert_int_equal(db_open(b->site.state, &schema_trace, DB_CREATE, &b->trace, NULL), 0);
	assert_int_equal(hot_new(&b->hot), 0);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	hot_free(b->hot);
	db_close(b->trace);
	site_fini(&b->site);
	free(b);
	return 0;
}

static void note(struct bench *b, uint32_t version, uint32_t pos, uint32_t us)
{
	assert_false(hot_note(b->hot, version, pos, us));
}

static uint32_t order(struct bench *b, uint32_t version, uint32_t **list)
{
	cleanup(version_unrefp) struct version *v = NULL;
	uint32_t n;

	assert_int_equal(version_open(b->site.state, version, &v, NULL), 0);
	assert_int_equal(hot_order(b->site.db, b->trace, b->site.state, version,
				   version_manifest(v), list, &n),
			 0);
	return n;
}

static void the_earliest_of_all_boots_counts(void **state)
{
	struct bench *b = *state;
	cleanup(freep) uint32_t *list = NULL;
	uint32_t files;
	uint32_t boots;
	uint32_t v;

	site_write(b->site.origin, "a", "1", 1);
	site_write(b->site.origin, "b", "2", 1);
	site_write(b->site.origin, "c", "3", 1);
	v = site_image(&b->site, false);
	assert_int_equal(order(b, v, &list), 0);
	assert_null(list);
	note(b, v, 3, 100);
	note(b, v, 1, 200);
	assert_int_equal(hot_flush(b->hot, b->trace), 0);
	/* another boot, and another flush, of the same */
	note(b, v, 2, 300);
	note(b, v, 1, 50);
	note(b, v, 3, 400);
	assert_int_equal(hot_flush(b->hot, b->trace), 0);
	assert_int_equal(hot_flush(b->hot, b->trace), 0); /* nothing twice */
	assert_int_equal(hot_count(b->trace, v, &files, &boots), 0);
	assert_int_equal(files, 3);
	assert_int_equal(boots, 2);
	assert_int_equal(order(b, v, &list), 3);
	assert_int_equal(list[0], 1);
	assert_int_equal(list[1], 3);
	assert_int_equal(list[2], 2);
}

static void what_is_noted_is_checked(void **state)
{
	struct bench *b = *state;
	cleanup(freep) uint32_t *list = NULL;
	char path[256];
	uint32_t v;

	site_write(b->site.origin, "a", "1", 1);
	snprintf(path, sizeof(path), "%s/d", b->site.origin);
	assert_int_equal(mkdir(path, 0755), 0);
	v = site_image(&b->site, false);
	note(b, v, 0, 1);	   /* the root */
	note(b, v, 2, 2);	   /* a directory */
	note(b, v, 1u << 29, 3);   /* nothing */
	note(b, v, UINT32_MAX, 4); /* nor that */
	note(b, v, 1, 5);
	assert_int_equal(hot_flush(b->hot, b->trace), 0);
	assert_int_equal(order(b, v, &list), 1);
	assert_int_equal(list[0], 1);
}

static void too_much_is_not_kept(void **state)
{
	struct bench *b = *state;
	uint32_t files;
	uint32_t boots;
	uint32_t v;

	site_write(b->site.origin, "a", "1", 1);
	v = site_image(&b->site, false);
	for (uint32_t i = 0; i < HOT_FILES + 100; i++) {
		if (hot_note(b->hot, v, i, HOT_FILES + 100 - i))
			assert_int_equal(hot_flush(b->hot, b->trace), 0);
	}
	assert_int_equal(hot_flush(b->hot, b->trace), 0);
	note(b, v + 1, 1, 1); /* of a version that is no more */
	assert_int_equal(hot_flush(b->hot, b->trace), 0);
	assert_int_equal(hot_trim(b->trace, b->site.db), 0);
	assert_int_equal(hot_count(b->trace, v, &files, &boots), 0);
	assert_int_equal(files, HOT_FILES);
	assert_int_equal(hot_count(b->trace, v + 1, &files, &boots), 0);
	assert_int_equal(files, 0);
	/* the earliest stay */
	assert_int_equal(db_exec(b->trace, "SELECT 1"), 0);
}

static void the_next_version_goes_by_path(void **state)
{
	struct bench *b = *state;
	cleanup(freep) uint32_t *list = NULL;
	char path[256];
	uint32_t first;
	uint32_t second;

	snprintf(path, sizeof(path), "%s/d", b->site.origin);
	assert_int_equal(mkdir(path, 0755), 0);
	site_write(path, "x", "1", 1);
	site_write(b->site.origin, "e", "2", 1);
	site_write(b->site.origin, "went", "3", 1);
	first = site_image(&b->site, false); /* d e went d/x */
	note(b, first, 4, 10);
	note(b, first, 3, 20);
	note(b, first, 2, 30);
	assert_int_equal(hot_flush(b->hot, b->trace), 0);
	site_write(b->site.origin, "a", "new", 3);
	snprintf(path, sizeof(path), "%s/went", b->site.origin);
	assert_int_equal(unlink(path), 0);
	second = site_image(&b->site, false); /* a d e d/x */
	assert_int_equal(order(b, second, &list), 2);
	assert_int_equal(list[0], 4);
	assert_int_equal(list[1], 3);
}

struct journal {
	uint32_t pos[512];
	unsigned int n;
};

static void journal_add(void *ctx, const struct fill_record *record)
{
	struct journal *j = ctx;

	if (j->n < 512)
		j->pos[j->n++] = record->pos;
}

/* The whole way: three hundred new files, and of them the last were read first. */
static void the_fill_goes_by_it(void **state)
{
	struct bench *b = *state;
	struct journal j = {.n = 0};
	struct site_copier copier;
	char name[16];
	struct rlimit limit;
	struct rlimit small;
	char path[256];
	uint32_t first;
	uint32_t second;
	uint64_t good;

	enum { FILES = 300, HOT = 20 };

	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "f%03d", i);
		site_write(b->site.origin, name, name, 4);
	}
	snprintf(path, sizeof(path), "%s/f000", b->site.origin);
	assert_int_equal(truncate(path, 2 << 20), 0);
	first = site_image(&b->site, false);
	for (uint32_t i = 0; i < HOT; i++)
		note(b, first, FILES - i, i * 10);
	assert_int_equal(hot_flush(b->hot, b->trace), 0);
	second = site_image(&b->site, true);
	/* the first is not in the way */
	assert_int_equal(db_exec(b->site.db, "UPDATE version SET sealed = 1 WHERE id = 1"), 0);
	/* one that is too large keeps the version from its seal, and the journal there */
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	small = limit;
	small.rlim_cur = 1 << 20;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	snprintf(path, sizeof(path), "%s/manifests", b->site.state);
	site_copier_start(&b->site, &copier);
	unit_wait((j.n = 0, !fill_read(path, second, journal_add, &j, &good) && j.n >= HOT));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	site_copier_stop(&copier);
	assert_true(j.n >= HOT);
	/* two threads, so each may be a place or two off, and the last behind the next */
	for (uint32_t i = 0; i < HOT - 3; i++)
		assert_in_range(j.pos[i], FILES - HOT + 1, FILES);
	assert_in_range(j.pos[0], FILES - 3, FILES);
}

#define BENCH(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH(the_earliest_of_all_boots_counts),
		BENCH(what_is_noted_is_checked),
		BENCH(too_much_is_not_kept),
		BENCH(the_next_version_goes_by_path),
		BENCH(the_fill_goes_by_it),
	};

	log_init("test", getenv("VERBOSE") ? LOG_LEVEL_DEBUG : LOG_LEVEL_NONE);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

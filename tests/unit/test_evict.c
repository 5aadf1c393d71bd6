/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A full store: what goes, what stays, and what those notice who read.
 */
#include "tests/unit/site.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include <openssl/sha.h>

#include "common/log.h"
#include "fsd/evict.h"
#include "fsd/version.h"
#include "fsd/view.h"

enum { BODY = 200000 };

static int setup(void **state)
{
	struct site *s = calloc(1, sizeof(*s));

	site_init(s);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	site_fini(*state);
	free(*state);
	return 0;
}

static struct hash sum_of(const void *data, size_t len)
{
	struct hash hash;

	SHA256(data, len, hash.octet);
	return hash;
}

static bool there(struct site *s, const char *text)
{
	const struct hash hash = sum_of(text, strlen(text));

	return objects_has(s->objects, &hash);
}

static void learn(void *ctx, const struct fill_record *record)
{
	version_learn(ctx, record);
}

/* What the copier does for the file at `pos`. */
static void copied(struct site *s, uint32_t version, uint32_t pos, const char *text)
{
	cleanup(version_unrefp) struct version *v = NULL;
	struct fill_record record;
	struct manifest_node n;
	char path[256];
	uint64_t good;
	int fd;

	assert_int_equal(version_open(s->state, version, &v, NULL), 0);
	assert_int_equal(version_node(v, pos, &n), 0);
	record = (struct fill_record){.pos = pos,
				      .mode = n.mode,
				      .uid = n.uid,
				      .gid = n.gid,
				      .size = n.size,
				      .mtime_sec = n.mtime_sec,
				      .mtime_nsec = n.mtime_nsec};
	assert_int_equal(objects_put_bytes(s->objects, text, strlen(text), &record.hash), 0);
	snprintf(path, sizeof(path), "%s/manifests", s->state);
	assert_int_equal(fill_read(path, version, learn, v, &good), 0);
	fd = fill_open(path, version, good);
	assert_true(fd >= 0);
	assert_int_equal(fill_write(fd, &record, 1), 0);
	close(fd);
}

static struct evicted make_room(struct site *s, uint64_t bytes)
{
	struct evicted out;
	struct why why = {""};

	if (evict(s->db, s->state, NULL, bytes, &out, &why))
		fail_msg("%s", why.text);
	return out;
}

static void only_what_can_come_again_goes(void **state)
{
	struct site *s = *state;
	struct evicted out;
	struct entry_spec spec;
	uint32_t version;
	struct hash hash;

	/* positions 1 to 4, by name */
	site_write(s->origin, "a", "same", 4);
	site_write(s->origin, "b", "changed", 7);
	site_write(s->origin, "c", "shared", 6);
	site_write(s->origin, "d", "vanished", 8);
	version = site_image(s, false);
	copied(s, version, 1, "same");
	copied(s, version, 2, "changed");
	copied(s, version, 3, "shared");
	copied(s, version, 4, "vanished");
	assert_int_equal(objects_put_bytes(s->objects, "nobody's", 8, &hash), 0);
	spec = site_file(s, "shared");
	assert_int_equal(site_change(s, (struct scope){SCOPE_ALL, 0}, "x", &spec, NULL, NULL), 0);
	usleep(20000);
	site_write(s->origin, "b", "anotherone", 10);
	{
		char path[256];

		snprintf(path, sizeof(path), "%s/d", s->origin);
		assert_int_equal(unlink(path), 0);
	}
	/* a fill's wish takes garbage alone */
	out = make_room(s, 0);
	assert_int_equal(out.garbage.files, 1);
	assert_int_equal(out.files.files, 0);
	assert_false(there(s, "nobody's"));
	out = make_room(s, UINT64_MAX);
	assert_int_equal(out.garbage.files, 0);
	assert_int_equal(out.files.files, 1);
	assert_false(there(s, "same"));
	assert_true(there(s, "changed"));
	assert_true(there(s, "shared"));
	assert_true(there(s, "vanished"));
}

static void two_versions_must_agree(void **state)
{
	struct site *s = *state;
	uint32_t first;
	uint32_t second;

	site_write(s->origin, "a", "same", 4);
	site_write(s->origin, "b", "other", 5);
	first = site_image(s, false);
	copied(s, first, 1, "same");
	copied(s, first, 2, "other");
	usleep(20000);
	/* the second knows "a" as it is now, with the same bytes and another time */
	site_write(s->origin, "a", "same", 4);
	second = site_image(s, false);
	copied(s, second, 1, "same");
	assert_int_equal(make_room(s, UINT64_MAX).files.files, 1);
	assert_true(there(s, "same")); /* the first could not have it as it was */
	assert_false(there(s, "other"));
}

static void an_origin_that_is_gone_keeps_all(void **state)
{
	struct site *s = *state;
	char aside[256];
	uint32_t version;

	site_write(s->origin, "a", "same", 4);
	version = site_image(s, false);
	copied(s, version, 1, "same");
	snprintf(aside, sizeof(aside), "%s/aside", s->dir);
	assert_int_equal(rename(s->origin, aside), 0);
	assert_int_equal(make_room(s, UINT64_MAX).files.files, 0);
	assert_true(there(s, "same"));
}

static void the_coldest_goes_first(void **state)
{
	struct site *s = *state;
	uint32_t version;
	struct hash hash;
	char byte;
	int fd;

	site_write(s->origin, "a", "old and read", 12);
	site_write(s->origin, "b", "new", 3);
	site_write(s->origin, "c", "newer", 5);
	version = site_image(s, false);
	copied(s, version, 1, "old and read");
	usleep(20000);
	copied(s, version, 2, "new");
	usleep(20000);
	copied(s, version, 3, "newer");
	hash = sum_of("old and read", 12);
	fd = objects_get(s->objects, &hash, 12);
	assert_int_equal(read(fd, &byte, 1), 1);
	close(fd);
	assert_int_equal(make_room(s, 1).files.files, 1);
	assert_false(there(s, "new"));
	assert_int_equal(make_room(s, 1).files.files, 1);
	assert_false(there(s, "newer"));
	assert_true(there(s, "old and read"));
}

static void whoever_puts_keeps_all(void **state)
{
	struct site *s = *state;
	cleanup(objects_closep) struct objects *putting = NULL;
	struct evicted out;
	struct hash hash;

	assert_int_equal(objects_open(s->state, STORE_OBJECTS, true, &putting, NULL), 0);
	assert_int_equal(objects_hold(putting, false), 0);
	assert_int_equal(objects_put_bytes(putting, "not yet named", 13, &hash), 0);
	assert_int_equal(evict(s->db, s->state, NULL, UINT64_MAX, &out, NULL), -EWOULDBLOCK);
	assert_true(objects_has(s->objects, &hash));
	objects_release(putting);
	assert_int_equal(make_room(s, 0).garbage.files, 1);
}

/* ---- with a copier, on a file system that is too small ---- */

#define must(x)                                                                                    \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "line %d: %s\n", __LINE__, #x);                            \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

#define must_be(x)                                                                                 \
	do {                                                                                       \
		struct instant must_until = instant_add_ms(instant_now(), UNIT_PATIENCE_MS);       \
		while (!(x)) {                                                                     \
			must(instant_now().ns < must_until.ns);                                    \
			usleep(5000);                                                              \
		}                                                                                  \
	} while (0)

struct small {
	struct site *site;
	struct site_copier copier;
	struct views *views;
	struct view *view;
	struct contents *contents;
	uint32_t version;
};

static void small_body(char body[static BODY], int i)
{
	memset(body, 'a' + i, BODY);
}

static int small_open(struct small *t, int i, struct content **c)
{
	char name[16];
	uint32_t node;

	snprintf(name, sizeof(name), "f%02d", i);
	must(!view_resolve(t->view, VIEW_ROOT, name, false, &node));
	return contents_open_wait(t->contents, t->view, node, c);
}

static void small_is(const struct content *c, int i)
{
	char *have = malloc(BODY);
	char *want = malloc(BODY);

	small_body(want, i);
	must(content_pread(c, have, BODY, 0) == BODY && !memcmp(have, want, BODY));
	free(have);
	free(want);
}

static void small_read(struct small *t, int i)
{
	struct content *c;

	must(!small_open(t, i, &c));
	small_is(c, i);
	content_unref(c);
}

/* How many are in the store; *lacks is one that is not. */
static int small_stored(const struct small *t, int *lacks)
{
	char *body = malloc(BODY);
	int n = 0;

	for (int i = 0; i < 20; i++) {
		struct hash hash;

		small_body(body, i);
		hash = sum_of(body, BODY);
		if (objects_has(t->site->objects, &hash))
			n++;
		else
			*lacks = i;
	}
	free(body);
	return n;
}

/* 20 files of 200 kB in 2 MB. */
static void small_life(struct site *s, const char *path)
{
	struct small t = {.site = s};
	struct content *held;
	char *body = malloc(BODY);
	char name[32];
	struct content *c;
	int evicted = -1;
	int r;

	t.version = site_image(s, false);
	must(!views_open(s->state, &t.views, NULL));
	must(!views_get(t.views, 0, t.version, UINT64_MAX, &t.view));
	must(!contents_new(s->state, 16, &t.contents, NULL));
	site_copier_start(s, &t.copier);
	must(!small_open(&t, 0, &held));
	/* Whatever is read is right, twice over, though a half of it only fits. */
	for (int i = 0; i < 40; i++)
		small_read(&t, i % 20);
	must(!site_is_sealed(s, t.version));
	small_is(held, 0);
	/* Kept in place of others, once those who had these open let them go. */
	for (int i = 0; small_stored(&t, &evicted) < 4; i++) {
		must(i < 2000);
		small_read(&t, i % 20);
		usleep(10000);
	}
	/* What was given out and went is not to be another when it comes again. */
	contents_free(t.contents);
	must(!contents_new(s->state, 16, &t.contents, NULL));
	snprintf(name, sizeof(name), "f%02d", evicted);
	memset(body, 'Z', BODY);
	usleep(20000);
	site_write(s->origin, name, body, BODY);
	r = small_open(&t, evicted, &c);
	must(!r || r == -EIO);
	if (!r) { /* it was on its way into the store when we looked */
		small_is(c, evicted);
		content_unref(c);
	}
	small_is(held, 0);
	content_unref(held);
	/* Room: all is filled in, and sealed. */
	must(!mount("tmpfs", path, NULL, MS_REMOUNT, "size=16m"));
	must_be(site_is_sealed(s, t.version));
	site_copier_stop(&t.copier);
	_exit(0);
}

static void a_small_store_serves_all(void **state)
{
	struct site *s = *state;
	char *body = malloc(BODY);
	char path[256];
	pid_t pid;
	int status;

	for (int i = 0; i < 20; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%02d", i);
		small_body(body, i);
		site_write(s->origin, name, body, BODY);
	}
	free(body);
	snprintf(path, sizeof(path), "%s/objects", s->state);
	pid = fork();
	if (!pid) {
		if (unshare(CLONE_NEWNS) || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		    mount("tmpfs", path, "tmpfs", 0, "size=2m,mode=750"))
			_exit(77);
		objects_close(s->objects); /* it has the other directory open */
		must(!objects_open(s->state, STORE_OBJECTS, true, &s->objects, NULL));
		small_life(s, path);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip(); /* may not mount */
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define SITE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SITE(only_what_can_come_again_goes),	SITE(two_versions_must_agree),
		SITE(an_origin_that_is_gone_keeps_all), SITE(the_coldest_goes_first),
		SITE(whoever_puts_keeps_all),		SITE(a_small_store_serves_all),
	};

	log_init("test", getenv("VERBOSE") ? LOG_LEVEL_DEBUG : LOG_LEVEL_NONE);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

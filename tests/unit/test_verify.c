/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a store makes of a writer that did not end cleanly, and of bytes that are not
 * what their name says.
 */
#include "tests/unit/site.h"

#include <signal.h>
#include <sys/wait.h>

#include <openssl/sha.h>

#include "common/log.h"
#include "fsd/mark.h"
#include "fsd/verify.h"
#include "fsd/view.h"

struct told {
	unsigned int n;
	enum verify_end end;
	bool absent;
	char names[512];
};

static void tell(void *ctx, enum verify_end end, bool absent, const struct hash *hash,
		 const char *names)
{
	struct told *t = ctx;

	(void)hash;
	t->n++;
	t->end = end;
	t->absent = absent;
	snprintf(t->names, sizeof(t->names), "%s", names);
}

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

static void object_path(struct site *s, const char *text, char out[static PATH_MAX])
{
	char name[2 * HASH_LEN + 1];
	struct hash hash;

	SHA256((const uint8_t *)text, strlen(text), hash.octet);
	hash_format(&hash, name);
	snprintf(out, PATH_MAX, "%s/objects/%.2s/%s", s->state, name, name + 2);
}

/* What a disk makes of it. */
static void spoil(struct site *s, const char *text, const char *with)
{
	char path[PATH_MAX];
	int fd;

	object_path(s, text, path);
	fd = open(path, O_WRONLY | O_TRUNC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, with, strlen(with)), strlen(with));
	close(fd);
}

static bool there(struct site *s, const char *text)
{
	char path[PATH_MAX];

	object_path(s, text, path);
	return !access(path, F_OK);
}

static int get(struct site *s, const char *text)
{
	struct hash hash;
	int fd;

	SHA256((const uint8_t *)text, strlen(text), hash.octet);
	fd = objects_get(s->objects, &hash, (int64_t)strlen(text));
	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

static struct verify_found check(struct site *s, bool mend, struct told *told)
{
	const struct verify v = {.state_dir = s->state,
				 .store = STORE_OBJECTS,
				 .mend = mend,
				 .tell = tell,
				 .ctx = told};
	struct verify_found found;
	struct why why = {""};

	*told = (struct told){0};
	if (verify(s->db, &v, &found, &why))
		fail_msg("%s", why.text);
	return found;
}

static uint32_t sealed_image(struct site *s)
{
	uint32_t version = site_image(s, false);
	struct site_copier copier;

	site_copier_start(s, &copier);
	unit_wait(site_is_sealed(s, version));
	site_copier_stop(&copier);
	return version;
}

/* The bytes of `path`, or "" and *r. */
static const char *read_file(struct site *s, uint32_t version, const char *path, int *r)
{
	static char text[64];
	cleanup(views_closep) struct views *views = NULL;
	cleanup(view_unrefp) struct view *view = NULL;
	cleanup(contents_freep) struct contents *contents = NULL;
	struct content *c = NULL;
	uint32_t node;

	memset(text, 0, sizeof(text));
	assert_int_equal(views_open(s->state, &views, NULL), 0);
	assert_int_equal(views_get(views, 0, version, UINT64_MAX, &view), 0);
	assert_int_equal(contents_new(s->state, 16, &contents, NULL), 0);
	assert_int_equal(view_resolve(view, VIEW_ROOT, path, false, &node), 0);
	*r = contents_open_wait(contents, view, node, &c);
	if (!*r) {
		assert_in_range(content_pread(c, text, sizeof(text) - 1, 0), 0, sizeof(text));
		content_unref(c);
	}
	return text;
}

static void a_whole_store_is_whole(void **state)
{
	struct site *s = *state;
	struct verify_found found;
	struct told told;

	site_write(s->origin, "f", "hello", 5);
	site_write(s->origin, "empty", "", 0);
	sealed_image(s);
	found = check(s, true, &told);
	assert_int_equal(found.files, 2);
	assert_int_equal(found.bytes, 5);
	assert_int_equal(told.n, 0);
}

static void damage_is_healed_from_an_origin(void **state)
{
	struct site *s = *state;
	struct verify_found found;
	struct told told;

	site_write(s->origin, "f", "hello", 5);
	sealed_image(s);
	spoil(s, "hello", "hullo");
	found = check(s, false, &told); /* to look changes nothing */
	assert_int_equal(found.lost, 1);
	assert_int_equal(told.end, VERIFY_FOUND);
	assert_true(there(s, "hello"));
	found = check(s, true, &told);
	assert_int_equal(found.healed, 1);
	assert_int_equal(told.end, VERIFY_HEALED);
	assert_string_equal(told.names, "img@1 /f");
	assert_int_equal(check(s, true, &told).healed, 0);
}

static void what_no_origin_has_is_set_aside(void **state)
{
	struct site *s = *state;
	struct verify_found found;
	struct entry_spec spec;
	struct told told;
	char path[PATH_MAX];
	uint32_t version;
	struct stat st;
	int r;

	site_write(s->origin, "f", "hello", 5);
	version = sealed_image(s);
	site_write(s->origin, "f", "other", 5);
	spec = site_file(s, "hello");
	assert_int_equal(
		site_change(s, (struct scope){SCOPE_ALL, 0}, "etc/motd", &spec, NULL, NULL), 0);
	spoil(s, "hello", "hullo");
	found = check(s, true, &told);
	assert_int_equal(found.lost, 1);
	assert_int_equal(told.end, VERIFY_LOST);
	assert_string_equal(told.names, "img@1 /f, all /etc/motd");
	assert_false(there(s, "hello"));
	snprintf(path, sizeof(path), "%s/objects/damaged", s->state);
	assert_int_equal(stat(path, &st), 0);
	{
		struct site_copier copier;

		site_copier_start(s, &copier);
		assert_string_equal(read_file(s, version, "f", &r), "");
		assert_int_equal(r, -EIO);
		/* the same bytes, from anywhere, make it good */
		site_file(s, "hello");
		assert_string_equal(read_file(s, version, "f", &r), "hello");
		site_copier_stop(&copier);
	}
	assert_int_equal(check(s, true, &told).lost, 0);
}

static void the_absent_is_found(void **state)
{
	struct site *s = *state;
	struct told told;
	char path[PATH_MAX];

	site_write(s->origin, "f", "hello", 5);
	sealed_image(s);
	object_path(s, "hello", path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(check(s, true, &told).healed, 1);
	assert_true(told.absent);
	assert_true(there(s, "hello"));
}

static void a_wrong_size_is_never_read(void **state)
{
	struct site *s = *state;
	struct site_copier copier;
	uint32_t version;
	int r;

	site_write(s->origin, "f", "hello", 5);
	version = sealed_image(s);
	spoil(s, "hello", "");
	site_write(s->origin, "f", "other", 5); /* it cannot be mended */
	assert_int_equal(get(s, "hello"), -EBADMSG);
	site_copier_start(s, &copier);
	assert_string_equal(read_file(s, version, "f", &r), "");
	assert_int_equal(r, -EIO);
	site_copier_stop(&copier);
	/* who puts the bytes anew is not told that they are there */
	site_file(s, "hello");
	assert_int_equal(get(s, "hello"), 0);
}

/* A writer that is killed with its mark; what it put is `text`. */
static void killed_writer(struct site *s, const char *text)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		struct objects *o;
		struct hash hash;

		if (objects_open(s->state, STORE_OBJECTS, true, &o, NULL) ||
		    objects_hold(o, false) || objects_mark(o) ||
		    objects_put_bytes(o, text, strlen(text), &hash))
			_exit(1);
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void a_mark_tells_of_an_unclean_end(void **state)
{
	struct site *s = *state;
	struct objects *o;
	int64_t since;
	int64_t again;

	assert_int_equal(objects_suspect(s->objects, &since), 0);
	assert_int_equal(objects_open(s->state, STORE_OBJECTS, true, &o, NULL), 0);
	assert_int_equal(objects_mark(o), 0);
	/* it lives: no word against it */
	assert_int_equal(objects_suspect(s->objects, &since), 0);
	objects_close(o);
	assert_int_equal(objects_suspect(s->objects, &since), 0);
	killed_writer(s, "x");
	assert_int_equal(objects_suspect(s->objects, &since), 1);
	assert_true(since > 0 && since < wall_now_ns());
	/* it stays so, whoever ends cleanly after that */
	assert_int_equal(objects_open(s->state, STORE_OBJECTS, true, &o, NULL), 0);
	assert_int_equal(objects_mark(o), 0);
	objects_close(o);
	assert_int_equal(objects_suspect(s->objects, &again), 1);
	assert_true(again == since);
	/* what was verified for a later time only is not enough */
	assert_int_equal(objects_trust(s->objects, since + 1), 0);
	assert_int_equal(objects_suspect(s->objects, &again), 1);
	assert_int_equal(objects_trust(s->objects, since), 0);
	assert_int_equal(objects_suspect(s->objects, &again), 0);
}

static void a_mark_that_cannot_be_read_means_all(void **state)
{
	struct site *s = *state;
	char path[256];
	int64_t since = -1;

	snprintf(path, sizeof(path), "%s/objects", s->state);
	site_write(path, "w0123456789abcdef", "", 0);
	assert_int_equal(objects_suspect(s->objects, &since), 1);
	assert_int_equal(since, 0);
}

static void a_suspect_is_not_believed(void **state)
{
	struct site *s = *state;
	int64_t since;

	killed_writer(s, "hello");
	objects_close(s->objects);
	{

		assert_int_equal(objects_open(s->state, STORE_OBJECTS, true, &s->objects, NULL), 0);
	}
	assert_int_equal(get(s, "hello"), 0);
	spoil(s, "hello", "hullo");
	assert_int_equal(get(s, "hello"), -EBADMSG);
	assert_int_equal(objects_suspect(s->objects, &since), 1);
	assert_int_equal(get(s, "hello"), -EBADMSG);
}

/* The whole way: a copier is killed, the disk has spoilt what it wrote, the next one
 * finds out by itself. */
static void the_next_copier_verifies(void **state)
{
	struct site *s = *state;
	struct site_copier copier;
	uint32_t version;
	int64_t since;
	pid_t pid;
	int r;

	site_write(s->origin, "f", "hello", 5);
	site_write(s->origin, "g", "world", 5);
	site_write(s->origin, "h", "there", 5);
	version = site_image(s, false);
	pid = fork();
	if (!pid) {
		struct copier_config config = {
			.state_dir = s->state, .sealed = site_sealed, .ctx = s};

		if (copier_listen(s->state, &config.listen_fd, &config.lock_fd, NULL))
			_exit(1);
		_exit(copier_child(&config));
	}
	unit_wait(site_is_sealed(s, version));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	spoil(s, "hello", "hullo");
	spoil(s, "world", "");
	site_write(s->origin, "g", "later", 5);
	site_copier_start(s, &copier);
	unit_wait(!objects_suspect(s->objects, &since));
	assert_string_equal(read_file(s, version, "f", &r), "hello");
	assert_string_equal(read_file(s, version, "g", &r), "");
	assert_int_equal(r, -EIO);
	assert_string_equal(read_file(s, version, "h", &r), "there");
	site_copier_stop(&copier);
	/* ended cleanly: no word of it */
	assert_int_equal(objects_suspect(s->objects, &since), 0);
}

#define SITE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SITE(a_whole_store_is_whole),
		SITE(damage_is_healed_from_an_origin),
		SITE(what_no_origin_has_is_set_aside),
		SITE(the_absent_is_found),
		SITE(a_wrong_size_is_never_read),
		SITE(a_mark_tells_of_an_unclean_end),
		SITE(a_mark_that_cannot_be_read_means_all),
		SITE(a_suspect_is_not_believed),
		SITE(the_next_copier_verifies),
	};

	log_init("test", getenv("VERBOSE") ? LOG_LEVEL_DEBUG : LOG_LEVEL_NONE);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

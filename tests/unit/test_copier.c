/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The copier with its clients: what the origin does to it, and that nobody ever gets bytes
 * of two states of a file.
 */
#include "tests/unit/copier_unit.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "common/container.h"

static struct view_attr attr_of(struct bench *b, const char *path)
{
	struct view_attr a;
	uint32_t node;

	assert_int_equal(view_resolve(b->view, VIEW_ROOT, path, false, &node), 0);
	assert_int_equal(view_attr(b->view, node, &a), 0);
	return a;
}

__attribute__((format(printf, 2, 3))) static bool exists(struct bench *b, const char *format, ...)
{
	char path[PATH_MAX];
	size_t n = (size_t)snprintf(path, sizeof(path), "%s/", b->site.state);
	va_list ap;

	va_start(ap, format);
	vsnprintf(path + n, sizeof(path) - n, format, ap);
	va_end(ap);
	return !access(path, F_OK);
}

static void a_miss_is_copied_and_then_a_hit(void **state)
{
	struct bench *b = *state;
	struct content *c;
	uint32_t node;

	site_write(b->site.origin, "f", "hello", 5);
	bench_add(b, false);
	assert_int_equal(view_resolve(b->view, VIEW_ROOT, "f", false, &node), 0);
	assert_int_equal(contents_open(b->contents, b->view, node, &c, NULL), -EAGAIN);
	bench_copier(b);
	reads_as(b, "f", "hello");
	bench_stop(b);
	reads_as(b, "f", "hello"); /* from the cache, or the store */
	assert_int_equal(contents_open(b->contents, b->view, VIEW_ROOT, &c, NULL), -EISDIR);
	assert_int_equal(verify_store(b), 1);
}

static void all_is_sealed_in_the_end(void **state)
{
	struct bench *b = *state;
	cleanup(version_unrefp) struct version *v = NULL;
	struct version_progress p;
	char name[16];
	char path[PATH_MAX];

	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		site_write(b->site.origin, name, name, strlen(name));
	}
	bench_add(b, false);
	bench_copier(b);
	wait_sealed(b);
	assert_int_equal(verify_store(b), 300);
	unit_wait(!exists(b, "manifests/%u.fill", b->version));
	assert_int_equal(version_open(b->site.state, b->version, &v, NULL), 0);
	assert_true(manifest_sealed(version_manifest(v)));
	version_progress(v, &p);
	assert_int_equal(p.copied, 300);
	assert_int_equal(p.drifted + p.gone, 0);
	/* whoever has the old manifest and asks is served; then the origin may go */
	reads_as(b, "f7", "f7");
	snprintf(path, sizeof(path), "%s/f8", b->site.origin);
	assert_int_equal(unlink(path), 0);
	site_write(b->site.origin, "f9", "other", 5);
	reads_as(b, "f8", "f8");
	reads_as(b, "f9", "f9");
	assert_true(views_poll(b->views));
	view_unref(b->view);
	assert_int_equal(views_get(b->views, 0, b->version, UINT64_MAX, &b->view), 0);
	reads_as(b, "f10", "f10");
}

static void drift_is_adopted_whole(void **state)
{
	struct bench *b = *state;
	struct version_progress p;
	cleanup(version_unrefp) struct version *v = NULL;
	char path[PATH_MAX];

	site_write(b->site.origin, "same", "same", 4);
	site_write(b->site.origin, "longer", "x", 1);
	bench_add(b, false);
	site_write(b->site.origin, "longer", "much longer", 11);
	snprintf(path, sizeof(path), "%s/longer", b->site.origin);
	assert_int_equal(chmod(path, 0600), 0);
	bench_copier(b);
	reads_as(b, "longer", "much longer");
	assert_int_equal(attr_of(b, "longer").size, 11);
	assert_int_equal(attr_of(b, "longer").mode, S_IFREG | 0600);
	reads_as(b, "same", "same");
	wait_sealed(b);
	assert_int_equal(version_open(b->site.state, b->version, &v, NULL), 0);
	assert_int_equal(manifest_bytes(version_manifest(v)), 15);
	version_progress(v, &p);
	assert_int_equal(p.copied, 2);
}

static void drift_shows_through_changed_attributes(void **state)
{
	const struct entry_spec attr = {
		.kind = ENTRY_ATTR, .flags = ENTRY_OWNER_SET, .uid = 5, .gid = 6};
	struct bench *b = *state;

	assert_int_equal(db_exec(b->site.db, "INSERT INTO host (id, name, added, changed) VALUES"
					     " (1, 'amy', 0, 0)"),
			 0);
	site_write(b->site.origin, "f", "x", 1);
	assert_int_equal(
		site_change(&b->site, (struct scope){SCOPE_HOST, 1}, "f", &attr, NULL, NULL), 0);
	bench_add(b, false);
	view_unref(b->view);
	assert_int_equal(views_get(b->views, 1, b->version, UINT64_MAX, &b->view), 0);
	site_write(b->site.origin, "f", "longer", 6);
	bench_copier(b);
	reads_as(b, "f", "longer");
	assert_int_equal(attr_of(b, "f").size, 6);
	assert_int_equal(attr_of(b, "f").uid, 5);
}

static void what_vanished_is_an_error(void **state)
{
	struct bench *b = *state;
	char path[PATH_MAX];

	site_write(b->site.origin, "gone", "x", 1);
	site_write(b->site.origin, "dir", "x", 1);
	site_write(b->site.origin, "stays", "x", 1);
	bench_add(b, false);
	snprintf(path, sizeof(path), "%s/gone", b->site.origin);
	assert_int_equal(unlink(path), 0);
	snprintf(path, sizeof(path), "%s/dir", b->site.origin);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0755), 0);
	bench_copier(b);
	reads_not(b, "gone", -EIO);
	reads_not(b, "dir", -EIO);
	reads_as(b, "stays", "x");
	wait_sealed(b);
	assert_true(views_poll(b->views));
	view_unref(b->view);
	assert_int_equal(views_get(b->views, 0, b->version, UINT64_MAX, &b->view), 0);
	reads_not(b, "gone", -EIO);
	reads_as(b, "stays", "x");
}

static void strict_adopts_nothing(void **state)
{
	struct bench *b = *state;

	site_write(b->site.origin, "drifts", "x", 1);
	site_write(b->site.origin, "stays", "x", 1);
	bench_add(b, true);
	site_write(b->site.origin, "drifts", "yy", 2);
	bench_copier(b);
	reads_not(b, "drifts", -EIO);
	reads_as(b, "stays", "x");
	assert_int_equal(attr_of(b, "drifts").size, 1);
}

/* An origin that is a mount point whose file system was taken off must not be the end
 * of all files. */
static void an_origin_may_go_and_come_back(void **state)
{
	struct bench *b = *state;
	char aside[PATH_MAX];

	site_write(b->site.origin, "f", "hello", 5);
	bench_add(b, false);
	snprintf(aside, sizeof(aside), "%s/aside", b->site.dir);
	assert_int_equal(rename(b->site.origin, aside), 0);
	assert_int_equal(mkdir(b->site.origin, 0755), 0); /* there, but nothing is in it */
	bench_copier(b);
	usleep(700000);
	assert_false(site_is_sealed(&b->site, b->version));
	assert_int_equal(rmdir(b->site.origin), 0);
	usleep(300000);
	assert_int_equal(rename(aside, b->site.origin), 0);
	reads_as(b, "f", "hello");
	wait_sealed(b);
}

enum { SCRIBBLED = 8, SCRIBBLED_SIZE = 300000 };

struct scribbler {
	const char *origin;
	atomic_bool stop;
	bool held_up; /* so long that two letters were a state of their own */
};

/* One letter all over, another a moment later: by parts, so that most of the time there
 * are two. */
static void *scribble(void *arg)
{
	enum { PART = 25000 };
	struct scribbler *s = arg;
	char *body = malloc(PART);
	struct instant before;
	struct instant now;
	int fds[SCRIBBLED];

	for (int f = 0; f < SCRIBBLED; f++) {
		char path[PATH_MAX];

		snprintf(path, sizeof(path), "%s/f%d", s->origin, f);
		fds[f] = open(path, O_WRONLY | O_CLOEXEC);
	}
	before = instant_now();
	for (int i = 1; !s->stop; i++) {
		memset(body, 'a' + i % 26, PART);
		for (int at = 0; at < SCRIBBLED_SIZE; at += PART) {
			for (int f = 0; f < SCRIBBLED; f++)
				assert_int_equal(pwrite(fds[f], body, PART, at), PART);
			usleep(100);
			now = instant_now();
			s->held_up |= now.ns - before.ns > 5 * NS_PER_MS;
			before = now;
		}
		if (i % 40)
			continue;
		usleep(60000);
		before = instant_now();
	}
	for (int f = 0; f < SCRIBBLED; f++)
		close(fds[f]);
	free(body);
	return NULL;
}

static void bytes_of_two_states_are_never_mixed(void **state)
{
	struct bench *b = *state;
	struct scribbler s = {.origin = b->site.origin};
	char *first = malloc(SCRIBBLED_SIZE);
	pthread_t thread;
	char name[16];
	int mixed = 0;

	memset(first, 'z', SCRIBBLED_SIZE);
	for (int i = 0; i < SCRIBBLED; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		site_write(b->site.origin, name, first, SCRIBBLED_SIZE);
	}
	bench_add(b, false);
	assert_int_equal(pthread_create(&thread, NULL, scribble, &s), 0);
	usleep(1000);
	bench_copier(b);
	for (int i = 0; i < SCRIBBLED; i++) {
		char *have;
		int r;

		snprintf(name, sizeof(name), "f%d", i);
		have = bench_read(b, name, &r);
		assert_true(!r || r == -EIO);
		for (int k = 1; !r && k < SCRIBBLED_SIZE; k++)
			mixed += have[k] != have[0];
		free(have);
	}
	s.stop = true;
	pthread_join(thread, NULL);
	if (mixed && !s.held_up)
		fail_msg("mixed: %d bytes", mixed);
	free(first);
}

struct parked {
	struct content_wait wait;
	int r;
	bool done;
};

static void parked_done(struct content_wait *wait, int r, struct content *content)
{
	struct parked *p = container(wait, struct parked, wait);

	p->r = r;
	p->done = true;
	content_unref(content);
}

static void many_may_wait_and_one_may_leave(void **state)
{
	struct bench *b = *state;
	struct parked parked[5] = {0};
	struct content *c;
	uint32_t node;

	site_write(b->site.origin, "f", "hello", 5);
	bench_add(b, false);
	assert_int_equal(view_resolve(b->view, VIEW_ROOT, "f", false, &node), 0);
	for (int i = 0; i < 5; i++) {
		parked[i].wait.done = parked_done;
		assert_int_equal(contents_open(b->contents, b->view, node, &c, &parked[i].wait),
				 CONTENT_WAIT);
	}
	contents_cancel(b->contents, &parked[2].wait);
	bench_copier(b); /* it comes later than those who ask */
	while (!parked[0].done) {
		struct pollfd p = {.fd = contents_fd(b->contents), .events = POLLIN};

		assert_int_equal(poll(&p, 1, UNIT_PATIENCE_MS), 1);
		contents_dispatch(b->contents);
	}
	for (int i = 0; i < 5; i++) {
		assert_int_equal(parked[i].done, i != 2);
		assert_int_equal(parked[i].r, 0);
	}
	assert_int_equal(verify_store(b) <= 1, true);
}

/* Who is told opens more than is kept open. */
struct greedy {
	struct content_wait wait;
	struct bench *b;
	int r;
	bool done;
	char have[8];
};

static void greedy_done(struct content_wait *wait, int r, struct content *content)
{
	struct greedy *g = container(wait, struct greedy, wait);

	g->r = r;
	g->done = true;
	if (!r && content_pread(content, g->have, sizeof(g->have) - 1, 0) < 0)
		g->r = -EBADF;
	content_unref(content);
	for (int i = 0; i < 40; i++) {
		char name[16];
		uint32_t node;

		snprintf(name, sizeof(name), "f%d", i);
		assert_int_equal(view_resolve(g->b->view, VIEW_ROOT, name, false, &node), 0);
		if (!contents_open(g->b->contents, g->b->view, node, &content, NULL))
			content_unref(content);
	}
}

static void who_is_told_may_open_others(void **state)
{
	struct bench *b = *state;
	struct greedy greedy[3] = {0};
	struct content *c;
	uint32_t node;

	for (int i = 0; i < 40; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%d", i);
		site_write(b->site.origin, name, name, strlen(name));
	}
	site_write(b->site.origin, "last", "last", 4);
	bench_add(b, false);
	bench_copier(b);
	for (int i = 0; i < 40; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%d", i);
		reads_as(b, name, name);
	}
	wait_sealed(b); /* all under their names */
	assert_int_equal(view_resolve(b->view, VIEW_ROOT, "last", false, &node), 0);
	for (int i = 0; i < 3; i++) {
		greedy[i].b = b;
		greedy[i].wait.done = greedy_done;
		assert_int_equal(contents_open(b->contents, b->view, node, &c, &greedy[i].wait),
				 CONTENT_WAIT);
	}
	while (!greedy[0].done) {
		struct pollfd p = {.fd = contents_fd(b->contents), .events = POLLIN};

		assert_int_equal(poll(&p, 1, UNIT_PATIENCE_MS), 1);
		contents_dispatch(b->contents);
	}
	for (int i = 0; i < 3; i++) {
		assert_int_equal(greedy[i].r, 0);
		assert_string_equal(greedy[i].have, "last");
	}
}

static void a_restarted_copier_is_asked_again(void **state)
{
	struct bench *b = *state;
	struct parked p = {.wait.done = parked_done};
	struct content *c;
	char aside[PATH_MAX];
	uint32_t node;

	site_write(b->site.origin, "f", "hello", 5);
	bench_add(b, false);
	snprintf(aside, sizeof(aside), "%s/aside", b->site.dir);
	assert_int_equal(rename(b->site.origin, aside), 0); /* so that it cannot answer */
	bench_copier(b);
	assert_int_equal(view_resolve(b->view, VIEW_ROOT, "f", false, &node), 0);
	assert_int_equal(contents_open(b->contents, b->view, node, &c, &p.wait), CONTENT_WAIT);
	contents_dispatch(b->contents);
	usleep(100000);
	bench_stop(b);
	for (int i = 0; i < 20; i++) {
		contents_dispatch(b->contents);
		usleep(10000);
	}
	assert_false(p.done);
	assert_int_equal(rename(aside, b->site.origin), 0);
	bench_copier(b);
	while (!p.done) {
		struct pollfd fd = {.fd = contents_fd(b->contents), .events = POLLIN};

		assert_int_equal(poll(&fd, 1, UNIT_PATIENCE_MS), 1);
		contents_dispatch(b->contents);
	}
	assert_int_equal(p.r, 0);
}

static void a_removed_version_is_let_go(void **state)
{
	struct bench *b = *state;
	struct why why = {""};
	uint32_t second;
	char aside[PATH_MAX];

	site_write(b->site.origin, "f", "hello", 5);
	bench_add(b, false);
	second = site_image(&b->site, false);
	snprintf(aside, sizeof(aside), "%s/aside", b->site.dir);
	assert_int_equal(rename(b->site.origin, aside), 0);
	bench_copier(b);
	usleep(300000);
	if (image_remove(b->site.db, b->site.state, second, &why))
		fail_msg("%s", why.text);
	usleep(300000);
	assert_int_equal(rename(aside, b->site.origin), 0);
	wait_sealed(b);
	bench_stop(b);
	assert_false(exists(b, "manifests/%u", second));
	assert_false(exists(b, "manifests/%u.fill", second));
}

static void an_object_that_was_lost_is_copied_again(void **state)
{
	struct bench *b = *state;
	char path[PATH_MAX];
	char name[2 * HASH_LEN + 1];
	struct hash hash;

	site_write(b->site.origin, "f", "hello", 5);
	bench_add(b, false);
	/* the journal knows it, the store does not */
	SHA256((const uint8_t *)"hello", 5, hash.octet);
	hash_format(&hash, name);
	snprintf(path, sizeof(path), "%s/manifests", b->site.state);
	{
		const struct fill_record record = {.pos = 1, .size = 5, .hash = hash};
		int fd = fill_open(path, b->version, 0);

		assert_true(fd >= 0);
		assert_int_equal(fill_write(fd, &record, 1), 0);
		close(fd);
	}
	bench_copier(b);
	reads_as(b, "f", "hello");
	wait_sealed(b);
	assert_true(exists(b, "objects/%.2s/%s", name, name + 2));
}

/* The object of a body: its path. */
static void object_of(struct bench *b, const char *body, char out[static PATH_MAX])
{
	char name[2 * HASH_LEN + 1];
	struct hash hash;

	SHA256((const uint8_t *)body, strlen(body), hash.octet);
	hash_format(&hash, name);
	snprintf(out, PATH_MAX, "%s/objects/%.2s/%s", b->site.state, name, name + 2);
}

/* Of a sealed version, while nobody verifies. */
static void what_is_lost_is_mended_when_it_is_asked_for(void **state)
{
	struct bench *b = *state;
	char path[PATH_MAX];
	char *have;
	int r;

	site_write(b->site.origin, "f", "hello", 5);
	site_write(b->site.origin, "g", "world", 5);
	site_write(b->site.origin, "h", "there", 5);
	bench_add(b, false);
	bench_copier(b);
	wait_sealed(b);
	bench_close(b);
	object_of(b, "hello", path);
	assert_int_equal(unlink(path), 0);
	object_of(b, "world", path);
	assert_int_equal(truncate(path, 3), 0); /* another size is seen without a mark */
	object_of(b, "there", path);
	assert_int_equal(unlink(path), 0);
	site_write(b->site.origin, "h", "other", 5);
	assert_int_equal(views_open(b->site.state, &b->views, NULL), 0);
	assert_int_equal(views_get(b->views, 0, b->version, UINT64_MAX, &b->view), 0);
	assert_int_equal(contents_new(b->site.state, 16, &b->contents, NULL), 0);
	bench_copier(b);
	reads_as(b, "f", "hello");
	reads_as(b, "g", "world");
	reads_as(b, "f", "hello");
	/* No origin has these bytes. */
	have = bench_read(b, "h", &r);
	assert_int_equal(r, -EIO);
	free(have);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH(a_miss_is_copied_and_then_a_hit),
		BENCH(all_is_sealed_in_the_end),
		BENCH(drift_is_adopted_whole),
		BENCH(drift_shows_through_changed_attributes),
		BENCH(what_vanished_is_an_error),
		BENCH(strict_adopts_nothing),
		BENCH(an_origin_may_go_and_come_back),
		BENCH(bytes_of_two_states_are_never_mixed),
		BENCH(many_may_wait_and_one_may_leave),
		BENCH(who_is_told_may_open_others),
		BENCH(a_restarted_copier_is_asked_again),
		BENCH(a_removed_version_is_let_go),
		BENCH(an_object_that_was_lost_is_copied_again),
		BENCH(what_is_lost_is_mended_when_it_is_asked_for),
	};

	bench_begin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A store without room: files are answered all the same, and what somebody has been given
 * of one is not given in another state.
 */
#include "tests/unit/extents_unit.h"

#include <sched.h>
#include <sys/mount.h>

#include "fsd/view_source.h"

enum { CANNOT_MOUNT = 77, SMALL = 199999, LARGE = 12 << 20 };

/* Somebody else, who has opened nothing. */
static void reader_anew(struct bench *b)
{
	contents_free(b->contents);
	assert_int_equal(contents_new(b->site.state, 16, &b->contents, NULL), 0);
}

/* Runs `fn` in a child, with a copier whose store has `room` (tmpfs's size=), which only a
 * mount namespace of its own can give it; whoever may not make one skips. */
static void with_room(struct bench *b, const char *room, int (*fn)(struct bench *))
{
	char options[64];
	char path[PATH_MAX];
	int status;
	pid_t pid;

	snprintf(options, sizeof(options), "size=%s,mode=750", room);
	snprintf(path, sizeof(path), "%s/objects", b->site.state);
	pid = fork();
	if (!pid) {
		if (unshare(CLONE_NEWNS) || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		    mount("tmpfs", path, "tmpfs", 0, options))
			_exit(CANNOT_MOUNT);
		reader_anew(b); /* it has the other directory open */
		bench_copier(b);
		_exit(fn(b));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == CANNOT_MOUNT)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static int each_twice(struct bench *b)
{
	int failed = 0;

	for (int i = 0; i < 16 && !failed; i++) {
		char name[16];
		char *have;
		int r;

		snprintf(name, sizeof(name), "f%d", i % 8);
		have = bench_read(b, name, &r);
		failed = r || strlen(have) != SMALL || have[SMALL - 1] != 'a' + i % 8;
		free(have);
	}
	return failed || verify_store(b) > 3 || site_is_sealed(&b->site, b->version);
}

static void small_files_are_answered(void **state)
{
	struct bench *b = *state;
	cleanup(freep) char *body = malloc(SMALL);
	char name[16];

	for (int i = 0; i < 8; i++) {
		memset(body, 'a' + i, SMALL);
		snprintf(name, sizeof(name), "f%d", i);
		site_write(b->site.origin, name, body, SMALL);
	}
	bench_add(b, false);
	with_room(b, "600k", each_twice);
}

static void write_letters(struct bench *b, char letter)
{
	enum { SIZE = 1 << 20 };
	cleanup(freep) char *body = malloc(SIZE);

	memset(body, letter, SIZE);
	site_write(b->site.origin, "f", body, SIZE);
}

/* It was given out; another copier must not give out another. */
static int forgets(struct bench *b)
{
	char *have;
	int r;

	have = bench_read(b, "f", &r);
	if (r || have[0] != 'a')
		return 1;
	free(have);
	bench_stop(b);
	write_letters(b, 'b');
	reader_anew(b);
	bench_copier(b);
	have = bench_read(b, "f", &r);
	if (r != -EIO)
		return 2;
	free(have);
	bench_stop(b);
	return 0;
}

static void what_was_given_out_is_known_to_the_next(void **state)
{
	struct bench *b = *state;

	write_letters(b, 'a');
	bench_add(b, false);
	with_room(b, "600k", forgets);
}

/* "big", as the n-th state of a gate's. */
static uint8_t *large_body(unsigned int state)
{
	uint8_t *body = malloc(LARGE);

	for (uint64_t i = 0; i < LARGE; i++)
		body[i] = gate_byte(state, i);
	return body;
}

static void write_large(struct bench *b)
{
	cleanup(freep) uint8_t *body = large_body(0);

	site_write(b->site.origin, "big", body, LARGE);
}

static int by_pieces(struct bench *b)
{
	cleanup(content_unrefp) struct content *c = NULL;
	cleanup(freep) uint8_t *buf = malloc(MIB);
	uint32_t node = node_of(b, "big");
	struct hash hash;
	int r;

	r = contents_open_at_wait(b->contents, b->view, node, 0, 1, &c);
	for (uint64_t at = 0; !r && at < content_size(c); at += 400000) {
		ssize_t n = contents_read(b->contents, &c, buf, 400000, at);

		r = n < 0 ? (int)n : 0;
		for (ssize_t i = 0; i < n && !r; i++)
			r = buf[i] != gate_byte(0, at + (uint64_t)i);
	}
	if (!r)
		r = view_body_hash(b->contents, b->view, node, &hash);
	return r || site_is_sealed(&b->site, b->version);
}

static void large_files_are_answered(void **state)
{
	struct bench *b = *state;

	write_large(b);
	bench_add(b, false);
	with_room(b, "3M", by_pieces);
}

/* What was read is let go, the file changes, and another reads on. */
static int seen(struct bench *b)
{
	cleanup(freep) uint8_t *buf = malloc(MIB);
	cleanup(freep) uint8_t *other = large_body(1); /* it is remembered for seconds alone */
	uint32_t node = node_of(b, "big");
	struct content *c = NULL;
	int64_t end;
	int r;

	if (contents_open_at_wait(b->contents, b->view, node, 0, 1, &c) ||
	    contents_read(b->contents, &c, buf, MIB, 0) != (ssize_t)MIB ||
	    buf[MIB - 1] != gate_byte(0, MIB - 1))
		return 1;
	content_unref(c);
	contents_free(b->contents);
	usleep(100000); /* the copier has nothing of it in hand any more */
	site_write(b->site.origin, "big", other, LARGE);
	assert_int_equal(contents_new(b->site.state, 16, &b->contents, NULL), 0);
	r = contents_open_at_wait(b->contents, b->view, node, 2 * MIB, MIB, &c);
	if (r != -EIO)
		return 2;
	/* In some seconds nobody remembers, and it is taken as it is. */
	end = instant_add_ms(instant_now(), UNIT_PATIENCE_MS).ns;
	while ((r = contents_open_at_wait(b->contents, b->view, node, 2 * MIB, MIB, &c)) &&
	       instant_now().ns < end)
		usleep(200000);
	if (r || contents_read(b->contents, &c, buf, MIB, 2 * MIB) != (ssize_t)MIB)
		return 3;
	return buf[0] != gate_byte(1, 2 * MIB);
}

static void what_was_seen_outlives_its_flight(void **state)
{
	struct bench *b = *state;

	write_large(b);
	bench_add(b, false);
	with_room(b, "3M", seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH(small_files_are_answered),
		BENCH(what_was_given_out_is_known_to_the_next),
		BENCH(large_files_are_answered),
		BENCH(what_was_seen_outlives_its_flight),
	};

	bench_begin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

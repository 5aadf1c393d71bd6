/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A large file that is read while it is copied: what comes first, what a change does to who
 * reads it, and that nobody gets bytes of two states.
 */
#include "tests/unit/extents_unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "fsd/contents_parts.h"

static void what_is_asked_comes_first(void **state)
{
	struct bench *b = *state;
	struct reader near = {0};
	struct reader far = {0};
	struct content *same = NULL;

	bench_gate(b, 8 * MIB + 5);
	bench_copier(b);
	wait_at(b, 0); /* the fill has begun with it */
	reader_ask(b, &far, 5 * MIB + 100, 1000);
	/* behind the end there is nothing to wait for; who is answered that knows that the
	 * copier has the question before, too */
	reader_ask(b, &near, 9 * MIB, 10);
	reader_end(&near, 0);
	gate_allow(b->gate, 1);
	wait_at(b, 5);
	assert_false(far.done);
	gate_allow(b->gate, 1);
	reader_end(&far, 0);
	assert_int_equal(gate_passed(b->gate), 2);
	assert_int_equal(content_size(far.content), 8 * MIB + 5);
	assert_bytes(far.content, 0, 5 * MIB, MIB);
	assert_bytes(far.content, 0, 0, MIB);
	assert_false(content_ready(far.content, MIB, 1));
	assert_false(content_ready(far.content, 4 * MIB + 1, MIB));
	/* what is there needs no copier */
	assert_int_equal(
		contents_open_at(b->contents, b->view, node_of(b, "big"), 100, 1000, &same, NULL),
		0);
	assert_ptr_equal(same, far.content);
	content_unref(same);
	reader_ask(b, &near, UINT64_MAX - 5, UINT64_MAX - 1);
	reader_end(&near, 0);
	/* the short last one, and one over two */
	reader_ask(b, &near, 8 * MIB, MIB);
	reader_ask(b, &far, 3 * MIB - 1, 2);
	gate_allow(b->gate, UINT_MAX);
	reader_end(&near, 0);
	reader_end(&far, 0);
	assert_bytes(near.content, 0, 8 * MIB, 5);
	assert_bytes(far.content, 0, 3 * MIB - 1, 2);
	wait_sealed(b);
	assert_int_equal(gate_passed(b->gate), 9); /* each once */
	/* readers go on with what they have */
	reader_ask(b, &near, 0, UINT64_MAX);
	reader_end(&near, 0);
	assert_bytes(near.content, 0, 0, 8 * MIB + 5);
	assert_bytes(far.content, 0, 0, 8 * MIB + 5);
	assert_true(no_draft(b));
	content_unref(near.content);
	content_unref(far.content);
}

/* As many large files as are kept, and each goes on with another copier. */
static void another_flight_takes_the_place_of_the_first(void **state)
{
	enum { FILES = 32 };
	struct bench *b = *state;
	cleanup(version_unrefp) struct version *v = NULL;
	struct extents *extents;
	struct partial *p;

	bench_add(b, false);
	assert_int_equal(version_open(b->site.state, b->version, &v, NULL), 0);
	assert_int_equal(extents_new(5 * MIB, &extents), 0);
	for (uint64_t flight = 1; flight <= 2; flight++) {
		for (uint32_t pos = 0; pos < FILES; pos++) {
			const struct copier_reply reply = {.flight = flight << 32 | (pos + 1),
							   .stamp = 1,
							   .record = {.pos = pos, .size = 5 * MIB}};
			int fds[2] = {memfd_create("bytes", MFD_CLOEXEC), dup(extents_fd(extents))};

			assert_int_equal(ftruncate(fds[0], 5 * MIB), 0);
			assert_int_equal(partial_take(b->contents, v, &reply, fds), 0);
			p = partial_get(b->contents, v, pos);
			assert_non_null(p);
			assert_int_equal(p->flight, reply.flight);
			assert_int_equal(p->content->refs, 1);
		}
	}
	extents_free(extents);
}

static void readers_share_a_flight(void **state)
{
	struct bench *b = *state;
	struct reader readers[3] = {0};
	struct contents *second;

	bench_gate(b, 6 * MIB);
	assert_int_equal(contents_new(b->site.state, 16, &second, NULL), 0);
	readers[2].contents = second;
	bench_copier(b);
	for (int i = 0; i < 3; i++)
		reader_ask(b, &readers[i], 4 * MIB, 10);
	contents_cancel(b->contents, &readers[1].wait);
	gate_allow(b->gate, UINT_MAX);
	reader_end(&readers[0], 0);
	reader_end(&readers[2], 0);
	assert_false(readers[1].done);
	assert_bytes(readers[2].content, 0, 4 * MIB, 10);
	wait_sealed(b);
	assert_int_equal(gate_passed(b->gate), 6);
	content_unref(readers[0].content);
	content_unref(readers[2].content);
	contents_free(second);
}

static void a_change_that_nobody_saw_starts_anew(void **state)
{
	struct bench *b = *state;
	struct reader reader = {0};
	struct view_attr a;

	bench_gate(b, 8 * MIB);
	bench_copier(b);
	wait_at(b, 0);
	gate_allow(b->gate, 2);
	wait_at(b, 2);
	gate_change(b->gate, 7 * MIB + 1);
	reader_ask(b, &reader, 6 * MIB, 2 * MIB);
	gate_allow(b->gate, UINT_MAX);
	reader_end(&reader, 0);
	assert_int_equal(content_size(reader.content), 7 * MIB + 1);
	assert_bytes(reader.content, 1, 6 * MIB, MIB + 1);
	assert_int_equal(view_attr(b->view, node_of(b, "big"), &a), 0);
	assert_int_equal(a.size, 7 * MIB + 1); /* known before the hash is */
	wait_sealed(b);
	assert_bytes(reader.content, 1, 0, 7 * MIB + 1);
	content_unref(reader.content);
}

/* Somebody has the first MiB; then `change` happens to the origin. */
static void broken(struct bench *b, uint64_t size, uint64_t size_then)
{
	struct reader reader = {0};
	struct reader other = {0};
	struct contents *second;
	struct content *newer = NULL;

	bench_gate(b, size);
	bench_copier(b);
	wait_at(b, 0);
	reader_ask(b, &reader, 0, 10);
	gate_allow(b->gate, 1);
	reader_end(&reader, 0);
	assert_bytes(reader.content, 0, 0, MIB);
	other.content = content_ref(reader.content);
	wait_at(b, 1);
	gate_change(b->gate, size_then);
	reader_ask(b, &reader, 3 * MIB, 10);
	gate_allow(b->gate, UINT_MAX);
	reader_end(&reader, -EIO);
	/* nothing of the other state for who read on, whatever way he comes */
	reader_ask(b, &reader, 0, 10);
	reader_end(&reader, -EIO);
	assert_int_equal(contents_more(b->contents, other.content, MIB, 1, &newer, NULL), -EIO);
	assert_int_equal(contents_new(b->site.state, 16, &second, NULL), 0);
	reader.contents = second;
	reader_ask(b, &reader, 3 * MIB, 10);
	reader_end(&reader, -EIO);
	/* later it is what it is now, and whole */
	wait_sealed(b);
	reader_ask(b, &reader, 0, 10);
	reader_end(&reader, 0);
	assert_int_equal(content_size(reader.content), size_then);
	assert_bytes(reader.content, 1, 0, size_then);
	/* but not for who has the old one open */
	assert_int_equal(contents_more(b->contents, other.content, MIB, 1, &newer, NULL), -EIO);
	content_unref(other.content);
	content_unref(reader.content);
	contents_free(second);
}

static void a_change_that_somebody_saw_is_an_error(void **state)
{
	broken(*state, 8 * MIB, 8 * MIB);
}

static void so_is_a_truncation(void **state)
{
	broken(*state, 8 * MIB, 2 * MIB);
}

static void a_name_less_is_no_change(void **state)
{
	struct bench *b = *state;
	struct reader reader = {0};

	bench_gate(b, 6 * MIB);
	bench_copier(b);
	wait_at(b, 0);
	reader_ask(b, &reader, 0, 10);
	gate_allow(b->gate, 1);
	reader_end(&reader, 0);
	wait_at(b, 1);
	gate_unlink(b->gate);
	gate_allow(b->gate, UINT_MAX);
	reader_ask(b, &reader, 0, UINT64_MAX);
	reader_end(&reader, 0);
	assert_bytes(reader.content, 0, 0, 6 * MIB);
	content_unref(reader.content);
}

static void holes_stay_holes(void **state)
{
	struct bench *b = *state;
	const uint64_t size = 4200 * MIB + 3;
	cleanup(content_unrefp) struct content *c = NULL;
	cleanup(freep) char *zeros = calloc(1, 6 * MIB);
	char path[PATH_MAX];
	char have[4] = "";
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/big", b->site.origin);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(pwrite(fd, "abc", 3, (off_t)size - 3), 3);
	assert_int_equal(pwrite(fd, zeros, 6 * MIB, 8 * MIB), 6 * MIB); /* written, all zero */
	close(fd);
	bench_add(b, false);
	bench_copier(b);
	assert_int_equal(
		contents_open_at_wait(b->contents, b->view, node_of(b, "big"), size - 3, 3, &c), 0);
	assert_int_equal(content_size(c), size);
	assert_int_equal(contents_read(b->contents, &c, have, 4, size - 3), 3);
	assert_string_equal(have, "abc");
	unit_wait(site_is_sealed(&b->site, b->version));
	assert_int_equal(fstat(content_fd(c), &st), 0);
	assert_int_equal(st.st_size, size);
	assert_true(st.st_blocks <= 16);
	assert_int_equal(st.st_nlink, 1); /* it is the object */
}

struct scribbler {
	char path[PATH_MAX];
	atomic_bool stop;
	bool held_up; /* in a write, so long that two letters were a state of their own */
};

enum { SCRIBBLED = 9 << 20 };

/* One letter all over, another a moment later. */
static void *scribble(void *arg)
{
	struct scribbler *s = arg;
	char *body = malloc(SCRIBBLED);
	int fd = open(s->path, O_WRONLY);

	for (int i = 0; !s->stop; i++) {
		struct instant before;

		memset(body, 'a' + i % 26, SCRIBBLED);
		before = instant_now();
		if (pwrite(fd, body, SCRIBBLED, 0) != SCRIBBLED)
			break;
		s->held_up |= instant_now().ns - before.ns > 10 * NS_PER_MS;
		usleep(i % 3 ? 100 : 50000);
	}
	close(fd);
	free(body);
	return NULL;
}

/* Read in pieces, as doors do: one letter, or an error.  Returns where there is another. */
static uint64_t read_scribbled(struct bench *b, const char *name, char *buf)
{
	cleanup(content_unrefp) struct content *c = NULL;
	int r = contents_open_at_wait(b->contents, b->view, node_of(b, name), 0, 1, &c);
	uint64_t at = 0;

	while (!r && at < SCRIBBLED) {
		ssize_t n = contents_read(b->contents, &c, buf + at, 300000, at);

		r = n < 0 ? (int)n : 0;
		at += n > 0 ? (uint64_t)n : 0;
	}
	assert_true(!r || r == -EIO);
	for (uint64_t i = 1; !r && i < SCRIBBLED; i++)
		if (buf[i] != buf[0])
			return i;
	return 0;
}

static void bytes_of_two_states_are_never_mixed(void **state)
{
	struct bench *b = *state;
	struct scribbler s = {.stop = false};
	cleanup(freep) char *buf = malloc(SCRIBBLED + 300000);
	pthread_t thread;
	uint64_t mixed;
	char name[16];

	memset(buf, 'z', SCRIBBLED);
	for (int i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		site_write(b->site.origin, name, buf, SCRIBBLED);
	}
	bench_add(b, false);
	for (int i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		snprintf(s.path, sizeof(s.path), "%s/%s", b->site.origin, name);
		s.stop = s.held_up = false;
		mixed = 0;
		assert_int_equal(pthread_create(&thread, NULL, scribble, &s), 0);
		usleep(1000);
		if (!i)
			bench_copier(b);
		for (int k = 0; k < 3 && !mixed; k++)
			mixed = read_scribbled(b, name, buf);
		s.stop = true;
		pthread_join(thread, NULL);
		if (mixed && !s.held_up)
			fail_msg("%s is mixed at %llu", name, (unsigned long long)mixed);
	}
}

static void the_map_is_as_it_says(void **state)
{
	struct extents *mine;
	struct extents *theirs;
	struct hash hash = {{1, 2, 3}};
	uint64_t missing;

	(void)state;
	assert_int_equal(extents_new(EXTENTS_MOST + 1, &mine), -EFBIG);
	assert_int_equal(extents_new(200 * MIB + 1, &mine), 0);
	assert_int_equal(extents_count(mine), 201);
	assert_int_equal(extents_attach(extents_fd(mine), 200 * MIB + 1, &theirs), 0);
	assert_false(extents_have(theirs, 0, 1, &missing));
	for (uint64_t i = 0; i < 201; i++)
		if (i != 63 && i != 130)
			extents_set(mine, i);
	assert_true(extents_have(theirs, 0, 63 * MIB, &missing));
	assert_false(extents_have(theirs, 0, 63 * MIB + 1, &missing));
	assert_int_equal(missing, 63);
	assert_true(extents_have(theirs, 64 * MIB, 66 * MIB, &missing));
	assert_false(extents_have(theirs, 64 * MIB, UINT64_MAX, &missing));
	assert_int_equal(missing, 130);
	assert_true(extents_have(theirs, 131 * MIB, UINT64_MAX, &missing));
	assert_int_equal(extents_state(theirs), EXTENTS_FILLING);
	extents_complete(mine, &hash);
	assert_int_equal(extents_state(theirs), EXTENTS_COMPLETE);
	assert_memory_equal(extents_hash(theirs), &hash, sizeof(hash));
	extents_free(mine);
	extents_free(theirs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_map_is_as_it_says),
		BENCH(what_is_asked_comes_first),
		BENCH(another_flight_takes_the_place_of_the_first),
		BENCH(readers_share_a_flight),
		BENCH(a_change_that_nobody_saw_starts_anew),
		BENCH(a_change_that_somebody_saw_is_an_error),
		BENCH(so_is_a_truncation),
		BENCH(a_name_less_is_no_change),
		BENCH(holes_stay_holes),
		BENCH(bytes_of_two_states_are_never_mixed),
	};

	bench_begin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

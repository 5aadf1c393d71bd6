/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Copiers that are killed: what the next one knows, and what who reads a large file gets.
 */
#include "tests/unit/extents_unit.h"

#include "fsd/contents_parts.h"

static void a_killed_copier_loses_nothing(void **state)
{
	struct bench *b = *state;
	struct rng rng = {model_seed()};
	unsigned int kills = model_rounds(25);
	unsigned int asked = 0;
	enum { FILES = 600 };
	char body[3000];
	char name[16];
	pid_t pid = 0;

	print_message("# seed %#llx\n", (unsigned long long)rng.state);
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		memset(body, 'a' + i % 26, sizeof(body));
		memcpy(body, name, strlen(name));
		site_write(b->site.origin, name, body, sizeof(body));
	}
	bench_add(b, false);
	for (unsigned int i = 0; i < kills && !site_is_sealed(&b->site, b->version); i++) {
		cleanup(version_unrefp) struct version *v = NULL;
		struct version_progress before;
		struct version_progress after;
		unsigned int absent = 0;

		assert_int_equal(version_open(b->site.state, b->version, &v, NULL), 0);
		version_progress(v, &before);
		version_unref(take(&v));
		pid = bench_spawn(b);
		if (rng_below(&rng, 2)) {
			int r;

			snprintf(name, sizeof(name), "f%u", rng_below(&rng, FILES));
			free(bench_read(b, name, &r));
			assert_int_equal(r, 0);
			asked++;
		}
		/* within the copies, or where a batch is made durable and the version sealed */
		usleep(rng_below(&rng, 60000) + (rng_below(&rng, 3) ? 0 : 190000));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		verify_store(b);
		/* What the journal has acknowledged stays, and is in the store, or was given
		 * out. */
		assert_int_equal(version_open(b->site.state, b->version, &v, NULL), 0);
		version_progress(v, &after);
		assert_true(after.copied >= before.copied);
		for (uint32_t pos = 0; pos < manifest_count(version_manifest(v)); pos++) {
			struct fill_record record;

			absent += version_known(v, pos, &record) &&
				  !objects_has(b->site.objects, &record.hash);
		}
		assert_true(absent <= asked);
	}
	pid = bench_spawn(b);
	wait_sealed(b);
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	assert_int_equal(verify_store(b), FILES);
	assert_true(views_poll(b->views));
	view_unref(b->view);
	assert_int_equal(views_get(b->views, 0, b->version, UINT64_MAX, &b->view), 0);
	for (int i = 0; i < FILES; i++) {
		char *have;
		int r;

		snprintf(name, sizeof(name), "f%d", i);
		have = bench_read(b, name, &r);
		assert_int_equal(r, 0);
		assert_memory_equal(have, name, strlen(name));
		assert_int_equal(have[2999], 'a' + i % 26);
		free(have);
	}
	/* no draft of the killed ones is left */
	assert_int_equal(rmdir(strcat(strcpy(body, b->site.state), "/objects/tmp")), 0);
}

/* Before it was durable; and the file is another when the next copier looks. */
static void what_was_given_out_is_given_out_again_or_nothing(void **state)
{
	struct bench *b = *state;
	cleanup(freep) char *large = calloc(1, 5 * MIB);
	pid_t pid;

	site_write(b->site.origin, "f", "first", 5);
	site_write(b->site.origin, "large", large, 5 * MIB);
	site_write(b->site.origin, "same", "same", 4);
	bench_add(b, false);
	/* no batch becomes durable */
	assert_int_equal(objects_try_alone(b->site.objects), 0);
	pid = bench_spawn(b);
	reads_as(b, "f", "first");
	reads_as(b, "large", "");
	reads_as(b, "same", "same");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	objects_release(b->site.objects);
	assert_int_equal(verify_store(b), 0);
	site_write(b->site.origin, "f", "other", 5);
	large[0] = 'x';
	site_write(b->site.origin, "large", large, 5 * MIB);
	contents_free(b->contents);
	assert_int_equal(contents_new(b->site.state, 16, &b->contents, NULL), 0);
	pid = bench_spawn(b);
	reads_not(b, "f", -EIO);
	reads_not(b, "large", -EIO);
	reads_as(b, "same", "same");
	wait_sealed(b);
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
}

/* Somebody has the first MiB, and the copier waits for the second. */
static pid_t spawn_and_begin(struct bench *b, struct reader *reader)
{
	pid_t pid = bench_spawn(b);

	wait_at(b, 0);
	reader_ask(b, reader, 0, 10);
	gate_allow(b->gate, 1);
	reader_end(reader, 0);
	wait_at(b, 1);
	return pid;
}

static void killed(struct bench *b, bool change)
{
	struct reader reader = {0};
	pid_t pid;

	bench_gate(b, 6 * MIB);
	pid = spawn_and_begin(b, &reader);
	reader_ask(b, &reader, 4 * MIB, 10);
	assert_false(reader.done);
	kill(pid, SIGKILL);
	gate_allow(b->gate, 1); /* its read must end, that it can */
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	if (change)
		gate_change(b->gate, 6 * MIB);
	pid = bench_spawn(b);
	gate_allow(b->gate, UINT_MAX);
	reader_end(&reader, change ? -EIO : 0);
	if (!change)
		assert_bytes(reader.content, 0, 4 * MIB, 10);
	wait_sealed(b);
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	assert_true(no_draft(b)); /* that of the killed one is not left */
	content_unref(reader.content);
}

__attribute__((unused)) static void a_restarted_copier_goes_on(void **state)
{
	killed(*state, false);
}

__attribute__((unused)) static void a_restarted_copier_does_not_mix(void **state)
{
	killed(*state, true);
}

/* Two of one process that read, as the threads of nfs do: what the one learns of a file are
 * the attributes that the other tells. */
__attribute__((unused)) static void a_part_goes_with_its_own_attributes(void **state)
{
	struct bench *b = *state;
	struct reader reader = {0};
	struct reader other = {0};
	struct view_attr a;
	pid_t pid;

	bench_gate(b, 6 * MIB);
	assert_int_equal(contents_new(b->site.state, 16, &other.contents, NULL), 0);
	pid = spawn_and_begin(b, &reader);
	kill(pid, SIGKILL);
	gate_allow(b->gate, 1);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	gate_change(b->gate, 7 * MIB);
	pid = bench_spawn(b);
	wait_at(b, 0);
	gate_allow(b->gate, 1);
	reader_ask(b, &other, 0, 10);
	reader_end(&other, 0);
	assert_bytes(other.content, 1, 0, 10);
	assert_int_equal(view_attr(b->view, node_of(b, "big"), &a), 0);
	assert_int_equal(a.size, 7 * MIB);
	reader_ask(b, &reader, 0, 10);
	reader_end(&reader, -EIO);
	gate_allow(b->gate, UINT_MAX);
	wait_sealed(b);
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	content_unref(reader.content);
	content_unref(other.content);
	contents_free(other.contents);
}

/* One that takes its time is waited for; one that stands still is not. */
__attribute__((unused)) static void a_copier_that_stands_is_given_up(void **state)
{
	struct bench *b = *state;
	struct reader reader = {0};
	struct instant began;
	pid_t pid;

	bench_gate(b, 6 * MIB);
	b->contents->patience_ms = 1000; /* a busy machine takes its time, too */
	pid = bench_spawn(b);
	wait_at(b, 0);
	reader_ask(b, &reader, 0, 10);
	began = instant_now();
	while (instant_now().ns - began.ns < 2500 * NS_PER_MS)
		assert_false(reader_turn(&reader));
	b->contents->patience_ms = 300;
	kill(pid, SIGSTOP);
	reader_end(&reader, -EIO);
	/* who asks anew waits no longer than that */
	reader_ask(b, &reader, 0, 10);
	reader_end(&reader, -EIO);
	kill(pid, SIGCONT);
	gate_allow(b->gate, UINT_MAX);
	b->contents->patience_ms = CONTENTS_PATIENCE_MS;
	reader_ask(b, &reader, 0, 10);
	reader_end(&reader, 0);
	assert_bytes(reader.content, 0, 0, 10);
	wait_sealed(b);
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	content_unref(reader.content);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH(a_killed_copier_loses_nothing),
		BENCH(what_was_given_out_is_given_out_again_or_nothing),
#ifndef __SANITIZE_THREAD__ /* it lets no child of a process with threads start threads */
		BENCH(a_restarted_copier_goes_on),
		BENCH(a_restarted_copier_does_not_mix),
		BENCH(a_part_goes_with_its_own_attributes),
		BENCH(a_copier_that_stands_is_given_up),
#endif
	};

	bench_begin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

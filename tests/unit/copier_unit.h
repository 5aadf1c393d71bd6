/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A site with one version, its view and somebody who reads it, for tests of the copier.
 * What they say of large files on their way is in tests/unit/extents_unit.h.
 */
#ifndef TESTS_UNIT_COPIER_UNIT_H
#define TESTS_UNIT_COPIER_UNIT_H

#include "tests/unit/site.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <openssl/sha.h>

#include "common/log.h"
#include "fsd/version.h"
#include "fsd/view.h"
#include "tests/gate.h"
#include "tests/model.h"

struct bench {
	struct site site;
	struct gate *gate; /* the origin, in some tests */
	uint32_t version;
	struct views *views;
	struct view *view;
	struct contents *contents;
	struct site_copier copier;
	bool running;
};

static inline int bench_setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	site_init(&b->site);
	*state = b;
	return 0;
}

static inline void bench_copier(struct bench *b)
{
	site_copier_start(&b->site, &b->copier);
	b->running = true;
}

static inline void bench_stop(struct bench *b)
{
	if (b->running)
		site_copier_stop(&b->copier);
	b->running = false;
}

/* Scan the origin, look at it. */
static inline void bench_add(struct bench *b, bool strict)
{
	b->version = site_image(&b->site, strict);
	assert_int_equal(views_open(b->site.state, &b->views, NULL), 0);
	assert_int_equal(views_get(b->views, 0, b->version, UINT64_MAX, &b->view), 0);
	assert_int_equal(contents_new(b->site.state, 16, &b->contents, NULL), 0);
}

/* Nobody reads any more, nobody copies. */
static inline void bench_close(struct bench *b)
{
	contents_free(b->contents);
	view_unref(b->view);
	views_close(b->views);
	bench_stop(b);
}

static inline int bench_teardown(void **state)
{
	struct bench *b = *state;

	if (b->gate) {
		gate_allow(b->gate, UINT_MAX);
		gate_hold(b->gate, false);
	}
	bench_close(b);
	if (b->gate)
		gate_free(b->gate);
	site_fini(&b->site);
	free(b);
	return 0;
}

#define BENCH(fn) cmocka_unit_test_setup_teardown(fn, bench_setup, bench_teardown)

/* ONLY is the one test to run, VERBOSE says what the copier says. */
static inline void bench_begin(void)
{
	cmocka_set_test_filter(getenv("ONLY"));
	log_init("test", getenv("VERBOSE") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
}

/* A copier in a process of its own, to be killed. */
static inline pid_t bench_spawn(struct bench *b)
{
	pid_t pid = fork();

	if (!pid) {
		struct copier_config config = {
			.state_dir = b->site.state, .sealed = site_sealed, .ctx = &b->site};

		prctl(PR_SET_PDEATHSIG, SIGKILL); /* of a test that fails */
		while (copier_listen(b->site.state, &config.listen_fd, &config.lock_fd, NULL))
			usleep(1000);
		_exit(copier_child(&config));
	}
	return pid;
}

static inline void wait_sealed(struct bench *b)
{
	unit_wait(site_is_sealed(&b->site, b->version));
}

static inline uint32_t node_of(struct bench *b, const char *path)
{
	uint32_t node;

	assert_int_equal(view_resolve(b->view, VIEW_ROOT, path, false, &node), 0);
	return node;
}

/* The file's bytes through the copier, ended; or a negative errno in *r. */
static inline char *bench_read(struct bench *b, const char *path, int *r)
{
	cleanup(content_unrefp) struct content *c = NULL;
	char *text;

	*r = contents_open_wait(b->contents, b->view, node_of(b, path), &c);
	if (*r)
		return NULL;
	text = calloc(1, content_size(c) + 1);
	assert_int_equal(content_pread(c, text, content_size(c), 0), content_size(c));
	return text;
}

static inline void reads_as(struct bench *b, const char *path, const char *want)
{
	int r;
	char *have = bench_read(b, path, &r);

	assert_int_equal(r, 0);
	assert_string_equal(have, want);
	free(have);
}

static inline void reads_not(struct bench *b, const char *path, int want)
{
	int r;

	free(bench_read(b, path, &r));
	assert_int_equal(r, want);
}

/* Every object's name is its bytes' SHA-256.  Returns how many there are. */
static inline unsigned int verify_store(struct bench *b)
{
	char top[PATH_MAX];
	unsigned int n = 0;
	size_t npaths;
	char **paths;

	snprintf(top, sizeof(top), "%s/objects", b->site.state);
	paths = model_paths(top, &npaths);
	for (size_t i = 0; i < npaths; i++) {
		cleanup(closep) int fd = -1;
		cleanup(freep) uint8_t *bytes = NULL;
		char name[2 * HASH_LEN + 1];
		char path[PATH_MAX + 128];
		struct stat st;
		struct hash hash;

		if (!strncmp(paths[i], "tmp/", 4) || paths[i][2] != '/')
			continue;
		snprintf(path, sizeof(path), "%s/%s", top, paths[i]);
		fd = open(path, O_RDONLY);
		if (fd < 0 && errno == ENOENT)
			continue; /* a copier has made room meanwhile */
		assert_true(fd >= 0 && !fstat(fd, &st));
		bytes = malloc((size_t)st.st_size + 1);
		assert_int_equal(read(fd, bytes, (size_t)st.st_size), st.st_size);
		SHA256(bytes, (size_t)st.st_size, hash.octet);
		hash_format(&hash, name);
		assert_memory_equal(name, paths[i], 2);
		assert_string_equal(name + 2, paths[i] + 3);
		n++;
	}
	model_paths_free(paths, npaths);
	return n;
}

#endif

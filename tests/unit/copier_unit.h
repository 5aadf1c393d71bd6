/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A site with one version, its view and somebody who reads it, for tests of the copier.
 */
#ifndef TESTS_UNIT_COPIER_UNIT_H
#define TESTS_UNIT_COPIER_UNIT_H

#include "tests/unit/site.h"

#include "fsd/view.h"

struct gate;

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

static inline void bench_free(struct bench *b)
{
	site_fini(&b->site);
	free(b);
}

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A view as its cache (views.c) makes it and its questions (view.c) read it; nobody
 * else includes this.
 */
#ifndef FSD_VIEW_CACHE_H
#define FSD_VIEW_CACHE_H

#include <stdatomic.h>

#include "fsd/view_source.h"

struct cached_overlay;

struct view {
	atomic_uint refs;
	uint32_t host;
	uint32_t version;
	uint64_t change;
	struct tree *tree;
	struct cached_overlay **overlays; /* references, the weakest first */
	unsigned int noverlays;
	int64_t host_changed;
	int64_t keys_ns;   /* when the values of its templates' keys last changed */
	struct view *next; /* in the cache's bucket */
};

#endif

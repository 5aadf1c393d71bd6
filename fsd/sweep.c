/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/sweep.h"

#include <errno.h>
#include <stdlib.h>

#include "fsd/manifest_sweep.h"
#include "fsd/named.h"

/* The hashes that somebody names, sorted once complete. */
struct wanted {
	struct hash *list;
	size_t n;
	size_t room;
};

static int wanted_add(struct wanted *w, const struct hash *hash)
{
	if (w->n == w->room) {
		size_t room = w->room ? w->room * 2 : 4096;
		struct hash *bigger = realloc(w->list, room * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		w->list = bigger;
		w->room = room;
	}
	w->list[w->n++] = *hash;
	return 0;
}

static int hash_cmp(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct hash));
}

static bool wanted_has(void *ctx, const struct hash *hash)
{
	const struct wanted *w = ctx;

	return bsearch(hash, w->list, w->n, sizeof(*hash), hash_cmp) != NULL;
}

static int want_one(void *ctx, const struct named *named)
{
	return wanted_add(ctx, &named->hash);
}

/* Both stores are held before the rows are read: what was put before that has its
 * row, what comes after waits. */
static int sweep_held(struct db *db, const char *state_dir, struct objects *stores[2],
		      struct objects_swept *out, struct why *why)
{
	struct wanted w = {0};
	int r = named_each(db, state_dir, want_one, &w, why);

	if (!r && w.n)
		qsort(w.list, w.n, sizeof(*w.list), hash_cmp);
	for (int i = 0; i < 2 && !r; i++) {
		struct objects_swept one;

		r = objects_sweep(stores[i], wanted_has, &w, &one);
		if (!r) {
			out->files += one.files;
			out->bytes += one.bytes;
		}
	}
	free(w.list);
	return r ? r : manifest_sweep(db, state_dir, why);
}

int sweep(struct db *db, const char *state_dir, struct objects_swept *out, struct why *why)
{
	struct objects *stores[2] = {NULL, NULL};
	int r = 0;

	*out = (struct objects_swept){0};
	for (int i = 0; i < 2 && !r; i++) {
		r = objects_open(state_dir, i ? STORE_SECRETS : STORE_OBJECTS, true, &stores[i],
				 why);
		if (!r)
			r = objects_hold(stores[i], true);
	}
	if (!r)
		r = sweep_held(db, state_dir, stores, out, why);
	objects_close(stores[0]);
	objects_close(stores[1]);
	return r ? why_set(why, r, "sweeping: %s", strerror(-r)) : 0;
}

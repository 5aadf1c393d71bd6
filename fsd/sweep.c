/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/sweep.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "fsd/manifest_sweep.h"
#include "fsd/version.h"

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

static int want_version(const char *state_dir, uint32_t id, struct wanted *w, struct why *why)
{
	cleanup(version_unrefp) struct version *v = NULL;
	int r = version_open(state_dir, id, &v, why);

	for (uint32_t pos = 0; !r && pos < manifest_count(version_manifest(v)); pos++) {
		const struct manifest_node *n = manifest_at(version_manifest(v), pos);
		struct fill_record record;

		if (!n)
			r = why_set(why, -EUCLEAN, "manifests/%u: damaged", id);
		else if (S_ISREG(n->mode) && n->link == pos && version_known(v, pos, &record))
			r = wanted_add(w, &record.hash);
	}
	return r;
}

static int want_all(struct db *db, const char *state_dir, struct wanted *w, struct why *why)
{
	sqlite3_stmt *stmt = db_stmt(db, "SELECT id FROM version");
	int r;

	for (r = db_query(db, stmt, ""); r == DB_ROW; r = db_next(db, stmt)) {
		r = want_version(state_dir, (uint32_t)sqlite3_column_int64(stmt, 0), w, why);
		if (r) {
			sqlite3_reset(stmt);
			return r;
		}
	}
	/* Retired rows too: clients may hold their nodes. */
	stmt = db_stmt(db, "SELECT object FROM entry WHERE object IS NOT NULL");
	if (!r)
		r = db_query(db, stmt, "");
	for (; r == DB_ROW; r = db_next(db, stmt)) {
		struct bytes b = db_column_bytes(stmt, 0);
		struct hash hash;

		if (b.len != sizeof(hash))
			continue;
		memcpy(&hash, b.at, sizeof(hash));
		if (wanted_add(w, &hash)) {
			sqlite3_reset(stmt);
			return -ENOMEM;
		}
	}
	return r;
}

/* Both stores are held before the rows are read: what was put before that has its
 * row, what comes after waits. */
static int sweep_held(struct db *db, const char *state_dir, struct objects *stores[2],
		      struct objects_swept *out, struct why *why)
{
	struct wanted w = {0};
	int r = want_all(db, state_dir, &w, why);

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
	static const char *const names[2] = {"objects", "secrets"};
	struct objects *stores[2] = {NULL, NULL};
	char path[PATH_MAX];
	int r = 0;

	*out = (struct objects_swept){0};
	for (int i = 0; i < 2 && !r; i++) {
		snprintf(path, sizeof(path), "%s/%s", state_dir, names[i]);
		r = objects_open(path, true, i ? 0700 : 0750, &stores[i], why);
		if (!r)
			r = objects_hold(stores[i], true);
	}
	if (!r)
		r = sweep_held(db, state_dir, stores, out, why);
	objects_close(stores[0]);
	objects_close(stores[1]);
	return r ? why_set(why, r, "sweeping: %s", strerror(-r)) : 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/hot.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	HOT_SLOTS = 16384, /* a power of two */
	HOT_FULL = HOT_SLOTS * 3 / 4
};

struct hot_slot {
	uint32_t version; /* 0: free */
	uint32_t pos;
	uint32_t boots;
	uint32_t us;
};

/* Noted and not written yet. */
struct hot {
	unsigned int n;
	struct hot_slot slots[HOT_SLOTS];
};

int hot_new(struct hot **out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
}

void hot_free(struct hot *hot)
{
	free(hot);
}

bool hot_note(struct hot *hot, uint32_t version, uint32_t pos, uint32_t us)
{
	uint32_t i = (pos * UINT32_C(2654435761) ^ version * UINT32_C(2246822519)) >> 18;

	if (!version || hot->n >= HOT_FULL)
		return true;
	while (hot->slots[i].version &&
	       (hot->slots[i].version != version || hot->slots[i].pos != pos))
		i = (i + 1) & (HOT_SLOTS - 1);
	if (!hot->slots[i].version) {
		hot->slots[i] = (struct hot_slot){version, pos, 0, us};
		hot->n++;
	}
	hot->slots[i].boots++;
	if (us < hot->slots[i].us)
		hot->slots[i].us = us;
	return hot->n >= HOT_FULL;
}

static int flush_rows(const struct hot *hot, struct db *trace)
{
	int r = 0;

	for (unsigned int i = 0; i < HOT_SLOTS && !r; i++) {
		const struct hot_slot *s = &hot->slots[i];

		if (s->version)
			r = db_run(trace,
				   "INSERT INTO first_read (version, pos, boots, us)"
				   " VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
				   " boots = boots + excluded.boots, us = min(us, excluded.us)",
				   "uuuu", s->version, s->pos, s->boots, s->us);
	}
	return r;
}

int hot_flush(struct hot *hot, struct db *trace)
{
	cleanup(txn_abortp) struct txn *txn = NULL;
	int r = 0;

	if (hot->n) {
		r = txn_begin(trace, &txn);
		if (!r)
			r = flush_rows(hot, trace);
		if (!r)
			r = txn_commit(take(&txn));
	}
	memset(hot, 0, sizeof(*hot));
	return r;
}

static bool is_version(struct db *rootstock, uint32_t version)
{
	sqlite3_stmt *stmt = db_stmt(rootstock, "SELECT 1 FROM version WHERE id = ?");
	int r = db_query(rootstock, stmt, "u", version);

	sqlite3_reset(stmt);
	return r != 0; /* on an error it may be one */
}

/* Of one version, by its number or after the last one. */
static int trim_one(struct db *trace, struct db *rootstock, uint32_t version)
{
	if (!is_version(rootstock, version))
		return db_run(trace, "DELETE FROM first_read WHERE version = ?", "u", version);
	return db_run(trace,
		      "DELETE FROM first_read WHERE version = ?1 AND pos IN (SELECT pos FROM"
		      " first_read WHERE version = ?1 ORDER BY us, pos LIMIT -1 OFFSET ?2)",
		      "uu", version, (uint32_t)HOT_FILES);
}

int hot_trim(struct db *trace, struct db *rootstock)
{
	uint32_t version = 0;

	for (;;) {
		sqlite3_stmt *stmt =
			db_stmt(trace, "SELECT min(version) FROM first_read WHERE version > ?");
		int r = db_query(trace, stmt, "u", version);

		if (r != DB_ROW)
			return r;
		version = (uint32_t)sqlite3_column_int64(stmt, 0);
		sqlite3_reset(stmt);
		if (!version)
			return 0;
		r = trim_one(trace, rootstock, version);
		if (r)
			return r;
	}
}

/* ---- the order ---- */

struct order {
	const struct manifest *from; /* of the version that was booted */
	const struct manifest *to;
	uint32_t *list;
	uint32_t n;
	uint8_t *taken; /* a bit for each position of `to` */
};

/* The same path in the other manifest.  Returns 0, or other than 0 where there is none. */
static int same_path(const struct order *o, uint32_t pos, uint32_t *out)
{
	char path[PATH_MAX];
	uint32_t at = 0;
	ssize_t len;

	if (o->from == o->to) {
		*out = pos;
		return 0;
	}
	len = manifest_path(o->from, pos, path, sizeof(path));
	if (len <= 0)
		return -ENOENT;
	for (const char *name = path; *name;) {
		size_t n = strcspn(name, "/");
		const struct manifest_node *dir = manifest_at(o->to, at);

		if (!dir || !S_ISDIR(dir->mode) || manifest_find(o->to, dir, name, n, &at))
			return -ENOENT;
		name += n + (name[n] == '/');
	}
	*out = at;
	return 0;
}

static void order_add(struct order *o, uint32_t pos)
{
	const struct manifest_node *n;

	if (pos >= manifest_count(o->from) || same_path(o, pos, &pos))
		return;
	n = manifest_at(o->to, pos);
	if (!n || !S_ISREG(n->mode) || n->link >= manifest_count(o->to))
		return;
	pos = n->link;
	if (o->taken[pos / 8] >> pos % 8 & 1)
		return;
	o->taken[pos / 8] |= (uint8_t)(1 << pos % 8);
	o->list[o->n++] = pos;
}

static int order_of(struct db *trace, uint32_t version, struct order *o)
{
	sqlite3_stmt *stmt = db_stmt(
		trace, "SELECT pos FROM first_read WHERE version = ? ORDER BY us, pos LIMIT ?");
	int r;

	for (r = db_query(trace, stmt, "uu", version, (uint32_t)HOT_FILES); r == DB_ROW;
	     r = db_next(trace, stmt))
		order_add(o, (uint32_t)sqlite3_column_int64(stmt, 0));
	return r;
}

/* The newest version of the image, not after `version`, that was booted; 0: none. */
static int booted_version(struct db *rootstock, struct db *trace, uint32_t version, uint32_t *out)
{
	sqlite3_stmt *stmt =
		db_stmt(rootstock, "SELECT id FROM version WHERE id <= ?1 AND image ="
				   " (SELECT image FROM version WHERE id = ?1) ORDER BY id DESC");
	int r;

	*out = 0;
	for (r = db_query(rootstock, stmt, "u", version); r == DB_ROW;
	     r = db_next(rootstock, stmt)) {
		uint32_t id = (uint32_t)sqlite3_column_int64(stmt, 0);
		uint32_t files;
		uint32_t boots;

		r = hot_count(trace, id, &files, &boots);
		if (r || files) {
			*out = id;
			break;
		}
	}
	sqlite3_reset(stmt);
	return r < 0 ? r : 0;
}

int hot_order(struct db *rootstock, struct db *trace, const char *state_dir, uint32_t version,
	      const struct manifest *m, uint32_t **list, uint32_t *n)
{
	cleanup(manifest_closep) struct manifest *booted = NULL;
	struct order o = {.from = m, .to = m};
	char dir[PATH_MAX];
	uint32_t id;
	int r;

	*list = NULL;
	*n = 0;
	r = booted_version(rootstock, trace, version, &id);
	if (r || !id)
		return r;
	snprintf(dir, sizeof(dir), "%s/manifests", state_dir);
	if (id != version) {
		r = manifest_open(dir, id, &booted, NULL);
		if (r)
			return r;
		o.from = booted;
	}
	o.list = calloc(HOT_FILES, sizeof(*o.list));
	o.taken = calloc(manifest_count(m) / 8 + 1, 1);
	r = o.list && o.taken ? order_of(trace, id, &o) : -ENOMEM;
	free(o.taken);
	if (r) {
		free(o.list);
		return r;
	}
	*list = o.list;
	*n = o.n;
	return 0;
}

int hot_count(struct db *trace, uint32_t version, uint32_t *files, uint32_t *boots)
{
	sqlite3_stmt *stmt =
		db_stmt(trace, "SELECT count(*), max(boots) FROM first_read WHERE version = ?");
	int r = db_query(trace, stmt, "u", version);

	if (r != DB_ROW)
		return r ? r : -EUCLEAN;
	*files = (uint32_t)sqlite3_column_int64(stmt, 0);
	*boots = (uint32_t)sqlite3_column_int64(stmt, 1);
	sqlite3_reset(stmt);
	return 0;
}

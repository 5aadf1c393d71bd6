/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/overlay.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"

bool entry_in_force(const struct entry *entry, uint64_t change)
{
	if ((entry->flags & ENTRY_NEXT_BOOT) && entry->change > change)
		return false;
	if (!entry->retired)
		return true;
	return (entry->flags & ENTRY_RETIRED_NEXT_BOOT) && entry->retired > change;
}

int overlay_path(const char *path, char out[static 4096], struct why *why)
{
	size_t len = 0;

	for (const char *at = path; *at;) {
		size_t n = strcspn(at, "/");

		if (n) {
			if (at[0] == '.' && (n == 1 || (n == 2 && at[1] == '.')))
				return why_set(why, -EINVAL, "%s: a path with . or .. in it", path);
			if (n > 255 || len + n + 2 > 4096)
				return why_set(why, -ENAMETOOLONG, "%.64s...: too long", path);
			if (len)
				out[len++] = '/';
			memcpy(out + len, at, n);
			len += n;
		}
		at += n + (at[n] == '/');
	}
	out[len] = '\0';
	return 0;
}

static int counter_next(struct db *db, const char *name, int64_t *out)
{
	sqlite3_stmt *stmt =
		db_stmt(db, "UPDATE counter SET value = value + 1 WHERE name = ? RETURNING value");
	int r = db_query(db, stmt, "s", name);

	if (r != DB_ROW)
		return r ? r : -EUCLEAN;
	*out = sqlite3_column_int64(stmt, 0);
	/* RETURNING gives its row before the statement is done. */
	r = db_next(db, stmt);
	return r == DB_ROW ? -EUCLEAN : r;
}

static int node_next(struct db *db, int64_t *out)
{
	int r = counter_next(db, "node", out);

	if (r)
		return r;
	*out += ENTRY_ID_FIRST;
	return *out < ENTRY_ID_MAX ? 0 : -EOVERFLOW;
}

/* One number out of one row; *out untouched when there is none. */
static int query_int(struct db *db, sqlite3_stmt *stmt, int64_t *out)
{
	*out = sqlite3_column_int64(stmt, 0);
	return sqlite3_reset(stmt) ? -EIO : 0;
	(void)db;
}

static int path_id(struct db *db, struct bytes path, bool make, int64_t *out)
{
	sqlite3_stmt *stmt = db_stmt(db, "SELECT id FROM path WHERE path = ?");
	int r = db_query(db, stmt, "b", path);

	if (r == DB_ROW)
		return query_int(db, stmt, out);
	if (r || !make)
		return r ? r : -ENOENT;
	r = node_next(db, out);
	return r ? r : db_run(db, "INSERT INTO path (id, path) VALUES (?, ?)", "ib", *out, path);
}

static int scope_id(struct db *db, struct scope scope, bool make, int64_t *out)
{
	sqlite3_stmt *stmt = db_stmt(db, "SELECT id FROM scope WHERE kind = ? AND owner = ?");
	int r = db_query(db, stmt, "uu", (uint32_t)scope.kind, scope.owner);

	if (r == DB_ROW)
		return query_int(db, stmt, out);
	if (r || !make)
		return r ? r : -ENOENT;
	r = db_run(db, "INSERT INTO scope (kind, owner, change) VALUES (?, ?, 0)", "uu",
		   (uint32_t)scope.kind, scope.owner);
	*out = db_last_id(db);
	return r;
}

/* The row of a path that a scope has and no later one has retired. */
struct live {
	int64_t id;
	int64_t kind;
	bool next_boot;
};

static int live_row(struct db *db, int64_t scope, struct bytes path, struct live *out)
{
	sqlite3_stmt *stmt = db_stmt(
		db, "SELECT e.id, e.kind, e.next_boot FROM path p JOIN entry e ON e.path = p.id"
		    " WHERE p.path = ? AND e.scope = ? AND e.retired IS NULL");
	int r = db_query(db, stmt, "bi", path, scope);

	if (r != DB_ROW)
		return r ? r : -ENOENT;
	out->kind = sqlite3_column_int64(stmt, 1);
	out->next_boot = sqlite3_column_int(stmt, 2);
	return query_int(db, stmt, &out->id);
}

static int retire(struct db *db, int64_t id, int64_t change, int64_t now, bool next_boot)
{
	return db_run(db,
		      "UPDATE entry SET retired = ?, retired_at = ?, retired_next_boot = ?"
		      " WHERE id = ?",
		      "iiui", change, now, (uint32_t)next_boot, id);
}

static int insert_row(struct db *db, int64_t id, int64_t scope, int64_t path, int64_t change,
		      int64_t now, const struct entry_spec *s)
{
	static const char sql[] =
		"INSERT INTO entry (id, scope, path, kind, mode, uid, gid, size, mtime, object,"
		" target, body, secret, next_boot, change, changed)"
		" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
	const struct bytes none = {0};
	sqlite3_stmt *stmt = db_stmt(db, sql);
	int r;

	r = db_query(
		db, stmt, "iiiuiiiiibbbuuii", id, scope, path, (uint32_t)s->kind, (int64_t)s->mode,
		(int64_t)s->uid, (int64_t)s->gid, (int64_t)s->size, s->mtime_ns,
		s->kind == ENTRY_FILE ? (struct bytes){s->hash.octet, HASH_LEN} : none,
		s->kind == ENTRY_LINK ? s->body : none, s->kind == ENTRY_TEMPLATE ? s->body : none,
		(uint32_t) !!(s->flags & ENTRY_SECRET), (uint32_t) !!(s->flags & ENTRY_NEXT_BOOT),
		change, now);
	if (r)
		return r;
	/* NULL says "not given". */
	if (!(s->flags & ENTRY_MODE_SET))
		r = db_run(db, "UPDATE entry SET mode = NULL WHERE id = ?", "i", id);
	if (!r && !(s->flags & ENTRY_OWNER_SET))
		r = db_run(db, "UPDATE entry SET uid = NULL, gid = NULL WHERE id = ?", "i", id);
	return r;
}

static int insert_parent(struct db *db, int64_t scope, struct bytes path, int64_t change,
			 int64_t now, uint8_t flags)
{
	const struct entry_spec parent = {
		.kind = ENTRY_PARENT,
		.flags = (uint8_t)(ENTRY_MODE_SET | ENTRY_OWNER_SET | (flags & ENTRY_NEXT_BOOT)),
		.mode = 0755,
		.mtime_ns = now,
	};
	int64_t path_row;
	int64_t id;
	int r = path_id(db, path, true, &path_row);

	if (!r)
		r = node_next(db, &id);
	return r ? r : insert_row(db, id, scope, path_row, change, now, &parent);
}

/* A row that is there already is to serve as a parent, too.  These two changes add to
 * what a row does and take nothing away, so they are made in place. */
static int serve_as_parent(struct db *db, const struct live *row, uint8_t flags)
{
	int r = 0;

	/* Attributes alone make no directory where the image has none. */
	if (row->kind == ENTRY_ATTR)
		r = db_run(db, "UPDATE entry SET kind = ? WHERE id = ?", "ui",
			   (uint32_t)ENTRY_PARENT_ATTR, row->id);
	/* What goes below it now must not wait for the next boot. */
	if (!r && row->kind == ENTRY_PARENT && row->next_boot && !(flags & ENTRY_NEXT_BOOT))
		r = db_run(db, "UPDATE entry SET next_boot = 0 WHERE id = ?", "i", row->id);
	return r;
}

/* Rows for the directories above `path`, where the scope has none. */
static int insert_parents(struct db *db, int64_t scope, const char *path, int64_t change,
			  int64_t now, uint8_t flags, struct why *why)
{
	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		struct bytes above = {(const uint8_t *)path, (size_t)(slash - path)};
		struct live row;
		int r = live_row(db, scope, above, &row);

		if (r == -ENOENT)
			r = insert_parent(db, scope, above, change, now, flags);
		else if (!r && (row.kind == ENTRY_WHITEOUT || row.kind == ENTRY_FILE ||
				row.kind == ENTRY_TEMPLATE))
			return why_set(why, -ENOTDIR, "/%.*s: %s by this overlay: reset it first",
				       (int)above.len, path,
				       row.kind == ENTRY_WHITEOUT ? "hidden" : "made a file");
		else if (!r)
			r = serve_as_parent(db, &row, flags);
		if (r)
			return r;
	}
	return 0;
}

static int scope_touch(struct db *db, int64_t scope, int64_t change)
{
	return db_run(db, "UPDATE scope SET change = ? WHERE id = ?", "ii", change, scope);
}

/* `attr` on a path that has a row: the same again, with the new attributes. */
static int attr_over(struct db *db, const struct live *old, int64_t id, int64_t change, int64_t now,
		     const struct entry_spec *s)
{
	uint32_t kind = (uint32_t)(old->kind == ENTRY_PARENT ? ENTRY_PARENT_ATTR : old->kind);
	/* A body that waits for the next boot is not let out by its attributes. */
	uint32_t next_boot = old->next_boot || (s->flags & ENTRY_NEXT_BOOT);
	int r;

	if (old->kind == ENTRY_PARENT) /* nobody has asked for its mode or owner so far */
		r = db_run(db,
			   "INSERT INTO entry (id, scope, path, kind, mtime, next_boot, change,"
			   " changed) SELECT ?, scope, path, ?, mtime, ?, ?, ? FROM entry"
			   " WHERE id = ?",
			   "iuuiii", id, kind, next_boot, change, now, old->id);
	else
		r = db_run(db,
			   "INSERT INTO entry (id, scope, path, kind, mode, uid, gid, rdev, size,"
			   " mtime, object, target, body, secret, next_boot, change, changed)"
			   " SELECT ?, scope, path, kind, mode, uid, gid, rdev, size, mtime,"
			   " object, target, body, secret, ?, ?, ? FROM entry WHERE id = ?",
			   "iuiii", id, next_boot, change, now, old->id);
	if (!r && (s->flags & ENTRY_MODE_SET))
		r = db_run(db, "UPDATE entry SET mode = ? WHERE id = ?", "ui", (uint32_t)s->mode,
			   id);
	if (!r && (s->flags & ENTRY_OWNER_SET))
		r = db_run(db, "UPDATE entry SET uid = ?, gid = ? WHERE id = ?", "uui", s->uid,
			   s->gid, id);
	return r;
}

int overlay_change(struct db *db, struct scope scope, const char *path,
		   const struct entry_spec *spec, uint32_t *id_out, struct why *why)
{
	struct bytes whole = {(const uint8_t *)path, strlen(path)};
	bool next_boot = spec->flags & ENTRY_NEXT_BOOT;
	int64_t now = wall_now_ns();
	struct live old = {0};
	int64_t scope_row;
	int64_t path_row;
	int64_t change;
	int64_t id;
	int r;

	if (!whole.len && spec->kind != ENTRY_ATTR)
		return why_set(why, -EINVAL, "/: only its attributes can be changed");
	r = scope_id(db, scope, true, &scope_row);
	if (!r)
		r = counter_next(db, "change", &change);
	if (!r)
		r = insert_parents(db, scope_row, path, change, now, spec->flags, why);
	if (!r)
		r = path_id(db, whole, true, &path_row);
	if (r)
		return r;
	r = live_row(db, scope_row, whole, &old);
	if (r && r != -ENOENT)
		return r;
	r = node_next(db, &id);
	if (r)
		return r;
	if (old.id && spec->kind == ENTRY_ATTR) {
		if (old.kind == ENTRY_WHITEOUT)
			return why_set(why, -EINVAL, "/%s: hidden by this overlay: reset it first",
				       path);
		next_boot |= old.next_boot;
		r = attr_over(db, &old, id, change, now, spec);
	} else {
		r = insert_row(db, id, scope_row, path_row, change, now, spec);
	}
	if (!r && old.id)
		r = retire(db, old.id, change, now, next_boot);
	if (!r)
		r = scope_touch(db, scope_row, change);
	if (!r && id_out)
		*id_out = (uint32_t)id;
	return r;
}

/* What a scope has below `path`: rows that stand, and rows that running boots still
 * see though the next ones will not. */
struct below {
	int64_t live;
	int64_t leaving;
};

static int rows_below(struct db *db, int64_t scope, const char *path, struct below *out)
{
	/* All paths that start with "path/" lie between it and "path0". */
	cleanup(freep) char *lo = NULL;
	cleanup(freep) char *hi = NULL;
	sqlite3_stmt *stmt;
	int r;

	if (asprintf(&lo, "%s/", path) < 0 || asprintf(&hi, "%s%c", path, '/' + 1) < 0)
		return -ENOMEM;
	stmt = db_stmt(db, "SELECT sum(e.retired IS NULL), sum(e.retired_next_boot) FROM path p"
			   " JOIN entry e ON e.path = p.id WHERE p.path > ? AND p.path < ?"
			   " AND e.scope = ?");
	r = db_query(db, stmt, "bbi", (struct bytes){(uint8_t *)lo, strlen(lo)},
		     (struct bytes){(uint8_t *)hi, strlen(hi)}, scope);
	if (r != DB_ROW)
		return r ? r : -EUCLEAN;
	out->leaving = sqlite3_column_int64(stmt, 1);
	return query_int(db, stmt, &out->live);
}

/* Parents that lead to no live row any more go with it, deepest first. */
static int retire_parents(struct db *db, int64_t scope, const char *path, int64_t change,
			  int64_t now, bool next_boot)
{
	cleanup(freep) char *above = strdup(path);

	if (!above)
		return -ENOMEM;
	for (char *slash; (slash = strrchr(above, '/'));) {
		struct below below;
		struct live row;
		int r;

		*slash = '\0';
		r = rows_below(db, scope, above, &below);
		if (r || below.live)
			return r;
		r = live_row(db, scope, (struct bytes){(uint8_t *)above, strlen(above)}, &row);
		if (r == -ENOENT || (!r && row.kind != ENTRY_PARENT))
			return 0;
		if (!r)
			r = retire(db, row.id, change, now, next_boot || below.leaving);
		if (r)
			return r;
	}
	return 0;
}

int overlay_reset(struct db *db, struct scope scope, const char *path, bool next_boot)
{
	struct bytes whole = {(const uint8_t *)path, strlen(path)};
	int64_t now = wall_now_ns();
	struct below below = {0};
	struct live row;
	int64_t scope_row;
	int64_t change;
	int r;

	r = scope_id(db, scope, false, &scope_row);
	if (!r)
		r = live_row(db, scope_row, whole, &row);
	if (!r && whole.len)
		r = rows_below(db, scope_row, path, &below);
	if (r)
		return r;
	if (row.kind == ENTRY_PARENT)
		return -ENOENT;
	r = counter_next(db, "change", &change);
	if (!r)
		r = retire(db, row.id, change, now, next_boot);
	if (!r && below.live) /* they need their way */
		r = insert_parent(db, scope_row, whole, change, now,
				  next_boot ? ENTRY_NEXT_BOOT : 0);
	else if (!r)
		r = retire_parents(db, scope_row, path, change, now, next_boot);
	return r ? r : scope_touch(db, scope_row, change);
}

/* The scope's last change, 0 for none. */
static int scope_change(struct db *db, struct scope scope, uint64_t *change)
{
	sqlite3_stmt *stmt = db_stmt(db, "SELECT change FROM scope WHERE kind = ? AND owner = ?");
	int64_t value = 0;
	int r = db_query(db, stmt, "uu", (uint32_t)scope.kind, scope.owner);

	if (r == DB_ROW)
		r = query_int(db, stmt, &value);
	if (!r)
		*change = (uint64_t)value;
	return r;
}

/* Text of one scope: it is sized by a first pass over the rows, so that pointers
 * into it stay. */
static char *text_take(char **at, struct bytes from)
{
	char *copy = *at;

	if (from.len)
		memcpy(copy, from.at, from.len);
	copy[from.len] = '\0';
	*at += from.len + 1;
	return copy;
}

static int entry_read(sqlite3_stmt *stmt, struct db *db, struct paths *paths, struct entry *e,
		      char **text)
{
	struct bytes hash = db_column_bytes(stmt, 8);
	struct bytes body;
	bool is_link;
	int r;

	*e = (struct entry){
		.id = (uint32_t)sqlite3_column_int64(stmt, 0),
		.path_id = (uint32_t)sqlite3_column_int64(stmt, 1),
		.kind = (uint8_t)sqlite3_column_int(stmt, 2),
		.mode = (uint16_t)(sqlite3_column_int(stmt, 3) & 07777),
		.uid = (uint32_t)sqlite3_column_int64(stmt, 4),
		.gid = (uint32_t)sqlite3_column_int64(stmt, 5),
		.change = (uint64_t)sqlite3_column_int64(stmt, 13),
		.changed_ns = sqlite3_column_int64(stmt, 14),
		.retired = (uint64_t)sqlite3_column_int64(stmt, 15),
		.retired_ns = sqlite3_column_int64(stmt, 16),
	};
	e->flags = (uint8_t)((sqlite3_column_type(stmt, 3) != SQLITE_NULL ? ENTRY_MODE_SET : 0) |
			     (sqlite3_column_type(stmt, 4) != SQLITE_NULL ? ENTRY_OWNER_SET : 0) |
			     (sqlite3_column_int(stmt, 11) ? ENTRY_SECRET : 0) |
			     (sqlite3_column_int(stmt, 12) ? ENTRY_NEXT_BOOT : 0) |
			     (sqlite3_column_int(stmt, 17) ? ENTRY_RETIRED_NEXT_BOOT : 0));
	if (e->id < ENTRY_ID_FIRST || e->id >= ENTRY_ID_MAX || e->path_id < ENTRY_ID_FIRST ||
	    e->path_id >= ENTRY_ID_MAX || e->kind < ENTRY_FILE || e->kind >= ENTRY_KINDS)
		return -EUCLEAN;
	r = paths_get(paths, db, e->path_id, &e->path);
	if (r)
		return r;
	if (e->kind == ENTRY_FILE) {
		if (hash.len != HASH_LEN)
			return -EUCLEAN;
		e->size = (uint64_t)sqlite3_column_int64(stmt, 6);
		e->mtime_ns = sqlite3_column_int64(stmt, 7);
		memcpy(&e->hash, hash.at, HASH_LEN);
		return 0;
	}
	is_link = e->kind == ENTRY_LINK;
	if (!is_link && e->kind != ENTRY_TEMPLATE)
		return 0;
	body = db_column_bytes(stmt, is_link ? 9 : 10);
	if (is_link && (!body.len || body.len >= PATH_MAX))
		return -EUCLEAN;
	e->body = (struct bytes){(const uint8_t *)text_take(text, body), body.len};
	return 0;
}

/* ---- the order of rows ---- */

struct place {
	uint64_t change; /* its own, or that of the earliest row below a directory */
	size_t path_len;
	struct entry *entry;
};

static bool makes_dir(const struct entry *e)
{
	return e->kind == ENTRY_DIR || e->kind == ENTRY_OPAQUE || e->kind == ENTRY_PARENT ||
	       e->kind == ENTRY_PARENT_ATTR;
}

static int place_by_path(const void *a, const void *b)
{
	return strcmp(((const struct place *)a)->entry->path,
		      ((const struct place *)b)->entry->path);
}

/* All rows of one change number are on one way down: the shorter path is above. */
static int place_cmp(const void *a, const void *b)
{
	const struct place *x = a;
	const struct place *y = b;

	if (x->change != y->change)
		return x->change < y->change ? -1 : 1;
	if (x->path_len != y->path_len)
		return x->path_len < y->path_len ? -1 : 1;
	return (x->entry->id > y->entry->id) - (x->entry->id < y->entry->id);
}

/* The first of the places, sorted by path, that is not before `path` and a '/'. */
static unsigned int first_below(const struct place *places, unsigned int n, const char *path)
{
	size_t len = strlen(path);
	unsigned int lo = 0;
	unsigned int hi = n;

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;
		const char *have = places[mid].entry->path;
		int c = strncmp(have, path, len);

		if (c < 0 || (!c && (uint8_t)have[len] < '/'))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool is_below(const struct entry *e, const char *path, size_t len)
{
	return !strncmp(e->path, path, len) && e->path[len] == '/';
}

/* Does a directory's row stand behind one below it?  Seldom: then most are spared the
 * sorting. */
static bool out_of_order(const struct overlay *ov)
{
	for (unsigned int i = 0; i < ov->n; i++) {
		const struct entry *dir = &ov->entries[i];
		size_t len = makes_dir(dir) ? strlen(dir->path) : 0;

		for (unsigned int k = 0; len && k < i; k++)
			if (is_below(&ov->entries[k], dir->path, len))
				return true;
	}
	return false;
}

static int overlay_order(struct overlay *ov)
{
	cleanup(freep) struct place *places = NULL;
	struct entry *sorted;

	if (!out_of_order(ov))
		return 0;
	places = calloc(ov->n + 1, sizeof(*places));
	sorted = calloc(ov->n + 1, sizeof(*sorted));
	if (!places || !sorted) {
		free(sorted);
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < ov->n; i++)
		places[i] = (struct place){ov->entries[i].change, strlen(ov->entries[i].path),
					   &ov->entries[i]};
	qsort(places, ov->n, sizeof(*places), place_by_path);
	for (unsigned int i = 0; i < ov->n; i++) {
		struct place *dir = &places[i];
		unsigned int k;

		if (!makes_dir(dir->entry))
			continue;
		for (k = first_below(places, ov->n, dir->entry->path);
		     k < ov->n && is_below(places[k].entry, dir->entry->path, dir->path_len); k++) {
			const struct entry *e = places[k].entry;

			if ((!e->retired || (e->flags & ENTRY_RETIRED_NEXT_BOOT)) &&
			    e->change < dir->change)
				dir->change = e->change;
		}
	}
	qsort(places, ov->n, sizeof(*places), place_cmp);
	for (unsigned int i = 0; i < ov->n; i++)
		sorted[i] = *places[i].entry;
	free(ov->entries);
	ov->entries = sorted;
	return 0;
}

int overlay_load(struct db *db, struct scope scope, struct paths *paths, struct overlay **out)
{
	cleanup(overlay_freep) struct overlay *ov = calloc(1, sizeof(*ov));
	sqlite3_stmt *stmt;
	int64_t scope_row = 0;
	int64_t room;
	unsigned int rows;
	char *text;
	int r;

	if (!ov)
		return -ENOMEM;
	ov->refs = 1;
	r = scope_id(db, scope, false, &scope_row);
	if (r == -ENOENT) {
		*out = take(&ov);
		return 0;
	}
	if (!r)
		r = scope_change(db, scope, &ov->change);
	if (r)
		return r;
	if (!paths) {
		r = paths_new(&ov->own_paths);
		if (r)
			return r;
		paths = ov->own_paths;
	}
	stmt = db_stmt(db, "SELECT count(*), sum(coalesce(length(target) + 1, 0) +"
			   " coalesce(length(body) + 1, 0)) FROM entry WHERE scope = ?");
	r = db_query(db, stmt, "i", scope_row);
	if (r != DB_ROW)
		return r ? r : -EUCLEAN;
	rows = (unsigned int)sqlite3_column_int(stmt, 0);
	room = sqlite3_column_int64(stmt, 1);
	sqlite3_reset(stmt);
	ov->entries = calloc(rows + 1, sizeof(*ov->entries));
	ov->text = text = malloc((size_t)room + 1);
	if (!ov->entries || !ov->text)
		return -ENOMEM;
	stmt = db_stmt(db, "SELECT id, path, kind, mode, uid, gid, size, mtime, object, target,"
			   " body, secret, next_boot, change, changed, retired, retired_at,"
			   " retired_next_boot FROM entry WHERE scope = ? ORDER BY change, id");
	for (r = db_query(db, stmt, "i", scope_row); r == DB_ROW; r = db_next(db, stmt)) {
		if (ov->n == rows) {
			r = -EAGAIN; /* not in one transaction: the caller must be */
			break;
		}
		r = entry_read(stmt, db, paths, &ov->entries[ov->n], &text);
		if (r)
			break;
		ov->n++;
	}
	sqlite3_reset(stmt);
	if (!r)
		r = overlay_order(ov);
	if (r)
		return r;
	*out = take(&ov);
	return 0;
}

void overlay_free(struct overlay *ov)
{
	if (!ov)
		return;
	free(ov->entries);
	free(ov->text);
	paths_free(ov->own_paths);
	free(ov);
}

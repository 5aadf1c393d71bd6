/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/named.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "common/log.h"

static int each_file(const char *state_dir, uint32_t id, struct named *named,
		     int (*each)(void *ctx, const struct named *named), void *ctx, struct why *why)
{
	cleanup(version_unrefp) struct version *v = NULL;
	const struct manifest *m;
	int r = version_open(state_dir, id, &v, why);

	if (r)
		return r;
	m = version_manifest(v);
	named->version = v;
	named->id = id;
	for (uint32_t pos = 0; !r && pos < manifest_count(m); pos++) {
		const struct manifest_node *n = manifest_at(m, pos);
		struct fill_record record;

		if (!n)
			return why_set(why, -EUCLEAN, "manifests/%u: damaged", id);
		if (!S_ISREG(n->mode) || n->link != pos)
			continue;
		/* What is known of a file that is there is at least its hash. */
		if (!version_known(v, pos, &record)) {
			if (manifest_sealed(m))
				return why_set(why, -EUCLEAN, "manifests/%u: damaged", id);
			continue;
		}
		if (!hash_known(&record.hash))
			continue; /* gone, and never seen */
		named->pos = pos;
		named->hash = record.hash;
		named->size = record.size;
		r = each(ctx, named);
	}
	return r;
}

static int each_version(struct db *db, const char *state_dir, uint32_t only,
			int (*each)(void *ctx, const struct named *named), void *ctx,
			struct why *why)
{
	sqlite3_stmt *stmt = db_stmt(
		db, "SELECT v.id, i.name, v.number, CASE origin_kind WHEN 'dir' THEN origin END"
		    " FROM version v JOIN image i ON i.id = v.image WHERE ?1 IN (0, v.id)");
	int r;

	for (r = db_query(db, stmt, "u", only); r == DB_ROW; r = db_next(db, stmt)) {
		struct named named = {
			.image = (const char *)sqlite3_column_text(stmt, 1),
			.number = (uint32_t)sqlite3_column_int64(stmt, 2),
			.origin = (const char *)sqlite3_column_text(stmt, 3),
		};

		r = each_file(state_dir, (uint32_t)sqlite3_column_int64(stmt, 0), &named, each, ctx,
			      why);
		if (r) {
			sqlite3_reset(stmt);
			return r;
		}
	}
	return r ? why_set(why, r, "%s", db_error(db)) : 0;
}

static int each_row(struct db *db, int (*each)(void *ctx, const struct named *named), void *ctx,
		    struct why *why)
{
	sqlite3_stmt *stmt = db_stmt(
		db, "SELECT e.object, e.size, e.secret, p.path, CASE s.kind"
		    " WHEN 0 THEN 'all' WHEN 1 THEN 'group:' || g.name ELSE 'host:' || h.name END"
		    " FROM entry e JOIN path p ON p.id = e.path JOIN scope s ON s.id = e.scope"
		    " LEFT JOIN grp g ON g.id = s.owner LEFT JOIN host h ON h.id = s.owner"
		    " WHERE e.object IS NOT NULL");
	int r;

	for (r = db_query(db, stmt, ""); r == DB_ROW; r = db_next(db, stmt)) {
		struct bytes hash = db_column_bytes(stmt, 0);
		struct named named = {
			.size = (uint64_t)sqlite3_column_int64(stmt, 1),
			.secret = sqlite3_column_int(stmt, 2),
			.path = db_column_bytes(stmt, 3),
			.scope = (const char *)sqlite3_column_text(stmt, 4),
		};

		if (hash.len != sizeof(named.hash))
			continue;
		memcpy(&named.hash, hash.at, sizeof(named.hash));
		if (!named.scope)
			named.scope = "a host or group that is no more";
		r = each(ctx, &named);
		if (r) {
			sqlite3_reset(stmt);
			return r;
		}
	}
	return r ? why_set(why, r, "%s", db_error(db)) : 0;
}

int named_each(struct db *db, const char *state_dir,
	       int (*each)(void *ctx, const struct named *named), void *ctx, struct why *why)
{
	int r = each_version(db, state_dir, 0, each, ctx, why);

	return r ? r : each_row(db, each, ctx, why);
}

int named_version(struct db *db, const char *state_dir, uint32_t version,
		  int (*each)(void *ctx, const struct named *named), void *ctx, struct why *why)
{
	return each_version(db, state_dir, version, each, ctx, why);
}

const char *named_text(const struct named *named, char *out, size_t size)
{
	char path[PATH_MAX];
	int n;

	if (!named->version) {
		n = snprintf(out, size, "%s /", named->scope);
		if (n >= 0 && (size_t)n < size)
			log_escape(out + n, size - (size_t)n, named->path.at, named->path.len);
		return out;
	}
	if (manifest_path(version_manifest(named->version), named->pos, path, sizeof(path)) < 0)
		path[0] = '\0';
	n = snprintf(out, size, "%s@%u /", named->image, named->number);
	if (n >= 0 && (size_t)n < size)
		log_escape(out + n, size - (size_t)n, path, strlen(path));
	return out;
}

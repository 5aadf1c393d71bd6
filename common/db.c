/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/db.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { DB_STMTS = 128 };

struct txn {
	struct db *db;
};

struct db {
	sqlite3 *handle;
	struct txn txn;
	struct db_stmt {
		const char *sql;
		sqlite3_stmt *stmt;
	} stmts[DB_STMTS];
	unsigned int nstmts;
	int unprepared; /* why db_stmt() last gave none: a negative errno */
	int patience_ms;
	sqlite3_stmt *data_version;
	sqlite3_stmt *rollback; /* made ready before: to be run without memory, too */
};

static int db_errno(int code)
{
	switch (code & 0xff) {
	case SQLITE_OK:
	case SQLITE_DONE:
		return 0;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EAGAIN;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_CORRUPT:
		return -EUCLEAN;
	case SQLITE_NOTADB:
		return -EMEDIUMTYPE;
	case SQLITE_CANTOPEN:
		return -ENOENT;
	case SQLITE_CONSTRAINT:
		return -EEXIST;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	default:
		return -EIO;
	}
}

/* A reader who may not write is told that the WAL's index has to be recovered, or made,
 * where he only met a writer in the middle of a change to it: SQLite looks again for who may
 * write alone (walIndexReadHdr(), walTryBeginRead()).  One that a writer who died left like
 * that is mended by the next. */
static bool look_again(struct db *db, int code, int *looks)
{
	if ((code & 0xff) != SQLITE_READONLY)
		return false;
	code = sqlite3_extended_errcode(db->handle);
	if ((code != SQLITE_READONLY_RECOVERY && code != SQLITE_READONLY_CANTINIT) ||
	    *looks == db->patience_ms)
		return false;
	++*looks;
	usleep(1000);
	return true;
}

static int db_prepare(struct db *db, const char *sql, unsigned int flags, sqlite3_stmt **out)
{
	int looks = 0;
	int code;

	do
		code = sqlite3_prepare_v3(db->handle, sql, -1, flags, out, NULL);
	while (look_again(db, code, &looks));
	return db_errno(code);
}

/* Returns SQLite's code. */
static int db_step(struct db *db, sqlite3_stmt *stmt)
{
	int looks = 0;
	int code;

	while (look_again(db, code = sqlite3_step(stmt), &looks))
		sqlite3_reset(stmt);
	return code;
}

int db_exec(struct db *db, const char *sql)
{
	int looks = 0;
	int code;

	do
		code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
	while (look_again(db, code, &looks));
	return db_errno(code);
}

void db_patience(struct db *db, int ms)
{
	db->patience_ms = ms;
	sqlite3_busy_timeout(db->handle, ms);
}

const char *db_error(struct db *db)
{
	return sqlite3_errmsg(db->handle);
}

static int db_pragma_int(struct db *db, const char *sql, int64_t *out)
{
	sqlite3_stmt *stmt;
	int r;

	r = db_prepare(db, sql, 0, &stmt);
	if (r)
		return r;
	r = db_step(db, stmt);
	if (r == SQLITE_ROW) {
		*out = sqlite3_column_int64(stmt, 0);
		r = SQLITE_OK;
	}
	sqlite3_finalize(stmt);
	return db_errno(r);
}

int db_check(struct db *db, struct why *why)
{
	const char *path = sqlite3_db_filename(db->handle, "main");
	sqlite3_stmt *stmt;
	int r;

	r = db_prepare(db, "PRAGMA quick_check(1)", 0, &stmt);
	if (r)
		return why_set(why, r, "%s: %s", path, db_error(db));
	r = db_step(db, stmt);
	if (r != SQLITE_ROW)
		r = why_set(why, -EUCLEAN, "%s: %s", path, db_error(db));
	else if (strcmp((const char *)sqlite3_column_text(stmt, 0), "ok"))
		r = why_set(why, -EUCLEAN, "%s: damaged: %s", path, sqlite3_column_text(stmt, 0));
	else
		r = 0;
	sqlite3_finalize(stmt);
	return r;
}

static int db_migrate(struct db *db, const struct db_schema *schema, const char *path,
		      struct why *why)
{
	char sql[64];
	int64_t version;
	int r;

	r = db_begin(db);
	if (r)
		return why_set(why, r, "%s: %s", path, db_error(db));
	r = db_pragma_int(db, "PRAGMA user_version", &version); /* again, now under the lock */
	for (int64_t v = version; !r && v < schema->nsteps; v++)
		r = db_exec(db, schema->steps[v]);
	if (!r) {
		snprintf(sql, sizeof(sql), "PRAGMA application_id = %d", schema->application_id);
		r = db_exec(db, sql);
	}
	if (!r) {
		snprintf(sql, sizeof(sql), "PRAGMA user_version = %u", schema->nsteps);
		r = db_exec(db, sql);
	}
	if (!r)
		return db_commit(db);
	why_set(why, r, "%s: bringing it to version %u: %s", path, schema->nsteps, db_error(db));
	db_rollback(db);
	return r;
}

/* The file must be ours, whole, and not newer than this program. */
static int db_admit(struct db *db, const struct db_schema *schema, enum db_mode mode,
		    const char *path, struct why *why)
{
	int64_t version = 0;
	int64_t app = 0;
	int64_t objects = 0;
	int r;

	r = db_pragma_int(db, "PRAGMA user_version", &version);
	if (!r)
		r = db_pragma_int(db, "PRAGMA application_id", &app);
	if (!r)
		r = db_pragma_int(db, "SELECT count(*) FROM sqlite_schema", &objects);
	if (r)
		return why_set(why, r, "%s: %s", path, db_error(db));
	if (app ? app != schema->application_id : version || objects)
		return why_set(why, -EMEDIUMTYPE, "%s: not a rootstock database", path);
	if (version > schema->nsteps)
		return why_set(why, -EPROTONOSUPPORT,
			       "%s: written by a newer rootstock (version %lld, this one knows %u)",
			       path, (long long)version, schema->nsteps);
	if (mode == DB_READ) {
		if (version < schema->nsteps)
			return why_set(why, -EPROTONOSUPPORT, "%s: not yet migrated", path);
		return 0;
	}
	r = db_exec(db, "PRAGMA journal_mode = WAL");
	if (r)
		return why_set(why, r, "%s: %s", path, db_error(db));
	if (version < schema->nsteps)
		return db_migrate(db, schema, path, why);
	return 0;
}

/* SQL's dir_of(path): a path's bytes up to its last slash. */
static void dir_of(sqlite3_context *context, int n, sqlite3_value **values)
{
	const char *path = sqlite3_value_blob(values[0]);
	size_t len = (size_t)sqlite3_value_bytes(values[0]);
	const char *slash = len ? memrchr(path, '/', len) : NULL;

	(void)n;
	sqlite3_result_blob(context, slash ? path : "", slash ? (int)(slash - path) : 0,
			    SQLITE_TRANSIENT);
}

int db_open(const char *dir, const struct db_schema *schema, enum db_mode mode, struct db **out,
	    struct why *why)
{
	static const int flags[] = {
		[DB_READ] = SQLITE_OPEN_READONLY,
		[DB_WRITE] = SQLITE_OPEN_READWRITE,
		[DB_CREATE] = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
	};
	cleanup(db_closep) struct db *db = NULL;
	char path[PATH_MAX];
	int r;

	if (snprintf(path, sizeof(path), "%s/%s", dir, schema->name) >= (int)sizeof(path))
		return why_set(why, -ENAMETOOLONG, "%s: path too long", dir);
	db = calloc(1, sizeof(*db));
	if (!db)
		return -ENOMEM;
	db->txn.db = db;
	r = sqlite3_open_v2(path, &db->handle,
			    flags[mode] | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
	if (r)
		return why_set(why, db_errno(r), "%s: %s", path,
			       db->handle ? db_error(db) : "out of memory");
	db_patience(db, DB_PATIENCE_MS);
	/* Rows come from a file that a child which was taken over, or somebody else, may
	 * have edited: what is no table in it is not run (a view may have no end), and
	 * defaults must not run functions with side effects. */
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	r = db_errno(sqlite3_create_function(db->handle, "dir_of", 1,
					     SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS,
					     NULL, dir_of, NULL, NULL));
	if (!r)
		r = db_admit(db, schema, mode, path, why);
	if (r)
		return r;
	/* A large sort must not want a file: children have no folder for one. */
	r = db_exec(db, "PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = ON");
	if (!r)
		r = db_exec(db, schema->durable ? "PRAGMA synchronous = FULL"
						: "PRAGMA synchronous = OFF");
	/* After all that makes statements be prepared again. */
	if (!r)
		r = db_prepare(db, "ROLLBACK", SQLITE_PREPARE_PERSISTENT, &db->rollback);
	if (r)
		return why_set(why, r, "%s: %s", path, db_error(db));
	*out = take(&db);
	return 0;
}

void db_close(struct db *db)
{
	if (!db)
		return;
	for (unsigned int i = 0; i < db->nstmts; i++)
		sqlite3_finalize(db->stmts[i].stmt);
	sqlite3_finalize(db->data_version);
	sqlite3_finalize(db->rollback);
	sqlite3_close(db->handle);
	free(db);
}

int64_t db_data_version(struct db *db)
{
	int64_t v = -1;

	if (!db->data_version &&
	    db_prepare(db, "PRAGMA data_version", SQLITE_PREPARE_PERSISTENT, &db->data_version))
		return -1;
	if (db_step(db, db->data_version) == SQLITE_ROW)
		v = sqlite3_column_int64(db->data_version, 0);
	sqlite3_reset(db->data_version);
	return v;
}

int db_begin(struct db *db)
{
	return db_exec(db, "BEGIN IMMEDIATE");
}

int db_commit(struct db *db)
{
	int r = db_exec(db, "COMMIT");

	if (r)
		db_rollback(db);
	return r;
}

bool db_in_transaction(const struct db *db)
{
	return !sqlite3_get_autocommit(db->handle);
}

void db_rollback(struct db *db)
{
	if (!db_in_transaction(db))
		return;
	if (db->rollback) {
		sqlite3_step(db->rollback);
		sqlite3_reset(db->rollback);
	} else { /* it is being opened */
		db_exec(db, "ROLLBACK");
	}
}

int txn_begin(struct db *db, struct txn **out)
{
	int r = db_begin(db);

	if (!r)
		*out = &db->txn;
	return r;
}

int txn_commit(struct txn *txn)
{
	return db_commit(txn->db);
}

void txn_abort(struct txn *txn)
{
	db_rollback(txn->db);
}

sqlite3_stmt *db_stmt(struct db *db, const char *sql)
{
	sqlite3_stmt *stmt;
	int r;

	/* The text is a constant: its address names it. */
	for (unsigned int i = 0; i < db->nstmts; i++)
		if (db->stmts[i].sql == sql) {
			sqlite3_reset(db->stmts[i].stmt);
			sqlite3_clear_bindings(db->stmts[i].stmt);
			return db->stmts[i].stmt;
		}
	if (db->nstmts == DB_STMTS) {
		db->unprepared = -ENOBUFS;
		return NULL;
	}
	r = db_prepare(db, sql, SQLITE_PREPARE_PERSISTENT, &stmt);
	if (r) {
		db->unprepared = r;
		return NULL;
	}
	db->stmts[db->nstmts++] = (struct db_stmt){sql, stmt};
	return stmt;
}

static int db_bind(sqlite3_stmt *stmt, const char *format, va_list ap)
{
	int r = SQLITE_OK;

	for (int i = 1; *format && !r; format++, i++) {
		struct bytes b;

		switch (*format) {
		case 'i':
			r = sqlite3_bind_int64(stmt, i, va_arg(ap, int64_t));
			break;
		case 'u':
			r = sqlite3_bind_int64(stmt, i, va_arg(ap, uint32_t));
			break;
		case 's':
			r = sqlite3_bind_text(stmt, i, va_arg(ap, const char *), -1, SQLITE_STATIC);
			break;
		case 'b':
			b = va_arg(ap, struct bytes);
			/* A NULL pointer would become SQL NULL; an empty run is not that. */
			r = b.at ? sqlite3_bind_blob64(stmt, i, b.at, b.len, SQLITE_STATIC)
				 : sqlite3_bind_null(stmt, i);
			break;
		case 'n':
			r = sqlite3_bind_null(stmt, i);
			break;
		default:
			return -EINVAL;
		}
	}
	return db_errno(r);
}

int db_next(struct db *db, sqlite3_stmt *stmt)
{
	int r = db_step(db, stmt);

	if (r == SQLITE_ROW)
		return DB_ROW;
	sqlite3_reset(stmt);
	return db_errno(r);
}

int db_query(struct db *db, sqlite3_stmt *stmt, const char *format, ...)
{
	va_list ap;
	int r;

	if (!stmt)
		return db->unprepared;
	va_start(ap, format);
	r = db_bind(stmt, format, ap);
	va_end(ap);
	return r ? r : db_next(db, stmt);
}

int db_run(struct db *db, const char *sql, const char *format, ...)
{
	sqlite3_stmt *stmt = db_stmt(db, sql);
	va_list ap;
	int r;

	if (!stmt)
		return db->unprepared;
	va_start(ap, format);
	r = db_bind(stmt, format, ap);
	va_end(ap);
	while (!r || r == DB_ROW) {
		r = db_next(db, stmt);
		if (r != DB_ROW)
			break;
	}
	return r;
}

struct bytes db_column_bytes(sqlite3_stmt *stmt, int column)
{
	const void *at = sqlite3_column_blob(stmt, column);

	return (struct bytes){.at = at, .len = (size_t)sqlite3_column_bytes(stmt, column)};
}

void db_column_text(sqlite3_stmt *stmt, int column, char *out, size_t out_size)
{
	const char *text = (const char *)sqlite3_column_text(stmt, column);

	snprintf(out, out_size, "%s", text ? text : "");
}

int db_column_mac(sqlite3_stmt *stmt, int column, struct mac *out)
{
	struct bytes mac = db_column_bytes(stmt, column);

	if (mac.len != sizeof(*out))
		return -EUCLEAN;
	memcpy(out, mac.at, sizeof(*out));
	return 0;
}

int64_t db_last_id(struct db *db)
{
	return sqlite3_last_insert_rowid(db->handle);
}

int64_t db_changes(struct db *db)
{
	return sqlite3_changes64(db->handle);
}

int db_copy(struct db *db, const char *path)
{
	sqlite3_stmt *stmt;
	int r = db_prepare(db, "VACUUM INTO ?", 0, &stmt);

	if (r)
		return r;
	sqlite3_bind_text(stmt, 1, path, -1, SQLITE_STATIC);
	while ((r = db_step(db, stmt)) == SQLITE_ROW)
		;
	sqlite3_finalize(stmt);
	return db_errno(r);
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * SQLite as rootstock uses it: WAL, one writer, migrations by user_version in
 * one transaction, statements that are prepared once.  An SQLite code becomes a
 * negative errno here and nowhere else (busy: EAGAIN, full: ENOSPC, corrupt:
 * EUCLEAN, not a database: EMEDIUMTYPE, read-only: EROFS, constraint: EEXIST).
 */
#ifndef COMMON_DB_H
#define COMMON_DB_H

#include <stdbool.h>
#include <stdint.h>
#include <sqlite3.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/mac.h"
#include "common/why.h"

struct db; /* one connection; one thread at a time */

/* What a kind of database looks like: `steps[i]` takes it from user_version i
 * to i + 1.  `application_id` refuses another program's file. */
struct db_schema {
	const char *name; /* "rootstock.db" */
	int32_t application_id;
	bool durable; /* synchronous FULL, else OFF */
	unsigned int nsteps;
	const char *const *steps;
};

enum db_mode {
	DB_READ,  /* mode=ro; needs a living writer in WAL mode; -ENOENT if absent */
	DB_WRITE, /* must exist, and be of this version or older */
	DB_CREATE
};

/* Open `dir`/`schema->name`.  A newer or foreign file is refused with its words in
 * `why`.  The caller closes *out. */
int db_open(const char *dir, const struct db_schema *schema, enum db_mode mode, struct db **out,
	    struct why *why);
void db_close(struct db *db); /* NULL is fine */
CLEANUP_DEFINE(struct db *, db_close);

/* Look through all of it (quick_check: a second for a million rows), as a server does
 * at its start.  -EUCLEAN with words: it is damaged. */
int db_check(struct db *db, struct why *why);

/* How long a call waits for another's transaction before it is -EAGAIN. */
enum { DB_PATIENCE_MS = 5000 };
void db_patience(struct db *db, int ms);

/* A number that moves whenever another connection committed (PRAGMA
 * data_version, about a microsecond). */
int64_t db_data_version(struct db *db);

/* Run one or more statements without results. */
int db_exec(struct db *db, const char *sql);
const char *db_error(struct db *db); /* SQLite's words for the last failure */

/* begin takes the write lock at once.  commit on failure has rolled back. */
int db_begin(struct db *db);
int db_commit(struct db *db);
void db_rollback(struct db *db); /* fine when no transaction is open */
bool db_in_transaction(const struct db *db);

/* A guard for cleanup(): rolls back unless txn_commit() took it. */
struct txn;
int txn_begin(struct db *db, struct txn **out);
int txn_commit(struct txn *txn); /* consumes txn, even on failure */
void txn_abort(struct txn *txn);
CLEANUP_DEFINE(struct txn *, txn_abort);

/* A prepared statement, kept by the connection under its text (which must be a
 * string constant) and handed out reset and with nothing bound. */
sqlite3_stmt *db_stmt(struct db *db, const char *sql); /* NULL: db_query() then says why */

/* Bind by one format character each: i int64_t, u uint32_t, s const char * (NULL
 * is SQL NULL), b struct bytes (by value; at NULL is SQL NULL), n nothing (SQL
 * NULL).  Bound memory is borrowed until the statement is reset.
 * Beside SQLite's own functions there is dir_of(path): its bytes up to the last slash.
 * Then step once.  Returns 0 (done), DB_ROW, or a negative errno; of a NULL `stmt` why
 * this connection could not prepare the last one. */
enum { DB_ROW = 1 };
int db_query(struct db *db, sqlite3_stmt *stmt, const char *format, ...);
int db_next(struct db *db, sqlite3_stmt *stmt); /* 0, DB_ROW or a negative errno */

/* Prepare, bind, step to the end, reset: a statement whose rows nobody reads. */
int db_run(struct db *db, const char *sql, const char *format, ...);

struct bytes db_column_bytes(sqlite3_stmt *stmt, int column);
/* Text cut at out_size - 1; "" for NULL. */
void db_column_text(sqlite3_stmt *stmt, int column, char *out, size_t out_size);
/* -EUCLEAN: it has another length than a MAC (NULL has none). */
int db_column_mac(sqlite3_stmt *stmt, int column, struct mac *out);

int64_t db_last_id(struct db *db);
int64_t db_changes(struct db *db); /* rows, by the last INSERT, UPDATE or DELETE */

/* All of the database as of one moment, into the new file `path`; others go on. */
int db_copy(struct db *db, const char *path);

#endif

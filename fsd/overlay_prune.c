/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/overlay_prune.h"

#include <errno.h>

#include "common/clock.h"

static int retired_count(struct db *db, int64_t *out)
{
	sqlite3_stmt *stmt = db_stmt(db, "SELECT count(*) FROM entry WHERE retired IS NOT NULL");
	int r = db_query(db, stmt, "");

	if (r != DB_ROW)
		return r ? r : -EUCLEAN;
	*out = sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	return 0;
}

/* Each host's oldest open boot, in a table of this connection's own; 0 stands for machines
 * that are none.  A boot is the host's that has its MAC now, and its row's, which it was when
 * it began. */
static int held_fill(struct db *db, struct db *leases)
{
	static const char insert[] =
		"INSERT INTO temp.held (host, change)"
		" SELECT coalesce(?1, 0), ?3"
		" UNION ALL SELECT host, ?3 FROM host_mac WHERE mac = ?2"
		" ON CONFLICT (host) DO UPDATE SET change = min(change, excluded.change)";
	sqlite3_stmt *stmt = db_stmt(leases, "SELECT host, mac, coalesce(change, 0) FROM boot"
					     " WHERE ended IS NULL");
	int r = db_exec(db, "CREATE TEMP TABLE IF NOT EXISTS held"
			    " (host INTEGER PRIMARY KEY, change INTEGER NOT NULL);"
			    "DELETE FROM temp.held");
	int row;

	if (r)
		return r;
	for (row = db_query(leases, stmt, ""); row == DB_ROW; row = db_next(leases, stmt)) {
		bool named = sqlite3_column_type(stmt, 0) != SQLITE_NULL;

		r = named ? db_run(db, insert, "ibi", sqlite3_column_int64(stmt, 0),
				   db_column_bytes(stmt, 1), sqlite3_column_int64(stmt, 2))
			  : db_run(db, insert, "nbi", db_column_bytes(stmt, 1),
				   sqlite3_column_int64(stmt, 2));
		if (r) {
			sqlite3_reset(stmt);
			return r;
		}
	}
	return row;
}

int overlay_prune(struct db *db, struct db *leases, int64_t now_ns, unsigned int least,
		  unsigned int most, unsigned int *gone)
{
	static const char delete[] =
		"DELETE FROM entry WHERE id IN (SELECT id FROM"
		" (SELECT e.id, e.retired, e.retired_at, s.kind, s.owner, row_number() OVER"
		"   (PARTITION BY e.scope, dir_of(p.path) ORDER BY e.retired_at DESC, e.id DESC)"
		"   AS nth"
		"  FROM entry e JOIN scope s ON s.id = e.scope JOIN path p ON p.id = e.path"
		"  WHERE e.retired IS NOT NULL)"
		" WHERE nth > 1 AND retired_at < ? AND retired <= coalesce(CASE kind"
		"  WHEN 0 THEN (SELECT min(change) FROM temp.held)"
		"  WHEN 1 THEN (SELECT min(h.change) FROM host_group m"
		"    JOIN temp.held h ON h.host = m.host WHERE m.grp = owner)"
		"  ELSE (SELECT change FROM temp.held WHERE host = owner) END,"
		"  9223372036854775807)"
		" LIMIT ?)";
	cleanup(txn_abortp) struct txn *txn = NULL;
	int64_t n;
	int r;

	*gone = 0;
	r = retired_count(db, &n);
	if (r || n < least)
		return r;
	r = txn_begin(db, &txn);
	if (!r)
		r = held_fill(db, leases);
	if (!r)
		r = db_run(db, delete, "iu", now_ns - OVERLAY_PRUNE_SECS * NS_PER_SEC, most);
	if (r)
		return r;
	n = db_changes(db);
	r = txn_commit(take(&txn));
	if (!r)
		*gone = (unsigned int)n;
	return r;
}

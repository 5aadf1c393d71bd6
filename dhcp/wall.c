/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dhcp/wall.h"

#define SET_NS NS_PER_SEC /* what slewing does between two looks, and more */
#define DAY_NS (INT64_C(86400) * NS_PER_SEC)
#define WRITE_NS (3600 * NS_PER_SEC)

/* x - y, for times that somebody may have edited: INT64_MIN or INT64_MAX at worst. */
static int64_t between(int64_t x, int64_t y)
{
	int64_t d;

	if (!__builtin_sub_overflow(x, y, &d))
		return d;
	return x < y ? INT64_MIN : INT64_MAX;
}

int wall_start(struct wall *wall, struct db *db, struct dhcp_now now, struct dhcp_now *as_of)
{
	sqlite3_stmt *stmt = db_stmt(db, "SELECT wall FROM clock");
	int64_t then = now.wall_ns; /* the first start: there are no rows, or an older program's */
	int64_t passed;
	int r = db_query(db, stmt, "");

	if (r == DB_ROW) {
		then = sqlite3_column_int64(stmt, 0);
		sqlite3_reset(stmt);
	} else if (r) {
		return r;
	}
	passed = between(now.wall_ns, then);
	*as_of = now;
	if (passed < 0)
		as_of->wall_ns = then;
	else if (passed > WALL_TRUST_NS)
		as_of->wall_ns = then + WALL_TRUST_NS;
	*wall = (struct wall){.seen = now, .settled = now.mono, .written = {INT64_MIN}};
	if (as_of->wall_ns == now.wall_ns)
		wall->settled.ns -= DAY_NS;
	return as_of->wall_ns != now.wall_ns;
}

int64_t wall_look(struct wall *wall, struct dhcp_now now)
{
	int64_t by = between(between(now.wall_ns, wall->seen.wall_ns),
			     between(now.mono.ns, wall->seen.mono.ns));

	wall->seen = now;
	if (by > -SET_NS && by < SET_NS)
		return 0;
	wall->settled = now.mono;
	return by;
}

bool wall_is_settled(const struct wall *wall, struct dhcp_now now)
{
	return now.mono.ns - wall->settled.ns >= DAY_NS;
}

int wall_write(struct db *db, struct dhcp_now now)
{
	return db_run(db, "INSERT OR REPLACE INTO clock (id, wall) VALUES (1, ?)", "i",
		      now.wall_ns);
}

bool wall_is_due(const struct wall *wall, struct dhcp_now now)
{
	return wall->written.ns == INT64_MIN || now.mono.ns - wall->written.ns >= WRITE_NS;
}

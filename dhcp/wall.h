/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How much of what the wall clock says has passed has really passed.
 *
 * Within a run only the monotonic clock counts, and rows, which hold wall time, are
 * written anew when the clock is set, all in one transaction with the row that says of
 * when they are.  Between two runs nobody but the wall clock knows: it is believed for
 * a week, for a server without a clock battery, or whose battery is empty, may start at
 * any time, years away.  So what runs out, runs out late then, and never early: an
 * address of a machine that runs is not given away, and its boot not ended.
 */
#ifndef DHCP_WALL_H
#define DHCP_WALL_H

#include "dhcp/lease.h"

#define WALL_TRUST_NS (7 * INT64_C(86400) * NS_PER_SEC)

struct wall {
	struct dhcp_now seen;	/* the last look */
	struct instant settled; /* since when it goes as the other one does */
	struct instant written;
};

/* When are the rows of `db` from the point of view of now: *as_of has the wall time by
 * which they are to be read.  Returns 1 where that is another than the clock's, and all of
 * them have to be written anew; else 0, or a negative errno. */
int wall_start(struct wall *wall, struct db *db, struct dhcp_now now, struct dhcp_now *as_of);

/* By how much was the clock set since the last look?  0: not at all.  Call it before
 * anything is decided or written by wall time. */
int64_t wall_look(struct wall *wall, struct dhcp_now now);

/* Has it gone evenly for a day?  Then history may be forgotten by it. */
bool wall_is_settled(const struct wall *wall, struct dhcp_now now);

/* In the transaction that writes rows; and once an hour without any. */
int wall_write(struct db *db, struct dhcp_now now);
bool wall_is_due(const struct wall *wall, struct dhcp_now now);

#endif

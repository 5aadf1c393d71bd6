/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Machines that asked and are not registered, under `unknown = pending`: who they
 * say they are, and when they were first and last seen, until somebody approves
 * them.  Rows of leases.db, held in memory.
 *
 * MACs can be made up: there is room for STRANGERS_MAX, new ones come in at a
 * limited rate, and one that asked once makes room before one that asks again.
 */
#ifndef DHCP_STRANGER_H
#define DHCP_STRANGER_H

#include "common/inventory.h"
#include "dhcp/lease.h"

enum { STRANGERS_MAX = 1024, STRANGER_VENDOR_MAX = 64 };

struct strangers;

/* Borrows `db`.  Rows of a time when another policy held go unless `keep`. */
int strangers_load(struct db *db, bool keep, struct dhcp_now now, struct strangers **out);
/* As boots_rewrite(). */
void strangers_rewrite(struct strangers *strangers, int64_t by_ns);
void strangers_free(struct strangers *strangers); /* NULL is fine */
CLEANUP_DEFINE(struct strangers *, strangers_free);

/* One has asked.  `arch` -1: it did not say; `vendor` is option 60, unescaped. */
void strangers_note(struct strangers *strangers, const struct mac *mac, int arch,
		    struct bytes vendor, struct dhcp_now now);

/* Those that are registered by now are strangers no more. */
void strangers_register(struct strangers *strangers, const struct inventory *inv);

/* Forget who has not asked for 30 days. */
void strangers_sweep(struct strangers *strangers, struct dhcp_now now);

/* As leases_write(). */
bool strangers_dirty(const struct strangers *strangers);
int strangers_write(struct strangers *strangers);
void strangers_written(struct strangers *strangers);

#endif

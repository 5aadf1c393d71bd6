/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The tables of the three databases, in one place, because one process writes
 * each and others read it.
 */
#ifndef COMMON_SCHEMA_H
#define COMMON_SCHEMA_H

#include "common/db.h"

extern const struct db_schema schema_rootstock; /* hosts, groups, overlays, images */
extern const struct db_schema schema_leases;	/* leases, boots */
extern const struct db_schema schema_trace;	/* events; may be deleted */

/* Kinds of rows in `scope`, weakest first. */
enum scope_kind { SCOPE_ALL, SCOPE_GROUP, SCOPE_HOST };

/* `lease.state` */
enum lease_state {
	LEASE_OFFERED = 1, /* held until `expires` */
	LEASE_BOUND = 2,
	LEASE_RELEASED = 3, /* remembered, so that the MAC gets it back */
	LEASE_DECLINED = 4  /* quarantined until `expires` */
};

#endif

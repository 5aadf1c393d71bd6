/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The state directory: made, with the owners that let each child do its part and
 * no more.
 */
#ifndef COMMON_STATE_H
#define COMMON_STATE_H

#include <sys/types.h>

#include "common/db.h"
#include "common/why.h"

#define STATE_DEFAULT "/var/lib/rootstock"

/* Make what lacks of `dir`, manifests/, objects/ and secrets/; *group is the services'.
 * What is there keeps its owner.  Refuses a directory that somebody else may write to. */
int state_make(const char *dir, gid_t *group, struct why *why);

/* The same, and open rootstock.db for writing.  The caller closes *db. */
int state_open(const char *dir, struct db **db, struct why *why);

/* Make leases.db and trace.db too, and give each database to its writer.  A trace.db that
 * is damaged becomes trace.db.damaged, with a line in the log, and begins anew.  Needs
 * root; *leases and *trace are kept open by the supervisor, for readers in WAL mode
 * need a living writer. */
int state_open_services(const char *dir, struct db **leases, struct db **trace, struct why *why);

#endif

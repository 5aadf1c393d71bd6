/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Can an overlay's entry be where it is put?  The way there is tried in every active
 * version: what is not a directory there, or goes round, is said when the entry is put and
 * not at a boot.
 */
#ifndef FSD_WAY_H
#define FSD_WAY_H

#include "common/cleanup.h"
#include "common/db.h"
#include "common/why.h"

struct way;

/* The versions that are active now, as `db` sees them. */
int way_open(struct db *db, const char *state_dir, struct way **out, struct why *why);
void way_close(struct way *way);
CLEANUP_DEFINE(struct way *, way_close);

/* `path` as rows have it.  -EINVAL with words. */
int way_check(struct way *way, const char *path, struct why *why);

#endif

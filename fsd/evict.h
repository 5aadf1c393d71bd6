/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Room in a full store: what nobody names goes first; then, for somebody who waits, what
 * can come again.  That is an object which no sealed version and no overlay names, and
 * whose file each unsealed version that names it still has in its origin, of the same
 * size, time, mode and owner.  The coldest goes first: what nobody has read since it was
 * put, the oldest of that first; then what was read longest ago, as far as the file
 * system keeps access times.
 *
 * Whoever has such an object open goes on reading it.
 */
#ifndef FSD_EVICT_H
#define FSD_EVICT_H

#include "common/db.h"
#include "fsd/objects.h"
#include "fsd/origin.h"

struct evicted {
	struct objects_swept garbage;
	struct objects_swept files; /* that versions still name */
};

/* Free `bytes`, or what can be; only garbage when `bytes` is 0.  Returns 0;
 * -EWOULDBLOCK when somebody is putting objects that nobody names yet; or another
 * negative errno with words, and then nothing that somebody names was removed.  `door`: see
 * fsd/origin.h. */
int evict(struct db *db, const char *state_dir, const struct origin_door *door, uint64_t bytes,
	  struct evicted *out, struct why *why);

#endif

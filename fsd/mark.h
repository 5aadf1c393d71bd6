/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whether a store's writers ended cleanly.
 *
 *	w0123456789abcdef   a writer's mark: locked while it lives, removed when it ends
 *	suspect             what writers put that did not end so, and nobody has verified
 *
 * Both hold one time, in decimal: nanoseconds since the epoch, a little before the
 * writer's last good sync.  What got its name before that is on the disk; what came
 * later may not be what its name says.  A mark that nobody locks cannot be of a writer
 * that ended cleanly, however it died, and a lock dies with its process: so a mark does
 * not lie.  One that cannot be read means: all of the store.
 */
#ifndef FSD_MARK_H
#define FSD_MARK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct mark {
	int fd; /* -1: none */
	char name[24];
};

/* The store's open directories, and whom its files belong to. */
struct mark_store {
	int dir;
	int tmp;
	uid_t owner;
	gid_t group;
};

/* Durable on return.  0 or a negative errno. */
int mark_make(const struct mark_store *store, struct mark *mark);
/* All that was named before `at` (wall time, ns) is durable. */
void mark_synced(struct mark *mark, int64_t at);
void mark_remove(const struct mark_store *store, struct mark *mark); /* fine when none */

/* Is anything suspect?  Then *since is from when on.  Writes nothing. */
bool mark_suspect(int dir, int64_t *since);
/* Gather the marks of writers that are no more into `suspect`.  Any number may do so at
 * a time. */
int mark_gather(const struct mark_store *store);
/* All since then was verified: nothing is suspect any more, unless it was from an
 * earlier time on that somebody gathered meanwhile. */
int mark_trust(const struct mark_store *store, int64_t since);

#endif

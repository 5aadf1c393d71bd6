/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A large file on its way into the store: extents that somebody asked for first, the
 * others from the start to the end behind them, each only while the file is of the state
 * that it had at the beginning.
 *
 *	0        hashed                                            size
 *	|XXXXXXXX|..XX....X........  ....XX.......|  X in the draft  . a hole so far
 *
 * The hash follows the part that is whole; what was asked ahead of it is read back from
 * the draft, out of memory as a rule.  Runs of zeros are not written, so that a hole of
 * the origin is one in the store.  Where the file system clones files, all of it is there
 * at once, and only the hash is left to do.
 *
 * One thread at a time.
 */
#ifndef FSD_FLIGHT_H
#define FSD_FLIGHT_H

#include "fsd/copy.h"
#include "fsd/extents.h"

struct flight {
	struct copy_from from;
	struct object_draft draft; /* without a name: not kept */
	int read_fd;
	struct extents *extents;
	uint64_t id;	/* of this draft, among all copiers' */
	uint64_t stamp; /* of the file's state */
	bool cloned;
	bool announced; /* the copier's: somebody may read of it */
	uint64_t hashed;
	struct hasher hasher;
	uint8_t *buf; /* an extent's */
};

/* Consumes `from`, also on failure.  Not `kept`: extents that were asked for, in memory;
 * then flight_advance() is not for it.  Returns 0, -EBUSY when the file changed, -EFBIG,
 * or another negative errno. */
int flight_new(struct copy_from *from, struct objects *objects, bool kept, atomic_bool *no_clone,
	       struct flight **out);
/* Drops the draft too, where nobody took it. */
void flight_free(struct objects *objects, struct flight *f);

/* Copy one extent.  Returns 0, -EBUSY when the file is of
 * another state now, or another negative errno. */
int flight_copy(struct flight *f, uint64_t extent);

enum { FLIGHT_IN = 1 };

/* The next one in the file's order, copied and hashed.  FLIGHT_IN with *hash when that
 * was the last; the caller tells the readers. */
int flight_advance(struct flight *f, struct hash *hash);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which parts of a large file are there: one bit for each MiB, in memory that the
 * copier shares with those who read the file while it is copied.
 *
 *	copier  extents_new --bytes into the draft--> extents_set --all in--> extents_complete
 *	                                                  |   the file changed: extents_break
 *	child   extents_attach (read-only) --> extents_have
 *
 * A bit that is set stays set, and the bytes behind it stay.  Who finds a bit set (an
 * acquire load) finds the bytes in the draft.  The memory is sealed: nobody but its maker
 * can write to it, and it never shrinks.
 */
#ifndef FSD_EXTENTS_H
#define FSD_EXTENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "fsd/manifest.h"

#define EXTENT_SIZE (UINT64_C(1) << 20)
#define EXTENTS_LEAST (UINT64_C(4) << 20) /* up to this size a file is copied whole */
#define EXTENTS_MOST (UINT64_C(1) << 44)  /* and larger ones than this not at all */

enum extents_state {
	EXTENTS_FILLING,
	EXTENTS_COMPLETE, /* every bit is set, and the hash is known */
	EXTENTS_BROKEN	  /* no more bits will come: the file is of another state now */
};

struct extents;

/* For a file of `size` bytes, up to EXTENTS_MOST (-EFBIG). */
int extents_new(uint64_t size, struct extents **out);
/* Look at another's.  `fd` stays the caller's.  -EBADMSG where it is not what
 * extents_new() makes for that size. */
int extents_attach(int fd, uint64_t size, struct extents **out);
void extents_free(struct extents *e); /* NULL is fine */
CLEANUP_DEFINE(struct extents *, extents_free);

/* To give away; -1 where it was attached. */
int extents_fd(const struct extents *e);
uint64_t extents_count(const struct extents *e);

/* Are the file's bytes from `offset` on there, `len` of them or up to its end?  If not,
 * *missing is the first extent that lacks. */
bool extents_have(const struct extents *e, uint64_t offset, uint64_t len, uint64_t *missing);
bool extents_has(const struct extents *e, uint64_t extent);
enum extents_state extents_state(const struct extents *e);
const struct hash *extents_hash(const struct extents *e); /* of a complete one */

/* The maker's. */
void extents_set(struct extents *e, uint64_t extent);
void extents_complete(struct extents *e, const struct hash *hash);
void extents_break(struct extents *e);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One file's way from a directory origin into a draft: whole, or not at all.  Large
 * ones go by extents (fsd/flight.h), from the same beginning.
 */
#ifndef FSD_COPY_H
#define FSD_COPY_H

#include <stdatomic.h>
#include <sys/stat.h>

#include "fsd/fill.h"
#include "fsd/objects.h"

/* A file of the origin, and the one state of it that is being copied. */
struct copy_from {
	int fd; /* -1: none */
	struct stat state;
};

struct copy {
	struct fill_record record;
	struct object_draft draft; /* none when gone, or not kept */
	int read_fd;		   /* the same bytes, read-only; -1: gone */
};

/* Open the file at `pos` of `m` in the open directory `origin`, and take down in
 * copy->record what it is now: a change since the scan is drift, with `strict` the
 * same as gone (FILL_GONE, and nothing is open).
 * Returns 0; -ENODEV when the origin itself is not there; -EBUSY while the file goes on
 * changing; or another negative errno, worth a later try. */
int copy_open(int origin, const struct manifest *m, uint32_t pos, bool strict,
	      struct copy_from *from, struct copy *copy);
void copy_close(struct copy_from *from); /* fine when empty */

/* Is it of the same state still?  Names that it got or lost do not count.  Returns 0,
 * -EBUSY, or another negative errno. */
int copy_check(struct copy_from *from);

/* Names the state, across processes: never 0. */
uint64_t copy_stamp(const struct copy_from *from);

/* Copy all of it.  A full store gives bytes that are not kept when somebody waits for
 * them (`wanted`), else -ENOSPC.  Returns 0 with what was made, -EBUSY when the file
 * changed, or another negative errno. */
int copy_whole(struct copy_from *from, struct objects *objects, bool wanted, atomic_bool *no_clone,
	       struct copy *out);

/* Where bytes go: a draft in the store, or memory. */
int copy_draft(struct objects *objects, bool kept, struct object_draft *draft);
/* The same file once more, not to be written to. */
int copy_reopen(const struct object_draft *draft);
/* Give the draft the file's bytes by reference.  False where the file system cannot,
 * which `no_clone` remembers. */
bool copy_clone(const struct copy_from *from, const struct object_draft *draft,
		atomic_bool *no_clone);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One file's way from a directory origin into a draft: whole, or not at all.
 */
#ifndef FSD_COPY_H
#define FSD_COPY_H

#include "fsd/fill.h"
#include "fsd/objects.h"

struct copy {
	struct fill_record record;
	struct object_draft draft; /* none when gone, or not kept */
	int read_fd;		   /* the same bytes, read-only; -1: gone */
};

/* Copy the file at `pos` of `m` from the open directory `origin`.  A change while
 * it is read starts the copy again; a change since the scan is drift: adopted and
 * marked, or with `strict` treated as gone.  A full store gives bytes that are not
 * kept when somebody waits for them (`wanted`), else -ENOSPC.
 * Returns 0 with what was made (or FILL_GONE and no descriptors); -ENODEV when the
 * origin itself is not there; or another negative errno, worth a later try. */
int copy_file(int origin, const struct manifest *m, uint32_t pos, bool strict, bool wanted,
	      struct objects *objects, struct copy *out);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Many bodies, one after the other, on their way into the content store: hashed
 * while they are written, made durable by one syncfs for many, then named.  A body
 * that the store has already costs no write.
 *
 * What is not named yet is in files without a name, so nothing is left of an intake
 * that ends early, killed or not.
 */
#ifndef FSD_INTAKE_H
#define FSD_INTAKE_H

#include "fsd/objects.h"

struct intake;

/* Borrows `objects`, opened for writing. */
int intake_new(struct objects *objects, struct intake **out);
void intake_free(struct intake *in); /* drops what is not named */
CLEANUP_DEFINE(struct intake *, intake_free);

/* Start a body of `size` bytes; an unfinished one before it is dropped. */
int intake_begin(struct intake *in, uint64_t size);

/* Bytes at `offset`, not before the end of the last ones; what lies between is zero
 * and, in a large body, a hole.  -EBADMSG: out of order, or beyond the size. */
int intake_put(struct intake *in, const void *data, size_t len, uint64_t offset);

/* The body is whole; what lacks at its end is zero. */
int intake_end(struct intake *in, struct hash *hash);

/* Make all bodies, and their names, durable. */
int intake_finish(struct intake *in);

#endif

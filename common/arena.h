/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Memory that is taken in small pieces and given back as one: strings and small arrays
 * of a snapshot.
 */
#ifndef COMMON_ARENA_H
#define COMMON_ARENA_H

#include <stddef.h>

struct arena { /* zeroed is empty */
	struct arena_block *blocks;
};

/* Aligned for anything; NULL: out of memory. */
void *arena_take(struct arena *a, size_t size);
/* A copy of `len` bytes, ended by a NUL that is not counted. */
char *arena_copy(struct arena *a, const void *data, size_t len);
void arena_fini(struct arena *a);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who is to be woken when: a binary heap of times, each with its owner's deadline.
 *
 * A transfer moves its deadline with every block, nearly always to later.  So a later
 * one is only noted: the heap keeps the old time, and when that is over the deadline
 * sinks to its place.  The times lie in the heap itself, so that sinking looks at no
 * owner but the one that moves.
 */
#ifndef TFTP_DEADLINES_H
#define TFTP_DEADLINES_H

#include "common/clock.h"

/* Embedded in its owner; all zero is none. */
struct deadline {
	struct instant due;
	unsigned int place; /* index + 1 in the heap; 0: none */
};

struct deadlines {
	struct deadlines_entry {
		struct instant at; /* never later than owner->due */
		struct deadline *owner;
	} * heap;
	unsigned int n;
	uint64_t steps; /* entries moved so far, for tests of what it costs */
};

/* Room for `most` deadlines at once.  Returns 0 or -ENOMEM. */
int deadlines_init(struct deadlines *ds, unsigned int most);
void deadlines_fini(struct deadlines *ds);

void deadlines_set(struct deadlines *ds, struct deadline *d, struct instant at);
void deadlines_clear(struct deadlines *ds, struct deadline *d); /* fine when not set */

/* One that is due, cleared; or NULL. */
struct deadline *deadlines_take(struct deadlines *ds, struct instant now);

/* When to call deadlines_take() next: nobody is due before that. */
static inline struct instant deadlines_next(const struct deadlines *ds)
{
	return ds->n ? ds->heap[0].at : INSTANT_NEVER;
}

#endif

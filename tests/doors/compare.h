/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a door shows, against a plain directory; and what it shows to those who hold
 * something from before a change.
 */
#ifndef TESTS_DOORS_COMPARE_H
#define TESTS_DOORS_COMPARE_H

#include "tests/doors/door.h"
#include "tests/model.h"

struct sight {
	struct door *door;
	struct rng rng;
	char why[2048]; /* the first difference */
};

/* Is `tree` of the door the same as the directory `dir`: names, attributes, targets,
 * contents, what is missing, which names are one file? */
bool sight_same(struct sight *s, const char *tree, const char *dir);

/* Everything below `tree` as a client holds it that has looked at all of it, and has
 * read each directory up to somewhere. */
struct held;
bool sight_hold(struct sight *s, const char *tree, struct held **out);
void held_free(struct sight *s, struct held *held);

/* After a change: each thing held is of its type, a file has the bytes and a link the
 * target that it had, and each directory's listing goes on without skipping or
 * repeating a name that is there before and after.  `excused` says of which names
 * that is not promised. */
bool sight_held(struct sight *s, struct held *held,
		bool (*excused)(void *ctx, const char *name, size_t len), void *ctx);

#endif

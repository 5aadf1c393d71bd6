/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The words that go with an error.  An errno says what failed; only the place
 * that saw it knows the name of the thing.  Functions that a person's command
 * ends in take a `struct why`, fill it where the cause is known, and return
 * the errno; whoever handles the error prints the text, once.
 */
#ifndef COMMON_WHY_H
#define COMMON_WHY_H

struct why {
	char text[512]; /* "" while nothing has been said; never ends in a newline */
};

/* Fill `why` (NULL is fine) and return `err`, so that a caller can
 * `return why_set(why, -EINVAL, "%s: not a MAC address", s);`.
 * Control characters in the result are escaped: the text may hold names that
 * came from outside.  The first words stand: a later call changes nothing. */
int why_set(struct why *why, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The text, or the errno's own words where nothing was said. */
const char *why_text(const struct why *why, int err);

#endif

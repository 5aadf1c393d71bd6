/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Is the store what its names say, and has it all that somebody needs?
 *
 *	every object (or those of one version, or those put since) --hash--> damaged
 *	everything that versions and overlays name --------------------> absent
 *	each of these --another origin has the same bytes?--> copied again
 *	              --needed for good?--> set aside into damaged/, an alarm
 *	              --else--> dropped: whoever reads it has it copied again
 *
 * After a writer that did not end cleanly (fsd/mark.h) this is what may be wrong: objects
 * whose bytes or whose names had not reached the disk.  Drafts are nobody's and go at
 * the next start; journals and manifests carry their own checks.
 */
#ifndef FSD_VERIFY_H
#define FSD_VERIFY_H

#include <stdatomic.h>

#include "common/db.h"
#include "fsd/objects.h"
#include "fsd/origin.h"

/* What became of one object that was damaged or absent. */
enum verify_end {
	VERIFY_HEALED,	/* an origin still had the same bytes */
	VERIFY_DROPPED, /* of versions that are not sealed alone: copied when it is read */
	VERIFY_LOST,	/* reading it is an error from now on */
	VERIFY_FOUND	/* not `mend`: nothing was done */
};

struct verify {
	const char *state_dir;
	enum store store;
	int64_t since;		 /* objects that got their names since (wall time, ns); 0: all */
	uint32_t version;	 /* 0: all */
	const struct hash *only; /* this object alone; NULL: all */
	bool mend;		 /* else it only tells */
	const struct origin_door *door; /* to origins that may mend; NULL: by their paths */
	const atomic_bool *stop;	/* NULL: never */
	/* Called for each one, with everybody who names it: "debian@3 /etc/motd, all
	 * /etc/motd".  `absent`: there is nothing under its name. */
	void (*tell)(void *ctx, enum verify_end end, bool absent, const struct hash *hash,
		     const char *names);
	void *ctx;
};

struct verify_found {
	uint64_t files; /* looked at */
	uint64_t bytes;
	uint32_t healed;
	uint32_t dropped;
	uint32_t lost; /* or found */
};

/* Waits for writers where there is something to mend.  Returns 0 also when something was
 * found; -ECANCELED when stopped; or another negative errno with words. */
int verify(struct db *db, const struct verify *v, struct verify_found *out, struct why *why);

/* Mend one of STORE_OBJECTS, which somebody found damaged or absent, where an origin has its
 * bytes still.  Returns 0 when it is whole, -EIO when it is not, or another negative
 * errno.  Says in the log what came of it. */
int verify_one(const char *state_dir, const struct hash *hash, const struct origin_door *door,
	       const atomic_bool *stop);

/* A thread that verifies what writers left that did not end cleanly, if any did not:
 * behind everybody else's work, mending, and saying in the log what came of it.
 * `state_dir` and `door` are borrowed.  Signals that it shall not see are blocked before. */
struct verifier;
int verifier_start(const char *state_dir, enum store store, const struct origin_door *door,
		   struct verifier **out);
void verifier_stop(struct verifier *verifier); /* what is left is for the next one; NULL is fine */

#endif

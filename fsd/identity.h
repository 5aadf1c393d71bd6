/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What makes a host itself, made once, when it is registered, as entries of its own
 * overlay: SSH host keys (secret) and a machine-id that is the same for ever.  Its
 * name comes from the profile's templates, so that it follows a rename.
 */
#ifndef FSD_IDENTITY_H
#define FSD_IDENTITY_H

#include <stdbool.h>

#include "common/cleanup.h"
#include "common/db.h"
#include "common/inventory.h"
#include "common/why.h"

/* Keys for a host that is about to be: made before any transaction, since ssh-keygen
 * takes ten milliseconds.  Holds the store until it is freed.  Without ssh-keygen there
 * are no keys. */
struct identity;

int identity_prepare(const char *state_dir, const char *name, struct identity **out,
		     struct why *why);
/* The same for many hosts at once: with stores that the caller holds, and keeps for as
 * long. */
struct objects;
int identity_prepare_within(const char *state_dir, struct objects *objects, struct objects *secrets,
			    const char *name, struct identity **out, struct why *why);
void identity_free(struct identity *id);
CLEANUP_DEFINE(struct identity *, identity_free);
bool identity_has_keys(const struct identity *id); /* not of NULL */

/* Put what the host lacks, within the caller's transaction: a host and its identity
 * come to be together.  `id` NULL: its keys come later, by identity_create(). */
int identity_put(struct db *db, uint32_t host, const struct identity *id, struct why *why);

/* Make what the host lacks.  Runs ssh-keygen (10 ms for ed25519) outside any
 * transaction, then puts all of it in one.  Without ssh-keygen there are no keys:
 * *has_keys tells.  Does not wait for who sweeps the store: -EWOULDBLOCK, which is
 * also -EAGAIN of the database. */
int identity_create(struct db *db, const char *state_dir, uint32_t host, const char *name,
		    bool *has_keys, struct why *why);

/* The first host after `after`, by number, that never had an SSH host key: its number
 * and its name.  Returns 0, -ENOENT when there is none, or another negative errno. */
int identity_lacking(struct db *db, uint32_t after, uint32_t *host,
		     char name[static NAME_MAX_LEN + 1]);

#endif

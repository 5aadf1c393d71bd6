/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What makes a host itself, made once, when it is registered, as entries of its own
 * overlay: SSH host keys (secret) and a machine-id that is the same for ever.  Its
 * name comes from the profile's templates, so that it follows a rename.
 */
#ifndef FSD_IDENTITY_H
#define FSD_IDENTITY_H

#include "common/db.h"
#include "common/why.h"

/* Make what the host lacks.  Runs ssh-keygen (10 ms for ed25519) outside any
 * transaction, then puts all of it in one.  Without ssh-keygen there are no keys:
 * *has_keys tells. */
int identity_create(struct db *db, const char *state_dir, uint32_t host, const char *name,
		    bool *has_keys, struct why *why);

#endif

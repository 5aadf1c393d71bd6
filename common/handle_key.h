/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The key of the tags of NFS handles: 16 bytes, drawn once for a state and the same for ever,
 * in secrets/handle-key, which the nfs child alone can read.  Another key, and every client
 * that runs has stale handles: it goes along with each backup.
 *
 * Until schema 2 it was a row of rootstock.db, which other children read too.
 */
#ifndef COMMON_HANDLE_KEY_H
#define COMMON_HANDLE_KEY_H

#include <stdint.h>

#include "common/db.h"
#include "common/why.h"

#define HANDLE_KEY_FILE "secrets/handle-key"

struct handle_key {
	uint8_t bytes[16];
};

/* See that there is one below `state_dir`, whose secrets/ exists: as it is, moved out of the
 * database, or drawn.  Durable when this returns, and its owner is that of secrets/.
 * Returns 0 or a negative errno. */
int handle_key_settle(struct db *rootstock, const char *state_dir, struct why *why);

/* Returns 0 or a negative errno. */
int handle_key_read(const char *state_dir, struct handle_key *out, struct why *why);

#endif

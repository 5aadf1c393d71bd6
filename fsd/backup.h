/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * All that a state is, as one tar archive, while everything goes on: the databases as of one
 * moment, and of the manifests and the store what these name.  It is made to be unpacked
 * over an empty state directory.
 *
 *	the stores are held		nothing is swept or evicted meanwhile
 *	rootstock.db, leases.db		each copied in one transaction
 *	manifests/N, N.fill		those that the copy names; a pair of one moment
 *	secrets/handle-key		the key of NFS handles
 *	objects/, secrets/		what the copy, the manifests and the journals name
 *
 * Each comes after what names it: what is added meanwhile is in none of them.
 */
#ifndef FSD_BACKUP_H
#define FSD_BACKUP_H

#include <stdint.h>

#include "common/db.h"
#include "common/why.h"

struct backup {
	const char *state_dir;
	int fd; /* where it goes; for its owner alone, since it has all secrets */
	/* An object that is not what it should be, or not there: told, and the rest goes on. */
	void (*tell)(void *ctx, const char *line);
	void *ctx;
	/* Results. */
	uint64_t files;
	uint64_t bytes;
	uint64_t damaged;
};

int backup_write(struct db *db, struct backup *b, struct why *why);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Images and their versions: rows, and the manifests that go with them.
 */
#ifndef FSD_IMAGE_H
#define FSD_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/db.h"
#include "common/why.h"
#include "fsd/manifest.h"

struct image_add {
	const char *name;   /* letters, digits, '.', '_', '-'; at most NAME_MAX_LEN */
	const char *source; /* a directory, a tar archive or an OCI image layout */
	bool strict;
	/* strict also reads every file anew; else what an earlier version has under the
	 * same path, size and mtime is not copied again */
	bool activate; /* the first version of an image is activated in any case */
	/* As in struct origin_sink. */
	void (*tell)(void *ctx, uint64_t entries, uint64_t bytes);
	void *ctx;
};

/* Scan or read the origin and make the next version: one of an archive or a layout is
 * sealed when this returns.  Nothing is left of one that fails or is interrupted, but
 * for objects that were whole.
 * *version is its id, *number the 3 of debian@3. */
int image_add(struct db *db, const char *state_dir, const struct image_add *add, uint32_t *version,
	      uint32_t *number, struct why *why);

/* What the next boot of the image's hosts gets.  -ENOENT with words. */
int image_activate(struct db *db, uint32_t version, struct why *why);
/* Back to the version that was active before.  *number is what is active now. */
int image_rollback(struct db *db, const char *name, uint32_t *number, struct why *why);

/* Forget a version, its row and manifest.  -EBUSY with words for one that is active,
 * that a host is set to or that an open boot is pinned to. */
int image_remove(struct db *db, const char *state_dir, uint32_t version, struct why *why);
/* Remove what may go of all but the newest `keep` versions.  *removed counts. */
int image_prune(struct db *db, const char *state_dir, const char *name, unsigned int keep,
		unsigned int *removed, struct why *why);

/* Note that a version is sealed. */
int image_sealed(struct db *db, uint32_t version, const struct hash *digest);

/* Is `name` fit for an image, a group or a host?  Hosts' are lower case, for they are
 * host names.  Returns 0 or -EINVAL with words. */
int name_check(const char *what, const char *name, bool is_host, struct why *why);

#endif

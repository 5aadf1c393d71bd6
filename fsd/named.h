/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who needs an object: every version's files and every overlay's rows, retired ones too,
 * for clients may hold their nodes.
 */
#ifndef FSD_NAMED_H
#define FSD_NAMED_H

#include "common/db.h"
#include "fsd/objects.h"
#include "fsd/version.h"

/* One file of a version, or one row.  Lives as long as the call. */
struct named {
	struct hash hash;
	uint64_t size;
	/* of a version; `version` NULL: of an overlay */
	struct version *version;
	uint32_t id; /* of the version */
	uint32_t pos;
	const char *image;
	uint32_t number;
	const char *origin; /* NULL: an archive, which was read once */
	/* of an overlay */
	const char *scope; /* "all", "group:kiosk", "host:amy" */
	struct bytes path;
	bool secret;
};

/* Call `each` for all whose bytes are known, until it returns other than 0.  One
 * manifest that cannot be read ends it, with words: what it names is not known then. */
int named_each(struct db *db, const char *state_dir,
	       int (*each)(void *ctx, const struct named *named), void *ctx, struct why *why);
/* Those of one version. */
int named_version(struct db *db, const char *state_dir, uint32_t version,
		  int (*each)(void *ctx, const struct named *named), void *ctx, struct why *why);

/* "debian@3 /etc/motd", "host:amy /etc/motd"; printable. */
const char *named_text(const struct named *named, char *out, size_t size);

/* Must it have its bytes for good?  What an unsealed version lacks its origin gives. */
static inline bool named_for_good(const struct named *named)
{
	return !named->version || manifest_sealed(version_manifest(named->version));
}

#endif

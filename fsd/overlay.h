/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Everything one scope (all, a group, a host) changes, kept as rows of
 * rootstock.db: an entry a path.  A row is never rewritten; a later one retires
 * it, so that a handle to it goes on answering its old bytes, and so that a
 * directory's time moves when an entry goes.
 *
 *	overlay_change --rows--> rootstock.db --overlay_load--> struct overlay
 *	                                                          |
 *	                                       fsd/tree merges them, weakest first
 */
#ifndef FSD_OVERLAY_H
#define FSD_OVERLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/db.h"
#include "common/schema.h"
#include "common/why.h"
#include "fsd/manifest.h"
#include "fsd/paths.h"

struct scope {
	enum scope_kind kind;
	uint32_t owner; /* group or host id; 0 for all */
};

enum entry_kind {
	ENTRY_FILE = 1,
	ENTRY_TEMPLATE,
	ENTRY_LINK,
	ENTRY_DIR,	   /* merges with a directory below it, replaces anything else */
	ENTRY_WHITEOUT,	   /* absent everywhere */
	ENTRY_OPAQUE,	   /* a directory that shows nothing from below */
	ENTRY_ATTR,	   /* mode or owner alone */
	ENTRY_PARENT,	   /* a directory on the way to an entry: made where nothing is */
	ENTRY_PARENT_ATTR, /* the same, given attributes: changes what is there, too */
	ENTRY_KINDS
};

enum {
	ENTRY_MODE_SET = 1, /* flags: which attributes the row gives */
	ENTRY_OWNER_SET = 2,
	ENTRY_SECRET = 4,
	ENTRY_NEXT_BOOT = 8,
	ENTRY_RETIRED_NEXT_BOOT = 16
};

/* Ids below this belong to the built-in profile. */
enum { ENTRY_ID_FIRST = 65536, ENTRY_ID_MAX = 1 << 30 };

struct entry {
	uint32_t id;
	uint32_t path_id;
	uint8_t kind;
	uint8_t flags;
	uint16_t mode; /* permission bits */
	uint32_t uid;
	uint32_t gid;
	int64_t changed_ns;
	int64_t retired_ns;
	uint64_t change;
	uint64_t retired; /* 0: in force */
	const char *path; /* "etc/motd"; "" is the root */
	union {
		struct { /* of a file */
			uint64_t size;
			int64_t mtime_ns;
			struct hash hash;
		};
		struct bytes body; /* a link's target, a template's text */
	};
};

/* Is the row in force for a boot that pinned `change`?  (UINT64_MAX: no boot.) */
bool entry_in_force(const struct entry *entry, uint64_t change);

/* Put a path into the form that rows use: no leading, trailing or doubled '/'.
 * -EINVAL with words for "." and "..", control bytes are fine; -ENAMETOOLONG. */
int overlay_path(const char *path, char out[static 4096], struct why *why);

/* What a command asks for. */
struct entry_spec {
	enum entry_kind kind;
	uint8_t flags; /* ENTRY_* above */
	uint16_t mode;
	uint32_t uid;
	uint32_t gid;
	uint64_t size;
	int64_t mtime_ns;
	struct bytes body;
	struct hash hash;
};

/* Put, link, mkdir, hide, opaque or attr: retire the scope's row for `path`, add
 * the new one and the parents it needs, under one change number.  The caller holds
 * the transaction.  A hidden or non-directory ancestor in the same scope is
 * -ENOTDIR with words.  *id is the new row's. */
int overlay_change(struct db *db, struct scope scope, const char *path,
		   const struct entry_spec *spec, uint32_t *id, struct why *why);

/* Retire the scope's row for `path`; where the scope has others below it, a plain
 * parent stays.  -ENOENT when there is none. */
int overlay_reset(struct db *db, struct scope scope, const char *path, bool next_boot);

/* One scope's rows in memory, in the order in which they are laid over: by their
 * changes, but a directory before what the scope has in it, also when it was given
 * other attributes or made opaque later.  Immutable, shared. */
struct overlay {
	unsigned int refs; /* the holder of the cache locks it */
	uint64_t change;   /* of the scope when it was loaded */
	struct entry *entries;
	unsigned int n;
	char *text; /* bodies */
	struct paths *own_paths;
};

/* A scope without rows gives an overlay of none.  The entries' paths are borrowed from
 * `paths`, which many overlays share; with NULL the overlay has its own.  Returns 0 or
 * a negative errno (-EUCLEAN for a row that cannot be). */
int overlay_load(struct db *db, struct scope scope, struct paths *paths, struct overlay **out);
void overlay_free(struct overlay *ov);
CLEANUP_DEFINE(struct overlay *, overlay_free);

#endif

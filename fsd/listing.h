/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The names in one of the two directories of a forest (fsd/forest.h) that come and
 * go: /hosts or /images.
 *
 * Entries are in the order of their ids, which are never given twice, so that a reader
 * who stopped at a cookie goes on behind it however much has changed since.  A second
 * order, by name, is for lookups.
 */
#ifndef FSD_LISTING_H
#define FSD_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/inventory.h"
#include "fsd/changes.h"
#include "fsd/tree.h"

struct plant; /* where a name leads: the forest's */

enum { LISTED_NAME = NAME_MAX_LEN + sizeof("@4294967295") };

struct listed {
	uint32_t id; /* of the host or the version; not 0 */
	uint32_t version;
	uint32_t boot; /* that pinned it; 0: none */
	uint64_t change;
	struct plant *plant;
	uint8_t name_len;
	char name[LISTED_NAME];
};

/* All zero is an empty one. */
struct listing {
	struct listed *list; /* by id: a cookie is the id, plus two */
	uint32_t *by_name;
	uint32_t n;
	struct view_time mtime;
};

void listing_fini(struct listing *l);

/* Takes a copy, in any order.  Returns 0 or -ENOMEM. */
int listing_add(struct listing *l, const struct listed *one);
void listing_sort(struct listing *l);

/* Make the second order, when nothing is added any more.  Returns 0 or -ENOMEM. */
int listing_index(struct listing *l);

/* Of a sorted one; NULL: not there. */
struct listed *listing_by_id(const struct listing *l, uint32_t id);
const struct listed *listing_after(const struct listing *l, uint64_t cookie);
/* Of an indexed one. */
const struct listed *listing_by_name(const struct listing *l, const char *name, size_t len);

/* Did names come or go?  (Not: lead elsewhere.) */
bool listing_moved(const struct listing *a, const struct listing *b);

/* Tell who looks at the directory `dir` each name that came, went or leads elsewhere. */
void listing_tell(const struct listing *old, const struct listing *now, uint64_t dir,
		  const struct changes_sink *sink);

#endif

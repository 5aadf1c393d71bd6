/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the store's files share, and nobody else includes.
 *
 *	objects.c        one object: got, drafted, named
 *	objects_whole.c  all of them: marks, walks, removals
 */
#ifndef FSD_OBJECTS_PARTS_H
#define FSD_OBJECTS_PARTS_H

#include <stdint.h>

#include "common/clock.h"
#include "fsd/mark.h"
#include "fsd/objects.h"

struct objects {
	struct mark_store at; /* root's are its owner's: the copier must be able to replace them */
	struct mark mark;
	_Atomic int64_t suspect; /* objects since then, if any; else INT64_MAX */
};

/* "ab/cdef…" */
void object_name(const struct hash *hash, char out[static 2 * HASH_LEN + 2]);

/* When it got its name, or later: ns of wall time. */
static inline int64_t object_changed(const struct stat *st)
{
	return st->st_ctim.tv_sec * NS_PER_SEC + st->st_ctim.tv_nsec;
}

/* Look again whether anything is suspect, and note it. */
bool objects_look(struct objects *o);

/* Drafts of the copier ('c') or of commands ('p'). */
void objects_clean_drafts(struct objects *o, char kind);

#endif

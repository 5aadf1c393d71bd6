/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Between the files of fsd/folder: the order of lines, where things are, and what an
 * import is doing.
 */
#ifndef FSD_FOLDER_PARTS_H
#define FSD_FOLDER_PARTS_H

#include <stdio.h>

#include "fsd/folder.h"
#include "fsd/objects.h"

/* Does it make sense: names, addresses, settings, each MAC and address once, groups that
 * are there?  -EINVAL with "DIR/FILE:LINE: reason". */
int folder_check(const struct folder *f, const char *dir, struct why *why);
/* Words about a line of a scope's pairs, or of its overlay (`pairs` false). */
int folder_line_fail(const char *dir, const struct folder_scope *s, bool pairs, unsigned int line,
		     int r, const struct why *words, struct why *why);

/* As strcmp, but a directory is followed by what is in it. */
int folder_path_cmp(const char *a, const char *b);
/* NULL: there is none. */
struct folder_scope *folder_scope_find(const struct folder *f, enum scope_kind kind,
				       const char *name);
struct folder_entry *folder_entry_find(const struct folder_scope *s, const char *path);
/* "all", "group:desk", "host:amy". */
const char *folder_scope_label(const struct folder_scope *s, char *out, size_t size);
/* Where the scope's files are, below the folder: "hosts/amy". */
const char *folder_scope_dir(const struct folder_scope *s, char *out, size_t size);
/* The name of the file of its pairs: "settings", "group", "host". */
const char *folder_pairs_name(enum scope_kind kind);
/* "hosts/amy/files/etc/motd"; to be cut is to be too long for a path. */
void folder_body_path(const struct folder_scope *s, const struct folder_entry *e, char *out,
		      size_t size);
/* Is there a body beside the line? */
bool folder_has_body(const struct folder_entry *e);
/* Is it what makes a host itself (fsd/identity.h), or tells who it was? */
bool folder_is_identity(const struct folder_scope *s, const char *path);
/* Sort pairs and entries, as the format has them, and tell where bodies are: that of a file
 * which replaces others with bodies cannot be in one folder with them. */
void folder_scope_sort(struct folder_scope *s);
/* Work `late` out of the rows' changes; entries are sorted by path. */
int folder_late(struct folder_scope *s);
/* Does the entry replace what is below its path? */
bool folder_cuts(const struct folder_entry *e);
/* The entries whose last two names are the same have the same number, from 0 on.  The
 * caller frees *out; there are no more numbers than entries. */
int folder_tails(const struct folder_scope *s, unsigned int **out);
/* Entries below the i-th one are behind it: the index behind the last of them. */
unsigned int folder_below_end(const struct folder_scope *s, unsigned int i);
/* The nearest entry above the i-th one; -1: none. */
int folder_above(const struct folder_scope *s, unsigned int i);

/* An import. */
struct identity;
struct way;
struct importing {
	struct db *db;
	const struct folder *want;
	struct folder *have;
	struct folder_apply *how;
	struct why *why;
	struct objects *objects;
	struct objects *secrets;
	struct way *way;
	FILE *changes;
	FILE *warnings;
	/* Of want's scopes: what there was (NULL: nothing), its row's id, and a new host's
	 * identity. */
	const struct folder_scope **had;
	uint32_t *ids;
	struct identity **identities;
};

/* Both scopes' entries, the second being what there is (NULL: nothing), under the id of
 * its row. */
int folder_overlay_apply(struct importing *im, const struct folder_scope *want,
			 const struct folder_scope *have, uint32_t id);
/* The bodies that the store has not. */
int folder_bodies_put(struct importing *im);
/* Of all that is wanted, once the rows are there. */
int folder_templates_check(struct importing *im);

#endif

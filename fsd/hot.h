/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What boots read first, kept in trace.db for the fill: the files of a version that
 * nobody has booted yet are most wanted in the order in which boots of the image so far
 * read them.
 *
 *	nfs --events--> supervisor: hot_note, hot_flush --> trace.db: first_read
 *	                                            copier: hot_order <--+
 *
 * A row is one file of one version: how many boots read it, and the earliest that any did
 * after its mount.
 */
#ifndef FSD_HOT_H
#define FSD_HOT_H

#include "common/db.h"
#include "fsd/manifest.h"

enum { HOT_FILES = 65536 }; /* of a version; the latest are not kept */

/* ---- the supervisor's ---- */

struct hot;

int hot_new(struct hot **out);
void hot_free(struct hot *hot); /* NULL is fine */
CLEANUP_DEFINE(struct hot *, hot_free);

/* The file at `pos` was read, `us` microseconds after the mount.  From outside: checked
 * when it is used.  Returns true when it is time for hot_flush(). */
bool hot_note(struct hot *hot, uint32_t version, uint32_t pos, uint32_t us);

/* Write what was noted into trace.db, in one transaction.  Nothing is kept of it on
 * failure either: it is for speed alone. */
int hot_flush(struct hot *hot, struct db *trace);

/* Forget versions that are no more, and what is too much. */
int hot_trim(struct db *trace, struct db *rootstock);

/* ---- everybody's ---- */

/* The files of `m`, the manifest of `version`, as boots read them, earliest first: of this
 * version, or else of the newest one of the image before it that was booted, by path.
 * Positions of first names, each once.  *list is NULL and *n 0 where nothing is known;
 * the caller frees it. */
int hot_order(struct db *rootstock, struct db *trace, const char *state_dir, uint32_t version,
	      const struct manifest *m, uint32_t **list, uint32_t *n);

/* How many files boots read of a version, and the most boots that read one of them. */
int hot_count(struct db *trace, uint32_t version, uint32_t *files, uint32_t *boots);

#endif

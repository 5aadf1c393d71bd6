/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The paths of entries, each kept once for all scopes: ten thousand hosts have rows
 * for the same few.
 */
#ifndef FSD_PATHS_H
#define FSD_PATHS_H

#include <stdint.h>

#include "common/cleanup.h"
#include "common/db.h"

struct paths;

int paths_new(struct paths **out);
void paths_free(struct paths *paths); /* NULL is fine */
CLEANUP_DEFINE(struct paths *, paths_free);

/* The text of row `id` of the table of paths, ended, for the life of `paths`; read from
 * `db` when first asked for: rows of that table never change.
 * Returns 0, -EUCLEAN when there is no such row, or another negative errno. */
int paths_get(struct paths *paths, struct db *db, uint32_t id, const char **out);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The copier of a command that needs one, where no server runs.
 */
#ifndef FSD_OWN_COPIER_H
#define FSD_OWN_COPIER_H

#include <stdbool.h>

#include "common/cleanup.h"
#include "common/why.h"

struct own_copier;

/* Start a copier on threads of this process, which also fills if `fill`, and notes in rootstock.db
 * what it sealed.  Where another has the state directory, or where the caller may only read it
 * (told in the log), there is none: *out is NULL and that is fine.  `state_dir` is borrowed.
 * Signals that the caller's threads shall not see are blocked before. */
int own_copier_start(const char *state_dir, bool fill, struct own_copier **out, struct why *why);
void own_copier_stop(struct own_copier *own); /* NULL is fine */
CLEANUP_DEFINE(struct own_copier *, own_copier_stop);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Garbage: objects that no version and no overlay row names any more.  What a boot
 * is pinned to is a version that has its row, so it stays.
 */
#ifndef FSD_SWEEP_H
#define FSD_SWEEP_H

#include "common/db.h"
#include "fsd/objects.h"

/* Remove them, from objects/ and secrets/.  Waits for puts that are under way, and
 * does nothing when a manifest cannot be read: what it names is not known then. */
int sweep(struct db *db, const char *state_dir, struct objects_swept *out, struct why *why);

#endif

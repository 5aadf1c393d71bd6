/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Garbage in manifests/: what a command or a copier that was killed left behind.
 */
#ifndef FSD_MANIFEST_SWEEP_H
#define FSD_MANIFEST_SWEEP_H

#include "common/db.h"

/* Remove manifests and journals of versions that have no row, journals of sealed
 * versions, and drafts of both; a draft of a version that is not sealed may be the
 * copier's, and stays until it is.  The caller holds the object store alone, as
 * `image add` holds it while its manifest has no row yet. */
int manifest_sweep(struct db *db, const char *state_dir, struct why *why);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Rows of overlays that a later change retired go on answering handles that clients hold,
 * and are what boots see that wait for their next one.  When every boot that could hold one
 * is over, it goes: an overlay that is changed each minute does not grow for ever.
 *
 *	a boot's pin, leases.db    the change at which it began: what was retired by then it
 *				   has never seen
 *	a scope's boots            all, those of the group's hosts, or the host's own
 *
 * The newest retired row of each directory stays: it is what moved that directory's mtime.
 */
#ifndef FSD_OVERLAY_PRUNE_H
#define FSD_OVERLAY_PRUNE_H

#include "common/db.h"

enum {
	/* Mounts of an administrator's, by FUSE or NFS, are no boots: for them, and for boots
	 * that are about to be written down, a row stays so long. */
	OVERLAY_PRUNE_SECS = 600
};

/* Take away up to `most` rows, unless fewer than `least` are retired at all: `now_ns` is
 * wall time.  *gone is how many went.  Returns 0, or a negative errno, and then none did;
 * -EAGAIN: somebody else writes. */
int overlay_prune(struct db *db, struct db *leases, int64_t now_ns, unsigned int least,
		  unsigned int most, unsigned int *gone);

#endif

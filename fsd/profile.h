/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The diskless profile: the built-in overlay, weaker than all others, that turns
 * an ordinary image into one that lives on a read-only root.  Each part is an
 * entry like any other: an overlay hides or replaces it by its path.
 */
#ifndef FSD_PROFILE_H
#define FSD_PROFILE_H

#include "fsd/tree.h"

/* Lay over the bare image what it needs: parts for what it has (ifupdown, networkd,
 * NetworkManager, OpenRC, sshd), mount points that it lacks.  `after` (NULL is fine)
 * is called behind each entry that was laid. */
int profile_apply(struct tree *tree, template_lookup *lookup, void *ctx,
		  void (*after)(void *after_ctx, const struct entry *entry), void *after_ctx);

/* The i-th part, or NULL past the last one.  *always: it does not hang on what the
 * image has. */
const struct entry *profile_part(size_t i, bool *always);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What somebody who remembers a view must forget when another takes its place.
 *
 * Two views of one host at one version differ only where entries touched either, so
 * the cost is that of the entries, not of the image.  Nobody has to remember what
 * was asked for: every name that appeared, went or leads elsewhere is told, and so a
 * remembered absence is forgotten as well.
 */
#ifndef FSD_CHANGES_H
#define FSD_CHANGES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fsd/view.h"

/* Numbers are what the caller adds to a node's.  Some things are told twice. */
struct changes_sink {
	/* What `name` means in `dir`, nothing included. */
	void (*name)(void *ctx, uint64_t dir, const char *name, size_t len);
	/* Attributes; with `bytes` what is in the file or directory too.  Returns false
	 * where nobody remembers the node, and then a directory's names are not told. */
	bool (*node)(void *ctx, uint64_t node, bool bytes);
	void *ctx;
};

/* Both views are of the same version.  A directory that cannot be read any more is
 * passed over: whoever asks for it is told. */
void changes_tell(const struct view *old, const struct view *now, uint64_t add,
		  const struct changes_sink *sink);

#endif

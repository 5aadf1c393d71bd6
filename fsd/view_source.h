/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What fsd itself asks of a view, behind the doors' backs.
 */
#ifndef FSD_VIEW_SOURCE_H
#define FSD_VIEW_SOURCE_H

#include "fsd/tree.h"
#include "fsd/view.h"

/* Where the bytes of a regular file are. */
struct view_source {
	enum tree_source source;
	struct version *version; /* TREE_IMAGE; lives as long as the view */
	uint32_t pos;		 /* TREE_IMAGE */
	struct hash hash;	 /* TREE_OBJECT, TREE_SECRET */
	uint64_t size;		 /* as the attributes say */
	struct bytes text;	 /* TREE_TEXT */
};

/* Returns 0, VIEW_STALE, -EISDIR, -EINVAL (no regular file), -EUCLEAN. */
int view_source(const struct view *view, uint32_t node, struct view_source *out);

const struct tree *view_tree(const struct view *view);

#endif

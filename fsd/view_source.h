/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What fsd itself asks of a view, behind the doors' backs.
 */
#ifndef FSD_VIEW_SOURCE_H
#define FSD_VIEW_SOURCE_H

#include "fsd/contents.h"
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

/* The SHA-256 of a regular file's bytes; has them copied where nobody has read them
 * yet.  Returns 0 or what contents_open_wait() does. */
int view_body_hash(struct contents *cs, struct view *view, uint32_t node, struct hash *out);

/* How one path came to be what it is: called for the image's word, then for each
 * entry that changed it.  `entry` NULL is the image; `scope` NULL with an entry is
 * the profile.  `node` 0: nothing is there.  A bare image has no steps. */
struct view_step {
	const struct scope *scope;
	const struct entry *entry;
	uint32_t node;
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
};
int views_explain(struct views *views, uint32_t host, uint32_t version, const char *path,
		  void (*step)(void *ctx, const struct view_step *step), void *ctx);

#endif

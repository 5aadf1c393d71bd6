/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The merge rule, ids and readdir order: nothing else.  A tree is an image with
 * entries laid over it one after the other, the weakest scope first, each as if a
 * person made that change by hand in the tree so far:
 *
 *	version (manifest)      entries, in order
 *	      |                     | tree_apply: walk to the parent through links,
 *	      v                     v             then put, hide, merge or change
 *	 image nodes 1..n      changed directories and overlay nodes only
 *	      \_____________________/
 *	        tree_child, tree_next, tree_node
 *
 * So a tree costs its entries, not the image.  A node of the image keeps its
 * number (position + 1) while it is itself, also with other attributes or with
 * changed children; names of one file share that of the first.  A name that was given
 * other attributes leaves its file's group: 2^30 + its own number.  What an entry
 * puts is 2^31 + the entry's id, but a directory 2^31 + the path's, so that it
 * stays itself when its row is replaced.  Each answers in every view of the
 * version that has the row, seen or not: a client may hold it.
 *
 * Frozen, a tree is immutable and any thread may read it.
 */
#ifndef FSD_TREE_H
#define FSD_TREE_H

#include "fsd/overlay.h"
#include "fsd/template.h"
#include "fsd/version.h"
#include "fsd/view.h"

enum { TREE_OVERLAY = 1 << 30 }; /* cookies of names that the image lacks start here */
#define TREE_NODE_OVERLAY (UINT32_C(1) << 31)
#define TREE_NODE_ALONE (UINT32_C(1) << 30)

/* Where a file's bytes are. */
enum tree_source { TREE_NONE, TREE_IMAGE, TREE_OBJECT, TREE_SECRET, TREE_TEXT };

struct tree_node {
	uint32_t id;
	uint32_t parent; /* 0: detached, or an image's file (see image_pos) */
	uint16_t mode;
	uint8_t source; /* enum tree_source, for regular files */
	uint32_t nlink;
	uint32_t uid;
	uint32_t gid;
	uint32_t rdev[2];
	uint64_t size;
	struct view_time mtime;
	struct view_time ctime;
	uint32_t image_pos;	   /* TREE_IMAGE: of its group's first name */
	const struct entry *entry; /* that put it; NULL: the image */
	const struct entry *attr;  /* that changed its attributes last; NULL: none */
	struct bytes text;	   /* a link's target, or TREE_TEXT */
};

struct tree;

/* Takes a reference to the version.  `keys_ns` is when the values of templates' keys
 * last changed. */
int tree_new(struct version *version, int64_t keys_ns, struct tree **out);
void tree_free(struct tree *tree);
CLEANUP_DEFINE(struct tree *, tree_free);

/* Lay one entry over the tree.  `entry` is borrowed for the tree's life.  `pin` is
 * the change that the boot pinned.  Templates are rendered with `lookup`.
 * An entry whose way does not exist in this version has no effect; so has a
 * template that cannot be rendered: returns VIEW_NOENT, VIEW_NOTDIR, VIEW_LOOP for
 * the caller to tell; else 0 or a negative errno. */
int tree_apply(struct tree *tree, const struct entry *entry, uint64_t pin, template_lookup *lookup,
	       void *ctx);

/* Done with entries: from here on the tree is read only. */
int tree_freeze(struct tree *tree);

struct version *tree_version(const struct tree *tree); /* borrowed */

/* Returns 0, VIEW_STALE, -EUCLEAN. */
int tree_node(const struct tree *tree, uint32_t id, struct tree_node *out);

/* The node called `name` in `dir` (no "." or "..").
 * Returns 0, VIEW_NOENT, VIEW_NOTDIR, VIEW_STALE, -EUCLEAN. */
int tree_child(const struct tree *tree, uint32_t dir, const char *name, size_t len, uint32_t *id);

/* The entry of `dir` after `cookie`, of those after "." and ".." (cookies 1, 2).
 * Returns 0, VIEW_END, VIEW_NOTDIR, VIEW_STALE, -EUCLEAN. */
int tree_next(const struct tree *tree, uint32_t dir, uint64_t cookie, struct view_dirent *out);

/* Walk a path as view_resolve() does.  *parent is the directory of the last step. */
int tree_walk(const struct tree *tree, uint32_t from, const char *path, bool follow, uint32_t *id,
	      uint32_t *parent);

/* Name of a directory or an overlay's node in its parent; empty for the root and
 * for what is detached. */
struct bytes tree_name(const struct tree *tree, uint32_t id);
/* The directory that holds the node under that name; 0 when detached. */
uint32_t tree_parent(const struct tree *tree, uint32_t id);

#endif

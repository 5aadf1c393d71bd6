/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One host's tree at one version: the image with all, group and host overlays
 * merged into it.  This is the whole of what the doors (NFS, TFTP, FUSE, the
 * command line) know of fsd; none of them sees an image or an overlay.
 *
 *	door --view_lookup/attr/read_dir/link--> view (tree: manifest + entries)
 *	door --contents_open--> contents --> object descriptor, or text in memory
 *
 * A view is immutable and shared: it is swapped whole when an overlay moves,
 * and a node that a client still holds stays good in the next one.  All
 * functions here are safe from any thread that holds a reference.
 *
 * Nodes are uint32_t, the fileid of NFS: 1 is the root, below 2^30 a position in
 * the manifest and from there on a name of it that stands alone (fsd/tree.h), from 2^31 on
 * an overlay's id.  0 is no node.
 */
#ifndef FSD_VIEW_H
#define FSD_VIEW_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/why.h"

struct view;

#define VIEW_ROOT UINT32_C(1)

/* Answers, beside 0 and negative errnos. */
enum view_code {
	VIEW_NOENT = 1,	  /* no such name */
	VIEW_NOTDIR,	  /* the node is not a directory */
	VIEW_STALE,	  /* no such node in this view */
	VIEW_NAMETOOLONG, /* over 255 bytes */
	VIEW_INVAL,	  /* not a symbolic link */
	VIEW_LOOP,	  /* too many symbolic links (40) */
	VIEW_END	  /* no entry after the cookie */
};

struct view_time {
	int64_t sec;
	uint32_t nsec;
};

struct view_attr {
	uint32_t node;
	uint32_t parent; /* of a directory; 0 for others */
	uint32_t mode;	 /* with S_IFMT */
	uint32_t nlink;
	uint32_t uid;
	uint32_t gid;
	uint32_t rdev_major;
	uint32_t rdev_minor;
	uint64_t size; /* of a link: its target's length; of a directory: 4096 a block of entries */
	struct view_time mtime;
	struct view_time ctime; /* when this view last changed it; never before mtime */
};

/* Identity of the view, for handles and fsid: the same on every server with the
 * same rows and manifests. */
uint32_t view_host(const struct view *view); /* 0: an image's bare view */
uint32_t view_version(const struct view *view);
uint64_t view_fsid(const struct view *view);

struct view *view_ref(struct view *view);
void view_unref(struct view *view); /* NULL is fine */
CLEANUP_DEFINE(struct view *, view_unref);

/* Returns 0, VIEW_STALE, or -EUCLEAN (a damaged manifest block). */
int view_attr(const struct view *view, uint32_t node, struct view_attr *out);

/* "." and ".." work; ".." of the root is the root.  Names are bytes.
 * Returns 0, VIEW_NOENT, VIEW_NOTDIR, VIEW_STALE, VIEW_NAMETOOLONG. */
int view_lookup(const struct view *view, uint32_t dir, const char *name, size_t len,
		uint32_t *node);

/* The entry of `dir` after `cookie` (0: from the first).  "." and ".." come
 * first, with cookies 1 and 2.  Cookies are below 2^31, never 0, the same
 * in every view and across changes.  A loop over a directory of n names costs
 * O(n) in all.
 * Returns 0, VIEW_END, VIEW_NOTDIR or VIEW_STALE. */
struct view_dirent {
	uint64_t cookie;
	uint32_t node;
	uint8_t name_len;
	const char *name; /* not ended; lives as long as the view */
};
int view_readdir(const struct view *view, uint32_t dir, uint64_t cookie, struct view_dirent *out);

/* The target's bytes live as long as the view.
 * Returns 0, VIEW_INVAL or VIEW_STALE. */
int view_readlink(const struct view *view, uint32_t node, struct bytes *target);

/* Walk `path` from the directory `from`, inside the root: absolute links start at
 * the view's root, ".." stops there.  A last link is followed when `follow`.
 * Empty components and a leading '/' (which starts at the root) are fine.
 * Returns 0, or VIEW_NOENT, VIEW_NOTDIR, VIEW_NAMETOOLONG, VIEW_LOOP, VIEW_STALE. */
int view_resolve(const struct view *view, uint32_t from, const char *path, bool follow,
		 uint32_t *node);

/* The path of a directory, or of a file by its first name.  Returns its length,
 * or -ENAMETOOLONG, or -ESTALE. */
ssize_t view_path(const struct view *view, uint32_t node, char *out, size_t size);

/* Is this file's body secret (a host key)?  TFTP and export refuse those. */
bool view_secret(const struct view *view, uint32_t node);

/* Totals for FSSTAT and statfs. */
struct view_stats {
	uint64_t bytes;
	uint64_t files;
};
void view_stats(const struct view *view, struct view_stats *out);

/* ---- the cache of views that a process serves ---- */

struct views;

/* Opens rootstock.db and the manifests read-only below `state_dir`. */
int views_open(const char *state_dir, struct views **out, struct why *why);
void views_close(struct views *views);
CLEANUP_DEFINE(struct views *, views_close);

/* The view of a host at a version as of now.  `host` 0 is the bare image.
 * `change` is the overlay change that the host's open boot pinned for next-boot
 * entries (UINT64_MAX: all of them are in force).
 * Built at the first call (a millisecond), from memory afterwards (under a
 * microsecond).  Any thread.  The caller unrefs *out.
 * Returns 0; -ENOENT for an unknown host or version; another negative errno. */
int views_get(struct views *views, uint32_t host, uint32_t version, uint64_t change,
	      struct view **out);

/* Look whether overlays moved (a microsecond); one thread calls it about ten
 * times a second.  Returns true when some view was replaced, and then
 * views_generation() has moved, so that a door which caches a view by itself
 * knows when to ask again. */
bool views_poll(struct views *views);
uint64_t views_generation(const struct views *views); /* atomic; any thread */

#endif

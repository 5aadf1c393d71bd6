/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The bytes of files, for one thread: open objects, kept by use, and the
 * questions to the copier that are under way.
 *
 *	contents_open(view, node) --hit--> a descriptor or text, at once
 *	                           --miss--> asks the copier; `wait` is called later
 *
 * A file over 4 MiB that is not in the store yet is open before all of it is there: what
 * of it can be read is a look at memory that the copier shares (fsd/extents.h).
 *
 * One `struct contents` a thread: no locks.  Descriptors are bounded; the one
 * unused for longest is closed first.
 */
#ifndef FSD_CONTENTS_H
#define FSD_CONTENTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/why.h"
#include "fsd/view.h"

struct contents;
struct content;

/* `max_open` descriptors are kept, at least 16. */
int contents_new(const char *state_dir, unsigned int max_open, struct contents **out,
		 struct why *why);
void contents_free(struct contents *cs); /* every wait must be over or cancelled */
CLEANUP_DEFINE(struct contents *, contents_free);

/* Embedded in whatever is parked until bytes are there. */
struct content_wait {
	/* `r` is 0 with the content (a reference for the callee), or a negative
	 * errno: EIO the origin lost it, EISDIR, EINVAL not a regular file. */
	void (*done)(struct content_wait *wait, int r, struct content *content);
	/* private */
	uint64_t id;
	struct content_wait *next;
};

enum { CONTENT_WAIT = 1 };
#define CONTENT_ALL UINT64_MAX

/* The body of a regular file, of which `len` bytes from `offset` on are there, or as many
 * as it has: a large one can be read while it is copied.  A len of 0 asks for its size and
 * attributes, CONTENT_ALL (with offset 0) for all.  Returns 0 with a reference in *out;
 * CONTENT_WAIT when the copier was asked: `wait->done` runs from contents_dispatch();
 * VIEW_STALE; -EISDIR; -EINVAL; or another negative errno.
 * `wait` NULL never asks: -EAGAIN instead of CONTENT_WAIT. */
int contents_open_at(struct contents *cs, struct view *view, uint32_t node, uint64_t offset,
		     uint64_t len, struct content **out, struct content_wait *wait);
/* The same file, in the same state, with other bytes there: what is in *out may be
 * another content than `content`.  EIO where the file is of another state by now. */
int contents_more(struct contents *cs, struct content *content, uint64_t offset, uint64_t len,
		  struct content **out, struct content_wait *wait);
void contents_cancel(struct contents *cs, struct content_wait *wait);

/* For a command, or a thread of its own: blocks until the answer. */
int contents_open_at_wait(struct contents *cs, struct view *view, uint32_t node, uint64_t offset,
			  uint64_t len, struct content **out);
/* content_pread() of what may not be there yet: blocks until it is.  May put another
 * content into *content, whose reference it takes. */
ssize_t contents_read(struct contents *cs, struct content **content, void *buf, size_t len,
		      uint64_t offset);

/* All of a body, where a part is of no use. */
static inline int contents_open(struct contents *cs, struct view *view, uint32_t node,
				struct content **out, struct content_wait *wait)
{
	return contents_open_at(cs, view, node, 0, CONTENT_ALL, out, wait);
}

static inline int contents_open_wait(struct contents *cs, struct view *view, uint32_t node,
				     struct content **out)
{
	return contents_open_at_wait(cs, view, node, 0, CONTENT_ALL, out);
}

/* Readable (EPOLLIN) when contents_dispatch() has something to do.  Stays the same
 * for the life of `cs`. */
int contents_fd(const struct contents *cs);
void contents_dispatch(struct contents *cs);

uint64_t content_size(const struct content *content);

/* Are these bytes there?  What is missing of a file that is being copied cannot be read:
 * in its place are zeros.  Costs no system call. */
bool content_ready(const struct content *content, uint64_t offset, uint64_t len);

/* A descriptor for pread and sendfile, or -1 when the body is in memory. */
int content_fd(const struct content *content);
struct bytes content_bytes(const struct content *content); /* when in memory */

/* Up to `len` bytes at `offset`, from either kind.  Returns the number read
 * (short only at the end) or a negative errno. */
ssize_t content_pread(const struct content *content, void *buf, size_t len, uint64_t offset);

struct content *content_ref(struct content *content);
void content_unref(struct content *content); /* NULL is fine */
CLEANUP_DEFINE(struct content *, content_unref);

#endif

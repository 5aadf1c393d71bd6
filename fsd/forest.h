/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * All views as one tree, for a mount:
 *
 *	/hosts/NAME/...		what the host's open boot is pinned to, else what
 *				its next boot would get
 *	/images/NAME@N/...	a version as it is, without overlays
 *
 * A number has 64 bits: the view in the high 32, the node in the low 32; view 0 is
 * the three directories above the views.  A view's number stands for a host at a
 * version and is never given twice, so a host that moves to another version gets
 * other numbers, and those who are in the old tree stay there.
 *
 *	forest_poll (one thread) --swaps--> listings, views <--read-- doors (any thread)
 *	     `--tells--> changes_sink: what clients must forget
 *
 * Doors stand between forest_enter() and forest_leave() until their answer is
 * sent: what is told to forget comes after every answer from before it.
 */
#ifndef FSD_FOREST_H
#define FSD_FOREST_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/why.h"
#include "fsd/changes.h"
#include "fsd/view.h"

struct forest;

#define FOREST_ROOT UINT64_C(1)

int forest_open(const char *state_dir, struct forest **out, struct why *why);
void forest_close(struct forest *forest);
CLEANUP_DEFINE(struct forest *, forest_close);

/* Look what moved, swap it, then tell.  About ten times a second, from one thread,
 * which has not entered. */
void forest_poll(struct forest *forest, const struct changes_sink *sink);

/* Any thread; the functions below need it, and what they borrow ends with it. */
void forest_enter(struct forest *forest);
void forest_leave(struct forest *forest);

struct forest_attr {
	uint64_t number;
	bool settled; /* false: a file that was not copied whole yet, which may have changed
		       * since the scan, or change still: ask again before it is believed */
	struct view_attr attr;
};

/* Returns 0, enum view_code, or a negative errno (-ENOENT: a view that is not yet
 * known, not to be remembered). */
int forest_attr(struct forest *forest, uint64_t number, struct forest_attr *out);

/* "." works on everything, ".." on directories.  The same codes. */
int forest_lookup(struct forest *forest, uint64_t dir, const char *name, size_t len,
		  uint64_t *number);

/* As view_readdir().  `view` marks the root of a view, whose attributes are not
 * worth asking for along with its name: that would build the view. */
struct forest_dirent {
	uint64_t cookie;
	uint64_t number;
	bool view;
	uint8_t name_len;
	const char *name; /* not ended */
};
int forest_readdir(struct forest *forest, uint64_t dir, uint64_t cookie, struct forest_dirent *out);

int forest_readlink(struct forest *forest, uint64_t number, struct bytes *target);

/* The view behind a number, and the node in it.  The caller unrefs *view, after it
 * left too. */
int forest_view(struct forest *forest, uint64_t number, struct view **view, uint32_t *node);

/* Zeros above the views. */
int forest_stats(struct forest *forest, uint64_t number, struct view_stats *out);

#endif

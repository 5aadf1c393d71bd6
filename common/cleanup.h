/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Scope-bound release.  `cleanup(fnp) T *x = NULL;` calls fnp(&x) on every way
 * out of the block; take(&x) hands the value on and leaves the empty one
 * behind, so a reader sees where ownership moves.
 */
#ifndef COMMON_CLEANUP_H
#define COMMON_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define cleanup(fn) __attribute__((__cleanup__(fn)))

#define take(p)                                                                                    \
	({                                                                                         \
		typeof(p) take_p = (p);                                                            \
		typeof(*take_p) take_v = *take_p;                                                  \
		*take_p = NULL;                                                                    \
		take_v;                                                                            \
	})

/* Descriptors are empty at -1, not at 0. */
static inline int take_fd(int *fd)
{
	int v = *fd;

	*fd = -1;
	return v;
}

/* Make `fnp(T **)` out of `fn(T *)`, for cleanup(). */
#define CLEANUP_DEFINE(T, fn)                                                                      \
	static inline void fn##p(T *p)                                                             \
	{                                                                                          \
		if (*p)                                                                            \
			fn(*p);                                                                    \
	}                                                                                          \
	struct cleanup_semicolon_##fn

static inline void freep(void *p)
{
	free(*(void **)p);
}

static inline void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

CLEANUP_DEFINE(FILE *, fclose);
CLEANUP_DEFINE(DIR *, closedir);

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif

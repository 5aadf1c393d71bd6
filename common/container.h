/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Callbacks of a loop and of a stream are handed the struct that they were registered
 * with; it is embedded in what they work on, and this is the way from one to the other.
 */
#ifndef COMMON_CONTAINER_H
#define COMMON_CONTAINER_H

#include <stddef.h>

/* The `type` that `ptr`, not NULL, is the `member` of.  A pointer to anything else than that
 * member's type is refused by the compiler. */
#define container(ptr, type, member)                                                               \
	({                                                                                         \
		typeof(((type *)NULL)->member) *container_ptr = (ptr);                             \
		(type *)((char *)container_ptr - offsetof(type, member));                          \
	})

#endif

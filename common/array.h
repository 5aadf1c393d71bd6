/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Arrays that grow by one: the capacity is the next power of two, so it need not be
 * kept.
 */
#ifndef COMMON_ARRAY_H
#define COMMON_ARRAY_H

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

/* Room for one more element behind the `n` of the array that `array_p` points to.
 * Returns 0 or -ENOMEM, and then the array is as it was. */
static inline int array_grow(void *array_p, size_t n, size_t size)
{
	void **array = array_p;
	void *bigger;

	if (n & (n - 1))
		return 0;
	bigger = realloc(*array, (n ? n * 2 : 1) * size);
	if (!bigger)
		return -ENOMEM;
	*array = bigger;
	return 0;
}

#endif

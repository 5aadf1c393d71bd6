/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What every unit test includes: cmocka with what it needs before it, and a
 * scratch directory that goes away with the test.
 */
#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/clock.h"

/* For ever: on a busy machine, under a sanitizer, what takes a second takes a minute.  A test
 * that waits so long says for what; Meson's own limit is later. */
enum { UNIT_PATIENCE_MS = 100 * 1000 };

/* Wait for a condition. */
#define unit_wait(condition)                                                                       \
	do {                                                                                       \
		struct instant unit_until = instant_add_ms(instant_now(), UNIT_PATIENCE_MS);       \
		while (!(condition)) {                                                             \
			if (instant_now().ns > unit_until.ns)                                      \
				fail_msg("never came about: %s", #condition);                      \
			usleep(2000);                                                              \
		}                                                                                  \
	} while (0)

static inline int unit_unlink(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* Group or test fixtures: *state is the path of a fresh directory. */
static inline int unit_dir_setup(void **state)
{
	char *dir = strdup("/tmp/rootstock-unit.XXXXXX");

	if (!dir || !mkdtemp(dir))
		return -1;
	*state = dir;
	return 0;
}

static inline int unit_dir_teardown(void **state)
{
	nftw(*state, unit_unlink, 16, FTW_DEPTH | FTW_PHYS);
	free(*state);
	return 0;
}

#endif

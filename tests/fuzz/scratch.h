/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A folder for a fuzzer, in memory where there is some; it goes with the process, unless
 * that crashes.
 */
#ifndef TESTS_FUZZ_SCRATCH_H
#define TESTS_FUZZ_SCRATCH_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char scratch_dir[64];

static inline int scratch_unlink(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void scratch_end(void)
{
	nftw(scratch_dir, scratch_unlink, 16, FTW_DEPTH | FTW_PHYS);
}

/* The same at each call. */
static inline const char *scratch(void)
{
	if (scratch_dir[0])
		return scratch_dir;
	snprintf(scratch_dir, sizeof(scratch_dir), "%s/rootstock-fuzz.XXXXXX",
		 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	if (!mkdtemp(scratch_dir) || atexit(scratch_end))
		abort();
	return scratch_dir;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/origin.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

static bool has_file(const char *dir, const char *name)
{
	char path[PATH_MAX + 16];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return !stat(path, &st) && S_ISREG(st.st_mode);
}

int origin_kind(const char *path, enum origin_kind *kind, struct why *why)
{
	struct stat st;

	if (stat(path, &st))
		return why_set(why, -errno, "%s: %m", path);
	if (S_ISREG(st.st_mode))
		*kind = ORIGIN_TAR;
	else if (!S_ISDIR(st.st_mode))
		return why_set(why, -EINVAL, "%s: not a directory and not a tar archive", path);
	else if (has_file(path, "oci-layout") && has_file(path, "index.json"))
		*kind = ORIGIN_OCI;
	else
		*kind = ORIGIN_DIR;
	return 0;
}

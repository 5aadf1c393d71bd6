/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/origin.h"

#include <errno.h>

int origin_oci_read(const char *path, const struct origin_sink *sink, struct why *why)
{
	(void)sink;
	return why_set(why, -ENOTSUP, "%s: OCI image layouts are not read yet", path);
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the header of a tar entry says about a file, as the manifest has it: type,
 * mode, owner by number, time, device, and extended attributes, POSIX ACLs among
 * them as the kernel keeps those.  An ACL that has users or groups by their names
 * alone cannot be kept; the mode is right all the same.
 */
#ifndef FSD_TAR_ATTR_H
#define FSD_TAR_ATTR_H

#include <archive_entry.h>

#include "fsd/manifest.h"

/* Room for an entry's extended attributes; starts zeroed, used again for the next. */
struct tar_xattrs {
	uint8_t *data;
	size_t len;
	size_t size;
};

void tar_xattrs_fini(struct tar_xattrs *x);

/* Fill *out, which borrows `e` and `x`.  Returns 0, -ENOMEM, or -EINVAL with what is
 * wrong in *words. */
int tar_attr_read(struct archive_entry *e, struct tar_xattrs *x, struct manifest_attr *out,
		  const char **words);

#endif

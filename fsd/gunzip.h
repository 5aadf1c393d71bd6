/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A gzip stream unpacked, with its check sums compared: libarchive's own filter reads
 * past them, and a version that is sealed with a flipped byte keeps it for good.
 */
#ifndef FSD_GUNZIP_H
#define FSD_GUNZIP_H

#include "fsd/origin_tar.h"

/* Do these first bytes of a file start a gzip stream? */
static inline bool gunzip_wants(struct bytes head)
{
	return head.len >= 2 && head.at[0] == 0x1f && head.at[1] == 0x8b;
}

struct gunzip;

/* Borrows `from`.  What stands behind the last member is not read, as gzip does. */
int gunzip_new(struct tar_stream *from, struct gunzip **out);
void gunzip_free(struct gunzip *g);
CLEANUP_DEFINE(struct gunzip *, gunzip_free);

struct tar_stream *gunzip_bytes(struct gunzip *g);

#endif

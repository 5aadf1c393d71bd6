/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One or more tar streams, read into one tree.
 *
 * Names are bytes.  Each is resolved from the root of the tree that was read so far,
 * component by component: nothing outside exists for it.  What lacks above an entry
 * is made (root's, 0755, time 0); an entry that comes again replaces the earlier one,
 * a directory keeping what is in it.
 */
#ifndef FSD_ORIGIN_TAR_H
#define FSD_ORIGIN_TAR_H

#include <sys/types.h>

#include "fsd/origin.h"

/* Bytes from somewhere.  Embedded in whatever knows where. */
struct tar_stream {
	/* The next ones in *data, good until the next call.  Returns how many, 0 at the
	 * end, or a negative errno: -ENODATA when it was cut short, -EBADMSG when it is
	 * damaged. */
	ssize_t (*read)(struct tar_stream *s, const void **data);
};

struct tar_reader;

int tar_reader_new(const struct origin_sink *sink, struct tar_reader **out);
void tar_reader_free(struct tar_reader *t);
CLEANUP_DEFINE(struct tar_reader *, tar_reader_free);

/* Read a whole archive; errors start with `name`.  It must have its end mark. */
int tar_reader_archive(struct tar_reader *t, const char *name, struct tar_stream *stream,
		       struct why *why);

/* Read the next layer of an image: as an archive, but ".wh.NAME" hides NAME of the
 * layers before, and ".wh..wh..opq" all that they have beside it.  The end mark may
 * lack: whoever calls knows the layer's digest. */
int tar_reader_layer(struct tar_reader *t, const char *name, struct tar_stream *stream,
		     struct why *why);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A body that a transfer reads: a loader's descriptor, a rendered text, a file of
 * a view, or one of these in netascii.  The server knows only this.
 */
#ifndef TFTP_FILE_H
#define TFTP_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"

struct tftp_file;

struct tftp_file_ops {
	/* Up to `len` bytes at `offset`: the number read, short only at the end;
	 * -EAGAIN when they are not there yet; or another negative errno. */
	ssize_t (*pread)(struct tftp_file *file, void *buf, size_t len, uint64_t offset);
	void (*close)(struct tftp_file *file); /* frees `file` too */
};

/* Embed first in a kind of one's own. */
struct tftp_file {
	const struct tftp_file_ops *ops;
	uint64_t size; /* constant: what was announced is what is sent */
};

/* Both consume what they are given, also on failure. */
int tftp_file_of_fd(int fd, uint64_t size, struct tftp_file **out);
int tftp_file_of_text(char *text, size_t len, struct tftp_file **out); /* text is malloc'd */

/* `file` as netascii (RFC 764: LF becomes CR LF, CR becomes CR NUL), encoded whole in
 * memory, so that tsize is exact and every repeat the same.  Consumes `file`, also
 * on failure.  Returns 0, -EFBIG over TFTP_NETASCII_MAX, or another negative errno. */
enum { TFTP_NETASCII_MAX = 256 << 10 /* menus: what is larger is no text */ };
int tftp_file_netascii(struct tftp_file *file, struct tftp_file **out);

static inline ssize_t tftp_file_pread(struct tftp_file *f, void *buf, size_t len, uint64_t offset)
{
	return f->ops->pread(f, buf, len, offset);
}

static inline void tftp_file_close(struct tftp_file *f) /* NULL is fine */
{
	if (f)
		f->ops->close(f);
}
CLEANUP_DEFINE(struct tftp_file *, tftp_file_close);

#endif

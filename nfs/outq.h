/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What leaves by a stream socket: bytes, ranges of contents, and the queue of
 * both that a client was not ready for.
 *
 * Nothing here waits.  A content goes out by sendfile, or from memory where it
 * has no descriptor; one that turns out shorter than it said is an error, never
 * padded.
 */
#ifndef NFS_OUTQ_H
#define NFS_OUTQ_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fsd/contents.h"

/* Zeroed is empty and ready for use. */
struct outq {
	struct outq_chunk *first;
	struct outq_chunk *last;
};

void outq_fini(struct outq *q);

static inline bool outq_empty(const struct outq *q)
{
	return !q->first;
}

/* Queue a copy of `data`.  Returns 0 or -ENOMEM. */
int outq_bytes(struct outq *q, const uint8_t *data, size_t len);
/* Queue a range of `content`, whose reference it takes, also on failure. */
int outq_content(struct outq *q, struct content *content, uint64_t offset, size_t len);
/* Send what the client takes of the queue.  Returns the bytes sent, or a negative errno. */
ssize_t outq_drain(struct outq *q, int fd);

/* Send past the queue; `more`: something follows at once.  Returns the bytes sent, 0
 * when the client is not ready, or a negative errno. */
ssize_t send_bytes(int fd, const uint8_t *data, size_t len, bool more);
ssize_t send_content(int fd, struct content *content, uint64_t offset, size_t len, bool more);

#endif

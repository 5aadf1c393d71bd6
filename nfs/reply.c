/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A small body is copied into the reply, and one that cannot be read is an error there.
 * A large one leaves by sendfile, when the header has left already; so once a disk has
 * failed under that, large ones are read first for a minute, which is longer than a client
 * takes to come back.
 */
#include "nfs/reply.h"

#include <errno.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "nfs/worker.h"
#include "nfs3.h"

enum { DOUBT_SECS = 60 };

static void disk_failed(struct worker *worker, int err)
{
	if (log_allow(&worker->disk_limit, worker->nfs.now_ns, 10, 1000))
		log_error("a file of the store cannot be read: %s", strerror(-err));
}

/* The results begin anew, and are an error: a client that was cut off instead would come
 * back for the same bytes without end. */
static void reply_fail(struct worker *worker, struct reply *reply, int err)
{
	disk_failed(worker, err);
	content_unref(take(&reply->body));
	reply->w.at = reply->w.start + RPC_REPLY_HEADER;
	writer_be32(&reply->w, NFS3ERR_IO);
	writer_be32(&reply->w, 0); /* no attributes */
}

int reply_copy_body(struct worker *worker, struct reply *reply)
{
	uint8_t *at = reply->w.at;
	uint8_t *p = writer_room(&reply->w, reply->body_len);
	ssize_t n = p ? content_pread(reply->body, p, reply->body_len, reply->body_offset) : 0;

	if (n == (ssize_t)reply->body_len) {
		content_unref(take(&reply->body));
		writer_zero(&reply->w, reply_padding(reply));
	} else if (n < 0) {
		reply->w.at = at;
		reply_fail(worker, reply, (int)n);
	} else {
		content_unref(take(&reply->body));
		return -EIO; /* shorter than was promised */
	}
	return reply->w.full ? -EIO : 0;
}

int reply_body_failed(struct worker *worker, int err)
{
	if (err == -EIO) {
		disk_failed(worker, err);
		worker->doubt_ns = worker->nfs.now_ns + DOUBT_SECS * NS_PER_SEC;
	}
	return err;
}

/* Is all of it readable? */
static int body_read(const struct reply *reply)
{
	uint64_t at = reply->body_offset;
	uint64_t end = at + reply->body_len;

	while (at < end) {
		size_t room = writer_left(&reply->w);
		size_t len = end - at < room ? (size_t)(end - at) : room;
		ssize_t n = content_pread(reply->body, reply->w.at, len, at);

		if (n <= 0)
			return n ? (int)n : -EIO;
		at += (uint64_t)n;
	}
	return 0;
}

void reply_check_body(struct worker *worker, struct reply *reply)
{
	int r = worker->nfs.now_ns < worker->doubt_ns ? body_read(reply) : 0;

	if (r)
		reply_fail(worker, reply, r);
}

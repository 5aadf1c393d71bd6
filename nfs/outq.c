/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nfs/outq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

struct outq_chunk {
	struct outq_chunk *next;
	struct content *content; /* NULL: the bytes are here */
	uint64_t offset;
	size_t len;
	uint8_t data[];
};

static void chunk_append(struct outq *q, struct outq_chunk *chunk)
{
	if (q->last)
		q->last->next = chunk;
	else
		q->first = chunk;
	q->last = chunk;
}

static void chunk_pop(struct outq *q)
{
	struct outq_chunk *chunk = q->first;

	q->first = chunk->next;
	if (!q->first)
		q->last = NULL;
	content_unref(chunk->content);
	free(chunk);
}

void outq_fini(struct outq *q)
{
	while (q->first)
		chunk_pop(q);
}

int outq_bytes(struct outq *q, const uint8_t *data, size_t len)
{
	struct outq_chunk *chunk = malloc(sizeof(*chunk) + len);

	if (!chunk)
		return -ENOMEM;
	*chunk = (struct outq_chunk){.len = len};
	memcpy(chunk->data, data, len);
	chunk_append(q, chunk);
	return 0;
}

int outq_content(struct outq *q, struct content *content, uint64_t offset, size_t len)
{
	struct outq_chunk *chunk = malloc(sizeof(*chunk));

	if (!chunk) {
		content_unref(content);
		return -ENOMEM;
	}
	*chunk = (struct outq_chunk){.content = content, .offset = offset, .len = len};
	chunk_append(q, chunk);
	return 0;
}

ssize_t send_bytes(int fd, const uint8_t *data, size_t len, bool more)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = send(fd, data + done, len - done,
				 MSG_NOSIGNAL | MSG_DONTWAIT | (more ? MSG_MORE : 0));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

ssize_t send_content(int fd, struct content *content, uint64_t offset, size_t len, bool more)
{
	int from = content_fd(content);
	size_t done = 0;

	if (from < 0) {
		struct bytes b = content_bytes(content);

		if (offset > b.len || len > b.len - offset)
			return -EIO;
		return send_bytes(fd, b.at + offset, len, more);
	}
	while (done < len) {
		off_t at = (off_t)(offset + done);
		ssize_t n = sendfile(fd, from, &at, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

ssize_t outq_drain(struct outq *q, int fd)
{
	ssize_t sent = 0;

	while (q->first) {
		struct outq_chunk *chunk = q->first;
		bool more = chunk->next != NULL;
		ssize_t n =
			chunk->content
				? send_content(fd, chunk->content, chunk->offset, chunk->len, more)
				: send_bytes(fd, chunk->data + chunk->offset, chunk->len, more);

		if (n < 0)
			return n;
		sent += n;
		chunk->offset += (uint64_t)n;
		chunk->len -= (size_t)n;
		if (chunk->len)
			break;
		chunk_pop(q);
	}
	return sent;
}

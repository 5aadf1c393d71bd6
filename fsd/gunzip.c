/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/gunzip.h"

#include <errno.h>

#include <zlib.h>

#include "common/container.h"

enum { GUNZIP_CHUNK = 256 * 1024, GUNZIP_WINDOW = 15 + 16 /* gzip's framing alone */ };

struct gunzip {
	struct tar_stream stream;
	struct tar_stream *from;
	z_stream z;
	bool in_member;
	bool had_member;
	bool behind; /* the last member */
	uint8_t chunk[GUNZIP_CHUNK];
};

/* Between members: another one, or something that is no concern of ours. */
static void member_next(struct gunzip *g)
{
	if (g->had_member && g->z.next_in[0] != 0x1f) {
		g->behind = true;
		return;
	}
	inflateReset(&g->z);
	g->in_member = g->had_member = true;
}

/* Returns 0 when there is input, 1 at the end, or a negative errno. */
static int gunzip_feed(struct gunzip *g)
{
	const void *data;
	ssize_t n;

	if (!g->z.avail_in && !g->behind) {
		n = g->from->read(g->from, &data);
		if (n < 0)
			return (int)n;
		if (!n)
			return g->in_member ? -ENODATA : 1;
		g->z.next_in = (uint8_t *)data;
		g->z.avail_in = (uInt)n;
	}
	if (!g->in_member && !g->behind)
		member_next(g);
	return g->behind;
}

static ssize_t gunzip_read(struct tar_stream *stream, const void **data)
{
	struct gunzip *g = container(stream, struct gunzip, stream);
	int r;

	g->z.next_out = g->chunk;
	g->z.avail_out = sizeof(g->chunk);
	*data = g->chunk;
	while (g->z.avail_out == sizeof(g->chunk)) {
		r = gunzip_feed(g);
		if (r)
			return r < 0 ? r : 0;
		r = inflate(&g->z, Z_NO_FLUSH);
		if (r == Z_STREAM_END)
			g->in_member = false;
		else if (r == Z_MEM_ERROR)
			return -ENOMEM;
		else if (r != Z_OK && r != Z_BUF_ERROR)
			return -EBADMSG;
	}
	return (ssize_t)(sizeof(g->chunk) - g->z.avail_out);
}

int gunzip_new(struct tar_stream *from, struct gunzip **out)
{
	struct gunzip *g = calloc(1, sizeof(*g));

	if (!g)
		return -ENOMEM;
	g->stream.read = gunzip_read;
	g->from = from;
	if (inflateInit2(&g->z, GUNZIP_WINDOW) != Z_OK) {
		free(g);
		return -ENOMEM;
	}
	*out = g;
	return 0;
}

void gunzip_free(struct gunzip *g)
{
	if (!g)
		return;
	inflateEnd(&g->z);
	free(g);
}

struct tar_stream *gunzip_bytes(struct gunzip *g)
{
	return &g->stream;
}

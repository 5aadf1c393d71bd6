/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/intake.h"

#include <errno.h>

enum {
	INTAKE_SMALL = 1 << 20, /* hashed in memory before it is written at all */
	INTAKE_BATCH = 512,	/* bodies that share a sync */
	INTAKE_ZEROS = 65536
};

struct intake {
	struct objects *objects;
	struct hasher hasher;
	uint8_t *small;
	uint64_t size;
	uint64_t at;
	struct object_draft draft;
	unsigned int n;
	struct object_draft drafts[INTAKE_BATCH];
	struct hash hashes[INTAKE_BATCH];
};

int intake_new(struct objects *objects, struct intake **out)
{
	cleanup(intake_freep) struct intake *in = calloc(1, sizeof(*in));

	if (!in)
		return -ENOMEM;
	in->objects = objects;
	in->draft.fd = -1;
	in->small = malloc(INTAKE_SMALL);
	if (!in->small)
		return -ENOMEM;
	*out = take(&in);
	return 0;
}

static void intake_drop(struct intake *in)
{
	objects_discard(in->objects, &in->draft);
	while (in->n)
		objects_discard(in->objects, &in->drafts[--in->n]);
}

void intake_free(struct intake *in)
{
	if (!in)
		return;
	intake_drop(in);
	free(in->small);
	free(in);
}

static bool is_small(const struct intake *in)
{
	return in->size <= INTAKE_SMALL;
}

int intake_begin(struct intake *in, uint64_t size)
{
	int r;

	objects_discard(in->objects, &in->draft);
	in->size = size;
	in->at = 0;
	if (is_small(in))
		return 0;
	if (size > INT64_MAX)
		return -EFBIG;
	hasher_init(&in->hasher);
	r = objects_draft_unnamed(in->objects, &in->draft);
	if (r)
		return r;
	/* What the file system cannot hold is refused now and not after hours. */
	return ftruncate(in->draft.fd, (off_t)size) ? -errno : 0;
}

static void intake_hole(struct intake *in, uint64_t until)
{
	static const uint8_t zeros[INTAKE_ZEROS];

	if (is_small(in)) {
		memset(in->small + in->at, 0, until - in->at);
		in->at = until;
	}
	while (in->at < until) {
		size_t n = until - in->at < INTAKE_ZEROS ? until - in->at : INTAKE_ZEROS;

		hasher_add(&in->hasher, zeros, n);
		in->at += n;
	}
}

int intake_put(struct intake *in, const void *data, size_t len, uint64_t offset)
{
	if (offset < in->at || offset > in->size || len > in->size - offset)
		return -EBADMSG;
	intake_hole(in, offset);
	if (!len)
		return 0;
	in->at = offset + len;
	if (is_small(in)) {
		memcpy(in->small + offset, data, len);
		return 0;
	}
	hasher_add(&in->hasher, data, len);
	return object_write(in->draft.fd, data, len, offset);
}

/* Here or on its way. */
static bool intake_has(const struct intake *in, const struct hash *hash)
{
	for (unsigned int i = in->n; i--;)
		if (!memcmp(&in->hashes[i], hash, sizeof(*hash)))
			return true;
	return objects_has(in->objects, hash);
}

static int intake_flush(struct intake *in)
{
	int r = in->n ? objects_sync_data(in->objects) : 0;
	unsigned int i;

	for (i = 0; i < in->n && !r; i++)
		r = objects_commit(in->objects, &in->drafts[i], &in->hashes[i]);
	if (r)
		intake_drop(in);
	in->n = 0;
	return r;
}

int intake_end(struct intake *in, struct hash *hash)
{
	int r;

	intake_hole(in, in->size);
	if (is_small(in))
		hash_of(in->small, in->size, hash);
	else
		hasher_end(&in->hasher, hash);
	if (intake_has(in, hash)) {
		objects_discard(in->objects, &in->draft);
		return 0;
	}
	if (is_small(in)) {
		r = objects_draft_unnamed(in->objects, &in->draft);
		if (!r)
			r = object_write(in->draft.fd, in->small, in->size, 0);
		if (!r && ftruncate(in->draft.fd, (off_t)in->size))
			r = -errno;
		if (r)
			return r;
	}
	in->hashes[in->n] = *hash;
	in->drafts[in->n++] = in->draft;
	in->draft = (struct object_draft){.fd = -1};
	return in->n == INTAKE_BATCH ? intake_flush(in) : 0;
}

int intake_finish(struct intake *in)
{
	int r = intake_flush(in);

	/* Names are durable with the file system, those among them that another
	 * process gave a moment ago. */
	return r ? r : objects_sync_data(in->objects);
}

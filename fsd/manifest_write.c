/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A manifest's file: its sections in order, hashed by blocks on their way into a
 * temporary file that takes its name when all is on disk.
 */
#include "fsd/manifest_format.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>

/* What is written in order: each section, hashed by blocks as it goes. */
struct output {
	FILE *file;
	uint8_t block[MANIFEST_BLOCK];
	size_t fill;
	struct hash *sums; /* as many as there are blocks */
	size_t nsums;
};

static int output_block(struct output *o)
{
	hash_of(o->block, o->fill, &o->sums[o->nsums++]);
	if (fwrite(o->block, 1, o->fill, o->file) != o->fill)
		return -errno;
	o->fill = 0;
	return 0;
}

static int output_write(struct output *o, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len) {
		size_t n = sizeof(o->block) - o->fill;

		if (n > len)
			n = len;
		memcpy(o->block + o->fill, p, n);
		o->fill += n;
		p += n;
		len -= n;
		if (o->fill == sizeof(o->block)) {
			int r = output_block(o);

			if (r)
				return r;
		}
	}
	return 0;
}

static int parts_put(const struct manifest_parts *p, struct output *o, struct hash *digest)
{
	struct manifest_header h = {
		.magic = MANIFEST_MAGIC,
		.format = MANIFEST_FORMAT,
		.flags = p->flags,
		.version = p->version,
		.nnodes = p->nnodes,
		.nhashes = p->nhashes,
		.bytes = p->bytes,
	};
	const struct bytes section[SECTIONS] = {
		[SECTION_NODES] = {(const void *)p->nodes, p->nnodes * sizeof(*p->nodes)},
		[SECTION_HASHES] = {(const void *)p->hashes, p->nhashes * sizeof(*p->hashes)},
		[SECTION_STRINGS] = p->strings,
		[SECTION_XATTRS] = p->xattrs,
	};
	uint8_t page[MANIFEST_HEADER] = {0};
	uint64_t at = MANIFEST_HEADER;
	int r;

	if (fwrite(page, 1, sizeof(page), o->file) != sizeof(page))
		return -errno;
	for (int s = 0; s < SECTIONS; s++) {
		h.section[s].at = at;
		h.section[s].len = section[s].len;
		at += section[s].len;
	}
	o->sums = calloc((at - MANIFEST_HEADER) / MANIFEST_BLOCK + 1, sizeof(*o->sums));
	if (!o->sums)
		return -ENOMEM;
	for (int s = 0; s < SECTIONS; s++) {
		r = output_write(o, section[s].at, section[s].len);
		if (r)
			return r;
	}
	r = o->fill ? output_block(o) : 0;
	if (r)
		return r;
	h.sums_at = at;
	h.sums_len = o->nsums * sizeof(*o->sums);
	hash_of(o->sums, h.sums_len, &h.sums_hash);
	hash_of(&h, sizeof(h), &h.self);
	memcpy(page, &h, sizeof(h));
	if (fwrite(o->sums, 1, h.sums_len, o->file) != h.sums_len || fseek(o->file, 0, SEEK_SET) ||
	    fwrite(page, 1, sizeof(page), o->file) != sizeof(page) || fflush(o->file) ||
	    fdatasync(fileno(o->file)))
		return -errno;
	if (digest)
		*digest = h.self;
	return 0;
}

int manifest_parts_write(const struct manifest_parts *p, const char *dir, struct hash *digest)
{
	cleanup(freep) struct output *o = calloc(1, sizeof(*o));
	cleanup(closep) int dir_fd = -1;
	uint64_t random;
	char temp[64];
	char name[32];
	int fd;
	int r;

	if (!o)
		return -ENOMEM;
	snprintf(name, sizeof(name), "%" PRIu32, p->version);
	/* The directory is the copier's: nobody shall guess the name and wait there with
	 * a link for root to follow. */
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -errno;
	snprintf(temp, sizeof(temp), ".%" PRIu32 ".%016" PRIx64, p->version, random);
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return -errno;
	fd = openat(dir_fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (fd < 0)
		return -errno;
	r = file_give(fd, dir_fd);
	if (r) {
		close(fd);
		unlinkat(dir_fd, temp, 0);
		return r;
	}
	o->file = fdopen(fd, "w");
	if (!o->file) {
		close(fd);
		unlinkat(dir_fd, temp, 0);
		return -ENOMEM;
	}
	r = parts_put(p, o, digest);
	if (fclose(o->file) && !r)
		r = -errno;
	free(o->sums);
	if (!r && (renameat(dir_fd, temp, dir_fd, name) || fsync(dir_fd)))
		r = -errno;
	if (r)
		unlinkat(dir_fd, temp, 0);
	return r;
}

int manifest_seal(const struct manifest *m, const char *dir, const struct hash *hashes,
		  void (*fix)(void *ctx, uint32_t pos, struct manifest_node *node), void *ctx,
		  struct hash *digest)
{
	uint32_t n = manifest_count(m);
	cleanup(freep) struct manifest_node *nodes = calloc(n, sizeof(*nodes));
	const struct manifest_node *first = manifest_at(m, 0);
	struct manifest_parts p = {
		.version = manifest_version(m),
		.nnodes = n,
		.nhashes = manifest_hash_count(m),
		.flags = MANIFEST_SEALED | (manifest_has_links(m) ? MANIFEST_HARDLINKS : 0),
		.hashes = hashes,
	};

	if (!nodes)
		return -ENOMEM;
	if (!first)
		return -EUCLEAN;
	for (uint32_t pos = 0; pos < n; pos++) {
		const struct manifest_node *node = manifest_at(m, pos);

		if (!node)
			return -EUCLEAN;
		nodes[pos] = *node;
		fix(ctx, pos, &nodes[pos]);
		if (S_ISREG(nodes[pos].mode) && nodes[pos].link == pos)
			p.bytes += nodes[pos].size;
	}
	p.nodes = nodes;
	p.strings = manifest_section(m, SECTION_STRINGS);
	p.xattrs = manifest_section(m, SECTION_XATTRS);
	if (!p.strings.at)
		return -EUCLEAN;
	return manifest_parts_write(&p, dir, digest);
}

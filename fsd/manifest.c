/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/manifest_format.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>

struct manifest {
	const uint8_t *map;
	size_t len;
	const struct manifest_header *header;
	const struct hash *sums;
	_Atomic uint64_t *checked; /* one bit a block: its sum was found right */
};

static bool block_check(const struct manifest *m, size_t block)
{
	size_t at = MANIFEST_HEADER + block * (size_t)MANIFEST_BLOCK;
	size_t end = at + MANIFEST_BLOCK;
	struct hash sum;

	if (end > m->header->sums_at)
		end = m->header->sums_at;
	hash_of(m->map + at, end - at, &sum);
	if (memcmp(&sum, &m->sums[block], sizeof(sum)))
		return false;
	/* Two threads may check a block at once; both find the same. */
	atomic_fetch_or_explicit(&m->checked[block / 64], UINT64_C(1) << block % 64,
				 memory_order_relaxed);
	return true;
}

/* Bytes of a section, their blocks checked; NULL when out of it or damaged. */
static const void *section_bytes(const struct manifest *m, enum manifest_section s, uint64_t off,
				 uint64_t len)
{
	uint64_t at = m->header->section[s].at + off;
	size_t block;
	size_t last;

	if (off > m->header->section[s].len || len > m->header->section[s].len - off)
		return NULL;
	block = (at - MANIFEST_HEADER) / MANIFEST_BLOCK;
	last = len ? (at + len - 1 - MANIFEST_HEADER) / MANIFEST_BLOCK : block;
	for (; len && block <= last; block++)
		if (!(atomic_load_explicit(&m->checked[block / 64], memory_order_relaxed) >>
			      block % 64 &
		      1) &&
		    !block_check(m, block))
			return NULL;
	return m->map + at;
}

static const char *header_check(const struct manifest_header *h, size_t len, uint32_t version)
{
	struct manifest_header copy = *h;
	uint64_t at = MANIFEST_HEADER;
	struct hash self;

	if (memcmp(h->magic, MANIFEST_MAGIC, sizeof(h->magic)))
		return "not a manifest";
	if (h->format != MANIFEST_FORMAT)
		return "of another format";
	memset(&copy.self, 0, sizeof(copy.self));
	hash_of(&copy, sizeof(copy), &self);
	if (memcmp(&self, &h->self, sizeof(self)))
		return "damaged header";
	if (h->version != version)
		return "of another version";
	for (int s = 0; s < SECTIONS; s++) {
		if (h->section[s].at != at || h->section[s].len > len - at)
			return "cut short";
		at += h->section[s].len;
	}
	if (h->sums_at != at || h->sums_len > len - at || h->sums_at + h->sums_len != len)
		return "cut short";
	if (h->sums_len != (at - MANIFEST_HEADER + MANIFEST_BLOCK - 1) / MANIFEST_BLOCK * HASH_LEN)
		return "wrong sums";
	if (!h->nnodes || h->nnodes > MANIFEST_NODES_MAX ||
	    h->section[SECTION_NODES].len != (uint64_t)h->nnodes * sizeof(struct manifest_node) ||
	    h->section[SECTION_HASHES].len != (uint64_t)h->nhashes * HASH_LEN)
		return "wrong counts";
	return NULL;
}

static int manifest_admit(struct manifest *m, uint32_t version, const char *path, struct why *why)
{
	const struct manifest_header *h = m->header;
	const char *wrong = header_check(h, m->len, version);
	struct hash sums;

	if (wrong)
		return why_set(why, -EUCLEAN, "%s: %s", path, wrong);
	m->sums = (const void *)(m->map + h->sums_at);
	hash_of(m->map + h->sums_at, h->sums_len, &sums);
	if (memcmp(&sums, &h->sums_hash, sizeof(sums)))
		return why_set(why, -EUCLEAN, "%s: damaged", path);
	m->checked = calloc(h->sums_len / HASH_LEN / 64 + 1, sizeof(*m->checked));
	return m->checked ? 0 : -ENOMEM;
}

int manifest_open(const char *dir, uint32_t version, struct manifest **out, struct why *why)
{
	cleanup(manifest_closep) struct manifest *m = NULL;
	cleanup(closep) int fd = -1;
	char path[PATH_MAX];
	struct stat st;
	void *map;
	int r;

	if (snprintf(path, sizeof(path), "%s/%" PRIu32, dir, version) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st))
		return why_set(why, -errno, "%s: %m", path);
	if (!S_ISREG(st.st_mode) || st.st_size < MANIFEST_HEADER)
		return why_set(why, -EUCLEAN, "%s: cut short", path);
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return why_set(why, -errno, "%s: %m", path);
	m->map = map;
	m->len = (size_t)st.st_size;
	m->header = map;
	r = manifest_admit(m, version, path, why);
	if (r)
		return r;
	*out = take(&m);
	return 0;
}

void manifest_close(struct manifest *m)
{
	if (!m)
		return;
	if (m->map)
		munmap((void *)m->map, m->len);
	free(m->checked);
	free(m);
}

uint32_t manifest_version(const struct manifest *m)
{
	return m->header->version;
}

uint32_t manifest_count(const struct manifest *m)
{
	return m->header->nnodes;
}

uint32_t manifest_hash_count(const struct manifest *m)
{
	return m->header->nhashes;
}

uint64_t manifest_bytes(const struct manifest *m)
{
	return m->header->bytes;
}

bool manifest_sealed(const struct manifest *m)
{
	return m->header->flags & MANIFEST_SEALED;
}

bool manifest_has_links(const struct manifest *m)
{
	return m->header->flags & MANIFEST_HARDLINKS;
}

const struct hash *manifest_digest(const struct manifest *m)
{
	return &m->header->self;
}

const struct manifest_node *manifest_at(const struct manifest *m, uint32_t pos)
{
	if (pos >= m->header->nnodes)
		return NULL;
	return section_bytes(m, SECTION_NODES, (uint64_t)pos * sizeof(struct manifest_node),
			     sizeof(struct manifest_node));
}

struct bytes manifest_name(const struct manifest *m, const struct manifest_node *node)
{
	const uint8_t *at = section_bytes(m, SECTION_STRINGS, node->name, node->name_len);

	return (struct bytes){at, at ? node->name_len : 0};
}

struct bytes manifest_target(const struct manifest *m, const struct manifest_node *node)
{
	const uint8_t *at = section_bytes(m, SECTION_STRINGS, node->data, node->size);

	return (struct bytes){at, at ? node->size : 0};
}

const struct hash *manifest_hash(const struct manifest *m, uint32_t index)
{
	return section_bytes(m, SECTION_HASHES, (uint64_t)index * HASH_LEN, HASH_LEN);
}

struct bytes manifest_section(const struct manifest *m, enum manifest_section section)
{
	uint64_t len = m->header->section[section].len;

	return (struct bytes){section_bytes(m, section, 0, len), len};
}

struct bytes manifest_xattrs(const struct manifest *m, const struct manifest_node *node)
{
	const uint8_t *head;
	struct cursor c;
	uint32_t len;

	if (!node->xattr)
		return (struct bytes){0};
	head = section_bytes(m, SECTION_XATTRS, node->xattr - 1, 4);
	if (!head)
		return (struct bytes){0};
	c = cursor_of(head, 4);
	len = cursor_be32(&c);
	head = section_bytes(m, SECTION_XATTRS, (uint64_t)node->xattr + 3, len);
	return (struct bytes){head, head ? len : 0};
}

/* `node` is one that manifest_at() gave. */
static uint32_t node_pos(const struct manifest *m, const struct manifest_node *node)
{
	const uint8_t *first = m->map + m->header->section[SECTION_NODES].at;

	return (uint32_t)((size_t)((const uint8_t *)node - first) / sizeof(*node));
}

int manifest_children(const struct manifest *m, uint32_t pos, uint32_t *first, uint32_t *end)
{
	const struct manifest_node *dir = manifest_at(m, pos);

	if (!dir)
		return -EUCLEAN;
	*first = dir->data;
	*end = dir->data + dir->extra;
	if (*end < *first || *end > m->header->nnodes || (dir->extra && *first <= pos))
		return -EUCLEAN;
	return 0;
}

int manifest_find(const struct manifest *m, const struct manifest_node *dir, const char *name,
		  size_t len, uint32_t *pos)
{
	uint32_t dir_pos = node_pos(m, dir);
	uint32_t lo;
	uint32_t hi;

	if (manifest_children(m, dir_pos, &lo, &hi))
		return -EUCLEAN;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const struct manifest_node *node = manifest_at(m, mid);
		struct bytes have;
		int c;

		if (!node || node->parent != dir_pos)
			return -EUCLEAN;
		have = manifest_name(m, node);
		if (!have.len)
			return -EUCLEAN;
		c = memcmp(have.at, name, have.len < len ? have.len : len);
		if (!c && have.len == len) {
			*pos = mid;
			return 0;
		}
		if (c < 0 || (!c && have.len < len))
			lo = mid + 1;
		else
			hi = mid;
	}
	return MANIFEST_NOENT;
}

ssize_t manifest_path(const struct manifest *m, uint32_t pos, char *out, size_t size)
{
	char *at = out + size;
	size_t len;

	if (!size)
		return -ENAMETOOLONG;
	*--at = '\0';
	while (pos) {
		const struct manifest_node *node = manifest_at(m, pos);
		struct bytes name;

		if (!node || node->parent >= pos) /* a parent comes before its children */
			return -EUCLEAN;
		name = manifest_name(m, node);
		if (!name.len)
			return -EUCLEAN;
		if ((size_t)(at - out) < name.len + 1)
			return -ENAMETOOLONG;
		if (*at)
			*--at = '/';
		at -= name.len;
		memcpy(at, name.at, name.len);
		pos = node->parent;
	}
	len = (size_t)(out + size - 1 - at);
	memmove(out, at, len + 1);
	return (ssize_t)len;
}

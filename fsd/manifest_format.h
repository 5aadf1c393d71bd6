/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The manifest's file format, shared by its reader and its writer alone.
 */
#ifndef FSD_MANIFEST_FORMAT_H
#define FSD_MANIFEST_FORMAT_H

#include "fsd/manifest.h"

#define MANIFEST_MAGIC "rootstck"

enum {
	MANIFEST_FORMAT = 1,
	MANIFEST_HEADER = 4096,
	MANIFEST_BLOCK = 65536,
	MANIFEST_SEALED = 1, /* flags */
	MANIFEST_HARDLINKS = 2,
};

enum manifest_section { SECTION_NODES, SECTION_HASHES, SECTION_STRINGS, SECTION_XATTRS, SECTIONS };

struct manifest_header {
	char magic[8];
	uint32_t format;
	uint32_t flags;
	uint32_t version;
	uint32_t nnodes;
	uint32_t nhashes;
	uint32_t reserved;
	uint64_t bytes;
	struct {
		uint64_t at;
		uint64_t len;
	} section[SECTIONS];
	uint64_t sums_at;
	uint64_t sums_len;
	struct hash sums_hash;
	struct hash self; /* of this header with `self` zero */
};

/* A whole section, every block of it checked; `at` NULL when damaged. */
struct bytes manifest_section(const struct manifest *m, enum manifest_section section);

/* All that a manifest's file is made of, however it came about. */
struct manifest_parts {
	uint32_t version;
	uint32_t nnodes;
	uint32_t nhashes;
	uint32_t flags;
	uint64_t bytes;
	const struct manifest_node *nodes;
	const struct hash *hashes;
	struct bytes strings;
	struct bytes xattrs;
};

/* Write `dir`/version, all or nothing, synced.  `digest` may be NULL.
 * Returns 0 or a negative errno. */
int manifest_parts_write(const struct manifest_parts *p, const char *dir, struct hash *digest);

/* Give a file that root makes in the copier's directory to that one's owner. */
int file_give(int fd, int dir_fd);

_Static_assert(sizeof(struct manifest_node) == 64, "a node is one cache line");
_Static_assert(sizeof(struct manifest_header) <= MANIFEST_HEADER, "the header is one page");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file is little-endian");

#endif

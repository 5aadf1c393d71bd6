/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The sealed index of one version: every path of an image with its attributes,
 * in one file that is mapped and never written again.
 *
 *	| header 4 KiB | nodes, 64 bytes each | hashes | strings | xattrs | sums |
 *
 * Nodes are in breadth-first order with the names of a directory sorted by their
 * bytes, so that children follow each other and a lookup is a binary search.  A
 * node's number is its position + 1; it depends on the set of paths alone, never
 * on the origin's inodes.  There are no pointers: sections are offsets, and each
 * number read from the file is checked against its section before use.
 *
 * The header holds its own SHA-256 and that of `sums`; `sums` holds one SHA-256
 * for each 64 KiB block of the rest, checked when the block is first touched.  So
 * a file that was cut or flipped is refused with -EUCLEAN, at open or at use, and
 * opening costs the same at a million entries.
 *
 * Before a version is sealed its hashes are zero, but for files that an earlier
 * version has already; what is learned meanwhile stands in the fill journal
 * (fsd/fill.h).
 */
#ifndef FSD_MANIFEST_H
#define FSD_MANIFEST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/why.h"
#include "fsd/hash.h"

enum { MANIFEST_NODES_MAX = 1 << 29 };

/* One path.  As in the file: little-endian, no padding. */
struct manifest_node {
	uint32_t name; /* offset into strings */
	uint16_t name_len;
	uint16_t mode; /* with S_IFMT */
	uint32_t uid;
	uint32_t gid;
	uint64_t size; /* of a link: its target's length; of a directory: 0 */
	int64_t mtime_sec;
	uint32_t mtime_nsec;
	uint32_t parent; /* position, before its own; the root is its own */
	uint32_t link;	 /* position of the first name of its hard-link group */
	uint32_t nlink;	 /* of a directory: 2 + subdirectories */
	/* directory: position of the first child, and how many
	 * regular file: index into hashes, MANIFEST_* flags
	 * link: offset of the target in strings, 0
	 * device: major, minor */
	uint32_t data;
	uint32_t extra;
	uint32_t xattr; /* offset + 1 into xattrs; 0: none */
};

enum {
	MANIFEST_GONE = 1,  /* vanished before it was copied: reading it is EIO */
	MANIFEST_DRIFT = 2, /* changed between the scan and the copy: as it was copied */
};

struct manifest;

/* `dir`/`version` in decimal.  Returns 0, -ENOENT, -EUCLEAN with words, ... */
int manifest_open(const char *dir, uint32_t version, struct manifest **out, struct why *why);
void manifest_close(struct manifest *m);
CLEANUP_DEFINE(struct manifest *, manifest_close);

uint32_t manifest_version(const struct manifest *m);
uint32_t manifest_count(const struct manifest *m);
uint32_t manifest_hash_count(const struct manifest *m);
uint64_t
manifest_bytes(const struct manifest *m); /* sum of the sizes of files, links counted once */
bool manifest_sealed(const struct manifest *m);
bool manifest_has_links(const struct manifest *m);	      /* any file with two names */
const struct hash *manifest_digest(const struct manifest *m); /* of the whole */

/* The node at `pos`, or NULL: out of range, or its block is damaged. */
const struct manifest_node *manifest_at(const struct manifest *m, uint32_t pos);
/* Empty when damaged; a name is never empty but the root's. */
struct bytes manifest_name(const struct manifest *m, const struct manifest_node *node);
struct bytes manifest_target(const struct manifest *m, const struct manifest_node *node);
const struct hash *manifest_hash(const struct manifest *m, uint32_t index); /* NULL: damaged */

/* Packed attributes: name\0, be32 length, value, ...; empty when none. */
struct bytes manifest_xattrs(const struct manifest *m, const struct manifest_node *node);

/* The children of the directory at `pos`: positions from *first to before *end, all
 * behind `pos`.  Each names `pos` as its parent, or is to be taken as damage: so no walk
 * down ever meets a directory twice.  Returns 0 or -EUCLEAN. */
int manifest_children(const struct manifest *m, uint32_t pos, uint32_t *first, uint32_t *end);

/* The position of `name` in the directory at `dir`.
 * Returns 0, MANIFEST_NOENT, or -EUCLEAN. */
enum { MANIFEST_NOENT = 1 };
int manifest_find(const struct manifest *m, const struct manifest_node *dir, const char *name,
		  size_t len, uint32_t *pos);

/* "usr/bin/env", "" for the root.  Returns the length, -ENAMETOOLONG or -EUCLEAN. */
ssize_t manifest_path(const struct manifest *m, uint32_t pos, char *out, size_t size);

/* ---- building ---- */

/* Paths in any order; memory until written.  Indexes name entries while building;
 * 0 is the root, which is there from the start. */
struct manifest_builder;

struct manifest_attr {
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
	uint32_t rdev_major;
	uint32_t rdev_minor;
	uint64_t size;
	int64_t mtime_sec;
	uint32_t mtime_nsec;
	struct bytes target;
	struct bytes xattrs;
	struct hash hash; /* zero when not known yet */
};

int manifest_builder_new(struct manifest_builder **out);
void manifest_builder_free(struct manifest_builder *b);
CLEANUP_DEFINE(struct manifest_builder *, manifest_builder_free);

/* Find a name.  Returns 0 or MANIFEST_NOENT. */
int manifest_builder_find(const struct manifest_builder *b, uint32_t dir, const char *name,
			  size_t len, uint32_t *index);
/* Add `name` to the directory `dir`, or replace what is there: a directory over a
 * directory keeps its children, else they go.  Names of 1 to 255 bytes without '/'
 * and NUL, not "." or "..".  Returns 0, -EINVAL, -ENOTDIR, -ENOMEM, -EFBIG. */
int manifest_builder_add(struct manifest_builder *b, uint32_t dir, const char *name, size_t len,
			 const struct manifest_attr *attr, uint32_t *index);
/* Another name for the regular file (or device, link) `target`. */
int manifest_builder_link(struct manifest_builder *b, uint32_t dir, const char *name, size_t len,
			  uint32_t target, uint32_t *index);
int manifest_builder_remove(struct manifest_builder *b, uint32_t index);
/* Remove all below `dir` that `keep` does not want; what is in a directory goes with
 * it. */
void manifest_builder_prune(struct manifest_builder *b, uint32_t dir,
			    bool (*keep)(void *ctx, uint32_t index), void *ctx);
void manifest_builder_set(struct manifest_builder *b, uint32_t index,
			  const struct manifest_attr *attr); /* attributes of an existing one */
uint32_t manifest_builder_mode(const struct manifest_builder *b, uint32_t index);

/* For every file that has no hash yet: ask `known` for that of the same path in an
 * earlier version (`m`), if size, mtime and type are the same there.  Returns how
 * many were taken over. */
uint32_t manifest_builder_reuse(struct manifest_builder *b, const struct manifest *m,
				bool (*known)(void *ctx, uint32_t pos, struct hash *hash),
				void *ctx);

/* Write `dir`/`version`, durable when this returns 0. */
int manifest_builder_write(struct manifest_builder *b, const char *dir, uint32_t version,
			   bool sealed);

/* Write the sealed twin of `m` over it: the same nodes with what was learned.
 * `fix` may alter size, mtime, mode, owner and `extra` of the copy of a node.
 * `hashes` has manifest_hash_count() elements.  Durable on return. */
int manifest_seal(const struct manifest *m, const char *dir, const struct hash *hashes,
		  void (*fix)(void *ctx, uint32_t pos, struct manifest_node *node), void *ctx,
		  struct hash *digest);

#endif

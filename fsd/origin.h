/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where an image comes from.  A directory is scanned for its names and attributes
 * alone, and its files are opened later, one by one, by path.  An archive is read
 * once, from its start to its end: bodies go into the store at once, and the origin
 * is not needed again.
 */
#ifndef FSD_ORIGIN_H
#define FSD_ORIGIN_H

#include "fsd/intake.h"
#include "fsd/manifest.h"

enum origin_kind { ORIGIN_DIR, ORIGIN_TAR, ORIGIN_OCI };

/* What `path` is: a directory, one that is an OCI image layout, or a regular file,
 * which then should be a tar archive.  -EINVAL with words for anything else. */
int origin_kind(const char *path, enum origin_kind *kind, struct why *why);

/* Fill the builder from the directory `path`.  Mount points inside it are kept
 * as empty directories, not crossed, and so is the directory `except` (NULL: none):
 * the state, with every host's secrets, when a server's own root is the origin.
 * Names the thing in `why` on failure. */
int origin_dir_scan(const char *path, const char *except, struct manifest_builder *builder,
		    struct why *why);

/* Open the origin directory, for origin_dir_file().  Returns a descriptor. */
int origin_dir_open(const char *path);

/* How a process that cannot see the origins itself comes to one of a version: it asks
 * who can.  `open` returns a descriptor or a negative errno, and may be called by several
 * threads. */
struct origin_door {
	int (*open)(void *ctx, uint32_t version);
	void *ctx;
};

/* By the door where there is one (NULL: none), else by the path. */
int origin_open(const struct origin_door *door, uint32_t version, const char *path);

/* Is anything of the image's root in the open origin?  A file that is missing means
 * little in a directory that lost all, as a mount point does when its file system is
 * taken off. */
bool origin_dir_is(int origin, const struct manifest *m);

/* Open a regular file below an open origin, never through a symbolic link, never
 * out of it, never across a mount.  Returns a descriptor, -ENOENT when it is gone,
 * -ESTALE when it is no regular file any more, or another negative errno. */
int origin_dir_file(int origin, const char *path);

/* What an origin is read into, all at once.  Borrowed. */
struct origin_sink {
	struct manifest_builder *builder;
	struct intake *intake;
	/* May be NULL.  How far it is: entries, and bytes of files. */
	void (*tell)(void *ctx, uint64_t entries, uint64_t bytes);
	void *ctx;
};

/* Read the tar archive `path`, plain or packed by gzip, bzip2, xz or zstd.  Refused,
 * by name, is what would leave the tree: an absolute name, one with "..", one below a
 * symbolic link.  After a failure the sink has a part. */
int origin_tar_read(const char *path, const struct origin_sink *sink, struct why *why);

/* Read the image of this machine's architecture from the OCI image layout `path`,
 * each blob checked against its digest. */
int origin_oci_read(const char *path, const struct origin_sink *sink, struct why *why);

#endif

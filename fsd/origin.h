/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where an image comes from.  A directory is scanned for its names and attributes
 * alone, and its files are opened later, one by one, by path.
 */
#ifndef FSD_ORIGIN_H
#define FSD_ORIGIN_H

#include "fsd/manifest.h"

/* Fill the builder from the directory `path`.  Mount points inside it are kept
 * as empty directories, not crossed.  Names the thing in `why` on failure. */
int origin_dir_scan(const char *path, struct manifest_builder *builder, struct why *why);

/* Open the origin directory, for origin_dir_file().  Returns a descriptor. */
int origin_dir_open(const char *path);

/* Is anything of the image's root in the open origin?  A file that is missing means
 * little in a directory that lost all, as a mount point does when its file system is
 * taken off. */
bool origin_dir_is(int origin, const struct manifest *m);

/* Open a regular file below an open origin, never through a symbolic link, never
 * out of it, never across a mount.  Returns a descriptor, -ENOENT when it is gone,
 * -ESTALE when it is no regular file any more, or another negative errno. */
int origin_dir_file(int origin, const char *path);

#endif

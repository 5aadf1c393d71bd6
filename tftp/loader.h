/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Boot loaders and their modules, where Debian's packages put them, or in
 * folders of the user's, which come first.  A name is looked up below a folder
 * with openat2(RESOLVE_BENEATH): no link and no ".." leads out of it.
 */
#ifndef TFTP_LOADER_H
#define TFTP_LOADER_H

#include <stdbool.h>

#include "common/cleanup.h"
#include "common/why.h"
#include "tftp/file.h"

struct loaders;

/* `folders` (ended by NULL; NULL is none; borrowed) must exist.  Those of packages that are
 * not installed are passed over.  The caller frees *out. */
int loaders_new(const char *const *folders, struct loaders **out, struct why *why);
void loaders_free(struct loaders *ls); /* NULL is fine */
CLEANUP_DEFINE(struct loaders *, loaders_free);

enum { LOADER_NONE = 1 };

struct loader {
	bool first;	/* a ROM starts it; not a module or a file of the user's */
	char path[512]; /* where it is, for people */
};

/* Open the loader that clients call `name` (clean: tftp/name.h).
 * Returns 0, LOADER_NONE, -EACCES (there, but not a readable regular file, or a link
 * out of its folder), or another negative errno. */
int loader_open(const struct loaders *ls, const char *name, struct loader *loader,
		struct tftp_file **out);
bool loader_there(const struct loaders *ls, const char *name);

/* The package that would bring `name`; NULL: none that we know. */
const char *loader_package(const char *name);

#endif

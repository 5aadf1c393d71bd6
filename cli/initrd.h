/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What an initrd is able to, by the names that are in it and by the list of what its kernel
 * has built in:
 *
 *	cpio archives one behind another, some compressed --> names --> what lacks
 *
 * Where an image tells nothing, nothing is claimed.
 */
#ifndef CLI_INITRD_H
#define CLI_INITRD_H

#include "cli/cmd.h"
#include "tftp/bootfiles.h"

/* What was seen of the things that a boot by NFS needs. */
struct initrd {
	bool modular; /* there are modules at all */
	bool network; /* a driver of some network card */
	bool nfs;
	bool nfsv3;
	bool tool; /* that mounts: nfsmount, mount.nfs */
	unsigned int names;
};

/* Look into files->initrd.  Returns 0, or a negative errno; -EBADMSG: it is none, or a
 * damaged one. */
int initrd_look(struct cli_view *v, const struct boot_files *files, struct initrd *out);

/* "has no ...: it ..."; NULL: nothing that is known of. */
const char *initrd_lacks(const struct initrd *initrd, enum boot_dialect dialect);

/* The command that makes it anew, with all that it needs. */
const char *initrd_rebuild(enum boot_dialect dialect);

/* The first of the files BEFORE VERSION BEHIND that is there, text, the caller's; NULL: none.
 * Both lists end with NULL. */
char *initrd_read_first(struct cli_view *v, const char *version, const char *const *before,
			const char *const *behind);
/* "6.1.0-9-amd64" of a kernel's path; "": it has none. */
const char *initrd_version(const struct boot_files *files);

#endif

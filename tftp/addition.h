/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A second cpio archive behind a host's initrd: a hook, in the words of whoever made
 * the first, that lays memory over the root before init starts.  For hosts in
 * overlay mode that do not go through /linuxrc.
 *
 *	| the image's initrd, compressed somehow | zeros to 4 | newc archive |
 *
 * The kernel unpacks one after the other; loaders see one file.
 */
#ifndef TFTP_ADDITION_H
#define TFTP_ADDITION_H

#include <stdbool.h>

#include "tftp/bootfiles.h"
#include "tftp/file.h"

/* Is there one for initrds that speak this dialect? */
bool addition_knows(enum boot_dialect dialect);

/* The archive.  Returns 0 with *out (malloc'd, the caller's) and its length, or -ENOMEM. */
int addition_render(enum boot_dialect dialect, char **out, size_t *len);

/* `initrd` with the archive behind it.  Consumes `initrd`, also on failure.  Returns 0
 * with *out (the caller's) or a negative errno. */
int addition_append(enum boot_dialect dialect, struct tftp_file *initrd, struct tftp_file **out);

#endif

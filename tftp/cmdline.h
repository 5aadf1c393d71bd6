/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One description of a boot, made into the kernel command line of the dialect
 * that the image speaks, with exactly the NFS options which that dialect takes.
 */
#ifndef TFTP_CMDLINE_H
#define TFTP_CMDLINE_H

#include <stddef.h>
#include <stdint.h>

#include "common/mac.h"
#include "common/why.h"
#include "tftp/bootfiles.h"

struct boot_spec {
	enum boot_dialect dialect;
	uint32_t server;	   /* where NFS answers; 0: "SERVER", in a plan without one */
	const char *path;	   /* of the root there: "/" */
	const struct mac *boot_if; /* NULL: the loader appends BOOTIF itself */
	const char *mode;	   /* "tmpfs" or "overlay" */
	const char *init;	   /* "/linuxrc" */
	const char *console;	   /* "ttyS0,115200", several by spaces; NULL: the kernel's own */
	const char *attr_secs;	   /* decimal; NULL: the client's own attribute times */
	const char *extra;	   /* appended as it is; NULL: nothing */
};

enum { CMDLINE_MAX = 2048 }; /* what x86 kernels read, with the end */

/* Returns 0, -EINVAL (a value that is none) or -E2BIG, with words in `why`.  Control
 * characters in values become spaces: a menu has lines. */
int boot_cmdline(const struct boot_spec *spec, char out[static CMDLINE_MAX], struct why *why);

#endif

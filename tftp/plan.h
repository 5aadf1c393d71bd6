/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What each firmware would be given at a host's next boot, file by file, as text
 * for people: by the code that serves it, without a socket.
 */
#ifndef TFTP_PLAN_H
#define TFTP_PLAN_H

#include <stdio.h>

#include "common/inventory.h"
#include "fsd/view.h"

struct tftp_plan {
	const struct inventory *inventory;
	const struct host *host;
	const struct view *view; /* the host's, at `version` */
	uint32_t version;
	const struct view *maintenance; /* the same of inventory_maintenance(); NULL: none */
	uint32_t server;		/* where NFS answers; 0: not known, "SERVER" */
	const char *const *folders;	/* of the user's loaders, ended by NULL; NULL: none */
};

/* The names that each firmware asks for, in its order, ended by NULL; "MAC" stands for
 * pxelinux's form of the host's own. */
struct tftp_firmware {
	const char *name;
	const char *files[4];
};
extern const struct tftp_firmware tftp_firmwares[]; /* ended by a NULL name */

/* Such a name, with the MAC in it; `size` of TFTP_NAME_MAX is enough. */
void tftp_firmware_file(const char *pattern, const struct mac *mac, char *out, size_t size);

/* Returns 0, or a negative errno with words in `why`; a host that cannot boot (no kernel
 * in its view, a bad setting) is -ENOENT, and what can be said is printed. */
int tftp_plan(const struct tftp_plan *plan, FILE *out, struct why *why);

#endif

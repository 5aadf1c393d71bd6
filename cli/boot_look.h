/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Why a machine fell silent, by what can be looked at now: its initrd, and who has port 111.
 * What was told of a boot (cli/verdict.h) leaves several causes there.
 */
#ifndef CLI_BOOT_LOOK_H
#define CLI_BOOT_LOOK_H

#include "cli/cmd.h"
#include "cli/verdict.h"
#include "common/inventory.h"

/* What the verdict points into afterwards. */
struct boot_look {
	char reason[800];
	char mend[400];
};

/* Put the one cause into `v`, where it is found, and leave it as it is otherwise, but for the
 * machine's own name in the remedy.  `host` NULL: not registered. */
void boot_look(struct cli *cli, const struct inventory *inv, const struct host *host,
	       const struct story *s, struct verdict *v, struct boot_look *room);

#endif

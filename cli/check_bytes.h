/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * `image check --bytes`: is everything in the store what its name says, and all there?
 */
#ifndef CLI_CHECK_BYTES_H
#define CLI_CHECK_BYTES_H

#include "cli/cmd.h"

/* `name` is NAME[@N], or NULL for all versions, overlays and secrets.  Returns the
 * command's exit status. */
int check_bytes(struct cli *cli, const char *name);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What other commands ask of `doctor`.
 */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include "cli/cmd.h"

/* Is port 111 of the server that runs in the wrong hands: a stranger's, nobody's, or those
 * of an rpcbind that does not know us?  Then in words, with the command that mends it.
 * False, too, where that cannot be told: who asks is not root, or in another network than
 * the server. */
bool doctor_port_taken(struct cli *cli, char *what, size_t what_size, char *mend, size_t mend_size);

#endif

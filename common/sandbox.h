/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a child gives up before it reads its first packet.
 */
#ifndef COMMON_SANDBOX_H
#define COMMON_SANDBOX_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/why.h"

/* One child's identity: its own user, the group all of them share. */
struct sandbox {
	uid_t uid;
	gid_t gid;
	bool read_all; /* keep CAP_DAC_READ_SEARCH: the copier alone */
};

enum sandbox_child { SANDBOX_COPIER, SANDBOX_DHCP, SANDBOX_TFTP, SANDBOX_NFS, SANDBOX_CHILDREN };

/* The users: rootstock-copier, -dhcp, -tftp, -nfs and the group rootstock where
 * they exist (the package makes them); else numbers that systemd keeps for
 * services of a moment (61184-65519) and that no account holds, so that a tree
 * just built needs no account.  The same on every start. */
void sandbox_identity(enum sandbox_child child, struct sandbox *out);

/* Become that user: groups, capabilities, no new privileges, no core dumps, not
 * traceable.  Only what is said here survives.  Without root, only the latter
 * three.  Returns 0 or a negative errno; the caller must not go on then. */
int sandbox_enter(const struct sandbox *sandbox);

#endif

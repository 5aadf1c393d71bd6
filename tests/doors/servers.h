/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The programs that serve a state directory, as processes: a mount, and the nfs child.
 * The caller is root in a network and mount namespace of its own, and left alone.
 */
#ifndef TESTS_DOORS_SERVERS_H
#define TESTS_DOORS_SERVERS_H

#include <sys/types.h>

#include "tests/doors/door.h"

struct servers {
	char mnt[256];
	char log[256]; /* what they say */
	pid_t mount;
	pid_t nfs;
};

/* Once a process, before it has threads: what it mounts and listens on is its own.
 * Returns 0, or an errno where that is not allowed. */
int servers_enclose(void);

/* With a directory of its own.  Returns the doors, or false, having said why. */
bool servers_start(struct servers *s, const char *dir, const char *state, struct door **fuse,
		   struct door **nfs);
/* They must end well when they are told to: false if not. */
bool servers_stop(struct servers *s);

#endif

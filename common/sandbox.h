/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a child gives up before it reads its first packet.
 *
 *	sandbox.c         who it is: user, capabilities; and the order of it all
 *	sandbox_view.c    what it sees of the file system
 *	sandbox_calls.c   what it may ask of the kernel
 *
 * Sockets and the configuration are there before; what comes later (an origin, a
 * connection) comes as a descriptor.
 */
#ifndef COMMON_SANDBOX_H
#define COMMON_SANDBOX_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/why.h"

enum sandbox_child {
	SANDBOX_COPIER,
	SANDBOX_DHCP,
	SANDBOX_TFTP,
	SANDBOX_NFS,
	SANDBOX_METRICS,
	SANDBOX_CHILDREN
};

/* One child's identity: its own user, the group all of them share. */
struct sandbox {
	uid_t uid;
	gid_t gid;
};

/* The users: rootstock-copier, -dhcp, -tftp, -nfs, -metrics and the group rootstock where
 * /etc/passwd and /etc/group have them (the package makes them); else numbers that systemd keeps for
 * services of a moment (61184-65519) and that no account holds, so that a tree
 * just built needs no account.  The same on every start.  Returns 0, or a negative errno
 * where it cannot be told, with words in `why`. */
int sandbox_identity(enum sandbox_child child, struct sandbox *out, struct why *why);

/* Become that child for good, in a process of one thread:
 *
 *	user and group of its own, no capability (the copier: DAC_READ_SEARCH), none to
 *	be had again, no core dumps, not traceable, ended with its parent;
 *	a file system of its own that has its part of `state_dir` (an absolute path), the
 *	`folders` (NULL: none; else ended by NULL) to read, and nothing else;
 *	all but tftp a network of its own, without an interface;
 *	a list of system calls.  One that is not on it does not exist (ENOSYS); one that
 *	only who took the child over would make ends it, by SIGSYS and with a line in the
 *	log.
 *
 * Where the system does not let us have a view (a container without the right to mount)
 * one line says so, and the rest holds.  Without root only what needs none is done: what
 * is opened by hand is not to be hidden from its user.
 *
 * A build with sanitizers has neither view nor list: they read /proc, trace, and start
 * programs.
 *
 * With ROOTSTOCK_STRICT in the environment, as the tests have it, a call that is not on
 * the list ends the child too, so that one that is missing there is found.
 *
 * Returns 0 or a negative errno, with words; the caller must not go on then. */
int sandbox_enter(enum sandbox_child child, const char *state_dir, const char *const *folders,
		  struct why *why);

/* Does this build have view and list? */
bool sandbox_whole(void);

#endif

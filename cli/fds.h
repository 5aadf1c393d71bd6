/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Descriptors with names, handed to a child across exec: the n-th name stands for
 * descriptor 3 + n, as systemd does it with LISTEN_FDNAMES.
 */
#ifndef CLI_FDS_H
#define CLI_FDS_H

#include "common/why.h"

enum { FDS_MAX = 128, FDS_FIRST = 3 };

struct fds {
	struct {
		char name[40];
		int fd;
	} list[FDS_MAX];
	unsigned int n;
};

/* Add a descriptor (borrowed); one below 0 is left out. */
void fds_add(struct fds *fds, int fd, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int fds_get(const struct fds *fds, const char *format, ...)
	__attribute__((format(printf, 2, 3))); /* -1: none of that name */

/* "config,events,…" */
int fds_names(const struct fds *fds, char *out, unsigned long size);
/* In the new process: names, with descriptors from 3 on; each must be open. */
int fds_inherit(struct fds *fds, const char *names, struct why *why);
/* Between fork and exec: put each at its number, close-on-exec off, the rest away. */
int fds_place(const struct fds *fds);

#endif

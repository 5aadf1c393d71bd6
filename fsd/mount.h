/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The FUSE door: every host's merged view and every bare image under one mount
 * point, read only.
 *
 *	DIR/hosts/NAME/...	what the host's open boot is pinned to, else what its
 *				next boot would get
 *	DIR/images/NAME@N/...	a version as it is
 *
 * Hosts, images and overlay changes show within a second.
 */
#ifndef FSD_MOUNT_H
#define FSD_MOUNT_H

#include <stdbool.h>

struct mount_config {
	const char *state_dir;
	const char *mountpoint; /* a directory */

	/* What follows -o, or NULL: "dev,suid" (for chroot; without them devices are
	 * dead and setuid is ignored), "allow_other" (anybody may look; always on for
	 * root), "passthrough" (the kernel reads the store's files by itself: large files
	 * faster, small ones slower; root, with libfuse 3.17 or later), "debug" (each
	 * request in the log), and whatever libfuse and fusermount3 know ("auto_unmount",
	 * "fsname=..."); others are an error.  "rw" has no effect: nothing can be
	 * written. */
	const char *options;

	/* Stay, and log to standard error.  Else the call returns once the mount is
	 * there, and a process of its own serves it and logs to syslog. */
	bool foreground;
};

/* Mount and serve until SIGTERM, SIGINT, SIGHUP, or until somebody else unmounts it;
 * then unmount, lazily where files are open.  An ordinary user who may read the state
 * directory mounts by fusermount3.
 *
 * Files that nobody has read yet come from the copier of a running server, else from
 * one that runs here (also once that server has ended), and then the state directory must be
 * writable.
 *
 * The caller has no other threads.  Tells errors on standard error.  Returns an exit
 * status: 0 when it served (foreground) or when it is mounted (background), else 1. */
int mount_run(const struct mount_config *config);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the files of the mount share; they alone know FUSE.
 *
 *	mount.c		the session: options, threads, signals, what the kernel must forget
 *	mount_ops.c	the requests, one function each
 *	mount_bytes.c	the bytes of files, and the requests that wait for them
 *	mount_opens.c	open files that the kernel reads by itself (passthrough)
 *	mount_reply.c	answers, as the kernel reads them
 */
#ifndef FSD_MOUNT_FUSE_H
#define FSD_MOUNT_FUSE_H

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "common/cleanup.h"
#include "common/why.h"
#include "fsd/contents.h"
#include "fsd/forest.h"

/* For this long the kernel may remember what the poller takes back. */
enum { MOUNT_REMEMBER_SECS = 86400 };

/* The user data of every request. */
struct mount {
	struct forest *forest;
	struct mount_bytes *bytes;
	struct mount_opens *opens; /* NULL: the kernel asks for no opens */
	atomic_bool greeted;	   /* the kernel has said what it can */
};

extern const struct fuse_lowlevel_ops mount_ops;

/* ---- answers ---- */

/* View codes and errnos become FUSE's errno here and nowhere else. */
void mount_reply_code(fuse_req_t req, int r);

/* The attributes as they are known now; enters the forest. */
void mount_reply_attr(struct forest *forest, fuse_req_t req, uint64_t number);

/* A name that leads to `a`. */
void mount_entry_fill(const struct forest_attr *a, struct fuse_entry_param *e);

/* ---- bytes ---- */

struct mount_bytes;

int mount_bytes_new(const char *state_dir, struct mount *m, struct mount_bytes **out,
		    struct why *why);
void mount_bytes_free(struct mount_bytes *b); /* NULL is fine; stopped */

/* The threads that wait for the copier and the disk: from here on every file can be
 * answered. */
int mount_bytes_start(struct mount_bytes *b);
void mount_bytes_stop(struct mount_bytes *b); /* requests that wait are answered EIO */

/* What to answer once a file's bytes are there.  The session's thread asks; it is not
 * held up: what must come from the disk, or be copied first, is answered later. */
enum mount_ask {
	MOUNT_ASK_ATTR, /* the attributes, which then are those of the bytes */
	MOUNT_ASK_OPEN,
	MOUNT_ASK_READ
};
void mount_bytes_ask(struct mount_bytes *b, fuse_req_t req, uint64_t number, enum mount_ask ask,
		     size_t size, off_t offset);

/* ---- open files ---- */

struct mount_opens;

/* -ENOTSUP with words where libfuse or the user's rights are too little. */
int mount_opens_new(struct mount_opens **out, struct why *why);
void mount_opens_free(struct mount_opens *o); /* NULL is fine */

/* Ask the kernel for passthrough, while it says what it can. */
void mount_opens_init(struct mount_opens *o, struct fuse_conn_info *conn);

/* Answer an open, or its end. */
void mount_opens_reply(struct mount_opens *o, fuse_req_t req, uint64_t number,
		       const struct content *content);
void mount_opens_release(struct mount_opens *o, fuse_req_t req, uint64_t number);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The copier alone reads origins and writes objects and manifests.  Whoever misses
 * a file asks it over a socket and gets a descriptor.
 *
 *	asks --> main loop --> queue --> copying threads --> committer
 *	           ^  |  replies with a descriptor |            | one syncfs, many renames,
 *	           |  +<---------------------------+            | one journal write
 *	           +<-------------------------------------------+ then seals when all is in
 *
 * One flight a file: a second ask for it waits for the first.  Bytes are answered
 * when they are hashed; they are durable under their name a moment later, and only
 * then does the journal know them.  Behind the asks a fill copies the rest.
 *
 * There is one copier a state directory, the holder of a lock on `copier.lock`:
 * the server's child, or the command that found none running.
 */
#ifndef FSD_COPIER_H
#define FSD_COPIER_H

#include <stdint.h>

#include "common/why.h"
#include "fsd/fill.h"

#define COPIER_SOCKET "copier.sock"

enum { COPIER_MAGIC = 0x52534350 };

/* Over SOCK_SEQPACKET, one packet each. */
struct copier_ask {
	uint32_t magic;
	uint32_t version;
	uint32_t pos; /* of the file's first name */
	uint32_t reserved;
	uint64_t id; /* comes back */
};

struct copier_reply {
	uint64_t id;
	int32_t status; /* 0, with a descriptor; or a negative errno */
	uint32_t reserved;
	struct fill_record record; /* what the file is now */
};

struct copier_config {
	const char *state_dir;
	int listen_fd; /* from copier_listen() */
	int lock_fd;
	/* A version was sealed: note it in rootstock.db.  Called in the copier's thread.
	 * NULL: nobody notes it, and it is told again at the next start. */
	void (*sealed)(void *ctx, uint32_t version, const struct hash *digest);
	void *ctx;
	bool asked_only; /* no fill: for a command that reads a file and ends */
};

/* Take the lock and listen on the socket.  -EBUSY when another copier has them. */
int copier_listen(const char *state_dir, int *listen_fd, int *lock_fd, struct why *why);

/* The copier's whole life, until SIGTERM.  Returns an exit status. */
int copier_child(const struct copier_config *config);

/* The same on a thread of this process, for a command. */
struct copier;
int copier_start(const struct copier_config *config, struct copier **out, struct why *why);
void copier_stop(struct copier *copier);
CLEANUP_DEFINE(struct copier *, copier_stop);

#endif

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
 * when they are hashed, and the journal notes that they were; they are durable under
 * their name a moment later, and only then does it know that they are kept.  Behind the
 * asks a fill copies the rest.
 *
 * A file over 4 MiB is answered while it is copied, by extents of 1 MiB, those first that
 * somebody asked for.  If it changes then, nothing more of it is answered for some
 * seconds but EIO: nobody gets bytes of two states.
 *
 * There is one copier a state directory, the holder of a lock on `copier.lock`:
 * the server's child, or the command that found none running.
 */
#ifndef FSD_COPIER_H
#define FSD_COPIER_H

#include <stdint.h>
#include <sys/types.h>

#include "common/control.h"
#include "common/why.h"
#include "fsd/fill.h"
#include "fsd/origin.h"

#define COPIER_SOCKET "copier.sock"

enum { COPIER_MAGIC = 0x52534351 };

/* Over SOCK_SEQPACKET, one packet each. */
struct copier_ask {
	uint32_t magic;
	uint32_t version; /* 0: is anybody there?  Answered at once, with EINVAL */
	uint32_t pos;	  /* of the file's first name */
	uint32_t reserved;
	uint64_t id;	 /* comes back */
	uint64_t offset; /* what is wanted of a large file, */
	uint64_t len;	 /* as far as the file goes; COPIER_WHOLE: all, with its hash */
	uint64_t flight; /* whose descriptors the asker has; 0: none */
	uint64_t stamp;	 /* of the state of which it has bytes; 0: of none */
};

#define COPIER_WHOLE UINT64_MAX

/* With status 0, either all of the file: `flight` is 0, the hash known, one descriptor
 * comes along.  Or what was asked of a large one, and what there will be while it is
 * copied: no hash yet, and two descriptors, its bytes and its extents (fsd/extents.h),
 * unless the asker has those of `flight` already. */
struct copier_reply {
	uint64_t id;
	int32_t status; /* 0 or a negative errno: ESTALE, of another state now */
	uint32_t reserved;
	uint64_t flight;
	uint64_t stamp;
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
	struct control_door control;
	const struct origin_door *door; /* to origins; borrowed; NULL: by their paths */
	/* Who may ask, beside root and whom we are: tftp and nfs.  0: nobody else. */
	uid_t clients[2];
	int event_fd;	 /* of a child: who hears that it serves */
	bool asked_only; /* no fill: for a command that reads a file and ends */
	/* How long somebody waits for an origin that does not answer; 0: a minute. */
	unsigned int patience_ms;
};

/* tftp's and nfs's users, for `clients`.  To be asked before /etc/passwd is out of sight.
 * Returns 0, or a negative errno with words. */
int copier_clients(uid_t clients[static 2], struct why *why);

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

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A client that somebody plays against the running service, through the control socket.
 *
 *	"connect FROM PORT MAC TO nfs|portmap" and one end of a pair, stream or datagrams
 *	   --> a worker and a thread of its own, with exports in which MAC has FROM,
 *	       and mounts and events that nobody hears of
 *
 * What it calls goes the way of every call, on the shared views; but what would be told or
 * kept of it has nowhere to go: so nothing is recorded, by what it is made of.  The reasons
 * of refusals come back on the control connection, whose end is the end of the play.
 * (A file that nobody has read yet is copied into the store, as the fill would.)
 */
#ifndef NFS_PLAY_H
#define NFS_PLAY_H

#include "common/control.h"
#include "nfs/worker.h"

struct plays;

/* Borrows both. */
int plays_new(struct loop *loop, const struct worker_shared *shared, struct plays **out);
void plays_free(struct plays *plays); /* ends them; NULL is fine */

void plays_connect(struct plays *plays, struct asker *asker, struct bytes args);

#endif

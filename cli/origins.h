/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How the copier, which sees no path of the system, comes to the directories that images
 * are made of: it names a version, and the supervisor looks up and opens what the database
 * says of it.
 *
 *	copier --version--> supervisor --its origin--> a thread --descriptor--> copier
 *
 * What it gets is a mount of that directory alone, read-only and without a place: there
 * is no way up from it, and nothing in it can be written, run or be a device.
 *
 * Each question has a thread, for a directory on a dead server may never be opened.  While
 * one hangs, its version is refused with -EBUSY, and only that one, unless sixteen hang.
 */
#ifndef CLI_ORIGINS_H
#define CLI_ORIGINS_H

#include <pthread.h>

#include "common/db.h"
#include "common/loop.h"
#include "fsd/origin.h"

struct origins;

/* The supervisor's side.  Borrows `db`.  *ask_fd is the copier's end, owned by the result. */
int origins_new(struct loop *loop, struct db *db, struct origins **out, int *ask_fd);
void origins_free(struct origins *origins); /* NULL is fine */

/* The copier's side: any number of threads ask at once, one of a version. */
struct question;
struct origins_asker {
	pthread_mutex_t lock;
	pthread_cond_t answered;    /* or nobody reads any more */
	struct question *questions; /* under the lock, */
	bool reading;		    /* as this is: one of those who wait does so for all */
	int fd;
	struct origin_door door;
};
void origins_asker_init(struct origins_asker *asker, int fd);

#endif

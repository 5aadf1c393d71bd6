/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Calls that are held for a few seconds and asked again: the MNT of a machine
 * that has a lease, while the supervisor registers it.  Refused at once, the
 * machine's first boot would end there.
 *
 *	RPC_HOLD --held_add--> a copy of the call --held_run--> again(), until
 *	it is answered; the last time it has to be
 *
 * Bounded in time, in number, and for each address; beyond that a call is refused
 * at once, as it would be without.
 */
#ifndef NFS_HELD_H
#define NFS_HELD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"

struct worker;

enum {
	HELD_SECS = 5,
	HELD_POLL_MS = 50, /* so often held_run() wants to be called while there is one */
	HELD_MAX = 256,	   /* a worker */
	HELD_MAX_PER_ADDRESS = 4
};

/* Embedded in whatever knows where the reply goes. */
struct held {
	/* Ask again, with rpc_answer(): RPC_HOLD keeps it; after any other verdict it
	 * calls held_answered() once what it answered is sent, and held_remove(). */
	void (*again)(struct worker *worker, struct held *held);
	/* private but for `call` */
	struct bytes call; /* a copy */
	bool cut;
	uint32_t address;
	int64_t since_ns;
	int64_t until_ns;
	int64_t again_ns;
	struct held *prev;
	struct held *next;
};

/* Copies the call.  Returns 0; -EBUSY: as many as may be are held; -ENOMEM. */
int held_add(struct worker *worker, struct held *held, uint32_t address, struct bytes call,
	     bool cut);
/* Counts the call, with all the time that its client waited. */
void held_answered(struct worker *worker, const struct held *held);
void held_remove(struct worker *worker, struct held *held);
/* Asks those again whose time it is, or all when a host was registered. */
void held_run(struct worker *worker);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a worker counts: its calls by procedure and by how long they took, the bytes that
 * were read, the reads that had to wait for the copier.
 *
 * A call's time is from the wake-up that found it to the send that answers it, as the
 * client has it but for the network; calls that are answered by one send have one time.
 * So the clock is asked once a turn, and not for each call:
 *
 *	rpc.c: tally_call() for each   conn.c, udp.c: the send, then tally_turn()
 *
 * Only its worker writes a tally; who reads it gets figures that are true, each at its
 * own moment.
 */
#ifndef NFS_TALLY_H
#define NFS_TALLY_H

#include <stdatomic.h>
#include <stdint.h>

struct stats;

enum {
	TALLY_NFS = 0,	  /* + procedure: 22 of them */
	TALLY_MOUNT = 22, /* + procedure: 6 */
	TALLY_PORTMAP = 28,
	TALLY_SLOTS = 29,
	/* Up to 4 us, 16 us, 65 us, ... 4.3 s, and more. */
	TALLY_TIMES = 12,
	TALLY_TURN = 512 /* calls that one send may answer */
};

struct tally {
	_Atomic uint64_t took[TALLY_SLOTS][TALLY_TIMES];
	_Atomic uint64_t ns[TALLY_SLOTS];
	_Atomic uint64_t read_bytes;
	_Atomic uint64_t reads_there; /* whose bytes were in the store */
	_Atomic uint64_t reads_waited;
	/* Answered, and not sent yet. */
	unsigned int n;
	uint8_t turn[TALLY_TURN];
};

static inline void tally_add(_Atomic uint64_t *counter, uint64_t n)
{
	/* One writer: no locked instruction. */
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

/* A call of that slot was answered. */
static inline void tally_call(struct tally *t, unsigned int slot)
{
	if (t->n < TALLY_TURN) /* a turn has fewer */
		t->turn[t->n++] = (uint8_t)slot;
}

/* What was answered has been sent, `ns` after it came. */
void tally_turn(struct tally *t, int64_t ns);

/* The sum of many as samples. */
void tally_stats(const struct tally *const *tallies, unsigned int n, struct stats *stats);

#endif

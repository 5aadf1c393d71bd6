/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One read transfer as a pure state machine: packets and time go in, what to
 * send and when to wake come out.  It holds no file, socket or clock; the blocks
 * to send are named by number, and the caller reads them at (number - 1) *
 * blksize.
 *
 *	start --OACK or block 1--> opening --first ACK--> sending --last ACK--> finished
 *
 *	acked            sent             blocks
 *	  |--- window ----|                 |     running numbers, 64 bits, from 1;
 *	                                          on the wire they roll over to 0
 *
 * Promises:
 * - An address that never answers gets TFTP_OPENING_TRIES packets, not more.
 * - No ACK but that of a whole window sends anything at once (sorcerer's apprentice,
 *   RFC 1123, 4.2.3.1).  With a window, an ACK of less than all of it, or one that
 *   repeats the last, may tell of a loss (RFC 7440) or be the echo of a packet that
 *   came twice: the rest goes again when the whole window's ACK is late by the
 *   measured round trip, instead of by the time-out and its floor of 100 ms.
 * - Time-outs follow the measured round trip and double; never under 100 ms, and at
 *   last longer than the client's own, so that it gets a word in.
 */
#ifndef TFTP_TRANSFER_H
#define TFTP_TRANSFER_H

#include "common/clock.h"
#include "tftp/packet.h"

enum { TFTP_OPENING_TRIES = 6 };

/* What one transfer may ask for at most. */
struct tftp_limits {
	uint32_t blksize;    /* 0: TFTP_BLKSIZE_MAX */
	uint32_t windowsize; /* 0: TFTP_WINDOW_MAX; 1: the option is not granted */
};

struct tftp_transfer {
	/* agreed; constant after the start */
	uint32_t blksize;
	uint32_t window;
	uint32_t timeout; /* seconds; 0: not asked */
	uint64_t size;
	uint64_t blocks; /* size / blksize + 1: the last one is short or empty */
	struct tftp_options granted;
	bool oack; /* the answer to the request is an OACK */

	/* moving */
	bool opening; /* nothing has been acknowledged yet */
	uint64_t acked;
	uint64_t sent;		 /* the highest block sent */
	struct instant deadline; /* step with no packet at or after this */

	/* time */
	int64_t rto_ns;
	int64_t srtt_ns; /* 0: not measured */
	int64_t rttvar_ns;
	struct instant sent_at;
	struct instant moved_at; /* the last progress */
	bool resent;		 /* the window holds repeats */
	unsigned int tries;

	/* for the log */
	uint64_t retransmits; /* packets */
};

/* What to do now: send `packet` if len is not 0, and the `count` blocks from
 * `first` on. */
struct tftp_reply {
	uint64_t first;
	uint32_t count;
	size_t len;
	uint8_t packet[TFTP_SMALL_MAX];
};

enum tftp_outcome {
	TFTP_GOING = 0,
	TFTP_FINISHED, /* the last block is acknowledged */
	TFTP_PROBED,   /* the client took the OACK and declined: it wanted the size */
	TFTP_CLOSED,   /* the client ended it with an ERROR after some data */
	TFTP_SILENT    /* no progress for too long */
};

/* Begin answering `req` with a body of `size` bytes (netascii: as encoded). */
void tftp_transfer_start(struct tftp_transfer *t, const struct tftp_request *req, uint64_t size,
			 const struct tftp_limits *limits, struct instant now,
			 struct tftp_reply *out);

/* A packet of the peer, or (`in` NULL) the passing of time.  Packets that make no
 * sense are ignored.  `out` is always set, to nothing where there is nothing to
 * send.  Returns TFTP_GOING or how it ended; then t->deadline means nothing. */
int tftp_transfer_step(struct tftp_transfer *t, const struct bytes *in, struct instant now,
		       struct tftp_reply *out);

/* The request came once more while nothing was acknowledged: the reply was lost
 * or crossed it.  Sends it again within the same budget of tries. */
void tftp_transfer_repeat(struct tftp_transfer *t, struct instant now, struct tftp_reply *out);

/* A large window takes time to leave: call this when its last block has left, so
 * that time-outs count from there. */
void tftp_transfer_flushed(struct tftp_transfer *t, struct instant now);

/* Was what the peer said last the reason for what leaves now, and no time-out? */
static inline bool tftp_transfer_heard(const struct tftp_transfer *t)
{
	return !t->opening && t->tries == 1;
}

static inline uint64_t tftp_block_offset(const struct tftp_transfer *t, uint64_t block)
{
	return (block - 1) * t->blksize;
}

/* Bytes in a block: blksize for all but the last. */
static inline uint32_t tftp_block_len(const struct tftp_transfer *t, uint64_t block)
{
	return block < t->blocks ? t->blksize : (uint32_t)(t->size % t->blksize);
}

#endif

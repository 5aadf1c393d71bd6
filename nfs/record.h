/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Record marking (RFC 5531, 11): the calls in a TCP stream, however it was cut.
 *
 *	stream bytes --record_next--> one whole call at a time
 *
 * A record that lies whole in the received bytes, as nearly all do, is handed on
 * where it lies.  One that comes in pieces is gathered in a buffer that exists
 * only meanwhile, so an idle connection costs nothing.
 *
 * A record over RECORD_MAX can only be a WRITE, which is refused like every
 * other change: its head is kept and the data thrown away as it comes in, since
 * a hard mount would answer a closed connection by sending it again for ever.
 */
#ifndef NFS_RECORD_H
#define NFS_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"

enum {
	RECORD_MAX = 8192,
	RECORD_MAX_WRITE = (1 << 20) + 4096,
	RECORD_MAX_FRAGMENTS = 4096 /* empty ones cost a client nothing */
};

#define RECORD_LAST UINT32_C(0x80000000)

struct record {
	uint8_t mark[4];
	uint8_t mark_len;   /* 4: inside a fragment */
	bool last;	    /* this fragment ends the record */
	bool begun;	    /* a mark was seen, the record is not whole */
	bool given;	    /* buf was handed out */
	uint32_t fragment;  /* bytes of it still to come */
	uint32_t fragments; /* seen in this record */
	uint32_t total;	    /* bytes of the record so far, kept or not */
	uint32_t len;	    /* of them in buf */
	uint32_t size;
	uint8_t *buf; /* NULL, or up to RECORD_MAX */
};

/* Zeroed is ready for use. */
void record_fini(struct record *r);

enum { RECORD_MORE = 1 };

struct record_call {
	struct bytes bytes; /* good until the next call on this record */
	bool cut;	    /* only the head of a large one */
};

/* Take the next call out of `in`, which is moved past what was used.
 * Returns 0 with *call; RECORD_MORE when `in` is used up; -EBADMSG when this
 * cannot become a call that is ever answered; -ENOMEM. */
int record_next(struct record *r, struct bytes *in, struct record_call *call);

/* Is part of a record waiting for the rest? */
static inline bool record_partial(const struct record *r)
{
	return r->begun || r->mark_len;
}

#endif

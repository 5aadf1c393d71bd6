/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One RPC call (RFC 5531), from its bytes to the bytes of its reply.
 *
 *	record or datagram --rpc_answer--> header, credential --> program, version,
 *	procedure --> proc_*.c, mount3.c, portmap.c --> struct reply
 *
 * A pure function of the worker's state, the caller and the bytes: no socket, no
 * clock.  What is wrong is told in a fixed order: RPC version, program, version,
 * procedure, credential, arguments; the procedures go on with the handle.
 */
#ifndef NFS_RPC_H
#define NFS_RPC_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "fsd/contents.h"
#include "fsd/view.h"

struct nfs;
struct caller;

enum {
	RPC_REPLY_MAX = 65536 + 1024, /* without a READ's data */
	RPC_REPLY_HEADER = 24	      /* of an accepted call */
};

/* A credential, squashed. */
struct cred {
	uint32_t uid;
	uint32_t gid;
	unsigned int ngids;
	uint32_t gids[16];
};

/* A READ whose bytes are being fetched: all that its reply will need. */
struct rpc_parked {
	uint32_t xid;
	struct view *view; /* a reference */
	uint32_t node;
	uint64_t offset;
	uint32_t count;
	bool waited; /* it may have other permissions by now, for: */
	struct cred cred;
	int64_t since_ns; /* when it came, monotonic */
};

/* The reply is what `w` holds, then, for a READ, `body_len` bytes of `body` and
 * up to three zeros.  The record mark is the worker's. */
struct reply {
	struct writer w;
	struct content *body; /* a reference, or NULL */
	uint64_t body_offset;
	uint32_t body_len;
	struct rpc_parked parked;
};

enum rpc_verdict {
	RPC_SEND = 0, /* the reply is there */
	RPC_DROP,     /* nothing is to be said */
	RPC_CLOSE,    /* not a call: the stream cannot be trusted */
	RPC_PARK,     /* reply->parked says for what; its view is the caller's now */
	RPC_HOLD      /* ask again in a while, with the same bytes (held.h) */
};

/* Which programs a socket answers. */
enum { RPC_NFS = 1, RPC_PORTMAP = 2 };

/* `cut`: the bytes are only the head of the call.  reply->w must have room for
 * RPC_REPLY_MAX. */
enum rpc_verdict rpc_answer(struct nfs *nfs, struct caller *caller, struct bytes call, bool cut,
			    struct reply *reply);

/* The end of a parked call: `r` and `content` (consumed) as contents_open() gave
 * them.  Consumes parked->view. */
void rpc_resume(struct nfs *nfs, struct caller *caller, struct rpc_parked *parked, int r,
		struct content *content, struct reply *reply);

/* Does this head of a record belong to an NFSv3 WRITE? */
bool rpc_is_write(struct bytes head);

static inline uint32_t reply_padding(const struct reply *reply)
{
	return -reply->body_len & 3;
}

#endif

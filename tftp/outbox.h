/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Blocks that are to leave, of many sessions, gathered until one sendmmsg takes them:
 * a system call for each would be a sixth of what a block costs.  All of one flush
 * leave by one socket.  Blocks of one session that follow each other are one message
 * with UDP_SEGMENT, where its path takes that.
 *
 *	outbox_room(), bytes read into what it returns, outbox_add(); ... outbox_flush()
 *
 * That buffer is used again and again, and so stays in the processor's cache.  Reading
 * ahead into one of each session's own saves system calls and costs more than it saves:
 * 300 clients' next bytes are out of the cache when their turn comes (measured, 9 %).
 */
#ifndef TFTP_OUTBOX_H
#define TFTP_OUTBOX_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "tftp/packet.h"

enum {
	OUTBOX_BLOCKS = 64,
	OUTBOX_SEGMENTED = 65000, /* bytes of one UDP_SEGMENT message, headers too */
	OUTBOX_BYTES = 128 << 10  /* or two blocks of any size */
};

struct session;

/* What is added at once: blocks of one session from `first` on. */
struct outbox_blocks {
	struct session *session;
	const struct sockaddr_in *peer; /* borrowed until the flush */
	uint32_t from;			/* source address; 0: the socket's own */
	uint64_t first;
	unsigned int n;	    /* 1 to OUTBOX_BLOCKS */
	uint32_t size;	    /* of each but the last */
	uint32_t last_size; /* of the last */
	bool segment;	    /* try UDP_SEGMENT */
	bool heard;	    /* they follow an ACK: the peer is where it was */
};

struct outbox {
	int fd; /* -1: empty */
	unsigned int nblocks;
	unsigned int nmessages;
	size_t used; /* of `bytes` */
	bool heard;  /* all of them */
	struct mmsghdr message[OUTBOX_BLOCKS];
	struct outbox_message {
		struct session *session;
		unsigned int blocks;
	} of[OUTBOX_BLOCKS];
	struct iovec iov[2 * OUTBOX_BLOCKS];
	uint8_t header[OUTBOX_BLOCKS][TFTP_HEADER];
	_Alignas(struct cmsghdr) char control[OUTBOX_BLOCKS][CMSG_SPACE(sizeof(struct in_pktinfo)) +
							     CMSG_SPACE(sizeof(uint16_t))];
	uint8_t bytes[OUTBOX_BYTES];
	/* `blocks` of this session have left; r is 0, or the negative errno of the one
	 * after them, which did not.  Called by outbox_flush() once for each session. */
	void (*left)(struct session *s, unsigned int blocks, int r);
};

void outbox_init(struct outbox *o, void (*left)(struct session *s, unsigned int blocks, int r));

/* Make room for `n` blocks of `len` bytes in all, by a flush if need be, and start a
 * new batch if `fd` is another one.  Returns where `len` bytes may be put. */
uint8_t *outbox_room(struct outbox *o, int fd, unsigned int n, size_t len);

/* After outbox_room() for as much: the bytes are there, one block after the other. */
void outbox_add(struct outbox *o, const struct outbox_blocks *b);

void outbox_flush(struct outbox *o);

/* Aim `m` at `peer`; from `from`, if that is not 0, by way of `control`, which has
 * CMSG_SPACE(sizeof(struct in_pktinfo)) bytes. */
void outbox_aim(struct msghdr *m, uint32_t from, const struct sockaddr_in *peer, void *control);

#endif

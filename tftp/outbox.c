/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tftp/outbox.h"

#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

/* An ICMP that came for an earlier packet, of anybody's, is told to the next send. */
enum { OTHERS_ERRORS = 4 };

void outbox_init(struct outbox *o, void (*left)(struct session *s, unsigned int blocks, int r))
{
	o->fd = -1;
	o->nblocks = 0;
	o->nmessages = 0;
	o->used = 0;
	o->heard = true;
	o->left = left;
}

static void *add_control(struct msghdr *m, void *control, int level, int type, size_t len)
{
	struct cmsghdr *c = (struct cmsghdr *)((char *)control + m->msg_controllen);

	m->msg_control = control;
	m->msg_controllen += CMSG_SPACE(len);
	memset(c, 0, CMSG_SPACE(len));
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	return CMSG_DATA(c);
}

void outbox_aim(struct msghdr *m, uint32_t from, const struct sockaddr_in *peer, void *control)
{
	struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(from)};

	m->msg_name = (void *)(uintptr_t)peer;
	m->msg_namelen = sizeof(*peer);
	if (from)
		memcpy(add_control(m, control, IPPROTO_IP, IP_PKTINFO, sizeof(info)), &info,
		       sizeof(info));
}

uint8_t *outbox_room(struct outbox *o, int fd, unsigned int n, size_t len)
{
	if (o->fd != fd || o->nblocks + n > OUTBOX_BLOCKS || o->used + len > sizeof(o->bytes))
		outbox_flush(o);
	o->fd = fd;
	return o->bytes + o->used;
}

/* The message of the `n` blocks whose iovecs end at o->nblocks. */
static void add_message(struct outbox *o, const struct outbox_blocks *b, unsigned int n)
{
	unsigned int i = o->nmessages++;
	uint16_t size = (uint16_t)(b->size + TFTP_HEADER);
	struct msghdr *m = &o->message[i].msg_hdr;

	*m = (struct msghdr){.msg_iov = &o->iov[2 * (o->nblocks - n)], .msg_iovlen = 2 * n};
	outbox_aim(m, b->from, b->peer, o->control[i]);
	if (n > 1)
		memcpy(add_control(m, o->control[i], SOL_UDP, UDP_SEGMENT, sizeof(size)), &size,
		       sizeof(size));
	o->of[i] = (struct outbox_message){b->session, n};
}

void outbox_add(struct outbox *o, const struct outbox_blocks *b)
{
	o->heard &= b->heard;
	for (unsigned int i = 0; i < b->n; i++) {
		uint32_t len = i + 1 < b->n ? b->size : b->last_size;
		struct iovec *iov = &o->iov[2 * o->nblocks];

		tftp_data_header(o->header[o->nblocks], (uint16_t)(b->first + i));
		iov[0] = (struct iovec){o->header[o->nblocks++], TFTP_HEADER};
		iov[1] = (struct iovec){o->bytes + o->used, len};
		o->used += len;
		if (!b->segment)
			add_message(o, b, 1);
	}
	if (b->segment)
		add_message(o, b, b->n);
}

/* Send from message `i` on, as many as go.  Returns how many, or a negative errno of
 * the first. */
static int send_from(struct outbox *o, unsigned int i)
{
	unsigned int n = o->nmessages - i;
	/* A Raspberry Pi's ROM answers no ARP while it loads: that it acknowledges keeps its
	 * entry in the neighbour table. */
	int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (o->heard ? MSG_CONFIRM : 0);
	int r = 0;

	for (int tries = 0; tries < OTHERS_ERRORS; tries++) {
		/* sendmmsg offers the processor to others after each message; a lone one,
		 * the common case, need not. */
		if (n == 1)
			r = sendmsg(o->fd, &o->message[i].msg_hdr, flags) < 0 ? -1 : 1;
		else
			r = sendmmsg(o->fd, &o->message[i], n, flags);
		if (r > 0)
			return r;
		r = -errno;
		if (r != -ECONNREFUSED && r != -EHOSTUNREACH && r != -ENETUNREACH)
			break;
	}
	return r;
}

void outbox_flush(struct outbox *o)
{
	unsigned int n = o->nmessages;
	unsigned int sent = 0; /* messages that have left */
	bool full = false;     /* the socket takes no more now */

	for (unsigned int i = 0; i < n;) {
		struct session *s = o->of[i].session;
		unsigned int blocks = 0;
		int r = 0;

		for (; i < n && o->of[i].session == s; i++) {
			if (!r && i >= sent) {
				r = full ? -EAGAIN : send_from(o, i);
				full = r == -EAGAIN;
				sent = r > 0 ? i + (unsigned int)r : sent;
				r = r < 0 ? r : 0;
			}
			if (!r)
				blocks += o->of[i].blocks;
		}
		o->left(s, blocks, r);
	}
	outbox_init(o, o->left);
}

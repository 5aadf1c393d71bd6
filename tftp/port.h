/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The sockets by which transfers run: private to the server.
 *
 * While there are few transfers, each has a port to itself, a fresh one from the range
 * as RFC 1350 wants it.  Of many, up to PORT_SESSIONS share one: then a recvmmsg
 * brings the ACKs of many and a sendmmsg takes their blocks, and 2,000 machines need
 * dozens of descriptors and not thousands.  A packet's session is found by its peer;
 * a packet of somebody else gets ERROR 5 and changes nothing.
 *
 * In single-port mode the listener's is the only one.
 */
#ifndef TFTP_PORT_H
#define TFTP_PORT_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "common/loop.h"
#include "tftp/packet.h"

enum {
	PORTS_OWN = 16,	    /* so many are opened before any is shared */
	PORT_SESSIONS = 64, /* so many ACKs at once fit into a receive buffer of any kernel */
	PORT_BATCH = 32,
	PORT_PACKET = 2048
};

struct listener;
struct tftp_server;

struct port {
	struct loop_source source;
	struct listener *listener;
	uint32_t local;	       /* the address that it is bound to; 0: any */
	unsigned int sessions; /* that run by it */
	struct port *next;
};

/* Packets of one recvmmsg. */
struct port_batch {
	struct mmsghdr m[PORT_BATCH];
	struct iovec iov[PORT_BATCH];
	struct sockaddr_in peer[PORT_BATCH];
	_Alignas(struct cmsghdr) char control[PORT_BATCH][CMSG_SPACE(sizeof(struct in_pktinfo))];
	uint8_t data[PORT_BATCH][PORT_PACKET];
};

void port_batch_init(struct port_batch *b);

/* Returns how many packets came, or -1. */
int port_receive(struct port_batch *b, int fd);

/* The address that packet `i` was sent to, as one that we may answer from: the
 * interface's own where it was a broadcast. */
uint32_t port_batch_local(struct port_batch *b, int i);

/* A port for one more session that was asked for at `listener` and `local`; its count
 * is the caller's to raise.  Returns 0 or a negative errno. */
int port_choose(struct tftp_server *server, struct listener *listener, uint32_t local,
		struct port **out);

/* Close those that nobody uses. */
void ports_tidy(struct tftp_server *server);

/* Errors that ICMP brought wait at `fd`: call `closed` for each peer whose port is
 * closed. */
void port_errors(int fd, struct tftp_server *server,
		 void (*closed)(struct tftp_server *server, const struct sockaddr_in *peer));

#endif

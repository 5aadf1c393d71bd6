/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The sockets: one loop carries every transfer; no process or thread each.
 *
 *	listener --RRQ--> session --tree->open--> file
 *	port (one or many sessions' socket) --ACKs--> their transfers --> outbox --> one send
 *
 * A session's port is bound to the address that was asked and comes from the port range
 * (port.h); with `single_port` it is the listener's, for networks that let only one
 * through.  What the packets of one turn of the loop call for leaves together at its end.
 */
#ifndef TFTP_SERVER_H
#define TFTP_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/loop.h"
#include "common/why.h"
#include "tftp/transfer.h"
#include "tftp/tree.h"

enum { TFTP_PORT = 69, TFTP_LISTENERS = 16 };

struct tftp_listen {
	int fd;		  /* of tftp_listen(); borrowed */
	uint32_t address; /* where it answers; 0: any */
	char ifname[16];  /* "": not bound to one */
};

struct tftp_server_config {
	struct tftp_listen listen[TFTP_LISTENERS];
	unsigned int nlisten;
	uint16_t port_first; /* of the transfers; 0: any free one */
	uint16_t port_last;
	bool single_port;
	unsigned int sessions;	  /* at once; 0: 2048 */
	unsigned int per_address; /* of these; 0: 64 */
	unsigned int hold_ms;	  /* for its machine to be registered; 0: 30 s */
	struct tftp_limits limits;
	int event_fd; /* -1: nobody listens */
};

/* Open and bind a listening socket: privileged, so the supervisor calls it.
 * `address` 0 is any, `ifname` NULL no interface.  Returns 0 or a negative errno with
 * words in `why` ("port 69: in use, ..."). */
int tftp_listen(uint32_t address, uint16_t port, const char *ifname, int *fd, struct why *why);

struct tftp_server;

/* Serve `tree` on `loop` from now on; both outlive the server.  The caller frees
 * *out. */
int tftp_server_new(struct loop *loop, struct tftp_tree *tree,
		    const struct tftp_server_config *config, struct tftp_server **out);
void tftp_server_free(struct tftp_server *server); /* ends what is under way; NULL is fine */
CLEANUP_DEFINE(struct tftp_server *, tftp_server_free);

/* Transfers since the start: sent whole, refused, stopped half-way; bytes of the first. */
struct tftp_counts {
	uint64_t sent;
	uint64_t refused;
	uint64_t stopped;
	uint64_t bytes;
	uint64_t again; /* blocks that were sent more than once, of all of these */
};

unsigned int tftp_server_sessions(const struct tftp_server *server);
const struct tftp_counts *tftp_server_counts(const struct tftp_server *server);

#endif

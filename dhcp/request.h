/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One request on its way through the server, and how its reply is composed.
 * Only the server's own files include this.
 */
#ifndef DHCP_REQUEST_H
#define DHCP_REQUEST_H

#include "dhcp/server.h"

struct dhcp_request {
	const struct dhcp_config *config;
	const struct inventory *inv;
	const struct dhcp_packet *in;
	const struct dhcp_message *m;
	const struct dhcp_interface *interface;
	const struct dhcp_class *class;
	const struct host *host;	  /* NULL: not registered */
	const struct dhcp_subnet *subnet; /* of the link that it came from; NULL: none */
	struct bytes relay;		  /* option 82, `at` NULL: none */
	uint32_t server_id;
	struct dhcp_now now;
	struct dhcp_output *out;
};

/* Compose a reply of `type` in the next free slot of the output, with the options
 * of rq->subnet.  `address` is yiaddr (0: none).  `lease_secs` 0: no lease. */
struct dhcp_reply *dhcp_reply_compose(const struct dhcp_request *rq, enum dhcp_type type,
				      uint32_t address, uint32_t lease_secs);

/* A NAK: 54 alone, broadcast, or to the relay with the broadcast bit. */
struct dhcp_reply *dhcp_reply_nak(const struct dhcp_request *rq, const char *message);

/* PXE information without an address: to a proxy's DISCOVER, or on port 4011. */
struct dhcp_reply *dhcp_reply_pxe(const struct dhcp_request *rq, enum dhcp_type type);

/* The loader for this client, "" if it wants none. */
const char *dhcp_reply_file(const struct dhcp_request *rq);

/* "arch=7 stage=rom file=..." and `more`, for events and the log. */
void dhcp_request_describe(const struct dhcp_request *rq, const char *file, const char *more,
			   char *out, size_t size);

#endif

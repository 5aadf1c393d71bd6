/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the server holds, shared by its parts alone: server.c (a packet's way in, time,
 * events, commits), exchange.c (what is answered, and why not) and claim.c (who may have
 * which address).
 */
#ifndef DHCP_STATE_H
#define DHCP_STATE_H

#include "dhcp/client.h"
#include "dhcp/pool.h"
#include "dhcp/request.h"
#include "dhcp/stranger.h"
#include "dhcp/wall.h"

#define QUARANTINE_MS (600 * INT64_C(1000))

/* A DISCOVER whose address is being asked for by ARP; handled again when the
 * time is over. */
struct wait {
	struct wait *next;
	struct instant due;
	uint32_t address;
	struct dhcp_packet in; /* its data follows */
	uint8_t data[];
};

struct dhcp_server {
	const struct dhcp_config *config;
	const struct inventory *inv; /* borrowed */
	uint64_t change;
	struct db *db; /* borrowed */
	struct leases *leases;
	struct boots *boots;
	struct pools *pools;
	struct clients *clients;
	struct strangers *strangers;
	struct wait *waits; /* by due */
	struct wait **waits_end;
	unsigned int nwaits;
	struct instant sweep;
	struct wall wall;
	bool wall_due; /* a row to be written for its own sake */
	struct log_limit declines;
	struct log_limit faults;
	struct log_limit foreign;
	struct log_limit taken;		    /* lines: who likes can answer for each address */
	struct log_limit stranger_events;   /* events about their DISCOVERs */
	struct log_limit stranger_answers;  /* about what they got */
	struct log_limit stranger_refusals; /* lines about the rest */
	uint32_t foreign_servers[8];	    /* that were named in the log */
	unsigned int nforeign;
	struct dhcp_message message; /* of the packet at hand: 8 KiB */
};

/* Tell why there is no answer; a few lines a minute of each client. */
void dhcp_refuse(struct dhcp_server *s, const struct dhcp_request *rq, const char *why);

/* Answer one request, as its type and the client's state ask for.  `probed`: it is
 * a DISCOVER that has waited for ARP. */
void dhcp_exchange(struct dhcp_server *s, const struct dhcp_request *rq, bool probed);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The DHCP server as a function of its state, one packet and the time: what goes
 * in and comes out is data.  It opens no socket and reads no clock, so a test
 * replays a day in a millisecond and a fuzzer drives the real thing.
 *
 *	packet, probe answer, event, deadline --> server --> replies, probes, events
 *	                                            |
 *	                                dhcp_server_commit() <-- before a `durable`
 *	                                                        reply may leave
 */
#ifndef DHCP_SERVER_H
#define DHCP_SERVER_H

#include "common/event.h"
#include "common/inventory.h"
#include "dhcp/boot.h"
#include "dhcp/config.h"
#include "dhcp/lease.h"

enum { DHCP_PORT_SERVER = 67, DHCP_PORT_CLIENT = 68, DHCP_PORT_PXE = 4011 };

struct dhcp_packet {
	unsigned int interface; /* index into the configuration's */
	uint32_t source;
	uint32_t destination;
	uint16_t source_port;
	uint16_t port; /* 67 or 4011 */
	struct bytes data;
};

enum dhcp_route {
	ROUTE_BROADCAST, /* 255.255.255.255 on the interface */
	ROUTE_UNICAST,	 /* by the host's own ARP and routes */
	ROUTE_RAW	 /* to `mac` at `address`, which does not answer ARP yet */
};

struct dhcp_reply {
	unsigned int interface;
	enum dhcp_route route;
	uint32_t source;
	uint32_t address;
	struct mac mac;
	uint16_t source_port;
	uint16_t port;
	bool durable;	    /* may leave only after a good dhcp_server_commit() */
	struct event event; /* to be told once it has left; kind 0: nothing */
	size_t len;
	uint8_t data[DHCP_MAX_SIZE];
};

struct dhcp_probe {
	unsigned int interface;
	uint32_t address;
	bool relayed; /* by ICMP: no ARP gets there */
};

/* What comes out of one batch; the caller empties it (n's to zero) when it has
 * sent everything, and feeds nothing more while it has no room.  A larger batch
 * costs fewer commits, and rows that share a page of the database share its
 * write. */
enum { DHCP_BATCH = 256 };
struct dhcp_output {
	struct dhcp_reply reply[DHCP_BATCH];
	unsigned int nreplies;
	struct dhcp_probe probe[DHCP_BATCH];
	unsigned int nprobes;
	struct event event[2 * DHCP_BATCH];
	unsigned int nevents;
};

static inline bool dhcp_output_has_room(const struct dhcp_output *out)
{
	return out->nreplies < DHCP_BATCH && out->nprobes < DHCP_BATCH &&
	       out->nevents + 2 <= 2 * DHCP_BATCH;
}

struct dhcp_server;

/* Borrows the configuration and `leases` (leases.db, open for writing) and reads
 * the latter. */
int dhcp_server_new(const struct dhcp_config *config, struct db *leases, struct dhcp_now now,
		    struct dhcp_server **out, struct why *why);
void dhcp_server_free(struct dhcp_server *server); /* NULL is fine */
CLEANUP_DEFINE(struct dhcp_server *, dhcp_server_free);

/* The hosts, and the overlay change that boots pin from now on.  Borrowed until
 * the next call; needed before the first packet. */
void dhcp_server_inventory(struct dhcp_server *server, const struct inventory *inv,
			   uint64_t change);

void dhcp_server_packet(struct dhcp_server *server, const struct dhcp_packet *in,
			struct dhcp_now now, struct dhcp_output *out);

/* Somebody answered a probe for an address; `mac` NULL: by ICMP, which does not say
 * who. */
void dhcp_server_taken(struct dhcp_server *server, unsigned int interface, uint32_t address,
		       const struct mac *mac, struct dhcp_now now);

/* EVENT_MOUNT, EVENT_INIT, EVENT_ALIVE from nfs; others are ignored. */
void dhcp_server_event(struct dhcp_server *server, const struct event *event, struct dhcp_now now);

/* What is due: offers whose probe was silent, offers that nobody took.  Call it
 * at dhcp_server_deadline(), again at once while that lies in the past. */
void dhcp_server_tick(struct dhcp_server *server, struct dhcp_now now, struct dhcp_output *out);
struct instant dhcp_server_deadline(const struct dhcp_server *server);

/* Somebody else has written to leases.db, as `boot end` does: take over what he
 * ended.  Returns 0 or a negative errno. */
int dhcp_server_reread(struct dhcp_server *server, struct dhcp_now now);

/* Put what changed on disk.  On failure everything stays to be written, and no
 * durable reply may leave. */
bool dhcp_server_dirty(const struct dhcp_server *server);
int dhcp_server_commit(struct dhcp_server *server, struct dhcp_now now);

/* To look at, in tests and status. */
const struct leases *dhcp_server_leases(const struct dhcp_server *server);
const struct boots *dhcp_server_boots(const struct dhcp_server *server);

#endif

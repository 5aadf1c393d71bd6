/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the running server would answer a client, played for who asks.
 *
 *	dhcp child --fork--> the copy: memory as it was, no socket, no database
 *	asker --packet--> dhcp_server_packet(), time that is made up --> replies, reasons
 *
 * The copy is the snapshot, and nothing that it does can be seen by anybody: it has closed
 * every descriptor but the asker's, commits nothing, and ends with the asker or after
 * some seconds.  A probe by ARP costs no time: nobody answers it.
 */
#ifndef DHCP_PLAY_H
#define DHCP_PLAY_H

#include <net/if.h>

#include "dhcp/server.h"

/* What the asker sends behind "play", again and again: this, and the packet. */
struct dhcp_play_ask {
	char interface[IFNAMSIZ]; /* "": the first that is served */
	uint32_t source;
	uint32_t destination;
	uint16_t source_port;
	uint16_t port;
	uint32_t after_ms; /* the last one */
};

enum dhcp_play_kind {
	DHCP_PLAY_REPLY = 1, /* the packet is behind it */
	DHCP_PLAY_PROBE,     /* `address` would be asked for by ARP or ICMP */
	DHCP_PLAY_REFUSED    /* why not: words are behind it */
};

/* Each part of an answer; then the end. */
struct dhcp_play_say {
	uint32_t kind;
	uint32_t source;  /* of a reply */
	uint32_t address; /* where it goes */
	uint32_t route;	  /* enum dhcp_route */
};

/* The copy's whole life; never returns.  `out` is empty. */
void dhcp_play(struct dhcp_server *server, const struct dhcp_config *config,
	       struct dhcp_output *out, int fd) __attribute__((noreturn));

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An interface that is served, and what becomes of it: a plug that is pulled and put
 * back, a bridge or tap that is made anew, an address that changes.  Its sockets are
 * opened again where the old ones lead nowhere.
 *
 *	kernel --rtnetlink--> wires_open()'s descriptor --> wire_look() each
 */
#ifndef CLI_WIRE_H
#define CLI_WIRE_H

#include "dhcp/config.h"

struct wire {
	const char *name;	    /* borrowed */
	struct dhcp_interface face; /* with its sockets */
	int tftp;
	bool gone; /* said already */
};

/* Name, address and MAC; no sockets yet.  Returns 0 or a negative errno with words. */
int wire_find(struct wire *wire, const char *name, struct why *why);
int wire_open(struct wire *wire, struct why *why);
void wire_close(struct wire *wire);

enum wire_change {
	WIRE_SAME,
	WIRE_AGAIN, /* not usable yet: look again in a while */
	WIRE_MAC,   /* another MAC alone, as a bridge's moves with its ports: DHCP asks by it */
	WIRE_NEW    /* other sockets or another address: who uses them has to start over */
};

/* Look what the interface is like by now, and say once what became of it. */
enum wire_change wire_look(struct wire *wire);

/* A descriptor that is readable when any interface or address has changed. */
int wires_open(int *out);
void wires_drain(int fd);

#endif

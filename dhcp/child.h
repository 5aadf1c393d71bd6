/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The dhcp child: sockets and clocks around the pure server.
 *
 *	sockets --batch--> server --replies--> commit --> sockets
 *	nfs --events through the supervisor--> server
 *	rootstock.db --poll, 4 a second--> inventory
 */
#ifndef DHCP_CHILD_H
#define DHCP_CHILD_H

#include "dhcp/config.h"

/* The main of the process: after the sandbox was entered, with the descriptors of
 * dhcp_link_open() in `config`, which dhcp_config_derive() has completed.
 * leases.db is opened for writing (and made where it is not), rootstock.db for
 * reading.  Runs until SIGTERM, SIGINT or the end of the supervisor's socket.
 * Returns 0, or a negative errno after saying why in the log. */
int dhcp_child(const struct dhcp_config *config);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Does another DHCP server answer on this wire?  Asked before serving: two servers
 * that both give addresses give one address twice.
 */
#ifndef DHCP_PROBE_H
#define DHCP_PROBE_H

#include "dhcp/config.h"

/* How long serve and doctor look. */
enum { DHCP_PROBE_MS = 1500 };

/* Broadcast a DISCOVER and an INFORM from the interface and listen for an OFFER or an
 * ACK, `wait_ms` in all, asking again after each second.  By packet sockets: neither a client nor a
 * server of this machine is disturbed, and none of its sockets is needed.  Needs
 * root; call it before dhcp_child() serves.
 * Returns 0 with *server, its address (0: nobody answered), or a negative errno
 * with the words in `why`. */
int dhcp_probe_server(const struct dhcp_interface *interface, unsigned int wait_ms,
		      uint32_t *server, struct why *why);

#endif

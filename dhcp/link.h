/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The sockets of one interface, and nothing of the protocol above them.
 *
 *	udp  port 67, bound to the device: requests come in here, so that the
 *	     host's firewall applies; broadcasts, relays and bound clients are
 *	     answered through it
 *	pxe  port 4011, likewise
 *	raw  a packet socket that only sends: to a client that has no address yet
 *	     and answers no ARP
 *	arp  probes out, answers in
 *	icmp likewise, for addresses behind a relay (ping.h)
 *
 * Opening needs root; using does not.
 */
#ifndef DHCP_LINK_H
#define DHCP_LINK_H

#include "common/cleanup.h"
#include "dhcp/server.h"

/* Name, index, first IPv4 address, netmask and MAC of an interface, its `fds` all
 * -1.  Returns 0, or a negative errno with the words in `why`: no such interface,
 * no IPv4 address, not Ethernet. */
int dhcp_link_query(const char *ifname, struct dhcp_interface *out, struct why *why);
/* Is it one of these three?  Else it could not be asked, and may well be there. */
bool dhcp_link_gone(int r);

/* Open all five; the caller closes them.  4011 in use by somebody else is no
 * error: `pxe` is -1 then.
 * Returns 0, or a negative errno with the words in `why`. */
int dhcp_link_open(const char *ifname, struct dhcp_link_fds *out, struct why *why);
void dhcp_link_close(struct dhcp_link_fds *fds);

/* One read of a socket: buffers for a batch, made once. */
struct dhcp_inbox;
enum { DHCP_INBOX = 64 };

int dhcp_inbox_new(struct dhcp_inbox **out);
void dhcp_inbox_free(struct dhcp_inbox *inbox); /* NULL is fine */
CLEANUP_DEFINE(struct dhcp_inbox *, dhcp_inbox_free);

/* Up to DHCP_INBOX packets of `fd` (udp or pxe); their bytes lie in the inbox
 * until the next call.  `*lost` counts what the socket dropped since it was
 * opened.  Returns how many, or a negative errno (-EAGAIN: none). */
int dhcp_inbox_receive(struct dhcp_inbox *inbox, int fd, unsigned int interface, uint16_t port,
		       struct dhcp_packet packets[static DHCP_INBOX], uint32_t *lost);

/* Send the replies of one interface for which `durable` is as given.  Returns how
 * many could not be sent; `*err` is the last reason then. */
unsigned int dhcp_link_send(const struct dhcp_interface *interface, unsigned int index,
			    const struct dhcp_output *out, bool durable, int *err);

/* One packet, IP header and all, through a packet socket.  Returns 0 or a negative
 * errno. */
int dhcp_link_send_raw(const struct dhcp_interface *interface, int fd,
		       const struct dhcp_reply *reply);

/* Ask who has `address` (RFC 5227: from nobody). */
int dhcp_link_probe(const struct dhcp_interface *interface, uint32_t address);

/* One ARP answer.  Returns 0, -EAGAIN when there is none, or -EBADMSG. */
int dhcp_link_arp(int fd, uint32_t *address, struct mac *mac);

#endif

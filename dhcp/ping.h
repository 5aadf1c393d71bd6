/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Is an address behind a relay taken?  ARP does not reach there; an ICMP echo does.
 * Opening needs root; using does not.
 */
#ifndef DHCP_PING_H
#define DHCP_PING_H

#include <stdint.h>

/* A raw socket of one interface that gets echo replies alone.  Returns 0 or a
 * negative errno; the caller closes *out. */
int ping_open(const char *ifname, int *out);

struct ping_key {
	uint8_t bytes[16]; /* random, and nobody else's */
};

/* Ask `address`.  What goes along and comes back is made of the key and the address:
 * who has not seen this very question cannot answer it, not even who was asked about
 * another address.  Returns 0 or a negative errno. */
int ping_send(int fd, uint32_t address, const struct ping_key *key);

/* One answer to a question with that key.  Returns 0, -EAGAIN when there is none, or
 * -EBADMSG for another packet. */
int ping_receive(int fd, const struct ping_key *key, uint32_t *address);

#endif

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

/* Ask `address`; `cookie` goes along and comes back: nobody who has not seen the
 * question can answer it.  Returns 0 or a negative errno. */
int ping_send(int fd, uint32_t address, uint64_t cookie);

/* One answer with that cookie.  Returns 0, -EAGAIN when there is none, or -EBADMSG
 * for another packet. */
int ping_receive(int fd, uint64_t cookie, uint32_t *address);

#endif

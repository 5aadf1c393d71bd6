/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Ethernet and IPv4 addresses: parse, print, compare.
 */
#ifndef COMMON_MAC_H
#define COMMON_MAC_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/bytes.h"

struct mac {
	uint8_t octet[6];
};

#define MAC_TEXT 18 /* "52:54:00:12:34:01" and its end */
#define IP4_TEXT 16

/* Six hex pairs, all joined by ':' or all by '-', or twelve digits; either case.
 * Multicast and all-zero addresses are no machine's: refused.
 * Returns 0, or -EINVAL. */
int mac_parse(const char *text, struct mac *out);
const char *mac_format(const struct mac *mac, char out[static MAC_TEXT]); /* lower case, ':' */

static inline bool mac_equal(const struct mac *a, const struct mac *b)
{
	return !memcmp(a, b, sizeof(*a));
}

/* As a row has it: to bind, or to look for; db_column_mac() is the way back. */
static inline struct bytes mac_bytes(const struct mac *mac)
{
	return (struct bytes){mac->octet, sizeof(mac->octet)};
}

/* IPv4 addresses are uint32_t in host order throughout; 0 is "none".
 * Dotted quad only.  Returns 0, or -EINVAL. */
int ip4_parse(const char *text, uint32_t *out);
const char *ip4_format(uint32_t addr, char out[static IP4_TEXT]);

#endif

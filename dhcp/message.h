/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One BOOTP/DHCP message on the wire (RFC 951, 2131, 2132, 3396): read into a
 * table of options, written from a list of them.
 *
 *	 op htype hlen hops | xid | secs flags | ciaddr yiaddr siaddr giaddr
 *	 chaddr[16] | sname[64] | file[128] | cookie | options ...
 *
 * Reading gathers an option that comes in several pieces, from the options field,
 * then `file`, then `sname` where option 52 says so.  Writing splits long values,
 * overloads `file` and `sname` where they are free and the client's size is used
 * up, and pads to 300 bytes.
 */
#ifndef DHCP_MESSAGE_H
#define DHCP_MESSAGE_H

#include "common/mac.h"
#include "dhcp/option.h"

enum {
	DHCP_HEADER = 236,	/* before the cookie */
	DHCP_MIN_SIZE = 300,	/* replies are padded: old relays and ROMs drop less */
	DHCP_MAX_SIZE = 1472,	/* of a reply: one Ethernet frame */
	DHCP_RECEIVE_MAX = 4096 /* of a request */
};

#define DHCP_COOKIE UINT32_C(0x63825363)
#define DHCP_BROADCAST_FLAG 0x8000

struct dhcp_message {
	uint8_t op;
	uint8_t hops;
	uint32_t xid;
	uint16_t secs;
	uint16_t flags;
	uint32_t ciaddr;
	uint32_t yiaddr;
	uint32_t siaddr;
	uint32_t giaddr;
	struct mac mac;	    /* chaddr, of Ethernet */
	uint8_t chaddr[16]; /* whole, to send back: klibc compares all of it */
	char sname[65];	    /* "" where it held options */
	char file[129];
	enum dhcp_type type;
	/* By code; `at` is NULL where it did not come.  Values of repeated options
	 * lie in `joined`, others in the caller's packet. */
	struct bytes option[256];
	uint8_t joined[DHCP_RECEIVE_MAX];
};

/* Answers of dhcp_message_parse. */
enum dhcp_message_fault {
	DHCP_FAULT_SHORT = 1, /* no whole header */
	DHCP_FAULT_LONG,
	DHCP_FAULT_HARDWARE, /* not Ethernet, or an address that no machine has */
	DHCP_FAULT_OPTIONS   /* a length that passes the end, or a wrong size of a known one */
};

/* `out` borrows the packet.  A message without the cookie is BOOTP, with no
 * options.  Returns 0 or a DHCP_FAULT_*. */
int dhcp_message_parse(const void *packet, size_t len, struct dhcp_message *out);
const char *dhcp_message_fault_text(int fault);

/* Numbers of options; 0 where it did not come or has another size. */
uint32_t dhcp_message_u32(const struct dhcp_message *m, uint8_t code);
uint16_t dhcp_message_u16(const struct dhcp_message *m, uint8_t code);

/* Write `m` (its header; options come from `list`, in its order) as a message of
 * at most `size` bytes (at least 548, at most DHCP_MAX_SIZE).  82 goes last.
 * Options that do not fit at all are left out, the last first.
 * Returns the length. */
size_t dhcp_message_write(const struct dhcp_message *m, const struct dhcp_options *list,
			  uint8_t *out, size_t size);

#endif

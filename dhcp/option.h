/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * DHCP options: their numbers, and a list of values on its way into a reply.
 * The words follow RFC 2132 and its successors.
 */
#ifndef DHCP_OPTION_H
#define DHCP_OPTION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/why.h"

enum dhcp_type {
	DHCP_BOOTP = 0, /* no option 53 */
	DHCP_DISCOVER = 1,
	DHCP_OFFER,
	DHCP_REQUEST,
	DHCP_DECLINE,
	DHCP_ACK,
	DHCP_NAK,
	DHCP_RELEASE,
	DHCP_INFORM
};

enum dhcp_option_code {
	OPTION_PAD = 0,
	OPTION_NETMASK = 1,
	OPTION_ROUTERS = 3,
	OPTION_DNS = 6,
	OPTION_HOSTNAME = 12,
	OPTION_DOMAIN = 15,
	OPTION_ROOT_PATH = 17,
	OPTION_MTU = 26,
	OPTION_BROADCAST = 28,
	OPTION_NTP = 42,
	OPTION_VENDOR = 43,
	OPTION_REQUESTED_ADDRESS = 50,
	OPTION_LEASE_SECS = 51,
	OPTION_OVERLOAD = 52,
	OPTION_TYPE = 53,
	OPTION_SERVER_ID = 54,
	OPTION_PARAMETERS = 55,
	OPTION_MESSAGE = 56,
	OPTION_MAX_SIZE = 57,
	OPTION_T1 = 58,
	OPTION_T2 = 59,
	OPTION_CLASS_ID = 60,
	OPTION_CLIENT_ID = 61,
	OPTION_TFTP_SERVER = 66,
	OPTION_BOOT_FILE = 67,
	OPTION_USER_CLASS = 77,
	OPTION_RELAY = 82,
	OPTION_ARCH = 93,
	OPTION_NDI = 94,
	OPTION_UUID = 97,
	OPTION_SUBNET_SELECT = 118,
	OPTION_SEARCH = 119,
	OPTION_ROUTES = 121,
	OPTION_IPXE = 175,
	OPTION_PATH_PREFIX = 210,
	OPTION_END = 255
};

/* Sub-options of 82 (RFC 3046, 3527, 5107). */
enum {
	RELAY_CIRCUIT_ID = 1,
	RELAY_REMOTE_ID = 2,
	RELAY_LINK_SELECTION = 5,
	RELAY_SERVER_ID_OVERRIDE = 11
};

/* The codes of a list as option 55 has it, each once and in the order asked.
 * Returns their number. */
unsigned int dhcp_option_codes(struct bytes list, uint8_t out[static 256]);

/* A sub-option of an option of code-length-value form (43, 82, 175); an empty run
 * with `at` NULL when it is not there or the run before it is malformed. */
struct bytes dhcp_suboption(struct bytes option, uint8_t code);

/* Values for one reply: each code at most once, the first one wins.  The bytes
 * are copied into the list; what does not fit is dropped and `full` says so. */
struct dhcp_options {
	struct {
		uint8_t code;
		uint16_t at;
		uint16_t len;
	} item[96];
	unsigned int n;
	uint16_t used;
	bool full;
	uint8_t data[2048];
};

void dhcp_options_init(struct dhcp_options *list);
bool dhcp_options_have(const struct dhcp_options *list, uint8_t code);
void dhcp_options_add(struct dhcp_options *list, uint8_t code, const void *data, size_t len);
void dhcp_options_add_u8(struct dhcp_options *list, uint8_t code, uint8_t value);
void dhcp_options_add_u16(struct dhcp_options *list, uint8_t code, uint16_t value);
void dhcp_options_add_u32(struct dhcp_options *list, uint8_t code, uint32_t value);
void dhcp_options_add_text(struct dhcp_options *list, uint8_t code, const char *text);
void dhcp_options_add_addresses(struct dhcp_options *list, uint8_t code, const uint32_t *addresses,
				unsigned int n);

#endif

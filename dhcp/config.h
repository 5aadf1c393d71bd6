/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the dhcp child is told: plain data, filled by the command line from the
 * configuration file, with everything that was left out derived from the
 * interfaces' own addresses.
 *
 *	dhcp_config_init -> (the caller sets what was given) -> dhcp_config_derive
 *	-> dhcp_link_open each interface (as root) -> drop root -> dhcp_child
 */
#ifndef DHCP_CONFIG_H
#define DHCP_CONFIG_H

#include <net/if.h>

#include "common/control.h"
#include "common/mac.h"
#include "common/why.h"
#include "dhcp/class.h"

/* Opened by dhcp_link_open(); -1 where there is none. */
struct dhcp_link_fds {
	int udp; /* port 67 */
	int pxe; /* port 4011; -1 when somebody else holds it */
	int raw; /* packets to a client that has no address yet */
	int arp;
	int icmp; /* for what is behind a relay */
};

#define DHCP_LINK_FDS_NONE ((struct dhcp_link_fds){-1, -1, -1, -1, -1})

struct dhcp_interface {
	char name[IFNAMSIZ];
	int index;
	uint32_t address; /* what clients are told the server is */
	uint32_t netmask;
	struct mac mac;
	struct dhcp_link_fds fds;
};

struct dhcp_range {
	uint32_t first;
	uint32_t last;
};

/* Any option by number; `data` from option_parse(). */
struct dhcp_extra {
	uint8_t code;
	uint8_t len;
	uint8_t data[255];
};

struct dhcp_subnet {
	uint32_t network;
	uint32_t mask;
	unsigned int shared; /* subnets with one number (not 0) share a wire */
	struct dhcp_range ranges[16];
	unsigned int nranges;
	struct dhcp_range excluded[32];
	unsigned int nexcluded;
	uint32_t routers[8];
	unsigned int nrouters;
	uint32_t dns[8];
	unsigned int ndns;
	uint32_t ntp[8];
	unsigned int nntp;
	char domain[128];
	uint16_t mtu;		   /* 0: not sent */
	uint32_t lease_secs;	   /* 0: the configuration's */
	uint32_t next_server;	   /* siaddr; 0: the interface's address */
	struct dhcp_extra *extras; /* owned by the configuration; weaker than a host's own */
	unsigned int nextras;
};

enum dhcp_mode {
	DHCP_MODE_FULL, /* addresses and boot files */
	DHCP_MODE_PROXY /* boot files alone, beside somebody else's server */
};

enum dhcp_unknown {
	DHCP_UNKNOWN_BOOT,    /* an unregistered machine is served */
	DHCP_UNKNOWN_PENDING, /* recorded, offered nothing until it is approved */
	DHCP_UNKNOWN_IGNORE
};

struct dhcp_config {
	const char *state_dir;
	int event_fd; /* the supervisor's socket, both ways; -1: none */
	struct control_door control;
	struct dhcp_interface interfaces[16];
	unsigned int ninterfaces;
	struct dhcp_subnet *subnets; /* owned: dhcp_config_fini frees it */
	unsigned int nsubnets;
	enum dhcp_mode mode;
	enum dhcp_unknown unknown;
	bool authoritative;		     /* NAK what nobody here gave */
	char boot_file[FIRMWARE_KINDS][128]; /* "" : an address, no loader */
	uint32_t lease_secs;
	unsigned int offer_secs; /* how long an offered address is held */
	unsigned int probe_ms;	 /* how long a new address is asked for by ARP or ICMP; 0: not */
	unsigned int rate_burst; /* messages of one MAC at once, ... */
	unsigned int rate_ms;	 /* ... then one each; 0: no limit */
};

/* Every default; no interface, no subnet. */
void dhcp_config_init(struct dhcp_config *config);
void dhcp_config_fini(struct dhcp_config *config);

/* One more empty subnet to fill, or NULL. */
struct dhcp_subnet *dhcp_config_add_subnet(struct dhcp_config *config);

/* Derive what was not given and refuse what cannot be: without subnets each
 * interface's own network becomes one; a subnet without ranges gives out all of
 * it (at most DHCP_RANGE_MAX addresses) but network, broadcast, routers and the
 * servers' own.  In proxy mode no range is needed.
 * Returns 0, or -EINVAL with the words in `why`. */
enum { DHCP_RANGE_MAX = 1 << 20 };
int dhcp_config_derive(struct dhcp_config *config, struct why *why);

/* Add one value to a subnet's extras (`text` as for option_parse()).  Codes that the
 * protocol itself uses are refused. */
int dhcp_subnet_add_extra(struct dhcp_subnet *subnet, unsigned int code, const char *text,
			  struct why *why);

static inline bool dhcp_subnet_has(const struct dhcp_subnet *s, uint32_t address)
{
	return (address & s->mask) == s->network;
}

#endif

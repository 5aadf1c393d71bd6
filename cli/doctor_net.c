/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where the server stands in its network: is the interface there, and does somebody else
 * answer DHCP?
 */
#include "cli/doctor_parts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "dhcp/link.h"
#include "dhcp/probe.h"

/* ---- interfaces ---- */

static bool is_up(const char *name)
{
	cleanup(closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {0};

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	return fd >= 0 && !ioctl(fd, SIOCGIFFLAGS, &ifr) && ifr.ifr_flags & IFF_UP;
}

static bool has_carrier(const char *name)
{
	cleanup(closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {0};

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	return fd >= 0 && !ioctl(fd, SIOCGIFFLAGS, &ifr) && ifr.ifr_flags & IFF_RUNNING;
}

void doctor_subnet(const struct dhcp_interface *face, char out[200])
{
	char text[IP4_TEXT];

	snprintf(out, 200,
		 "write [subnet %s/%d] and its range = into the configuration; rootstock reload",
		 ip4_format(face->address & face->netmask, text),
		 __builtin_popcount(face->netmask));
}

static void look_at(struct doctor *d, const char *name)
{
	struct dhcp_interface face;
	struct why why = {""};
	char text[IP4_TEXT];
	char mend[200];
	bool served = !d->config.dhcp.nsubnets;
	int r;

	if (!if_nametoindex(name)) {
		finding(d->f, FINDING_ERROR, "interface",
			"ip link  # then name one of these by --interface or in the configuration",
			"%s: there is no such interface", name);
		return;
	}
	if (!is_up(name)) {
		snprintf(mend, sizeof(mend), "ip link set %s up", name);
		finding(d->f, FINDING_ERROR, "interface", mend, "%s: is down", name);
		return;
	}
	r = dhcp_link_query(name, &face, &why);
	if (r) {
		snprintf(mend, sizeof(mend), "ip address add 10.0.0.1/24 dev %s", name);
		finding(d->f, FINDING_ERROR, "interface", mend, "%s", why_text(&why, r));
		return;
	}
	ip4_format(face.address, text);
	for (unsigned int i = 0; i < d->config.dhcp.nsubnets; i++)
		served |= (face.address & d->config.dhcp.subnets[i].mask) ==
			  d->config.dhcp.subnets[i].network;
	if (served)
		snprintf(mend, sizeof(mend), "ip link show %s  # is its cable plugged in?", name);
	else
		doctor_subnet(&face, mend);
	if (!served)
		finding(d->f, FINDING_WARN, "interface", mend,
			"%s: its address %s is in no subnet of the configuration: only what comes "
			"by a relay is answered",
			name, text);
	else if (!has_carrier(name))
		finding(d->f, FINDING_WARN, "interface", mend, "%s: %s, but no link", name, text);
	else
		finding(d->f, FINDING_OK, "interface", NULL, "%s: up, %s/%d", name, text,
			__builtin_popcount(face.netmask));
}

void doctor_interfaces(struct doctor *d)
{
	for (unsigned int i = 0; i < d->config.ninterfaces; i++)
		look_at(d, d->config.interfaces[i]);
	if (!d->config.ninterfaces)
		finding(d->f, FINDING_WARN, "interface",
			"rootstock serve --interface IF, or interface = IF in /etc/rootstock.conf",
			"none is named, in the configuration or by --interface");
}

/* ---- others ---- */

void doctor_others(struct doctor *d)
{
	for (unsigned int i = 0; i < d->config.ninterfaces; i++) {
		struct dhcp_interface face;
		struct why why = {""};
		char text[IP4_TEXT];
		char mend[120];
		uint32_t other = 0;

		if (dhcp_link_query(d->config.interfaces[i], &face, NULL))
			continue;
		snprintf(mend, sizeof(mend),
			 is_up(face.name) ? "rootstock doctor --interface %s  # outside of this "
					    "container, with CAP_NET_RAW"
					  : "ip link set %s up",
			 face.name);
		if (dhcp_probe_server(&face, DHCP_PROBE_MS, &other, &why))
			finding(d->f, FINDING_WARN, "dhcp", mend,
				"other DHCP servers cannot be looked for: %s", why.text);
		else if (!other || other == face.address)
			finding(d->f, FINDING_OK, "dhcp", NULL, "%s: no other DHCP server answers",
				face.name);
		else if (d->config.dhcp.mode == DHCP_MODE_PROXY)
			finding(d->f, FINDING_OK, "dhcp", NULL,
				"%s: %s gives the addresses (mode = proxy)", face.name,
				ip4_format(other, text));
		else
			finding(d->f, FINDING_ERROR, "dhcp",
				"set mode = proxy in /etc/rootstock.conf, or end the other",
				"%s: another DHCP server answers: %s", face.name,
				ip4_format(other, text));
	}
}

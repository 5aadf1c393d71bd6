/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/wire.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "dhcp/link.h"
#include "tftp/server.h"

int wire_find(struct wire *w, const char *name, struct why *why)
{
	*w = (struct wire){.name = name, .face.fds = DHCP_LINK_FDS_NONE, .tftp = -1};
	return dhcp_link_query(name, &w->face, why);
}

int wire_open(struct wire *w, struct why *why)
{
	int r = w->face.fds.udp < 0 ? dhcp_link_open(w->name, &w->face.fds, why) : 0;

	if (!r && w->tftp < 0)
		r = tftp_listen(w->face.address, TFTP_PORT, w->name, &w->tftp, why);
	return r;
}

void wire_close(struct wire *w)
{
	dhcp_link_close(&w->face.fds);
	closep(&w->tftp);
	w->tftp = -1;
}

static enum wire_change wire_lost(struct wire *w, const struct why *why, enum wire_change change)
{
	if (!w->gone)
		log_warn("%s; serving goes on when it is back", why->text);
	w->gone = true;
	return change;
}

static void say_new(const struct wire *w, const struct dhcp_interface *before)
{
	const char *what = w->gone			    ? "is back, with"
			   : w->face.index != before->index ? "is another device now, with"
							    : "has another address now:";
	char text[IP4_TEXT];

	log_info("%s: %s %s/%d", w->name, what, ip4_format(w->face.address, text),
		 __builtin_popcount(w->face.netmask));
}

/* The same device at the same address: only its MAC may have moved. */
static enum wire_change wire_stays(struct wire *w, const struct mac *mac)
{
	char text[MAC_TEXT];
	bool moved = !mac_equal(mac, &w->face.mac);

	if (w->gone)
		log_info("%s: is back", w->name);
	w->gone = false;
	if (!moved)
		return WIRE_SAME;
	w->face.mac = *mac;
	log_info("%s: its MAC address is %s now", w->name, mac_format(mac, text));
	return WIRE_MAC;
}

enum wire_change wire_look(struct wire *w)
{
	struct dhcp_interface before = w->face;
	struct dhcp_interface now;
	struct why why = {""};
	int r;

	/* The kernel tells when it is back. */
	r = dhcp_link_query(w->name, &now, &why);
	if (r)
		return wire_lost(w, &why, dhcp_link_gone(r) ? WIRE_SAME : WIRE_AGAIN);
	if (now.index == w->face.index && now.address == w->face.address &&
	    now.netmask == w->face.netmask && w->face.fds.udp >= 0 && w->tftp >= 0)
		return wire_stays(w, &now.mac);
	/* DHCP's sockets hang on the device, and are held by a child still: another
	 * address alone leaves them as they are. */
	if (now.index != w->face.index)
		dhcp_link_close(&w->face.fds);
	if (now.index != w->face.index || now.address != w->face.address) {
		closep(&w->tftp);
		w->tftp = -1;
	}
	now.fds = w->face.fds;
	w->face = now;
	if (wire_open(w, &why))
		return wire_lost(w, &why, WIRE_AGAIN);
	say_new(w, &before);
	w->gone = false;
	return WIRE_NEW;
}

int wires_open(int *out)
{
	const struct sockaddr_nl to = {.nl_family = AF_NETLINK,
				       .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR};
	cleanup(closep) int fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&to, sizeof(to)))
		return -errno;
	*out = take_fd(&fd);
	return 0;
}

void wires_drain(int fd)
{
	char buf[16384];

	/* What it says is not read: that something moved is enough, and ENOBUFS says
	 * so too. */
	while (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) > 0 || errno == ENOBUFS)
		;
}

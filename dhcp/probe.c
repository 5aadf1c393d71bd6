/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A DISCOVER alone is not enough: dnsmasq tries for three seconds, by ping, whether the
 * address is free before it offers it to somebody new (PING_WAIT), and does nothing else; ISC's
 * dhcpd tries for one.  An INFORM is answered at once, where it comes first, but by who knows
 * our address's network alone.
 */
#include "dhcp/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "dhcp/link.h"

enum { AGAIN_MS = 1000 };

static int open_listener(int index, int *out)
{
	/* UDP to port 68, unfragmented, in IPv4 of any header length. */
	static const struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 6),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 6),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x3fff, 4, 0),
		BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
		BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, DHCP_PORT_CLIENT, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 65535),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	const struct sock_fprog program = {ARRAY_SIZE(code), (struct sock_filter *)code};
	const struct sockaddr_ll at = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_ifindex = index};
	cleanup(closep) int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) ||
	    bind(fd, (const struct sockaddr *)&at, sizeof(at)))
		return -errno;
	*out = take_fd(&fd);
	return 0;
}

static int send_one(const struct dhcp_interface *ifc, int fd, enum dhcp_type type, uint32_t xid,
		    struct dhcp_reply *packet)
{
	static const uint8_t asked[] = {OPTION_NETMASK, OPTION_SERVER_ID};
	struct dhcp_message m = {.op = 1, .xid = xid, .flags = DHCP_BROADCAST_FLAG};
	struct dhcp_options list;

	memcpy(m.chaddr, &ifc->mac, sizeof(ifc->mac));
	if (type == DHCP_INFORM)
		m.ciaddr = ifc->address;
	dhcp_options_init(&list);
	dhcp_options_add_u8(&list, OPTION_TYPE, (uint8_t)type);
	dhcp_options_add(&list, OPTION_PARAMETERS, asked, sizeof(asked));
	packet->len = dhcp_message_write(&m, &list, packet->data, 548);
	packet->address = UINT32_MAX;
	memset(&packet->mac, 0xff, sizeof(packet->mac));
	packet->source_port = DHCP_PORT_CLIENT;
	packet->port = DHCP_PORT_SERVER;
	return dhcp_link_send_raw(ifc, fd, packet);
}

static int send_both(const struct dhcp_interface *ifc, int fd, uint32_t xid,
		     struct dhcp_reply *packet)
{
	int r = send_one(ifc, fd, DHCP_INFORM, xid, packet);

	return r ? r : send_one(ifc, fd, DHCP_DISCOVER, xid, packet);
}

/* The server that an IP packet with an answer to `xid` is from; 0: not one. */
static uint32_t server_of(const struct dhcp_interface *ifc, const uint8_t *packet, size_t len,
			  uint32_t xid, struct dhcp_message *m)
{
	size_t header = len ? (size_t)(packet[0] & 15) * 4 : 0;
	struct cursor c = cursor_of(packet, len);
	uint32_t source;

	if (header < 20 || len < header + 8)
		return 0;
	cursor_skip(&c, 12);
	source = cursor_be32(&c);
	if (dhcp_message_parse(packet + header + 8, len - header - 8, m) || m->op != 2 ||
	    m->xid != xid || !mac_equal(&m->mac, &ifc->mac) ||
	    (m->type != DHCP_OFFER && m->type != DHCP_ACK))
		return 0;
	if (dhcp_message_u32(m, OPTION_SERVER_ID))
		source = dhcp_message_u32(m, OPTION_SERVER_ID);
	return source;
}

int dhcp_probe_server(const struct dhcp_interface *ifc, unsigned int wait_ms, uint32_t *server,
		      struct why *why)
{
	cleanup(freep) struct dhcp_message *m = malloc(sizeof(*m));
	cleanup(freep) struct dhcp_reply *out = calloc(1, sizeof(*out));
	cleanup(closep) int fd = -1;
	struct instant end = instant_add_ms(instant_now(), wait_ms);
	struct instant again = {INT64_MIN};
	uint8_t packet[DHCP_RECEIVE_MAX];
	uint32_t found = 0;
	uint32_t xid;
	int r;

	if (!m || !out)
		return -ENOMEM;
	if (getrandom(&xid, sizeof(xid), 0) != sizeof(xid))
		return -EIO;
	r = open_listener(ifc->index, &fd);
	if (r)
		return why_set(why, r, "%s: packet socket: %s", ifc->name, strerror(-r));
	for (struct instant now = instant_now(); now.ns < end.ns && !found; now = instant_now()) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		struct instant next = again.ns < end.ns ? again : end;
		ssize_t n;

		if (again.ns <= now.ns) {
			r = send_both(ifc, fd, xid, out);
			if (r)
				return why_set(why, r, "%s: %s", ifc->name, strerror(-r));
			again = next = instant_add_ms(now, AGAIN_MS);
		}
		if (poll(&p, 1, (int)((next.ns - now.ns) / NS_PER_MS) + 1) <= 0)
			continue;
		while (!found && (n = recv(fd, packet, sizeof(packet), 0)) > 0)
			found = server_of(ifc, packet, (size_t)n, xid, m);
	}
	*server = found;
	return 0;
}

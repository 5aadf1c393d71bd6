/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dhcp/link.h"
#include "dhcp/ping.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum { LINK_RCVBUF = 4 << 20, IP_UDP_LEN = 28, ARP_LEN = 28 };

/* ---- opening ---- */

/* By ioctl, which allocates nothing and makes no descriptor: what lacks is the interface or
 * its address, and nothing of ours. */
static int link_ask(int fd, unsigned long what, struct ifreq *req, struct why *why)
{
	if (!ioctl(fd, what, req))
		return 0;
	return why_set(why, -errno, "%s: %s", req->ifr_name,
		       errno == ENODEV		? "no such interface"
		       : errno == EADDRNOTAVAIL ? "has no IPv4 address"
						: strerror(errno));
}

static int link_ask_address(int fd, unsigned long what, struct ifreq *req, uint32_t *out,
			    struct why *why)
{
	int r = link_ask(fd, what, req, why);

	if (!r)
		*out = ntohl(((const struct sockaddr_in *)(const void *)&req->ifr_addr)
				     ->sin_addr.s_addr);
	return r;
}

int dhcp_link_query(const char *ifname, struct dhcp_interface *out, struct why *why)
{
	cleanup(closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct dhcp_interface found = {.fds = DHCP_LINK_FDS_NONE};
	struct ifreq req = {0};
	int r;

	if (fd < 0)
		return why_set(why, -errno, "%s: %s", ifname, strerror(errno));
	if (strlen(ifname) >= sizeof(found.name))
		return why_set(why, -ENODEV, "%s: no such interface", ifname);
	memcpy(found.name, ifname, strlen(ifname));
	memcpy(req.ifr_name, ifname, strlen(ifname));
	r = link_ask(fd, SIOCGIFINDEX, &req, why);
	found.index = req.ifr_ifindex;
	if (!r)
		r = link_ask(fd, SIOCGIFHWADDR, &req, why);
	if (!r && req.ifr_hwaddr.sa_family != ARPHRD_ETHER)
		r = why_set(why, -EINVAL, "%s: not an Ethernet interface", ifname);
	memcpy(&found.mac, req.ifr_hwaddr.sa_data, sizeof(found.mac));
	if (!r)
		r = link_ask_address(fd, SIOCGIFADDR, &req, &found.address, why);
	if (!r)
		r = link_ask_address(fd, SIOCGIFNETMASK, &req, &found.netmask, why);
	if (!r)
		*out = found;
	return r;
}

bool dhcp_link_gone(int r)
{
	return r == -ENODEV || r == -EADDRNOTAVAIL || r == -EINVAL;
}

static int set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

static int open_udp(const char *ifname, uint16_t port, int *out)
{
	cleanup(closep) int fd =
		socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP);
	const struct sockaddr_in any = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_ANY)}};

	if (fd < 0)
		return -errno;
	/* No SO_REUSEADDR: two servers on one port would share its packets. */
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, ifname, (socklen_t)strlen(ifname)) ||
	    set_int(fd, SOL_SOCKET, SO_BROADCAST, 1) || set_int(fd, IPPROTO_IP, IP_PKTINFO, 1) ||
	    set_int(fd, SOL_SOCKET, SO_RXQ_OVFL, 1) ||
	    bind(fd, (const struct sockaddr *)&any, sizeof(any)))
		return -errno;
	/* The default holds 166 packets; past the system's limit only as root. */
	if (set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, LINK_RCVBUF))
		set_int(fd, SOL_SOCKET, SO_RCVBUF, LINK_RCVBUF);
	*out = take_fd(&fd);
	return 0;
}

static int open_packet(int index, uint16_t protocol, int *out)
{
	/* Nothing is queued before the bind names what is wanted. */
	cleanup(closep) int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const struct sockaddr_ll at = {
		.sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = index};

	if (fd < 0)
		return -errno;
	if (protocol && bind(fd, (const struct sockaddr *)&at, sizeof(at)))
		return -errno;
	*out = take_fd(&fd);
	return 0;
}

static int open_arp(int index, int *out)
{
	/* Answers alone: a busy network is full of questions. */
	static const struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 6),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARPOP_REPLY, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, ARP_LEN),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	const struct sock_fprog program = {ARRAY_SIZE(code), (struct sock_filter *)code};
	cleanup(closep) int fd = -1;
	int r;

	r = open_packet(index, ETH_P_ARP, &fd);
	if (r)
		return r;
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)))
		return -errno;
	*out = take_fd(&fd);
	return 0;
}

static int link_refuse(const char *ifname, const char *what, int r, struct why *why)
{
	if (r == -EADDRINUSE)
		return why_set(why, r, "%s: %s: in use (another DHCP server on this machine?)",
			       ifname, what);
	if (r == -EPERM || r == -EACCES)
		return why_set(why, r, "%s: %s: needs root", ifname, what);
	return why_set(why, r, "%s: %s: %s", ifname, what, strerror(-r));
}

int dhcp_link_open(const char *ifname, struct dhcp_link_fds *out, struct why *why)
{
	struct dhcp_link_fds fds = DHCP_LINK_FDS_NONE;
	int index = (int)if_nametoindex(ifname);
	const char *what = "port 67";
	int r;

	if (!index)
		return why_set(why, -ENODEV, "%s: no such interface", ifname);
	r = open_udp(ifname, DHCP_PORT_SERVER, &fds.udp);
	if (!r) {
		what = "port 4011";
		r = open_udp(ifname, DHCP_PORT_PXE, &fds.pxe);
		if (r == -EADDRINUSE)
			r = 0;
	}
	if (!r) {
		what = "packet socket";
		r = open_packet(index, 0, &fds.raw);
	}
	if (!r)
		r = open_arp(index, &fds.arp);
	if (!r) {
		what = "ICMP socket";
		r = ping_open(ifname, &fds.icmp);
	}
	if (r) {
		dhcp_link_close(&fds);
		return link_refuse(ifname, what, r, why);
	}
	*out = fds;
	return 0;
}

void dhcp_link_close(struct dhcp_link_fds *fds)
{
	closep(&fds->udp);
	closep(&fds->pxe);
	closep(&fds->raw);
	closep(&fds->arp);
	closep(&fds->icmp);
	*fds = DHCP_LINK_FDS_NONE;
}

/* ---- receiving ---- */

struct dhcp_inbox {
	struct mmsghdr msg[DHCP_INBOX];
	struct iovec iov[DHCP_INBOX];
	struct sockaddr_in from[DHCP_INBOX];
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct in_pktinfo)) + CMSG_SPACE(sizeof(uint32_t))];
	} control[DHCP_INBOX];
	uint8_t data[DHCP_INBOX][DHCP_RECEIVE_MAX];
};

int dhcp_inbox_new(struct dhcp_inbox **out)
{
	struct dhcp_inbox *inbox = calloc(1, sizeof(*inbox));

	if (!inbox)
		return -ENOMEM;
	for (unsigned int i = 0; i < DHCP_INBOX; i++) {
		inbox->iov[i] = (struct iovec){inbox->data[i], sizeof(inbox->data[i])};
		inbox->msg[i].msg_hdr = (struct msghdr){.msg_name = &inbox->from[i],
							.msg_iov = &inbox->iov[i],
							.msg_iovlen = 1,
							.msg_control = &inbox->control[i]};
	}
	*out = inbox;
	return 0;
}

void dhcp_inbox_free(struct dhcp_inbox *inbox)
{
	free(inbox);
}

static void read_control(struct msghdr *hdr, uint32_t *destination, uint32_t *lost)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(hdr); c; c = CMSG_NXTHDR(hdr, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			*destination = ntohl(info.ipi_addr.s_addr);
		} else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
			memcpy(lost, CMSG_DATA(c), sizeof(*lost));
		}
	}
}

int dhcp_inbox_receive(struct dhcp_inbox *inbox, int fd, unsigned int interface, uint16_t port,
		       struct dhcp_packet packets[static DHCP_INBOX], uint32_t *lost)
{
	int n;
	int used = 0;

	for (unsigned int i = 0; i < DHCP_INBOX; i++) {
		inbox->msg[i].msg_hdr.msg_namelen = sizeof(inbox->from[i]);
		inbox->msg[i].msg_hdr.msg_controllen = sizeof(inbox->control[i]);
		inbox->msg[i].msg_hdr.msg_flags = 0;
	}
	n = recvmmsg(fd, inbox->msg, DHCP_INBOX, MSG_DONTWAIT, NULL);
	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		struct dhcp_packet *p = &packets[used];

		if (inbox->msg[i].msg_hdr.msg_flags & MSG_TRUNC)
			continue; /* longer than any client's */
		*p = (struct dhcp_packet){
			.interface = interface,
			.source = ntohl(inbox->from[i].sin_addr.s_addr),
			.source_port = ntohs(inbox->from[i].sin_port),
			.port = port,
			.data = {inbox->data[i], inbox->msg[i].msg_len},
		};
		read_control(&inbox->msg[i].msg_hdr, &p->destination, lost);
		used++;
	}
	return used;
}

/* ---- sending ---- */

/* One's complement sum of 16-bit words, as IP and UDP use it. */
static uint32_t sum_bytes(uint32_t sum, const uint8_t *p, size_t len)
{
	for (; len > 1; p += 2, len -= 2)
		sum += (uint32_t)p[0] << 8 | p[1];
	if (len)
		sum += (uint32_t)p[0] << 8;
	return sum;
}

static uint16_t sum_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void ip_udp_header(uint8_t out[static IP_UDP_LEN], const struct dhcp_reply *reply)
{
	struct writer w = writer_of(out, IP_UDP_LEN);
	uint16_t udp_len = (uint16_t)(reply->len + 8);
	uint32_t sum;
	uint16_t check;

	writer_u8(&w, 0x45);
	writer_u8(&w, 0x10); /* low delay, as everybody marks these */
	writer_be16(&w, (uint16_t)(reply->len + IP_UDP_LEN));
	writer_be16(&w, 0);
	writer_be16(&w, 0x4000); /* never in fragments: kernels and iPXE drop those */
	writer_u8(&w, 64);
	writer_u8(&w, IPPROTO_UDP);
	writer_be16(&w, 0);
	writer_be32(&w, reply->source);
	writer_be32(&w, reply->address);
	check = sum_fold(sum_bytes(0, out, 20));
	out[10] = (uint8_t)(check >> 8);
	out[11] = (uint8_t)check;
	writer_be16(&w, reply->source_port);
	writer_be16(&w, reply->port);
	writer_be16(&w, udp_len);
	writer_be16(&w, 0);
	/* The pseudo-header is the addresses, the protocol and the length again. */
	sum = sum_bytes(IPPROTO_UDP + udp_len, out + 12, 16);
	check = sum_fold(sum_bytes(sum, reply->data, reply->len));
	check = check ? check : 0xffff;
	out[26] = (uint8_t)(check >> 8);
	out[27] = (uint8_t)check;
}

struct outgoing {
	struct mmsghdr msg[DHCP_BATCH];
	struct iovec iov[DHCP_BATCH][2];
	unsigned int n;
};

static unsigned int outgoing_flush(struct outgoing *o, int fd, int *err)
{
	unsigned int failed = 0;

	for (unsigned int at = 0; at < o->n;) {
		int n = sendmmsg(fd, o->msg + at, o->n - at, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			at += (unsigned int)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		/* That one could not go: a client asks again, the others need not wait. */
		*err = -errno;
		failed++;
		at++;
	}
	return failed;
}

static unsigned int send_raw(const struct dhcp_interface *ifc, unsigned int index,
			     const struct dhcp_output *out, bool durable, int *err)
{
	struct sockaddr_ll to[DHCP_BATCH];
	uint8_t header[DHCP_BATCH][IP_UDP_LEN];
	struct outgoing o = {.n = 0};

	for (unsigned int i = 0; i < out->nreplies; i++) {
		const struct dhcp_reply *reply = &out->reply[i];
		unsigned int n = o.n;

		if (reply->interface != index || reply->durable != durable ||
		    reply->route != ROUTE_RAW)
			continue;
		to[n] = (struct sockaddr_ll){.sll_family = AF_PACKET,
					     .sll_protocol = htons(ETH_P_IP),
					     .sll_ifindex = ifc->index,
					     .sll_halen = sizeof(reply->mac)};
		memcpy(to[n].sll_addr, &reply->mac, sizeof(reply->mac));
		ip_udp_header(header[n], reply);
		o.iov[n][0] = (struct iovec){header[n], IP_UDP_LEN};
		o.iov[n][1] = (struct iovec){(void *)reply->data, reply->len};
		o.msg[n].msg_hdr = (struct msghdr){.msg_name = &to[n],
						   .msg_namelen = sizeof(to[n]),
						   .msg_iov = o.iov[n],
						   .msg_iovlen = 2};
		o.n++;
	}
	return outgoing_flush(&o, ifc->fds.raw, err);
}

int dhcp_link_send_raw(const struct dhcp_interface *ifc, int fd, const struct dhcp_reply *reply)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET,
				 .sll_protocol = htons(ETH_P_IP),
				 .sll_ifindex = ifc->index,
				 .sll_halen = sizeof(reply->mac)};
	uint8_t header[IP_UDP_LEN];
	struct iovec iov[2] = {{header, sizeof(header)}, {(void *)reply->data, reply->len}};
	const struct msghdr msg = {
		.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = iov, .msg_iovlen = 2};

	memcpy(to.sll_addr, &reply->mac, sizeof(reply->mac));
	ip_udp_header(header, reply);
	return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static unsigned int send_udp(const struct dhcp_interface *ifc, unsigned int index,
			     const struct dhcp_output *out, uint16_t port, int fd, bool durable,
			     int *err)
{
	struct sockaddr_in to[DHCP_BATCH];
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
	} control[DHCP_BATCH];
	struct outgoing o = {.n = 0};

	for (unsigned int i = 0; i < out->nreplies; i++) {
		const struct dhcp_reply *reply = &out->reply[i];
		unsigned int n = o.n;
		struct in_pktinfo info = {.ipi_ifindex = ifc->index,
					  .ipi_spec_dst = {htonl(reply->source)}};
		struct cmsghdr *c;

		if (reply->interface != index || reply->durable != durable ||
		    reply->route == ROUTE_RAW || reply->source_port != port)
			continue;
		to[n] = (struct sockaddr_in){.sin_family = AF_INET,
					     .sin_port = htons(reply->port),
					     .sin_addr = {htonl(reply->address)}};
		o.iov[n][0] = (struct iovec){(void *)reply->data, reply->len};
		o.msg[n].msg_hdr = (struct msghdr){.msg_name = &to[n],
						   .msg_namelen = sizeof(to[n]),
						   .msg_iov = o.iov[n],
						   .msg_iovlen = 1,
						   .msg_control = &control[n],
						   .msg_controllen = sizeof(control[n])};
		c = CMSG_FIRSTHDR(&o.msg[n].msg_hdr);
		c->cmsg_level = IPPROTO_IP;
		c->cmsg_type = IP_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(c), &info, sizeof(info));
		o.n++;
	}
	return outgoing_flush(&o, fd, err);
}

unsigned int dhcp_link_send(const struct dhcp_interface *ifc, unsigned int index,
			    const struct dhcp_output *out, bool durable, int *err)
{
	unsigned int failed = send_raw(ifc, index, out, durable, err);

	failed += send_udp(ifc, index, out, DHCP_PORT_SERVER, ifc->fds.udp, durable, err);
	return failed + send_udp(ifc, index, out, DHCP_PORT_PXE, ifc->fds.pxe, durable, err);
}

/* ---- ARP ---- */

int dhcp_link_probe(const struct dhcp_interface *ifc, uint32_t address)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET,
				 .sll_protocol = htons(ETH_P_ARP),
				 .sll_ifindex = ifc->index,
				 .sll_halen = ETH_ALEN};
	uint8_t packet[ARP_LEN];
	struct writer w = writer_of(packet, sizeof(packet));

	memset(to.sll_addr, 0xff, ETH_ALEN);
	writer_be16(&w, ARPHRD_ETHER);
	writer_be16(&w, ETH_P_IP);
	writer_u8(&w, ETH_ALEN);
	writer_u8(&w, 4);
	writer_be16(&w, ARPOP_REQUEST);
	writer_put(&w, &ifc->mac, sizeof(ifc->mac));
	writer_be32(&w, 0);
	writer_zero(&w, ETH_ALEN);
	writer_be32(&w, address);
	if (sendto(ifc->fds.arp, packet, sizeof(packet), MSG_DONTWAIT, (struct sockaddr *)&to,
		   sizeof(to)) < 0)
		return -errno;
	return 0;
}

int dhcp_link_arp(int fd, uint32_t *address, struct mac *mac)
{
	uint8_t packet[64];
	ssize_t n = recv(fd, packet, sizeof(packet), MSG_DONTWAIT);
	struct cursor c = cursor_of(packet, n > 0 ? (size_t)n : 0);
	const uint8_t *sender;
	uint32_t from;

	if (n < 0)
		return -errno;
	if (cursor_be16(&c) != ARPHRD_ETHER || cursor_be16(&c) != ETH_P_IP ||
	    cursor_u8(&c) != ETH_ALEN || cursor_u8(&c) != 4 || cursor_be16(&c) != ARPOP_REPLY)
		return -EBADMSG;
	sender = cursor_skip(&c, sizeof(*mac));
	from = cursor_be32(&c);
	if (c.bad)
		return -EBADMSG;
	memcpy(mac, sender, sizeof(*mac));
	*address = from;
	return 0;
}

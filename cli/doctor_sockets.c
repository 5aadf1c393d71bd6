/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which sockets have a port of IPv4: its own, and those of IPv6 that take IPv4, which are
 * bound to no address or to one of IPv4 (::ffff:10.0.0.1), and not to IPv6 alone.  By
 * sock_diag(7); where the kernel has none for the protocol, by /proc, which tells neither the
 * device that one is bound to nor whether it is for IPv6 alone: then it is taken to be for
 * both, as it is where nobody says otherwise.
 */
#include "cli/doctor_parts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/array.h"

enum { ANSWER_MAX = 65536, ANSWER_SECS = 5 };

struct found {
	uint16_t port;
	struct port_socket *list;
	size_t n;
};

static int found_add(struct found *f, const struct port_socket *one)
{
	int r = array_grow(&f->list, f->n, sizeof(*f->list));

	if (!r)
		f->list[f->n++] = *one;
	return r;
}

/* Does it take IPv4?  Then at *out.  `words` as they go over the wire. */
static bool takes_ipv4(const uint32_t words[4], uint32_t *out)
{
	if (words[0] || words[1] || (words[2] ? words[2] != htonl(0xffff) : words[3]))
		return false;
	*out = ntohl(words[3]);
	return true;
}

/* ---- sock_diag ---- */

static int diag_ask(int fd, int family, bool tcp, uint16_t port)
{
	const struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 req;
	} ask = {
		.head = {.nlmsg_len = sizeof(ask),
			 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.req = {.sdiag_family = (uint8_t)family,
			.sdiag_protocol = tcp ? IPPROTO_TCP : IPPROTO_UDP,
			.idiag_states = tcp ? 1U << TCP_LISTEN : UINT32_MAX,
			.id.idiag_sport = htons(port)},
	};

	return send(fd, &ask, sizeof(ask), 0) == sizeof(ask) ? 0 : -errno;
}

/* Is it for IPv6 alone?  Told of those that listen, and of UDP's that are not connected. */
static bool is_ipv6_alone(const struct nlmsghdr *h, const struct inet_diag_msg *m)
{
	size_t len = NLMSG_PAYLOAD(h, sizeof(*m));

	for (const struct rtattr *a = (const struct rtattr *)(m + 1); RTA_OK(a, len);
	     a = RTA_NEXT(a, len))
		if (a->rta_type == INET_DIAG_SKV6ONLY && RTA_PAYLOAD(a) >= 1)
			return *(const uint8_t *)RTA_DATA(a);
	return false;
}

static int diag_socket(struct found *f, const struct nlmsghdr *h)
{
	const struct inet_diag_msg *m = NLMSG_DATA(h);
	struct port_socket one = {0};

	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*m)) || ntohs(m->id.idiag_sport) != f->port)
		return 0;
	one.device = m->id.idiag_if;
	one.inode = m->idiag_inode;
	one.connected = m->id.idiag_dport;
	one.ipv6 = m->idiag_family == AF_INET6;
	if (!one.ipv6)
		one.address = ntohl(m->id.idiag_src[0]);
	else if (is_ipv6_alone(h, m) || !takes_ipv4(m->id.idiag_src, &one.address))
		return 0;
	return found_add(f, &one);
}

/* One datagram of the answer.  Returns 1 at its end, 0 before it, or a negative errno. */
static int diag_take(struct found *f, const void *buf, size_t len)
{
	for (const struct nlmsghdr *h = buf; NLMSG_OK(h, len); h = NLMSG_NEXT(h, len)) {
		int r;

		if (h->nlmsg_type == NLMSG_DONE)
			return 1;
		if (h->nlmsg_type == NLMSG_ERROR) {
			const struct nlmsgerr *e = NLMSG_DATA(h);

			return h->nlmsg_len >= NLMSG_LENGTH(sizeof(*e)) && e->error ? e->error
										    : -EBADMSG;
		}
		r = diag_socket(f, h);
		if (r)
			return r;
	}
	return 0;
}

static int by_diag(struct found *f, int family, bool tcp)
{
	cleanup(closep) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	const struct timeval patience = {.tv_sec = ANSWER_SECS};
	cleanup(freep) char *buf = malloc(ANSWER_MAX);
	int r;

	if (!buf)
		return -ENOMEM;
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)))
		return -errno;
	r = diag_ask(fd, family, tcp, f->port);
	while (!r) {
		ssize_t n = recv(fd, buf, ANSWER_MAX, 0);

		r = n < 0 ? -errno : diag_take(f, buf, (size_t)n);
	}
	return r > 0 ? 0 : r;
}

/* ---- /proc ---- */

/* "0100007F:006F", or four such words of IPv6: each is as it lies in memory. */
static bool proc_address(const char *text, bool ipv6, uint32_t words[4], unsigned int *port)
{
	if (!ipv6)
		return sscanf(text, "%8x:%4x", &words[0], port) == 2;
	return sscanf(text, "%8x%8x%8x%8x:%4x", &words[0], &words[1], &words[2], &words[3], port) ==
	       5;
}

static int proc_socket(struct found *f, bool ipv6, bool tcp, const char *line)
{
	struct port_socket one = {.ipv6 = ipv6};
	char local[48];
	char remote[48];
	uint32_t words[4];
	unsigned int port;
	unsigned int peer;
	unsigned int state;

	if (sscanf(line, " %*d: %47s %47s %2x %*s %*s %*s %*u %*d %lu", local, remote, &state,
		   &one.inode) != 4 ||
	    !proc_address(remote, ipv6, words, &peer) || !proc_address(local, ipv6, words, &port) ||
	    port != f->port || (tcp && state != TCP_LISTEN))
		return 0;
	one.connected = peer;
	one.address = ntohl(words[0]);
	if (ipv6 && !takes_ipv4(words, &one.address))
		return 0;
	return found_add(f, &one);
}

static int by_proc(struct found *f, int family, bool tcp)
{
	bool ipv6 = family == AF_INET6;
	cleanup(fclosep) FILE *file = fopen(tcp	   ? ipv6 ? "/proc/net/tcp6" : "/proc/net/tcp"
					    : ipv6 ? "/proc/net/udp6"
						   : "/proc/net/udp",
					    "re");
	char line[512];
	int r = file || (ipv6 && errno == ENOENT) ? 0 : -errno;

	while (!r && file && fgets(line, sizeof(line), file))
		r = proc_socket(f, ipv6, tcp, line);
	return r;
}

static int look_up(struct found *f, bool tcp, int (*by)(struct found *f, int family, bool tcp))
{
	int r = by(f, AF_INET, tcp);

	return r ? r : by(f, AF_INET6, tcp);
}

int port_sockets(bool tcp, uint16_t port, struct port_socket **out, size_t *n)
{
	struct found f = {.port = port};
	int r = look_up(&f, tcp, by_diag);

	if (r) {
		f.n = 0;
		r = look_up(&f, tcp, by_proc);
	}
	if (r) {
		free(f.list);
		return r;
	}
	*out = f.list;
	*n = f.n;
	return 0;
}

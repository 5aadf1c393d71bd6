/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which sockets have a port: by sock_diag(7), which tells the device that one is bound to
 * as well; where the kernel has none for the protocol, by /proc, which does not.
 */
#include "cli/doctor_parts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
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

/* ---- sock_diag ---- */

static int diag_ask(int fd, bool tcp, uint16_t port)
{
	const struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 req;
	} ask = {
		.head = {.nlmsg_len = sizeof(ask),
			 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.req = {.sdiag_family = AF_INET,
			.sdiag_protocol = tcp ? IPPROTO_TCP : IPPROTO_UDP,
			.idiag_states = tcp ? 1U << TCP_LISTEN : UINT32_MAX,
			.id.idiag_sport = htons(port)},
	};

	return send(fd, &ask, sizeof(ask), 0) == sizeof(ask) ? 0 : -errno;
}

/* One datagram of the answer.  Returns 1 at its end, 0 before it, or a negative errno. */
static int diag_take(struct found *f, const void *buf, size_t len)
{
	for (const struct nlmsghdr *h = buf; NLMSG_OK(h, len); h = NLMSG_NEXT(h, len)) {
		const struct inet_diag_msg *m = NLMSG_DATA(h);
		struct port_socket one;
		int r;

		if (h->nlmsg_type == NLMSG_DONE)
			return 1;
		if (h->nlmsg_type == NLMSG_ERROR) {
			const struct nlmsgerr *e = NLMSG_DATA(h);

			return h->nlmsg_len >= NLMSG_LENGTH(sizeof(*e)) && e->error ? e->error
										    : -EBADMSG;
		}
		if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*m)) || ntohs(m->id.idiag_sport) != f->port)
			continue;
		one = (struct port_socket){.address = ntohl(m->id.idiag_src[0]),
					   .device = m->id.idiag_if,
					   .inode = m->idiag_inode};
		r = found_add(f, &one);
		if (r)
			return r;
	}
	return 0;
}

static int by_diag(struct found *f, bool tcp)
{
	cleanup(closep) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	const struct timeval patience = {.tv_sec = ANSWER_SECS};
	cleanup(freep) char *buf = malloc(ANSWER_MAX);
	int r;

	if (!buf)
		return -ENOMEM;
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)))
		return -errno;
	r = diag_ask(fd, tcp, f->port);
	while (!r) {
		ssize_t n = recv(fd, buf, ANSWER_MAX, 0);

		r = n < 0 ? -errno : diag_take(f, buf, (size_t)n);
	}
	return r > 0 ? 0 : r;
}

/* ---- /proc ---- */

static int by_proc(struct found *f, bool tcp)
{
	cleanup(fclosep) FILE *file = fopen(tcp ? "/proc/net/tcp" : "/proc/net/udp", "re");
	char line[512];
	int r = file ? 0 : -errno;

	while (!r && fgets(line, sizeof(line), file)) {
		struct port_socket one = {0};
		unsigned int port;
		unsigned int state;

		if (sscanf(line, " %*d: %8x:%4x %*8x:%*4x %2x %*s %*s %*s %*u %*d %lu",
			   &one.address, &port, &state, &one.inode) != 4 ||
		    port != f->port || (tcp && state != TCP_LISTEN))
			continue;
		one.address = ntohl(one.address);
		r = found_add(f, &one);
	}
	return r;
}

int port_sockets(bool tcp, uint16_t port, struct port_socket **out, size_t *n)
{
	struct found f = {.port = port};
	int r = by_diag(&f, tcp);

	if (r) {
		f.n = 0;
		r = by_proc(&f, tcp);
	}
	if (r) {
		free(f.list);
		return r;
	}
	*out = f.list;
	*n = f.n;
	return 0;
}

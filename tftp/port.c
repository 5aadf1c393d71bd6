/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tftp/port.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tftp/session.h"

enum { PORT_TRIES = 64, BUFFER = 1 << 20 };

void port_batch_init(struct port_batch *b)
{
	for (unsigned int i = 0; i < PORT_BATCH; i++)
		b->iov[i] = (struct iovec){b->data[i], PORT_PACKET};
}

int port_receive(struct port_batch *b, int fd)
{
	for (unsigned int i = 0; i < PORT_BATCH; i++)
		b->m[i].msg_hdr = (struct msghdr){
			.msg_name = &b->peer[i],
			.msg_namelen = sizeof(b->peer[i]),
			.msg_iov = &b->iov[i],
			.msg_iovlen = 1,
			.msg_control = b->control[i],
			.msg_controllen = sizeof(b->control[i]),
		};
	return recvmmsg(fd, b->m, PORT_BATCH, MSG_DONTWAIT, NULL);
}

uint32_t port_batch_local(struct port_batch *b, int i)
{
	struct msghdr *m = &b->m[i].msg_hdr;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			return ntohl(info.ipi_spec_dst.s_addr);
		}
	return 0;
}

static int bind_from_range(struct tftp_server *server, int fd, uint32_t address)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
	uint16_t first = server->config.port_first;
	uint32_t n = (uint32_t)(server->config.port_last - first) + 1;

	if (!first)
		return bind(fd, (struct sockaddr *)&sin, sizeof(sin)) ? -errno : 0;
	/* A port that was not used lately: an old client's repeats go astray. */
	for (unsigned int i = 0; i < PORT_TRIES || i < n; i++) {
		server->random = server->random * 1664525 + 1013904223;
		sin.sin_port = htons(
			(uint16_t)(first + (i < PORT_TRIES ? (server->random >> 8) % n : i % n)));
		if (!bind(fd, (struct sockaddr *)&sin, sizeof(sin)))
			return 0;
		if (errno != EADDRINUSE && errno != EACCES)
			return -errno;
	}
	return -EADDRINUSE;
}

static int port_open(struct tftp_server *server, struct listener *listener, uint32_t local,
		     struct port **out)
{
	cleanup(closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	cleanup(freep) struct port *port = calloc(1, sizeof(*port));
	const char *ifname = listener->config->ifname;
	int size = BUFFER; /* or what the system lets anybody have */
	int on = 1;
	int r;

	if (fd < 0)
		return -errno;
	if (!port)
		return -ENOMEM;
	if (*ifname) /* may be denied: then the route decides */
		setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, ifname, (socklen_t)strlen(ifname) + 1);
	setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	r = bind_from_range(server, fd, local);
	if (r)
		return r;
	port->listener = listener;
	port->local = local;
	port->source.ready = server_on_port;
	r = loop_add(server->loop, &port->source, fd, EPOLLIN);
	if (r)
		return r;
	take_fd(&fd);
	port->next = server->ports;
	server->ports = port;
	server->nports++;
	*out = take(&port);
	return 0;
}

int port_choose(struct tftp_server *server, struct listener *listener, uint32_t local,
		struct port **out)
{
	struct port *least = NULL;
	int r;

	if (server->config.single_port) {
		*out = &listener->port;
		return 0;
	}
	for (struct port *p = server->ports; p; p = p->next)
		if (p->listener == listener && p->local == local &&
		    (!least || p->sessions < least->sessions))
			least = p;
	if (least && server->nports >= PORTS_OWN && least->sessions < PORT_SESSIONS) {
		*out = least;
		return 0;
	}
	r = port_open(server, listener, local, out);
	if (r && least) { /* no port or descriptor is left: the others share */
		*out = least;
		return 0;
	}
	return r;
}

static void port_close(struct port *port)
{
	int fd = port->source.fd;

	loop_remove(&port->source);
	close(fd);
	free(port);
}

void ports_tidy(struct tftp_server *server)
{
	for (struct port **p = &server->ports; *p;) {
		struct port *port = *p;

		if (port->sessions) {
			p = &port->next;
			continue;
		}
		*p = port->next;
		server->nports--;
		port_close(port);
	}
}

void port_errors(int fd, struct tftp_server *server,
		 void (*closed)(struct tftp_server *server, const struct sockaddr_in *peer))
{
	for (int i = 0; i < PORT_BATCH; i++) {
		_Alignas(struct cmsghdr) char control[512];
		struct sockaddr_in peer; /* whom the lost packet was for */
		char data[64];
		struct iovec iov = {data, sizeof(data)};
		struct msghdr m = {.msg_name = &peer,
				   .msg_namelen = sizeof(peer),
				   .msg_iov = &iov,
				   .msg_iovlen = 1,
				   .msg_control = control,
				   .msg_controllen = sizeof(control)};

		if (recvmsg(fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
			return;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
			struct sock_extended_err err;

			if (c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_RECVERR)
				continue;
			memcpy(&err, CMSG_DATA(c), sizeof(err));
			if (err.ee_origin == SO_EE_ORIGIN_ICMP && err.ee_errno == ECONNREFUSED &&
			    m.msg_namelen == sizeof(peer))
				closed(server, &peer);
		}
	}
}

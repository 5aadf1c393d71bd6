/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Many TFTP clients in one process: each downloads NAME once, all at once, as
 * RFC 7440 has it, and counts its bytes.
 *
 *	tftp-load [-n CLIENTS] [-b BLKSIZE] [-w WINDOW] ADDRESS PORT NAME SIZE
 *
 * Prints seconds, MB/s, how many downloads were whole, and the window that the server
 * granted.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/mac.h"
#include "tests/tftp_client.h"

struct client {
	int fd;
	struct sockaddr_in peer;
	bool known; /* peer is the transfer's */
	uint64_t got;
	uint64_t bytes;
	uint32_t blksize; /* as granted */
	uint32_t window;
	uint32_t in_window;
	bool complained;
	bool done;
	bool failed;
	struct instant heard;
};

struct load {
	struct sockaddr_in server;
	struct tftp_request req;
	uint64_t size;
	unsigned int n;
	unsigned int open;
	struct client *clients;
};

static void send_request(struct load *l, struct client *c)
{
	uint8_t buf[TFTP_SMALL_MAX];
	size_t len = tftp_client_request(buf, &l->req);

	sendto(c->fd, buf, len, 0, (struct sockaddr *)&l->server, sizeof(l->server));
}

static void send_ack(struct client *c)
{
	uint8_t buf[4];

	c->in_window = 0;
	sendto(c->fd, buf, tftp_client_ack(buf, (uint16_t)c->got), 0, (struct sockaddr *)&c->peer,
	       sizeof(c->peer));
}

static void finish(struct load *l, struct client *c, bool failed)
{
	c->done = true;
	c->failed = failed;
	l->open--;
}

static void take_packet(struct load *l, struct client *c, const struct bytes *in,
			struct instant now)
{
	struct tftp_packet p;

	c->heard = now;
	if (tftp_packet_parse(in, &p))
		return;
	if (p.op == TFTP_ERROR) {
		finish(l, c, true);
	} else if (p.op == TFTP_OACK) {
		if (p.options.blksize)
			c->blksize = p.options.blksize;
		if (p.options.windowsize)
			c->window = p.options.windowsize;
		send_ack(c);
	} else if (p.op == TFTP_DATA && p.block == (uint16_t)(c->got + 1)) {
		c->got++;
		c->bytes += p.message.len;
		c->complained = false;
		if (p.message.len < c->blksize) {
			send_ack(c);
			finish(l, c, c->bytes != l->size);
		} else if (++c->in_window >= c->window) {
			send_ack(c);
		}
	} else if (p.op == TFTP_DATA && !c->complained && (uint16_t)(p.block - c->got) < 32768) {
		c->complained = true;
		send_ack(c);
	}
}

static void receive(struct load *l, struct client *c, struct instant now)
{
	static uint8_t data[64][66000];
	static struct mmsghdr m[64];
	static struct iovec iov[64];
	static struct sockaddr_in from[64];
	int n;

	for (unsigned int i = 0; i < 64; i++) {
		iov[i] = (struct iovec){data[i], sizeof(data[i])};
		m[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
					       .msg_namelen = sizeof(from[i]),
					       .msg_iov = &iov[i],
					       .msg_iovlen = 1};
	}
	n = recvmmsg(c->fd, m, c->window > 1 ? 64 : 2, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n && !c->done; i++) {
		struct bytes in = {data[i], m[i].msg_len};

		if (!c->known) {
			c->peer = from[i];
			c->known = true;
		}
		if (from[i].sin_port == c->peer.sin_port)
			take_packet(l, c, &in, now);
	}
}

/* Repeats for clients that heard nothing. */
static void on_time(struct load *l, struct instant now)
{
	for (unsigned int i = 0; i < l->n; i++) {
		struct client *c = &l->clients[i];

		if (c->done)
			continue;
		if (now.ns - c->heard.ns < 2 * NS_PER_SEC)
			continue;
		c->heard = now;
		if (c->known)
			send_ack(c);
		else
			send_request(l, c);
	}
}

static int run(struct load *l)
{
	struct epoll_event ev = {.events = EPOLLIN};
	int size = 1 << 20;
	int ep = epoll_create1(0);

	l->clients = calloc(l->n, sizeof(*l->clients));
	l->open = l->n;
	for (unsigned int i = 0; i < l->n; i++) {
		struct client *c = &l->clients[i];

		*c = (struct client){.blksize = 512, .window = 1, .heard = instant_now()};
		c->fd = socket(AF_INET, SOCK_DGRAM, 0);
		ev.data.ptr = c;
		if (c->fd < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev))
			return -errno;
		setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
		send_request(l, c);
	}
	while (l->open) {
		struct epoll_event batch[256];
		struct instant now;
		struct timespec patience = {0, 100000000};
		int n = epoll_pwait2(ep, batch, 256, &patience, NULL);

		now = instant_now();
		for (int i = 0; i < n; i++)
			receive(l, batch[i].data.ptr, now);
		if (n < 256)
			on_time(l, now);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct load l = {.n = 1, .req = {.op = TFTP_RRQ}};
	struct rlimit files;
	struct instant start;
	unsigned int whole = 0;
	double secs;
	uint32_t address;
	int c;

	while ((c = getopt(argc, argv, "n:b:w:")) != -1)
		switch (c) {
		case 'n':
			l.n = (unsigned int)atoi(optarg);
			break;
		case 'b':
			l.req.options.blksize = (uint32_t)atoi(optarg);
			break;
		case 'w':
			l.req.options.windowsize = (uint32_t)atoi(optarg);
			break;
		default:
			return 2;
		}
	if (optind + 4 != argc || ip4_parse(argv[optind], &address))
		return 2;
	l.server = (struct sockaddr_in){.sin_family = AF_INET,
					.sin_port = htons((uint16_t)atoi(argv[optind + 1])),
					.sin_addr.s_addr = htonl(address)};
	l.req.name = argv[optind + 2];
	l.size = strtoull(argv[optind + 3], NULL, 10);
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	start = instant_now();
	if (run(&l)) {
		perror("tftp-load");
		return 1;
	}
	secs = (double)(instant_now().ns - start.ns) / NS_PER_SEC;
	for (unsigned int i = 0; i < l.n; i++)
		whole += !l.clients[i].failed;
	printf("%.3f %.2f %u %u\n", secs, (double)l.size * whole / 1e6 / secs, whole,
	       l.clients[0].window);
	return whole == l.n ? 0 : 1;
}

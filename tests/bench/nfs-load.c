/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Load for one NFSv3 server: connections, each from an address of its own, with so
 * many calls in flight each, for so many seconds, and what a call cost the server in
 * CPU.
 *
 *	nfs-load SERVER PORT MOUNT_PORT PATH FIRST_CLIENT OP CONNS DEPTH SECS SERVER_PID
 *
 * OP: getattr, lookup, readdirplus, read4k (or any other size), read1m; PATH is a
 * directory that holds "data" (at least 3 MiB).  Prints: calls/s, MB/s, server us a
 * call, and the fewest calls of a connection beside the median.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/bench/nfs-client.h"

struct load_conn {
	int fd;
	unsigned int due; /* replies that were not yet followed by another call */
	uint64_t calls;
	struct nfs_stream stream;
	struct nfs_call call;
};

static uint8_t buf[REPLIES_SIZE];

static void write_call(struct load_conn *c, const char *op, const struct nfs_handle *root,
		       const struct nfs_handle *data)
{
	struct writer w;

	if (!strcmp(op, "getattr")) {
		w = nfs_begin(&c->call, NFS_PROGRAM, NFS_GETATTR, 7);
		nfs_put_handle(&w, data);
	} else if (!strcmp(op, "lookup")) {
		w = nfs_begin(&c->call, NFS_PROGRAM, NFS_LOOKUP, 7);
		nfs_put_handle(&w, root);
		nfs_put_opaque(&w, "data", 4);
	} else if (!strcmp(op, "readdirplus")) {
		w = nfs_begin(&c->call, NFS_PROGRAM, NFS_READDIRPLUS, 7);
		nfs_put_handle(&w, root);
		writer_zero(&w, 16);
		writer_be32(&w, 8192);
		writer_be32(&w, 32768);
	} else {
		unsigned int kib = 0;

		if (!strcmp(op, "read1m"))
			kib = 1024;
		else
			sscanf(op, "read%uk", &kib);
		if (!kib) {
			errno = EINVAL;
			die(op);
		}
		w = nfs_begin(&c->call, NFS_PROGRAM, NFS_READ, 7);
		nfs_put_handle(&w, data);
		writer_be64(&w, 0);
		writer_be32(&w, kib << 10);
	}
	nfs_end(&c->call, &w);
}

static void send_calls(struct load_conn *c, unsigned int n)
{
	static uint8_t many[64 << 10];
	unsigned int fit = (unsigned int)(sizeof(many) / c->call.len);

	while (n) {
		unsigned int now = n < fit ? n : fit;

		for (unsigned int i = 0; i < now; i++)
			memcpy(many + i * c->call.len, c->call.bytes, c->call.len);
		/* small beside the socket's buffer: never short in practice */
		if (write(c->fd, many, now * c->call.len) != (ssize_t)(now * c->call.len))
			die("write");
		n -= now;
	}
}

static void on_reply(void *arg, uint32_t xid, uint32_t status, struct bytes results)
{
	struct load_conn *c = arg;

	(void)xid;
	(void)results;
	if (status) {
		errno = EPROTO;
		die("a call failed");
	}
	c->due++;
	c->calls++;
}

static int by_number(const void *a, const void *b)
{
	const uint64_t *x = a;
	const uint64_t *y = b;

	return (*x > *y) - (*x < *y);
}

static void report(struct load_conn *conns, unsigned int n, const uint64_t *before, double secs,
		   uint64_t bytes, uint64_t cpu)
{
	uint64_t *each = calloc(n, sizeof(*each));
	uint64_t calls = 0;

	if (!each)
		die("memory");
	for (unsigned int i = 0; i < n; i++) {
		each[i] = conns[i].calls - before[i];
		calls += each[i];
	}
	qsort(each, n, sizeof(*each), by_number);
	printf("%.0f calls/s %.1f MB/s %.2f us/call fewest %.2f of median\n", (double)calls / secs,
	       (double)bytes / secs / 1e6, (double)cpu / 1000 / (double)calls,
	       each[n / 2] ? (double)each[0] / (double)each[n / 2] : 0);
	free(each);
}

int main(int argc, char **argv)
{
	struct rlimit files = {16384, 16384};
	struct epoll_event events[256];
	struct load_conn *conns;
	struct in_addr first;
	uint64_t *before;
	uint64_t bytes = 0;
	uint64_t cpu = 0;
	int64_t start;
	int64_t began = 0;
	int64_t secs;
	unsigned int n;
	unsigned int depth;
	int pid;
	int ep = epoll_create1(0);

	if (argc != 11) {
		fprintf(stderr, "usage: nfs-load SERVER PORT MOUNT_PORT PATH FIRST_CLIENT OP CONNS"
				" DEPTH SECS PID\n");
		return 2;
	}
	setrlimit(RLIMIT_NOFILE, &files);
	inet_pton(AF_INET, argv[5], &first);
	n = (unsigned int)atoi(argv[7]);
	depth = (unsigned int)atoi(argv[8]);
	secs = atoi(argv[9]);
	pid = atoi(argv[10]);
	conns = calloc(n, sizeof(*conns));
	before = calloc(n, sizeof(*before));
	if (!conns || !before)
		die("memory");
	for (unsigned int i = 0; i < n; i++) {
		struct load_conn *c = &conns[i];
		struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
		uint32_t address = ntohl(first.s_addr) + i;
		struct nfs_handle root;
		struct nfs_handle data;

		nfs_mount(argv[1], (uint16_t)atoi(argv[3]), address, argv[4], &root);
		c->fd = nfs_dial(argv[1], (uint16_t)atoi(argv[2]), address);
		nfs_lookup(c->fd, &root, "data", &data);
		write_call(c, argv[6], &root, &data);
		epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev);
	}
	start = instant_now().ns;
	for (unsigned int i = 0; i < n; i++)
		send_calls(&conns[i], depth);
	for (;;) {
		int ready = epoll_wait(ep, events, 256, 1000);
		int64_t now = instant_now().ns;

		/* the first half second warms up */
		if (!began && now - start > NS_PER_SEC / 2) {
			began = now;
			cpu = process_cpu_ns(pid);
			bytes = 0;
			for (unsigned int i = 0; i < n; i++)
				before[i] = conns[i].calls;
		}
		if (began && now - began > secs * NS_PER_SEC) {
			report(conns, n, before, (double)(now - began) / 1e9, bytes,
			       process_cpu_ns(pid) - cpu);
			free(conns);
			free(before);
			return 0;
		}
		for (int i = 0; i < ready; i++) {
			struct load_conn *c = events[i].data.ptr;
			ssize_t r = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);

			if (r <= 0)
				die("recv");
			bytes += (uint64_t)r;
			nfs_stream_feed(&c->stream, (struct bytes){buf, (size_t)r}, on_reply, c);
			send_calls(c, c->due);
			c->due = 0;
		}
	}
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Load for one NFSv3 server: connections with so many calls in flight each, for so
 * many seconds, and what a call cost the server in CPU.
 *
 *	nfs-load ADDRESS PORT MOUNT_PORT PATH OP CONNS DEPTH SECS SERVER_PID
 *
 * OP: getattr, lookup, readdirplus, read4k (or any other size), read1m; PATH is a directory that
 * holds "data" (at least 3 MiB).  Prints: calls/s, MB/s, server µs a call.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/clock.h"

enum { MAX_CONNS = 2048, BUF = 4 << 20 };

struct load_conn {
	int fd;
	uint32_t mark_left; /* bytes of the mark still to come */
	uint32_t mark;
	uint64_t left; /* of this reply */
	bool head;     /* its first bytes are to be checked */
};

static uint8_t buf[BUF];
static uint8_t call_bytes[1024];
static size_t call_len;
static uint8_t root[64];
static uint32_t root_len;
static uint8_t data[64];
static uint32_t data_len;

static void die(const char *what)
{
	fprintf(stderr, "nfs-load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int dial(const char *address, uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	int on = 1;

	inet_pton(AF_INET, address, &to.sin_addr);
	for (int local = 1023; local > 200; local--) {
		struct sockaddr_in me = {.sin_family = AF_INET, .sin_port = htons((uint16_t)local)};
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (!bind(fd, (struct sockaddr *)&me, sizeof(me)) &&
		    !connect(fd, (struct sockaddr *)&to, sizeof(to))) {
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
			return fd;
		}
		close(fd);
	}
	die("connect");
	return -1;
}

static struct writer begin(uint32_t prog, uint32_t proc)
{
	struct writer w = writer_of(call_bytes, sizeof(call_bytes));

	writer_be32(&w, 0); /* mark */
	writer_be32(&w, 7);
	writer_be32(&w, 0);
	writer_be32(&w, 2);
	writer_be32(&w, prog);
	writer_be32(&w, 3);
	writer_be32(&w, proc);
	writer_be32(&w, 1); /* AUTH_SYS, as Linux sends it */
	writer_be32(&w, 32);
	writer_be32(&w, 0);
	writer_be32(&w, 6);
	writer_put(&w, "client\0\0", 8);
	writer_be32(&w, 0);
	writer_be32(&w, 0);
	writer_be32(&w, 1);
	writer_be32(&w, 0);
	writer_zero(&w, 8);
	return w;
}

static void end(struct writer *w)
{
	struct writer mark = writer_of(call_bytes, 4);

	call_len = writer_len(w);
	writer_be32(&mark, 0x80000000U | (uint32_t)(call_len - 4));
}

static void put_opaque(struct writer *w, const void *p, uint32_t len)
{
	writer_be32(w, len);
	writer_put(w, p, len);
	writer_zero(w, -len & 3);
}

/* One call and its whole reply; returns a cursor at the status. */
static struct cursor ask(int fd)
{
	size_t got = 0;
	struct cursor c;

	if (write(fd, call_bytes, call_len) != (ssize_t)call_len)
		die("write");
	for (;;) {
		ssize_t n = read(fd, buf + got, sizeof(buf) - got);

		if (n <= 0)
			die("read");
		got += (size_t)n;
		c = cursor_of(buf, got);
		if (got >= 4 && got >= 4 + (cursor_be32(&c) & 0x7fffffff))
			break;
	}
	cursor_skip(&c, 24);
	return c;
}

static void take_handle(struct cursor *c, uint8_t *out, uint32_t *len)
{
	if (cursor_be32(c)) {
		errno = EACCES;
		die("mount or lookup");
	}
	*len = cursor_be32(c);
	memcpy(out, cursor_skip(c, *len), *len);
}

static void setup(const char *address, uint16_t port, uint16_t mount_port, const char *path,
		  const char *op)
{
	int fd = dial(address, mount_port);
	struct writer w = begin(100005, 1);
	struct cursor c;

	put_opaque(&w, path, (uint32_t)strlen(path));
	end(&w);
	c = ask(fd);
	take_handle(&c, root, &root_len);
	close(fd);
	fd = dial(address, port);
	w = begin(100003, 3);
	put_opaque(&w, root, root_len);
	put_opaque(&w, "data", 4);
	end(&w);
	c = ask(fd);
	take_handle(&c, data, &data_len);
	close(fd);
	if (!strcmp(op, "lookup"))
		return; /* the call is there */
	if (!strcmp(op, "getattr")) {
		w = begin(100003, 1);
		put_opaque(&w, data, data_len);
	} else if (!strcmp(op, "readdirplus")) {
		w = begin(100003, 17);
		put_opaque(&w, root, root_len);
		writer_zero(&w, 16);
		writer_be32(&w, 8192);
		writer_be32(&w, 32768);
	} else {
		unsigned int kib = 0;
		uint32_t count;

		sscanf(op, "read%uk", &kib);
		count = !strcmp(op, "read1m") ? 1 << 20 : kib << 10;
		if (!count) {
			errno = EINVAL;
			die(op);
		}
		w = begin(100003, 6);
		put_opaque(&w, data, data_len);
		writer_be64(&w, 0);
		writer_be32(&w, count);
	}
	end(&w);
}

/* CPU of all threads of a process, ns. */
static uint64_t cpu_ns(int pid)
{
	char path[64];
	uint64_t sum = 0;
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		char file[400];
		unsigned long long ns;
		FILE *f;

		snprintf(file, sizeof(file), "%s/%s/schedstat", path, e->d_name);
		f = fopen(file, "r");
		if (f && fscanf(f, "%llu", &ns) == 1)
			sum += ns;
		if (f)
			fclose(f);
	}
	if (d)
		closedir(d);
	return sum;
}

static void send_calls(struct load_conn *c, unsigned int n)
{
	static uint8_t many[64 << 10];
	unsigned int fit = (unsigned int)(sizeof(many) / call_len);

	while (n) {
		unsigned int now = n < fit ? n : fit;

		for (unsigned int i = 0; i < now; i++)
			memcpy(many + i * call_len, call_bytes, call_len);
		/* small beside the socket's buffer: never short in practice */
		if (write(c->fd, many, now * call_len) != (ssize_t)(now * call_len))
			die("write");
		n -= now;
	}
}

/* Count the replies that end in these bytes. */
static unsigned int count_replies(struct load_conn *c, const uint8_t *p, size_t n)
{
	unsigned int done = 0;

	while (n) {
		if (c->mark_left) {
			c->mark = c->mark << 8 | *p++;
			n--;
			if (--c->mark_left)
				continue;
			c->left = c->mark & 0x7fffffff;
			c->head = true;
			continue;
		}
		if (c->head && n >= 28) {
			/* accepted and NFS3_OK */
			if (p[11] || p[23] || p[27]) {
				errno = EPROTO;
				die("a call failed");
			}
			c->head = false;
		}
		if (n < c->left) {
			c->left -= n;
			break;
		}
		p += c->left;
		n -= c->left;
		done++;
		c->mark_left = 4;
	}
	return done;
}

int main(int argc, char **argv)
{
	static struct load_conn conns[MAX_CONNS];
	struct epoll_event events[256];
	uint64_t calls = 0;
	uint64_t bytes = 0;
	uint64_t calls0 = 0;
	uint64_t bytes0 = 0;
	uint64_t cpu0 = 0;
	int64_t start;
	int64_t began = 0;
	int64_t secs;
	int nconns;
	int depth;
	int pid;
	int ep;

	if (argc != 10) {
		fprintf(stderr,
			"usage: nfs-load ADDRESS PORT MOUNT_PORT PATH OP CONNS DEPTH SECS PID\n");
		return 2;
	}
	nconns = atoi(argv[6]);
	depth = atoi(argv[7]);
	secs = atoi(argv[8]);
	pid = atoi(argv[9]);
	setup(argv[1], (uint16_t)atoi(argv[2]), (uint16_t)atoi(argv[3]), argv[4], argv[5]);
	ep = epoll_create1(0);
	for (int i = 0; i < nconns && i < MAX_CONNS; i++) {
		struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &conns[i]};

		conns[i] = (struct load_conn){.fd = dial(argv[1], (uint16_t)atoi(argv[2])),
					      .mark_left = 4};
		epoll_ctl(ep, EPOLL_CTL_ADD, conns[i].fd, &ev);
	}
	start = instant_now().ns;
	for (int i = 0; i < nconns; i++)
		send_calls(&conns[i], (unsigned int)depth);
	for (;;) {
		int n = epoll_wait(ep, events, 256, 1000);
		int64_t now = instant_now().ns;

		/* the first half second warms up */
		if (!began && now - start > NS_PER_SEC / 2) {
			began = now;
			cpu0 = cpu_ns(pid);
			calls0 = calls;
			bytes0 = bytes;
		}
		if (began && now - began > secs * NS_PER_SEC) {
			double t = (double)(now - began) / 1e9;
			uint64_t cpu = cpu_ns(pid) - cpu0;

			calls -= calls0;
			bytes -= bytes0;
			printf("%.0f calls/s %.1f MB/s %.2f us/call\n", (double)calls / t,
			       (double)bytes / t / 1e6, (double)cpu / 1000 / (double)calls);
			return 0;
		}
		for (int i = 0; i < n; i++) {
			struct load_conn *c = events[i].data.ptr;
			ssize_t r = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);
			unsigned int done;

			if (r <= 0)
				die("recv");
			done = count_replies(c, buf, (size_t)r);
			calls += done;
			bytes += (uint64_t)r;
			if (done)
				send_calls(c, done);
		}
	}
}

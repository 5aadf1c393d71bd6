/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Replays a recorded boot (nfs-trace.py) against one NFSv3 server by many clients at
 * once, each from an address of its own, and says what a boot cost the server in CPU.
 *
 *	nfs-replay SERVER PORT MOUNT_PORT PATH FIRST_CLIENT CLIENTS TRACE PID
 *
 * A client mounts, looks up each path of the trace once (not measured), then sends the
 * calls in their order with as many in flight as the kernel had.   Prints calls, errors, boots/s,
 *ms of server CPU a boot, and the slowest client's time beside the median.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/clock.h"

enum { MAX_PATHS = 8192, MAX_CALLS = 65536, MAX_PAGES = 64, DEPTH_MAX = 16, BUF = 2 << 20 };

enum op { GETATTR, LOOKUP, ACCESS, READLINK, READ, READDIRPLUS, FSSTAT, FSINFO, PATHCONF, OPS };
static const struct {
	const char *name;
	uint32_t proc;
} ops[OPS] = {{"getattr", 1},	   {"lookup", 3},  {"access", 4},  {"readlink", 5}, {"read", 6},
	      {"readdirplus", 17}, {"fsstat", 18}, {"fsinfo", 19}, {"pathconf", 20}};

struct step {
	enum op op;
	unsigned int path;
	unsigned int depth; /* in flight with this one */
	uint64_t a;	    /* offset, page */
	uint32_t b;	    /* count, dircount */
	uint32_t c;	    /* maxcount */
	char name[256];
};

struct handle {
	uint8_t len;
	uint8_t bytes[64];
};

struct client {
	int fd;
	uint32_t address;
	struct handle *handles; /* by path */
	unsigned int sent;
	unsigned int done;
	uint64_t cookie; /* the last one of a directory that is read in pages */
	uint8_t mark[4];
	unsigned int mark_len;
	uint32_t left;
	uint32_t want; /* of the reply */
	unsigned int errors;
	int64_t started;
	int64_t finished;
};

static char *paths[MAX_PATHS];
static unsigned int npaths;
static struct step *steps;
static unsigned int nsteps;
static uint8_t buf[BUF];
static uint8_t out[4096];

static void die(const char *what)
{
	fprintf(stderr, "nfs-replay: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void unquote(char *s)
{
	char *o = s;
	unsigned int v;

	for (; *s; s++) {
		if (*s == '%' && sscanf(s + 1, "%2x", &v) == 1) {
			*o++ = (char)v;
			s += 2;
		} else {
			*o++ = *s;
		}
	}
	*o = '\0';
}

static unsigned int path_index(const char *path)
{
	for (unsigned int i = 0; i < npaths; i++)
		if (!strcmp(paths[i], path))
			return i;
	if (npaths == MAX_PATHS) {
		errno = E2BIG;
		die("paths");
	}
	paths[npaths] = strdup(path);
	return npaths++;
}

static void load(const char *file)
{
	FILE *f = fopen(file, "r");
	char line[4096];

	if (!f)
		die(file);
	steps = calloc(MAX_CALLS, sizeof(*steps));
	path_index("/");
	while (fgets(line, sizeof(line), f) && nsteps < MAX_CALLS) {
		struct step *s = &steps[nsteps];
		char op[32];
		char path[2048];
		char rest[1024] = "";
		unsigned int i;

		if (sscanf(line, "%*u %u %31s %2047s %1023[^\n]", &s->depth, op, path, rest) < 3)
			continue;
		for (i = 0; i < OPS && strcmp(ops[i].name, op); i++)
			;
		if (i == OPS)
			continue;
		s->op = (enum op)i;
		if (s->depth >= DEPTH_MAX)
			s->depth = DEPTH_MAX - 1;
		unquote(path);
		s->path = path_index(path);
		if (s->op == LOOKUP) {
			unquote(rest);
			snprintf(s->name, sizeof(s->name), "%s", rest);
		} else if (s->op == READ) {
			unsigned long long a;

			sscanf(rest, "%llu %u", &a, &s->b);
			s->a = a;
		} else if (s->op == READDIRPLUS) {
			unsigned long long a;

			sscanf(rest, "%llu %u %u", &a, &s->b, &s->c);
			s->a = a;
		}
		nsteps++;
	}
	fclose(f);
}

static int dial(const char *server, uint16_t port, uint32_t address, uint16_t local)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in me = {
		.sin_family = AF_INET, .sin_port = htons(local), .sin_addr.s_addr = htonl(address)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	inet_pton(AF_INET, server, &to.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&me, sizeof(me)) ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)))
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static struct writer begin(uint32_t prog, uint32_t proc, uint32_t xid)
{
	struct writer w = writer_of(out, sizeof(out));

	writer_be32(&w, 0);
	writer_be32(&w, xid);
	writer_be32(&w, 0);
	writer_be32(&w, 2);
	writer_be32(&w, prog);
	writer_be32(&w, 3);
	writer_be32(&w, proc);
	writer_be32(&w, 1);
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

static size_t end(struct writer *w)
{
	struct writer mark = writer_of(out, 4);

	writer_be32(&mark, 0x80000000U | (uint32_t)(writer_len(w) - 4));
	return writer_len(w);
}

static void put_opaque(struct writer *w, const void *p, size_t len)
{
	writer_be32(w, (uint32_t)len);
	writer_put(w, p, len);
	writer_zero(w, -len & 3);
}

/* One call, its whole reply: a cursor at the results. */
static struct cursor ask(int fd, size_t len)
{
	size_t got = 0;
	struct cursor c;

	if (write(fd, out, len) != (ssize_t)len)
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

static bool take_handle(struct cursor *c, struct handle *h)
{
	uint32_t len;

	if (cursor_be32(c))
		return false;
	len = cursor_be32(c);
	h->len = (uint8_t)len;
	memcpy(h->bytes, cursor_skip(c, len), len);
	return true;
}

static void walk(struct client *client, unsigned int path)
{
	struct handle at = client->handles[0];
	char copy[2048];
	char *save;

	snprintf(copy, sizeof(copy), "%s", paths[path]);
	for (char *name = strtok_r(copy, "/", &save); name; name = strtok_r(NULL, "/", &save)) {
		struct writer w = begin(100003, 3, 1);
		struct cursor c;

		put_opaque(&w, at.bytes, at.len);
		put_opaque(&w, name, strlen(name));
		c = ask(client->fd, end(&w));
		if (!take_handle(&c, &at))
			return; /* not on this server: its calls are left out */
	}
	client->handles[path] = at;
}

/* Leave out the calls whose path this server does not have. */
static unsigned int steps_prune(const struct client *client)
{
	unsigned int n = 0;
	unsigned int gone;

	for (unsigned int i = 0; i < nsteps; i++)
		if (client->handles[steps[i].path].len)
			steps[n++] = steps[i];
	gone = nsteps - n;
	nsteps = n;
	return gone;
}

static size_t write_step(struct client *client, const struct step *s, uint32_t xid)
{
	const struct handle *h = &client->handles[s->path];
	struct writer w = begin(100003, ops[s->op].proc, xid);

	put_opaque(&w, h->bytes, h->len);
	switch (s->op) {
	case LOOKUP:
		put_opaque(&w, s->name, strlen(s->name));
		break;
	case ACCESS:
		writer_be32(&w, 0x1f);
		break;
	case READ:
		writer_be64(&w, s->a);
		writer_be32(&w, s->b);
		break;
	case READDIRPLUS:
		writer_be64(&w, s->a ? client->cookie : 0);
		writer_zero(&w, 8);
		writer_be32(&w, s->b);
		writer_be32(&w, s->c);
		break;
	default:
		break;
	}
	return end(&w);
}

/* Send all that may be in flight now. */
static void client_send(struct client *client)
{
	static uint8_t many[64 << 10];
	size_t len = 0;

	while (client->sent < nsteps) {
		const struct step *s = &steps[client->sent];

		if (client->sent - client->done > s->depth)
			break;
		/* A later page needs the cookie of the one before. */
		if (s->op == READDIRPLUS && s->a && client->sent != client->done)
			break;
		{
			size_t n = write_step(client, s, client->sent + 10);

			if (len + n > sizeof(many))
				break;
			memcpy(many + len, out, n);
			len += n;
		}
		client->sent++;
	}
	if (len && write(client->fd, many, len) != (ssize_t)len)
		die("write");
}

static void last_cookie(struct client *client, struct cursor c)
{
	if (cursor_be32(&c))
		cursor_skip(&c, 84);
	cursor_skip(&c, 8);
	while (cursor_be32(&c)) {
		uint32_t len;
		uint64_t cookie;

		cursor_skip(&c, 8);
		len = cursor_be32(&c);
		cursor_skip(&c, len + (-len & 3));
		cookie = cursor_be64(&c);
		if (cursor_be32(&c))
			cursor_skip(&c, 84);
		if (cursor_be32(&c)) {
			len = cursor_be32(&c);
			cursor_skip(&c, len + (-len & 3));
		}
		if (c.bad)
			break;
		client->cookie = cookie;
	}
}

/* Replies may be cut anywhere; only small ones are looked into, and those come whole. */
static void client_receive(struct client *client)
{
	ssize_t r = recv(client->fd, buf, sizeof(buf), MSG_DONTWAIT);
	const uint8_t *p = buf;

	if (r <= 0)
		die("recv");
	while (r) {
		size_t n;

		if (client->mark_len < 4) {
			client->mark[client->mark_len++] = *p++;
			r--;
			if (client->mark_len == 4) {
				struct cursor c = cursor_of(client->mark, 4);

				client->left = client->want = cursor_be32(&c) & 0x7fffffff;
			}
			continue;
		}
		n = (size_t)r < client->left ? (size_t)r : client->left;
		if (client->left == client->want && n >= 28) {
			struct cursor c = cursor_of(p, n);
			uint32_t i = cursor_be32(&c) - 10;
			const struct step *s = &steps[i < nsteps ? i : 0];
			uint32_t status;

			cursor_skip(&c, 20);
			status = cursor_be32(&c);
			if (i >= nsteps || (status && s->op != LOOKUP))
				client->errors++;
			else if (!status && s->op == READDIRPLUS)
				last_cookie(client, c);
		}
		p += n;
		r -= (ssize_t)n;
		client->left -= (uint32_t)n;
		if (!client->left) {
			client->mark_len = 0;
			client->done++;
		}
	}
}

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

static int cmp(const void *a, const void *b)
{
	const int64_t *x = a;
	const int64_t *y = b;

	return (*x > *y) - (*x < *y);
}

int main(int argc, char **argv)
{
	struct rlimit files = {16384, 16384};
	struct epoll_event events[256];
	struct in_addr first;
	struct client *clients;
	unsigned int nclients;
	unsigned int finished = 0;
	unsigned int errors = 0;
	unsigned int gone = 0;
	uint64_t cpu;
	int64_t start;
	int64_t *times;
	int ep = epoll_create1(0);
	int pid;

	if (argc != 9) {
		fprintf(stderr, "usage: nfs-replay SERVER PORT MOUNT_PORT PATH FIRST_CLIENT CLIENTS"
				" TRACE PID\n");
		return 2;
	}
	setrlimit(RLIMIT_NOFILE, &files);
	nclients = (unsigned int)atoi(argv[6]);
	load(argv[7]);
	pid = atoi(argv[8]);
	inet_pton(AF_INET, argv[5], &first);
	clients = calloc(nclients, sizeof(*clients));
	times = calloc(nclients, sizeof(*times));
	for (unsigned int i = 0; i < nclients; i++) {
		struct client *c = &clients[i];
		struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
		struct writer w = begin(100005, 1, 1);
		struct cursor reply;
		char path[256];
		int fd;

		c->address = ntohl(first.s_addr) + i;
		c->handles = calloc(npaths, sizeof(*c->handles));
		fd = dial(argv[1], (uint16_t)atoi(argv[3]), c->address, 700);
		snprintf(path, sizeof(path), "%s", argv[4]);
		put_opaque(&w, path, strlen(path));
		reply = ask(fd, end(&w));
		if (!take_handle(&reply, &c->handles[0])) {
			errno = EACCES;
			die("mount");
		}
		close(fd);
		c->fd = dial(argv[1], (uint16_t)atoi(argv[2]), c->address, 701);
		for (unsigned int p = 1; p < npaths; p++)
			walk(c, p);
		if (!i)
			gone = steps_prune(c);
		epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev);
	}
	cpu = cpu_ns(pid);
	start = instant_now().ns;
	for (unsigned int i = 0; i < nclients; i++) {
		clients[i].started = instant_now().ns;
		client_send(&clients[i]);
	}
	while (finished < nclients) {
		int n = epoll_wait(ep, events, 256, 30000);

		if (n <= 0) {
			errno = ETIMEDOUT;
			die("a client gets no answer");
		}
		for (int i = 0; i < n; i++) {
			struct client *c = events[i].data.ptr;

			client_receive(c);
			if (c->done == nsteps) {
				c->finished = instant_now().ns;
				times[finished++] = c->finished - c->started;
				errors += c->errors;
				epoll_ctl(ep, EPOLL_CTL_DEL, c->fd, NULL);
				continue;
			}
			client_send(c);
		}
	}
	cpu = cpu_ns(pid) - cpu;
	qsort(times, nclients, sizeof(*times), cmp);
	printf("%u clients, %u calls each (%u left out), %u errors, %.1f boots/s, %.2f ms "
	       "CPU/boot, "
	       "slowest %.2f of median %.3f s\n",
	       nclients, nsteps, gone, errors,
	       nclients / ((double)(instant_now().ns - start) / 1e9), (double)cpu / 1e6 / nclients,
	       (double)times[nclients - 1] / (double)times[nclients / 2],
	       (double)times[nclients / 2] / 1e9);
	return errors > 0;
}

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
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/bench/nfs-client.h"

enum { MAX_PATHS = 8192, MAX_CALLS = 65536, DEPTH_MAX = 16, FIRST_XID = 10 };

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

struct client {
	int fd;
	uint32_t address;
	struct nfs_handle *handles; /* by path */
	unsigned int sent;
	unsigned int done;
	uint64_t cookie; /* the last one of a directory that is read in pages */
	struct nfs_stream stream;
	unsigned int errors;
	int64_t started;
	int64_t finished;
};

/* A directory comes before what is in it; the root is the first. */
static struct path {
	char *text;
	const char *name; /* its last component */
	unsigned int parent;
	unsigned int depth;
} paths[MAX_PATHS];
static unsigned int npaths;
static unsigned int deepest;
static struct step *steps;
static unsigned int nsteps;
static uint8_t buf[REPLIES_SIZE];

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

static unsigned int path_index(const char *text)
{
	struct path path = {.text = strdup(text)};
	char *slash = path.text ? strrchr(path.text, '/') : NULL;

	for (unsigned int i = 0; i < npaths; i++)
		if (!strcmp(paths[i].text, text)) {
			free(path.text);
			return i;
		}
	if (slash && slash[1]) {
		path.name = slash + 1;
		*slash = '\0';
		path.parent = path_index(slash == path.text ? "/" : path.text);
		path.depth = paths[path.parent].depth + 1;
		*slash = '/';
	}
	if (npaths == MAX_PATHS || !path.text) {
		errno = E2BIG;
		die("paths");
	}
	if (path.depth > deepest)
		deepest = path.depth;
	paths[npaths] = path;
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

static void on_handle(void *arg, uint32_t xid, uint32_t status, struct bytes results)
{
	struct client *client = arg;

	client->done++;
	if (!status)
		nfs_take_handle(results, &client->handles[xid]);
}

static void receive(struct client *client, nfs_reply_fn *reply)
{
	ssize_t r = recv(client->fd, buf, sizeof(buf), 0);

	if (r <= 0)
		die("recv");
	nfs_stream_feed(&client->stream, (struct bytes){buf, (size_t)r}, reply, client);
}

/* The handles of all paths, level by level.  What this server does not have gets none:
 * its calls are left out. */
static void walk(struct client *client)
{
	for (unsigned int depth = 1; depth <= deepest; depth++) {
		for (unsigned int i = 1; i < npaths; i++) {
			const struct nfs_handle *dir = &client->handles[paths[i].parent];
			struct nfs_call call;
			struct writer w;

			if (paths[i].depth != depth || !dir->len)
				continue;
			w = nfs_begin(&call, NFS_PROGRAM, NFS_LOOKUP, i);
			nfs_put_handle(&w, dir);
			nfs_put_opaque(&w, paths[i].name, strlen(paths[i].name));
			nfs_end(&call, &w);
			if (write(client->fd, call.bytes, call.len) != (ssize_t)call.len)
				die("write");
			client->sent++;
			while (client->sent - client->done > 64)
				receive(client, on_handle);
		}
		while (client->sent != client->done)
			receive(client, on_handle);
	}
	client->sent = client->done = 0;
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

static void write_step(struct client *client, const struct step *s, uint32_t xid,
		       struct nfs_call *call)
{
	struct writer w = nfs_begin(call, NFS_PROGRAM, ops[s->op].proc, xid);

	nfs_put_handle(&w, &client->handles[s->path]);
	switch (s->op) {
	case LOOKUP:
		nfs_put_opaque(&w, s->name, strlen(s->name));
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
	nfs_end(call, &w);
}

/* Send all that may be in flight now. */
static void client_send(struct client *client)
{
	static uint8_t many[64 << 10];
	struct nfs_call call;
	size_t len = 0;

	while (client->sent < nsteps) {
		const struct step *s = &steps[client->sent];

		if (client->sent - client->done > s->depth)
			break;
		/* A later page needs the cookie of the one before. */
		if (s->op == READDIRPLUS && s->a && client->sent != client->done)
			break;
		write_step(client, s, client->sent + FIRST_XID, &call);
		if (len + call.len > sizeof(many))
			break;
		memcpy(many + len, call.bytes, call.len);
		len += call.len;
		client->sent++;
	}
	if (len && write(client->fd, many, len) != (ssize_t)len)
		die("write");
}

/* A reply that came in pieces leaves the cookie as it was: the page is read again. */
static void last_cookie(struct client *client, struct bytes results)
{
	struct cursor c = cursor_of(results.at, results.len);

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

static void on_reply(void *arg, uint32_t xid, uint32_t status, struct bytes results)
{
	struct client *client = arg;
	uint32_t i = xid - FIRST_XID;

	client->done++;
	if (i >= nsteps || status == UINT32_MAX || (status && steps[i].op != LOOKUP))
		client->errors++;
	else if (!status && steps[i].op == READDIRPLUS)
		last_cookie(client, results);
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

		c->address = ntohl(first.s_addr) + i;
		c->handles = calloc(npaths, sizeof(*c->handles));
		if (!c->handles)
			die("memory");
		nfs_mount(argv[1], (uint16_t)atoi(argv[3]), c->address, argv[4], &c->handles[0]);
		c->fd = nfs_dial(argv[1], (uint16_t)atoi(argv[2]), c->address);
		walk(c);
		if (!i)
			gone = steps_prune(c);
		epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev);
	}
	cpu = process_cpu_ns(pid);
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

			receive(c, on_reply);
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
	cpu = process_cpu_ns(pid) - cpu;
	qsort(times, nclients, sizeof(*times), cmp);
	printf("%u clients, %u calls each (%u left out), %u errors, %.1f boots/s, %.2f ms "
	       "CPU/boot, "
	       "slowest %.2f of median %.3f s\n",
	       nclients, nsteps, gone, errors,
	       nclients / ((double)(instant_now().ns - start) / 1e9), (double)cpu / 1e6 / nclients,
	       (double)times[nclients - 1] / (double)times[nclients / 2],
	       (double)times[nclients / 2] / 1e9);
	for (unsigned int i = 0; i < nclients; i++)
		free(clients[i].handles);
	for (unsigned int i = 0; i < npaths; i++)
		free(paths[i].text);
	free(clients);
	free(times);
	free(steps);
	return errors > 0;
}

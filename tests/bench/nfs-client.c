/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/bench/nfs-client.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define LAST UINT32_C(0x80000000)

void die(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	exit(1);
}

int nfs_dial(const char *server, uint16_t port, uint32_t address)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	int on = 1;

	inet_pton(AF_INET, server, &to.sin_addr);
	for (int local = 1023; local > 200; local--) {
		struct sockaddr_in me = {
			.sin_family = AF_INET,
			.sin_port = htons((uint16_t)local),
			.sin_addr.s_addr = htonl(address),
		};
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd < 0)
			break;
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (!bind(fd, (struct sockaddr *)&me, sizeof(me)) &&
		    !connect(fd, (struct sockaddr *)&to, sizeof(to))) {
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
			return fd;
		}
		close(fd);
	}
	die("connect");
}

struct writer nfs_begin(struct nfs_call *call, uint32_t program, uint32_t proc, uint32_t xid)
{
	struct writer w = writer_of(call->bytes, sizeof(call->bytes));

	writer_be32(&w, 0); /* mark */
	writer_be32(&w, xid);
	writer_be32(&w, 0);
	writer_be32(&w, 2);
	writer_be32(&w, program);
	writer_be32(&w, 3);
	writer_be32(&w, proc);
	writer_be32(&w, 1); /* AUTH_SYS */
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

void nfs_put_opaque(struct writer *w, const void *p, size_t len)
{
	writer_be32(w, (uint32_t)len);
	writer_put(w, p, len);
	writer_zero(w, -len & 3);
}

void nfs_put_handle(struct writer *w, const struct nfs_handle *handle)
{
	nfs_put_opaque(w, handle->bytes, handle->len);
}

void nfs_end(struct nfs_call *call, const struct writer *w)
{
	struct writer mark = writer_of(call->bytes, 4);

	call->len = writer_len(w);
	writer_be32(&mark, LAST | (uint32_t)(call->len - 4));
}

struct first {
	bool done;
	uint32_t status;
	struct nfs_handle handle;
};

void nfs_take_handle(struct bytes results, struct nfs_handle *out)
{
	struct cursor c = cursor_of(results.at, results.len);
	uint32_t len = cursor_be32(&c);
	const uint8_t *p = len <= sizeof(out->bytes) ? cursor_skip(&c, len) : NULL;

	if (!p) {
		errno = EPROTO;
		die("a handle");
	}
	out->len = (uint8_t)len;
	memcpy(out->bytes, p, len);
}

static void on_first(void *arg, uint32_t xid, uint32_t status, struct bytes results)
{
	struct first *first = arg;

	(void)xid;
	first->done = true;
	first->status = status;
	if (!status)
		nfs_take_handle(results, &first->handle);
}

/* One call whose results begin with a handle. */
static void ask_handle(int fd, const struct nfs_call *call, struct nfs_handle *out)
{
	struct nfs_stream stream = {0};
	struct first first = {0};
	uint8_t buf[1024];
	size_t got = 0;

	if (write(fd, call->bytes, call->len) != (ssize_t)call->len)
		die("write");
	while (!first.done) { /* read whole before it is looked at */
		ssize_t n = read(fd, buf + got, sizeof(buf) - got);

		if (n <= 0)
			die("read");
		got += (size_t)n;
		stream = (struct nfs_stream){0};
		nfs_stream_feed(&stream, (struct bytes){buf, got}, on_first, &first);
	}
	*out = first.handle;
}

void nfs_mount(const char *server, uint16_t port, uint32_t address, const char *path,
	       struct nfs_handle *out)
{
	int fd = nfs_dial(server, port, address);
	struct nfs_call call;
	struct writer w = nfs_begin(&call, MOUNT_PROGRAM, 1, 1);

	nfs_put_opaque(&w, path, strlen(path));
	nfs_end(&call, &w);
	ask_handle(fd, &call, out);
	close(fd);
	if (!out->len) {
		errno = EACCES;
		die("mount");
	}
}

void nfs_lookup(int fd, const struct nfs_handle *dir, const char *name, struct nfs_handle *out)
{
	struct nfs_call call;
	struct writer w = nfs_begin(&call, NFS_PROGRAM, NFS_LOOKUP, 1);

	nfs_put_handle(&w, dir);
	nfs_put_opaque(&w, name, strlen(name));
	nfs_end(&call, &w);
	ask_handle(fd, &call, out);
}

void nfs_stream_feed(struct nfs_stream *s, struct bytes in, nfs_reply_fn *reply, void *arg)
{
	while (in.len) {
		struct bytes results = {0};
		size_t n;

		if (s->head_len < sizeof(s->head)) {
			s->head[s->head_len++] = *in.at++;
			in.len--;
			if (s->head_len == 16 && be32_at(s->head + 12)) {
				errno = EPROTO;
				die("a call was denied");
			}
			if (s->head_len < sizeof(s->head))
				continue;
			/* mark, xid, REPLY, accepted, verifier, accept_stat */
			s->left = (be32_at(s->head) & ~LAST) - (sizeof(s->head) - 4);
			s->status_len = 0;
			continue;
		}
		if (s->status_len < 4) {
			s->status = s->status << 8 | *in.at++;
			s->status_len++;
			in.len--;
			s->left--;
			if (s->status_len < 4)
				continue;
			s->nsmall = 0;
			if (in.len >= s->left)
				results = (struct bytes){in.at, s->left};
		}
		n = in.len < s->left ? in.len : s->left;
		if (!results.at && s->nsmall + s->left <= sizeof(s->small)) {
			memcpy(s->small + s->nsmall, in.at, n);
			s->nsmall += (unsigned int)n;
			if (n == s->left)
				results = (struct bytes){s->small, s->nsmall};
		}
		in.at += n;
		in.len -= n;
		s->left -= (uint32_t)n;
		if (s->left)
			continue;
		s->head_len = 0;
		reply(arg, be32_at(s->head + 4), be32_at(s->head + 24) ? UINT32_MAX : s->status,
		      results);
	}
}

uint64_t process_cpu_ns(int pid)
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

		if (e->d_name[0] == '.') /* ".." has the first thread's once more */
			continue;
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

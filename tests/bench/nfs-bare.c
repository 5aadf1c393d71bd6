/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The least that an NFS server with one thread can cost: epoll, one recv and one
 * send for all calls that are there, sendfile for a large READ; no lookup, no
 * check, the same answer of the right size to everybody.  What a real server costs
 * above this is its own doing.
 *
 *	nfs-bare PORT FILE [SENDFILE_MIN]
 *
 * A READ is from FILE, wherever it starts; below SENDFILE_MIN bytes (32768, as in
 * nfs/conn.c) it is copied behind its header.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/bench/nfs-client.h"

enum {
	IN_SIZE = 64 << 10,
	OUT_SIZE = 512 << 10,
	COPY_MAX = 128 << 10, /* fits behind what is there before it is sent */
	ATTR = 84,
	DIR_SIZE = 4096 /* about what a boot's directories have */
};

struct bare_conn {
	int fd;
	size_t len;
	uint8_t in[IN_SIZE];
};

static uint8_t out[OUT_SIZE];
static size_t out_len;
static uint32_t sendfile_min = 32 << 10;
static bool gone; /* the client, in the middle of a reply */
static int file_fd;
static uint64_t file_size;

static void send_out(int fd, int flags)
{
	if (out_len && send(fd, out, out_len, flags | MSG_NOSIGNAL) != (ssize_t)out_len)
		gone = true;
	out_len = 0;
}

static void put_read(int fd, struct writer *w, uint8_t *mark, uint64_t offset, uint32_t count)
{
	struct writer m = writer_of(mark, 4);
	uint32_t padded = (count + 3) & ~3U;
	off_t at;

	if (count > file_size) {
		errno = EFBIG;
		die("a READ");
	}
	at = (off_t)(offset + count <= file_size ? offset : 0);
	writer_zero(w, 4); /* NFS3_OK, attributes, count, eof, length */
	writer_be32(w, 1);
	writer_zero(w, ATTR);
	writer_be32(w, count);
	writer_be32(w, 0);
	writer_be32(w, count);
	writer_be32(&m, 0x80000000U | (uint32_t)(writer_len(w) + padded));
	out_len += 4 + writer_len(w);
	if (count < sendfile_min && count <= COPY_MAX) {
		if (pread(file_fd, out + out_len, count, at) != (ssize_t)count)
			die("pread");
		out_len += padded;
		return;
	}
	send_out(fd, MSG_MORE);
	for (uint32_t left = count; left;) {
		ssize_t n = sendfile(fd, file_fd, &at, left);

		if (n <= 0) {
			gone = true;
			break;
		}
		left -= (uint32_t)n;
	}
	memset(out, 0, 4);
	out_len = padded - count;
}

static void answer(int fd, struct bytes call)
{
	static const uint8_t handle[32];
	struct cursor c = cursor_of(call.at, call.len);
	uint8_t *mark;
	struct writer w;
	struct writer m;
	uint32_t xid = cursor_be32(&c);
	uint32_t program;
	uint32_t proc;

	if (out_len > OUT_SIZE / 2)
		send_out(fd, 0);
	mark = out + out_len;
	w = writer_of(mark + 4, OUT_SIZE - out_len - 4);
	cursor_skip(&c, 8);
	program = cursor_be32(&c);
	cursor_skip(&c, 4);
	proc = cursor_be32(&c);
	writer_be32(&w, xid);
	writer_be32(&w, 1);
	writer_zero(&w, 16);
	if (program == MOUNT_PROGRAM || proc == NFS_LOOKUP) {
		writer_zero(&w, 4);
		nfs_put_opaque(&w, handle, sizeof(handle));
		writer_be32(&w, 1);
		writer_zero(&w, ATTR);
		writer_be32(&w, 1);
		writer_zero(&w, ATTR);
	} else if (proc == NFS_READ) {
		uint64_t offset;

		for (int i = 0; i < 3; i++) { /* credential, verifier, handle */
			uint32_t len = (cursor_skip(&c, i < 2 ? 4 : 0), cursor_be32(&c));

			cursor_skip(&c, len + (-len & 3));
		}
		offset = cursor_be64(&c);
		put_read(fd, &w, mark, offset, cursor_be32(&c));
		return;
	} else if (proc == NFS_READDIRPLUS) {
		writer_zero(&w, DIR_SIZE);
	} else {
		writer_zero(&w, 4 + ATTR + 12);
	}
	m = writer_of(mark, 4);
	writer_be32(&m, 0x80000000U | (uint32_t)writer_len(&w));
	out_len += 4 + writer_len(&w);
}

/* Returns false at the end of the connection. */
static bool serve(struct bare_conn *conn)
{
	ssize_t n =
		recv(conn->fd, conn->in + conn->len, sizeof(conn->in) - conn->len, MSG_DONTWAIT);
	size_t at = 0;

	if (n <= 0)
		return n < 0 && errno == EAGAIN;
	conn->len += (size_t)n;
	gone = false;
	while (conn->len - at >= 4 && !gone) {
		struct cursor c = cursor_of(conn->in + at, conn->len - at);
		uint32_t len = cursor_be32(&c) & 0x7fffffff;

		if (cursor_left(&c) < len)
			break;
		answer(conn->fd, (struct bytes){c.at, len});
		at += 4 + len;
	}
	send_out(conn->fd, 0);
	conn->len -= at;
	memmove(conn->in, conn->in + at, conn->len);
	return !gone;
}

int main(int argc, char **argv)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};
	struct epoll_event ev = {.events = EPOLLIN};
	struct epoll_event events[128];
	struct stat st;
	int on = 1;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int ep = epoll_create1(0);

	if (argc != 3 && argc != 4) {
		fprintf(stderr, "usage: nfs-bare PORT FILE [SENDFILE_MIN]\n");
		return 2;
	}
	if (argc == 4)
		sendfile_min = (uint32_t)strtoul(argv[3], NULL, 10);
	signal(SIGPIPE, SIG_IGN);
	file_fd = open(argv[2], O_RDONLY | O_CLOEXEC);
	if (file_fd < 0 || fstat(file_fd, &st))
		die(argv[2]);
	file_size = (uint64_t)st.st_size;
	sin.sin_port = htons((uint16_t)atoi(argv[1]));
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&sin, sizeof(sin)) || listen(listener, 1024))
		die("listen");
	epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev); /* data.ptr NULL */
	for (;;) {
		int n = epoll_wait(ep, events, 128, -1);

		for (int i = 0; i < n; i++) {
			struct bare_conn *conn = events[i].data.ptr;

			if (!conn) {
				conn = calloc(1, sizeof(*conn));
				if (!conn)
					die("memory");
				conn->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
				ev.data.ptr = conn;
				if (conn->fd < 0)
					die("accept");
				epoll_ctl(ep, EPOLL_CTL_ADD, conn->fd, &ev);
			} else if (!serve(conn)) {
				close(conn->fd);
				free(conn);
			}
		}
	}
}

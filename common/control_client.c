/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/control.h"
#include "common/control_parts.h"

enum { ANSWER_MAX = 64 << 20 };

int control_open(const char *state_dir, const char *name, int *out, struct why *why)
{
	cleanup(closep) int fd = -1;
	struct sockaddr_un addr;
	int r = control_address(state_dir, name, &addr, why);

	if (r)
		return r;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		r = -errno;
		if (r == -ENOENT || r == -ECONNREFUSED)
			return why_set(why, r, "no server runs on %s", state_dir);
		return why_set(why, r, "%s: %m", addr.sun_path);
	}
	*out = take_fd(&fd);
	return 0;
}

int control_send(int fd, const void *request, size_t len, int fd_along)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {(void *)(uintptr_t)request, len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd_along >= 0) {
		struct cmsghdr *h;

		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		h = CMSG_FIRSTHDR(&msg);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(h), &fd_along, sizeof(int));
	}
	return sendmsg(fd, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int receive_failed(const char *words, size_t len, struct why *why)
{
	int err;

	if (len < sizeof(err))
		return -EBADMSG;
	memcpy(&err, words, sizeof(err));
	return why_set(why, err < 0 ? err : -EPROTO, "%.*s", (int)(len - sizeof(err)),
		       words + sizeof(err));
}

/* 1: there is something to receive, 0: not in that time, or a negative errno. */
static int wait_for_packet(int fd, int timeout_ms)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	int r;

	do
		r = poll(&pfd, 1, timeout_ms);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

int control_receive(int fd, int timeout_ms, void *buf, size_t size, size_t *len, struct why *why)
{
	char packet[CONTROL_PACKET_MAX + 1];
	ssize_t n;
	int r = wait_for_packet(fd, timeout_ms);

	if (r <= 0)
		return r ? r : why_set(why, -ETIMEDOUT, "the server does not answer");
	n = recv(fd, packet, sizeof(packet), MSG_TRUNC);
	if (n < 0)
		return -errno;
	if (n == 0)
		return why_set(why, -EPIPE, "the server hung up");
	if ((size_t)n > sizeof(packet))
		return -EMSGSIZE;
	switch (packet[0]) {
	case CONTROL_KIND_MORE:
		if ((size_t)n - 1 > size)
			return -EMSGSIZE;
		memcpy(buf, packet + 1, (size_t)n - 1);
		*len = (size_t)n - 1;
		return 0;
	case CONTROL_KIND_END:
		return CONTROL_END;
	case CONTROL_KIND_FAIL:
		return receive_failed(packet + 1, (size_t)n - 1, why);
	default:
		return -EBADMSG;
	}
}

/* The time is over before the answer: was there none, has it stopped, or does it still come? */
static int too_late(size_t len, struct instant heard, int timeout_ms, struct why *why)
{
	int64_t silent_ms = (instant_now().ns - heard.ns) / NS_PER_MS;

	if (!len)
		return why_set(why, -ETIMEDOUT, "the server does not answer");
	if (silent_ms > timeout_ms / 2)
		return why_set(why, -ETIMEDOUT,
			       "the answer stopped before its end: nothing came for %lld ms",
			       (long long)silent_ms);
	return why_set(why, -ETIMEDOUT, "the answer does not end: after %d ms it still came",
		       timeout_ms);
}

int control_ask(const char *state_dir, const char *name, const char *request, int timeout_ms,
		char **answer, size_t *answer_len, struct why *why)
{
	struct instant heard = instant_now();
	struct instant until = instant_add_ms(heard, timeout_ms);
	cleanup(freep) char *text = malloc(1);
	cleanup(closep) int fd = -1;
	size_t len = 0;
	int r;

	if (!text)
		return -ENOMEM;
	r = control_open(state_dir, name, &fd, why);
	if (!r)
		r = control_send(fd, request, strlen(request), -1);
	while (!r) {
		int64_t left = (until.ns - instant_now().ns) / NS_PER_MS;
		char *more = realloc(text, len + CONTROL_PACKET_MAX + 1);
		size_t n;

		if (!more)
			return -ENOMEM;
		text = more;
		if (len > ANSWER_MAX)
			return -EMSGSIZE;
		r = left > 0 ? wait_for_packet(fd, (int)left) : 0;
		if (!r)
			return too_late(len, heard, timeout_ms, why);
		if (r > 0)
			r = control_receive(fd, 0, text + len, CONTROL_PACKET_MAX, &n, why);
		if (!r) {
			len += n;
			heard = instant_now();
		}
	}
	if (r != CONTROL_END)
		return r;
	text[len] = '\0';
	*answer = take(&text);
	*answer_len = len;
	return 0;
}

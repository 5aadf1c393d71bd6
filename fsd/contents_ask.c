/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/contents_parts.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>

enum {
	COPIER_PATIENCE_SECS = 30, /* for a copier that went away to come back */
	COPIER_RETRY_MS = 100,
	COPIER_STOOD_MS = 1000 /* a connection that did not was refused */
};

static void retry_later(struct contents *cs)
{
	const struct itimerspec in = {.it_value = {.tv_nsec = COPIER_RETRY_MS * NS_PER_MS}};

	timerfd_settime(cs->timer_fd, 0, &in, NULL);
}

static int copier_connect(struct contents *cs)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct epoll_event ev = {.events = EPOLLIN};
	cleanup(closep) int fd = -1;

	if (snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/" COPIER_SOCKET, cs->state_dir) >=
	    (int)sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return -errno;
	ev.data.fd = fd;
	if (epoll_ctl(cs->epoll_fd, EPOLL_CTL_ADD, fd, &ev))
		return -errno;
	cs->socket = take_fd(&fd);
	cs->connected = instant_now();
	return 0;
}

/* Send what is unsent, as far as the copier takes it. */
static void asks_send(struct contents *cs)
{
	if (cs->socket < 0 && copier_connect(cs)) {
		retry_later(cs);
		return;
	}
	for (struct ask *ask = cs->asks; ask; ask = ask->next) {
		const struct copier_ask packet = {
			.magic = COPIER_MAGIC,
			.version = manifest_version(version_manifest(ask->version)),
			.pos = ask->pos,
			.id = ask->id,
			.offset = ask->offset,
			.len = ask->len,
			.flight = ask->flight,
			.stamp = ask->stamp,
		};

		if (ask->sent)
			continue;
		if (send(cs->socket, &packet, sizeof(packet), MSG_NOSIGNAL) != sizeof(packet)) {
			retry_later(cs);
			return;
		}
		ask->sent = true;
	}
}

static void ask_free(struct ask *ask)
{
	version_unref(ask->version);
	free(ask);
}

void asks_free(struct contents *cs)
{
	while (cs->asks) {
		struct ask *ask = cs->asks;

		cs->asks = ask->next;
		ask_free(ask);
	}
}

/* It stays in the list while its waits are told, so that one may cancel another, but
 * takes no new ones: a wait that asks again at once would never end. */
static void ask_finish(struct contents *cs, struct ask *ask, int r, struct content *content)
{
	/* Whoever is told may open so much that the cache lets go of it. */
	cleanup(content_unrefp) struct content *held = r ? NULL : content_ref(content);

	ask->finished = true;
	while (ask->waits) {
		struct content_wait *wait = ask->waits;

		ask->waits = wait->next;
		wait->done(wait, r, r ? NULL : content_ref(held));
	}
	for (struct ask **p = &cs->asks; *p; p = &(*p)->next)
		if (*p == ask) {
			*p = ask->next;
			break;
		}
	ask_free(ask);
}

/* The range in whole extents, so that reads of one file's neighbouring parts share a
 * question. */
static void ask_align(struct ask *ask)
{
	uint64_t first = ask->offset / EXTENT_SIZE * EXTENT_SIZE;
	uint64_t most = UINT64_MAX - EXTENT_SIZE - first;
	uint64_t len = ask->len;

	if (!len || len == COPIER_WHOLE)
		return;
	len = len < most ? len + (ask->offset - first) : most;
	ask->offset = first;
	ask->len = (len + EXTENT_SIZE - 1) / EXTENT_SIZE * EXTENT_SIZE;
}

static bool ask_covers(const struct ask *have, const struct ask *want)
{
	return have->version == want->version && have->pos == want->pos &&
	       have->stamp == want->stamp && !have->finished && have->offset == want->offset &&
	       have->len == want->len;
}

int ask_new(struct contents *cs, const struct ask *what, struct content_wait *wait)
{
	struct ask want = *what;
	struct ask *ask;

	ask_align(&want);
	for (ask = cs->asks; ask; ask = ask->next)
		if (ask_covers(ask, &want))
			break;
	if (!ask) {
		ask = malloc(sizeof(*ask));
		if (!ask)
			return -ENOMEM;
		*ask = want;
		ask->id = ++cs->next_id;
		ask->version = version_ref(want.version);
		ask->since = instant_now();
		ask->next = cs->asks;
		cs->asks = ask;
		asks_send(cs);
	}
	wait->id = ask->id;
	wait->next = ask->waits;
	ask->waits = wait;
	return CONTENT_WAIT;
}

void contents_cancel(struct contents *cs, struct content_wait *wait)
{
	for (struct ask *ask = cs->asks; ask; ask = ask->next)
		for (struct content_wait **p = &ask->waits; *p; p = &(*p)->next)
			if (*p == wait) {
				*p = wait->next; /* the ask goes on: its object is wanted again */
				return;
			}
}

/* All of the file. */
static int take_whole(struct contents *cs, struct ask *ask, const struct copier_reply *reply,
		      int *fd, struct content **out)
{
	struct partial *p = partial_get(cs, ask->version, ask->pos);

	if (p && p->content &&
	    ((reply->stamp && reply->stamp != p->content->stamp) ||
	     !content_is(p->content, &reply->record)))
		partial_break(p);
	if (p && !p->content)
		return -EIO;
	if (*fd < 0)
		return -EIO;
	if (p)
		partial_remove(cs, p);
	version_learn(ask->version, &reply->record);
	*out = cache_find(cs, &reply->record.hash);
	return *out ? 0 : cache_add(cs, &reply->record.hash, take_fd(fd), out);
}

/* Some of it. */
static int take_some(struct contents *cs, struct ask *ask, const struct copier_reply *reply,
		     int fds[static 2], struct content **out)
{
	struct partial *p;
	int r = partial_take(cs, ask->version, reply, fds);

	if (r)
		return r;
	p = partial_get(cs, ask->version, ask->pos);
	if (p && !p->content)
		return -EIO;
	if (p) {
		version_learn(ask->version, &p->content->record);
		*out = p->content;
	} else { /* complete since: in the cache now */
		struct fill_record record;

		*out = version_known(ask->version, ask->pos, &record) ? cache_find(cs, &record.hash)
								      : NULL;
	}
	return *out && content_ready(*out, ask->offset, ask->len) ? 0 : -EIO;
}

static int take_failure(struct contents *cs, struct ask *ask, const struct copier_reply *reply)
{
	struct partial *p = partial_get(cs, ask->version, ask->pos);

	if (reply->record.flags & FILL_GONE)
		version_learn(ask->version, &reply->record);
	if (reply->status != -ESTALE)
		return reply->status;
	/* Of another state than what was given out of it. */
	if (p && p->content)
		partial_break(p);
	return -EIO;
}

static void reply_take(struct contents *cs, const struct copier_reply *reply, int fds[static 2])
{
	struct content *c = NULL;
	struct ask *ask;
	int r;

	for (ask = cs->asks; ask; ask = ask->next)
		if (ask->id == reply->id)
			break;
	if (!ask || ask->finished || reply->record.pos != ask->pos)
		return;
	if (reply->status)
		r = take_failure(cs, ask, reply);
	else if (reply->flight)
		r = take_some(cs, ask, reply, fds, &c);
	else
		r = take_whole(cs, ask, reply, &fds[0], &c);
	if (r == -ENOLINK && ask->flight) {
		ask->flight = 0;
		ask->sent = false;
		asks_send(cs);
		return;
	}
	ask_finish(cs, ask, r, c);
}

/* Returns 0, -EAGAIN when there is none, or another negative errno at its end. */
static int reply_receive(int socket, struct copier_reply *reply, int fds[static 2])
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} control;
	struct iovec iov = {reply, sizeof(*reply)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	struct cmsghdr *c;
	ssize_t n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	fds[0] = fds[1] = -1;
	if (n < 0)
		return -errno;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(fds, CMSG_DATA(c),
		       c->cmsg_len < CMSG_LEN(2 * sizeof(int)) ? sizeof(int) : 2 * sizeof(int));
	return n == sizeof(*reply) ? 0 : -EPIPE;
}

static void copier_lost(struct contents *cs)
{
	struct instant now = instant_now();
	bool stood = now.ns - cs->connected.ns > COPIER_STOOD_MS * NS_PER_MS;

	close(cs->socket); /* leaves the epoll set by itself */
	cs->socket = -1;
	for (struct ask *ask = cs->asks; ask; ask = ask->next) {
		ask->sent = false;
		if (stood)
			ask->since = now; /* the copier was there until now */
	}
	if (cs->asks)
		retry_later(cs);
}

static void asks_expire(struct contents *cs)
{
	struct instant now = instant_now();
	struct ask *next;

	for (struct ask *ask = cs->asks; ask; ask = next) {
		next = ask->next;
		if (!ask->sent && now.ns - ask->since.ns > COPIER_PATIENCE_SECS * NS_PER_SEC)
			ask_finish(cs, ask, -EIO, NULL);
	}
}

void contents_dispatch(struct contents *cs)
{
	struct copier_reply reply;
	uint64_t ticks;

	if (read(cs->timer_fd, &ticks, sizeof(ticks)) == sizeof(ticks)) {
		asks_expire(cs);
		if (cs->asks)
			asks_send(cs);
	}
	while (cs->socket >= 0) {
		int fds[2];
		int r = reply_receive(cs->socket, &reply, fds);

		if (r == -EAGAIN)
			return;
		if (r)
			copier_lost(cs);
		else
			reply_take(cs, &reply, fds);
		closep(&fds[0]);
		closep(&fds[1]);
	}
}

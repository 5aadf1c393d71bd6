/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Questions to the copier.  One that is not there is waited for, and one that is silent is
 * asked whether it is there at all: a copy may take as long as it takes, but a process that
 * stands still would be waited for without end.
 */
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

#include "common/log.h"

enum {
	COPIER_RETRY_MS = 100,
	COPIER_STOOD_MS = 1000 /* a connection that did not was refused */
};

static void tick_in(struct contents *cs, int64_t ns)
{
	const struct itimerspec in = {
		.it_value = {.tv_sec = ns / NS_PER_SEC, .tv_nsec = ns % NS_PER_SEC}};

	timerfd_settime(cs->timer_fd, 0, &in, NULL);
	cs->ticking = true;
}

static void retry_later(struct contents *cs)
{
	tick_in(cs, COPIER_RETRY_MS * NS_PER_MS);
}

static bool is_over(const struct contents *cs, struct instant since, struct instant now)
{
	return now.ns - since.ns > cs->patience_ms * NS_PER_MS;
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
	cs->connected = cs->heard = instant_now();
	cs->probed = false;
	return 0;
}

static void watch_later(struct contents *cs)
{
	int64_t due = cs->heard.ns + (cs->patience_ms + 1) * NS_PER_MS;
	int64_t now = instant_now().ns;

	tick_in(cs, due > now ? due - now : NS_PER_MS);
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
	if (cs->asks && !cs->ticking)
		watch_later(cs);
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
		if (!cs->asks)
			cs->heard = ask->since;
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

/* All that were asked until now, in vain. */
static void copier_give_up(struct contents *cs)
{
	uint64_t last = cs->next_id;
	unsigned int n = 0;

	close(cs->socket);
	cs->socket = -1;
	for (struct ask *ask = cs->asks; ask;) {
		if (ask->finished || ask->id > last) {
			ask = ask->next;
			continue;
		}
		ask_finish(cs, ask, -EIO, NULL);
		n++;
		ask = cs->asks; /* who was told may have asked for more */
	}
	log_error("the copier gives no answer: %u questions are given up", n);
}

static void copier_watch(struct contents *cs, struct instant now)
{
	const struct copier_ask probe = {.magic = COPIER_MAGIC};

	if (cs->socket < 0 || !cs->asks || !is_over(cs, cs->heard, now))
		return;
	if (cs->probed) {
		copier_give_up(cs);
		return;
	}
	cs->probed = true;
	cs->heard = now;
	if (send(cs->socket, &probe, sizeof(probe), MSG_NOSIGNAL) < 0)
		return; /* it has not taken what it was sent before */
}

static void asks_expire(struct contents *cs, struct instant now)
{
	struct ask *next;

	for (struct ask *ask = cs->asks; ask; ask = next) {
		next = ask->next;
		if (!ask->sent && is_over(cs, ask->since, now))
			ask_finish(cs, ask, -EIO, NULL);
	}
}

void contents_dispatch(struct contents *cs)
{
	struct copier_reply reply;
	uint64_t ticks;

	if (read(cs->timer_fd, &ticks, sizeof(ticks)) == sizeof(ticks)) {
		struct instant now = instant_now();

		cs->ticking = false;
		asks_expire(cs, now);
		copier_watch(cs, now);
		if (cs->asks)
			asks_send(cs);
	}
	while (cs->socket >= 0) {
		int fds[2];
		int r = reply_receive(cs->socket, &reply, fds);

		if (r == -EAGAIN)
			return;
		if (r) {
			copier_lost(cs);
		} else {
			cs->heard = instant_now();
			cs->probed = false;
			reply_take(cs, &reply, fds);
		}
		closep(&fds[0]);
		closep(&fds[1]);
	}
}

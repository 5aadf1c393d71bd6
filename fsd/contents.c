/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/contents.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>

#include <openssl/sha.h>

#include "common/clock.h"
#include "fsd/copier.h"
#include "fsd/objects.h"
#include "fsd/view_source.h"

enum {
	CONTENT_BUCKETS = 1024,
	COPIER_PATIENCE_SECS = 30, /* for a copier that went away to come back */
	COPIER_RETRY_MS = 100,
	CONTENT_PRUNE_MS = 1000
};

struct content {
	unsigned int refs;
	int fd; /* -1: in memory */
	uint64_t size;
	struct hash hash;
	struct view *view; /* keeps `text` alive */
	struct bytes text;
	struct contents *owner; /* NULL once out of the cache */
	struct content *chain;	/* in its bucket */
	struct content *newer;
	struct content *older;
};

/* A question to the copier that is under way. */
struct ask {
	uint64_t id;
	struct version *version;
	uint32_t pos;
	bool sent;
	bool finished;
	struct instant since;
	struct content_wait *waits;
	struct ask *next;
};

struct contents {
	char *state_dir;
	struct objects *objects;
	struct objects *secrets; /* NULL where this process may not */
	struct content *buckets[CONTENT_BUCKETS];
	struct content *newest;
	struct content *oldest;
	unsigned int open;
	unsigned int max_open;
	int epoll_fd;
	int timer_fd;
	int socket; /* -1: not connected */
	uint64_t next_id;
	struct ask *asks;
	struct instant prune_again;
	int64_t removals; /* of the stores, at the last look */
};

int contents_new(const char *state_dir, unsigned int max_open, struct contents **out,
		 struct why *why)
{
	cleanup(contents_freep) struct contents *cs = calloc(1, sizeof(*cs));
	struct epoll_event ev = {.events = EPOLLIN};
	char path[PATH_MAX];
	int r;

	if (!cs)
		return -ENOMEM;
	cs->epoll_fd = cs->timer_fd = cs->socket = -1;
	cs->max_open = max_open < 16 ? 16 : max_open;
	cs->state_dir = strdup(state_dir);
	if (!cs->state_dir)
		return -ENOMEM;
	snprintf(path, sizeof(path), "%s/objects", state_dir);
	r = objects_open(path, false, 0, &cs->objects, why);
	if (r)
		return r;
	snprintf(path, sizeof(path), "%s/secrets", state_dir);
	r = objects_open(path, false, 0, &cs->secrets, NULL);
	if (r && r != -EACCES && r != -ENOENT)
		return why_set(why, r, "%s: %s", path, strerror(-r));
	cs->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	cs->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (cs->epoll_fd < 0 || cs->timer_fd < 0)
		return -errno;
	ev.data.fd = cs->timer_fd;
	if (epoll_ctl(cs->epoll_fd, EPOLL_CTL_ADD, cs->timer_fd, &ev))
		return -errno;
	*out = take(&cs);
	return 0;
}

static void cache_remove(struct content *c)
{
	struct contents *cs = c->owner;
	struct content **p = &cs->buckets[c->hash.octet[0] | (c->hash.octet[1] & 3) << 8];

	while (*p != c)
		p = &(*p)->chain;
	*p = c->chain;
	*(c->newer ? &c->newer->older : &cs->newest) = c->older;
	*(c->older ? &c->older->newer : &cs->oldest) = c->newer;
	cs->open--;
	c->owner = NULL;
	content_unref(c);
}

static void cache_front(struct contents *cs, struct content *c)
{
	c->newer = NULL;
	c->older = cs->newest;
	*(cs->newest ? &cs->newest->newer : &cs->oldest) = c;
	cs->newest = c;
}

static struct content *cache_find(struct contents *cs, const struct hash *hash)
{
	struct content *c = cs->buckets[hash->octet[0] | (hash->octet[1] & 3) << 8];

	while (c && memcmp(&c->hash, hash, sizeof(*hash)))
		c = c->chain;
	if (!c || c == cs->newest)
		return c;
	c->newer->older = c->older;
	*(c->older ? &c->older->newer : &cs->oldest) = c->newer;
	cache_front(cs, c);
	return c;
}

/* Keep an open object; consumes `fd`.  The cache holds one reference, the caller
 * gets none. */
static int cache_add(struct contents *cs, const struct hash *hash, int fd, struct content **out)
{
	struct content *c = calloc(1, sizeof(*c));
	struct stat st;
	unsigned int b = hash->octet[0] | (hash->octet[1] & 3) << 8;

	if (!c || fstat(fd, &st)) {
		int r = c ? -errno : -ENOMEM;

		free(c);
		close(fd);
		return r;
	}
	*c = (struct content){.refs = 1,
			      .fd = fd,
			      .size = (uint64_t)st.st_size,
			      .hash = *hash,
			      .owner = cs,
			      .chain = cs->buckets[b]};
	cs->buckets[b] = c;
	cache_front(cs, c);
	cs->open++;
	/* Those in use stay; the limit is about what is kept beyond. */
	for (struct content *old = cs->oldest; old && cs->open > cs->max_open;) {
		struct content *next = old->newer;

		if (old->refs == 1 && old != c)
			cache_remove(old);
		old = next;
	}
	*out = c;
	return 0;
}

/* Once a second: objects that were taken away, damaged or to make room, are not kept
 * open beyond their use. */
static void cache_prune(struct contents *cs)
{
	struct instant now = instant_now();
	int64_t removals;
	struct stat st;

	if (now.ns < cs->prune_again.ns)
		return;
	cs->prune_again = instant_add_ms(now, CONTENT_PRUNE_MS);
	removals = objects_removals(cs->objects);
	if (cs->secrets)
		removals += objects_removals(cs->secrets);
	if (removals == cs->removals)
		return;
	cs->removals = removals;
	for (struct content *c = cs->oldest; c;) {
		struct content *newer = c->newer;

		if (fstat(c->fd, &st) || !st.st_nlink || object_is_aside(&st))
			cache_remove(c);
		c = newer;
	}
}

void contents_free(struct contents *cs)
{
	if (!cs)
		return;
	while (cs->asks) {
		struct ask *ask = cs->asks;

		cs->asks = ask->next;
		version_unref(ask->version);
		free(ask);
	}
	while (cs->newest)
		cache_remove(cs->newest);
	objects_close(cs->objects);
	objects_close(cs->secrets);
	closep(&cs->epoll_fd);
	closep(&cs->timer_fd);
	closep(&cs->socket);
	free(cs->state_dir);
	free(cs);
}

/* ---- asking the copier ---- */

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

/* It stays in the list while its waits are told, so that one may cancel another, but
 * takes no new ones: a wait that asks again at once would never end. */
static void ask_finish(struct contents *cs, struct ask *ask, int r, struct content *content)
{
	ask->finished = true;
	while (ask->waits) {
		struct content_wait *wait = ask->waits;

		ask->waits = wait->next;
		wait->done(wait, r, r ? NULL : content_ref(content));
	}
	for (struct ask **p = &cs->asks; *p; p = &(*p)->next)
		if (*p == ask) {
			*p = ask->next;
			break;
		}
	version_unref(ask->version);
	free(ask);
}

static int ask_new(struct contents *cs, const struct view_source *source, struct content_wait *wait)
{
	struct ask *ask;

	for (ask = cs->asks; ask; ask = ask->next)
		if (ask->version == source->version && ask->pos == source->pos && !ask->finished)
			break;
	if (!ask) {
		ask = calloc(1, sizeof(*ask));
		if (!ask)
			return -ENOMEM;
		ask->id = ++cs->next_id;
		ask->version = version_ref(source->version);
		ask->pos = source->pos;
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

static void reply_take(struct contents *cs, const struct copier_reply *reply, int fd)
{
	struct content *c = NULL;
	struct ask *ask;
	int r = reply->status;

	for (ask = cs->asks; ask; ask = ask->next)
		if (ask->id == reply->id)
			break;
	if (!ask || reply->record.pos != ask->pos) {
		closep(&fd);
		return;
	}
	if (!r && fd < 0)
		r = -EIO;
	if (!r || (reply->record.flags & FILL_GONE))
		version_learn(ask->version, &reply->record);
	if (!r) {
		c = cache_find(cs, &reply->record.hash);
		if (c)
			close(fd);
		else
			r = cache_add(cs, &reply->record.hash, fd, &c);
	} else {
		closep(&fd);
	}
	ask_finish(cs, ask, r, c);
}

/* Returns 0, -EAGAIN when there is none, or another negative errno at its end. */
static int reply_receive(int socket, struct copier_reply *reply, int *fd)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {reply, sizeof(*reply)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	struct cmsghdr *c;
	ssize_t n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	*fd = -1;
	if (n < 0)
		return -errno;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(c), sizeof(*fd));
	if (n != sizeof(*reply)) {
		closep(fd);
		return -EPIPE;
	}
	return 0;
}

static void copier_lost(struct contents *cs)
{
	close(cs->socket); /* leaves the epoll set by itself */
	cs->socket = -1;
	for (struct ask *ask = cs->asks; ask; ask = ask->next) {
		ask->sent = false;
		ask->since = instant_now(); /* the copier was there until now */
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
	int fd;

	if (read(cs->timer_fd, &ticks, sizeof(ticks)) == sizeof(ticks)) {
		asks_expire(cs);
		if (cs->asks)
			asks_send(cs);
	}
	while (cs->socket >= 0) {
		int r = reply_receive(cs->socket, &reply, &fd);

		if (r == -EAGAIN)
			return;
		if (r)
			copier_lost(cs);
		else
			reply_take(cs, &reply, fd);
	}
}

int contents_fd(const struct contents *cs)
{
	return cs->epoll_fd;
}

/* ---- opening ---- */

static int open_object(struct contents *cs, struct objects *store, const struct hash *hash,
		       uint64_t size, struct content **out)
{
	struct content *c;
	int fd;
	int r;

	cache_prune(cs);
	c = cache_find(cs, hash);
	if (!c) {
		if (!store)
			return -EACCES;
		fd = objects_get(store, hash, (int64_t)size);
		if (fd < 0)
			return fd;
		r = cache_add(cs, hash, fd, &c);
		if (r)
			return r;
	}
	*out = content_ref(c);
	return 0;
}

static int open_text(struct view *view, struct bytes text, struct content **out)
{
	struct content *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	*c = (struct content){
		.refs = 1, .fd = -1, .size = text.len, .text = text, .view = view_ref(view)};
	*out = c;
	return 0;
}

static int open_image(struct contents *cs, const struct view_source *source, struct content **out,
		      struct content_wait *wait)
{
	struct fill_record record;
	int r;

	if (version_known(source->version, source->pos, &record)) {
		if (record.flags & FILL_GONE)
			return -EIO;
		r = open_object(cs, cs->objects, &record.hash, record.size, out);
		/* Known but not under its name yet, evicted or damaged: the copier has
		 * it, or can. */
		if (r != -ENOENT && r != -EBADMSG)
			return r;
	}
	return wait ? ask_new(cs, source, wait) : -EAGAIN;
}

int contents_open(struct contents *cs, struct view *view, uint32_t node, struct content **out,
		  struct content_wait *wait)
{
	struct view_source source;
	int r = view_source(view, node, &source);

	if (r)
		return r;
	switch (source.source) {
	case TREE_IMAGE:
		return open_image(cs, &source, out, wait);
	case TREE_OBJECT:
		r = open_object(cs, cs->objects, &source.hash, source.size, out);
		return r == -ENOENT || r == -EBADMSG ? -EIO : r;
	case TREE_SECRET:
		r = open_object(cs, cs->secrets, &source.hash, source.size, out);
		return r == -ENOENT || r == -EBADMSG ? -EIO : r;
	case TREE_TEXT:
		return open_text(view, source.text, out);
	default:
		return -EINVAL;
	}
}

struct blocking_wait {
	struct content_wait wait;
	bool done;
	int r;
	struct content *content;
};

static void blocking_done(struct content_wait *wait, int r, struct content *content)
{
	struct blocking_wait *b = (struct blocking_wait *)wait;

	b->done = true;
	b->r = r;
	b->content = content;
}

int contents_open_wait(struct contents *cs, struct view *view, uint32_t node, struct content **out)
{
	struct blocking_wait b = {.wait.done = blocking_done};
	int r = contents_open(cs, view, node, out, &b.wait);

	if (r != CONTENT_WAIT)
		return r;
	while (!b.done) {
		struct pollfd p = {.fd = cs->epoll_fd, .events = POLLIN};

		if (poll(&p, 1, -1) < 0 && errno != EINTR) {
			contents_cancel(cs, &b.wait);
			return -errno;
		}
		contents_dispatch(cs);
	}
	if (!b.r)
		*out = b.content;
	return b.r;
}

int view_body_hash(struct contents *cs, struct view *view, uint32_t node, struct hash *out)
{
	cleanup(content_unrefp) struct content *content = NULL;
	struct fill_record record;
	struct view_source source;
	int r = view_source(view, node, &source);

	if (r)
		return r;
	switch (source.source) {
	case TREE_TEXT:
		SHA256(source.text.at, source.text.len, out->octet);
		return 0;
	case TREE_IMAGE:
		if (!version_known(source.version, source.pos, &record) ||
		    !hash_known(&record.hash)) {
			r = contents_open_wait(cs, view, node, &content);
			if (r)
				return r;
			*out = content->hash;
			return 0;
		}
		*out = record.hash;
		return 0;
	default:
		*out = source.hash;
		return 0;
	}
}

/* ---- contents ---- */

uint64_t content_size(const struct content *c)
{
	return c->size;
}

int content_fd(const struct content *c)
{
	return c->fd;
}

struct bytes content_bytes(const struct content *c)
{
	return c->text;
}

ssize_t content_pread(const struct content *c, void *buf, size_t len, uint64_t offset)
{
	size_t done = 0;

	if (offset >= c->size)
		return 0;
	if (len > c->size - offset)
		len = c->size - offset;
	if (c->fd < 0) {
		memcpy(buf, c->text.at + offset, len);
		return (ssize_t)len;
	}
	while (done < len) {
		ssize_t n = pread(c->fd, (uint8_t *)buf + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -EIO; /* an object is never cut */
		done += (size_t)n;
	}
	return (ssize_t)done;
}

struct content *content_ref(struct content *c)
{
	c->refs++;
	return c;
}

void content_unref(struct content *c)
{
	if (!c || --c->refs)
		return;
	closep(&c->fd);
	view_unref(c->view);
	free(c);
}

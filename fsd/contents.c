/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/contents_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include "common/container.h"
#include "fsd/view_source.h"

int contents_new(const char *state_dir, unsigned int max_open, struct contents **out,
		 struct why *why)
{
	cleanup(contents_freep) struct contents *cs = calloc(1, sizeof(*cs));
	struct epoll_event ev = {.events = EPOLLIN};
	int r;

	if (!cs)
		return -ENOMEM;
	cs->epoll_fd = cs->timer_fd = cs->socket = -1;
	cs->patience_ms = CONTENTS_PATIENCE_MS;
	cs->max_open = max_open < 16 ? 16 : max_open;
	cs->state_dir = strdup(state_dir);
	if (!cs->state_dir)
		return -ENOMEM;
	r = objects_open(state_dir, STORE_OBJECTS, false, &cs->objects, why);
	if (r)
		return r;
	r = objects_open(state_dir, STORE_SECRETS, false, &cs->secrets, NULL);
	if (r && r != -EACCES && r != -ENOENT)
		return why_set(why, r, "%s/secrets: %s", state_dir, strerror(-r));
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

void contents_free(struct contents *cs)
{
	if (!cs)
		return;
	asks_free(cs);
	while (cs->partials)
		partial_remove(cs, cs->partials);
	cache_clear(cs);
	objects_close(cs->objects);
	objects_close(cs->secrets);
	closep(&cs->epoll_fd);
	closep(&cs->timer_fd);
	closep(&cs->socket);
	free(cs->state_dir);
	free(cs);
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

struct range {
	uint64_t offset;
	uint64_t len;
};

/* By what is known of it: a hash, or that it is lost.  Only of the state that `like` is of
 * (NULL: any).  1: nothing is known. */
static int open_known(struct contents *cs, struct version *version, uint32_t pos,
		      const struct content *like, struct content **out)
{
	struct fill_record record;
	int r;

	if (!version_known(version, pos, &record))
		return 1;
	if (record.flags & FILL_GONE)
		return -EIO;
	if (!hash_known(&record.hash))
		return 1; /* it drifted, and is on its way */
	if (like && !content_is(like, &record))
		return -ESTALE;
	r = open_object(cs, cs->objects, &record.hash, record.size, out);
	/* Known but not under its name yet, evicted or damaged: the copier has it, or can. */
	return r == -ENOENT || r == -EBADMSG ? 1 : r;
}

/* Are what it is of, and what is told of the file, one state?  Another thread, or another
 * process, may have learned since that the file is of another. */
static bool is_as_told(const struct content *c, struct version *version, uint32_t pos)
{
	struct fill_record told = {0};

	version_known(version, pos, &told); /* if not, as it was scanned */
	return content_is(c, &told);
}

static int open_file(struct contents *cs, struct version *version, uint32_t pos,
		     const struct content *like, struct range range, struct content **out,
		     struct content_wait *wait)
{
	struct partial *p = cs->partials ? partial_get(cs, version, pos) : NULL;
	struct ask ask = {.version = version, .pos = pos, .offset = range.offset, .len = range.len};
	int r;

	if (p && (!p->content || (like && p->content->stamp != like->stamp)))
		return -EIO;
	r = open_known(cs, version, pos, p ? p->content : like, out);
	if (r == -ESTALE) {
		if (p)
			partial_break(p);
		return -EIO;
	}
	if (!r && p)
		partial_remove(cs, p);
	if (r <= 0)
		return r;
	/* Else the copier is asked which of them it is. */
	if (p && content_ready(p->content, range.offset, range.len) &&
	    is_as_told(p->content, version, pos)) {
		*out = content_ref(p->content);
		return 0;
	}
	if (!wait)
		return -EAGAIN;
	if (p)
		ask.flight = p->flight;
	if (p || like)
		ask.stamp = p ? p->content->stamp : like->stamp;
	return ask_new(cs, &ask, wait);
}

int contents_open_at(struct contents *cs, struct view *view, uint32_t node, uint64_t offset,
		     uint64_t len, struct content **out, struct content_wait *wait)
{
	struct view_source source;
	int r = view_source(view, node, &source);

	if (r)
		return r;
	switch (source.source) {
	case TREE_IMAGE:
		return open_file(cs, source.version, source.pos, NULL, (struct range){offset, len},
				 out, wait);
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

int contents_more(struct contents *cs, struct content *content, uint64_t offset, uint64_t len,
		  struct content **out, struct content_wait *wait)
{
	if (content_ready(content, offset, len)) {
		*out = content_ref(content);
		return 0;
	}
	return open_file(cs, content->version, content->record.pos, content,
			 (struct range){offset, len}, out, wait);
}

/* ---- blocking ---- */

struct blocking_wait {
	struct content_wait wait;
	bool done;
	int r;
	struct content *content;
};

static void blocking_done(struct content_wait *wait, int r, struct content *content)
{
	struct blocking_wait *b = container(wait, struct blocking_wait, wait);

	b->done = true;
	b->r = r;
	b->content = content;
}

/* The end of what was begun with `b->wait`, and returned `r`. */
static int blocking_end(struct contents *cs, struct blocking_wait *b, int r, struct content **out)
{
	if (r != CONTENT_WAIT)
		return r;
	while (!b->done) {
		struct pollfd p = {.fd = cs->epoll_fd, .events = POLLIN};

		if (poll(&p, 1, -1) < 0 && errno != EINTR) {
			contents_cancel(cs, &b->wait);
			return -errno;
		}
		contents_dispatch(cs);
	}
	if (!b->r)
		*out = b->content;
	return b->r;
}

int contents_open_at_wait(struct contents *cs, struct view *view, uint32_t node, uint64_t offset,
			  uint64_t len, struct content **out)
{
	struct blocking_wait b = {.wait.done = blocking_done};

	return blocking_end(cs, &b, contents_open_at(cs, view, node, offset, len, out, &b.wait),
			    out);
}

ssize_t contents_read(struct contents *cs, struct content **content, void *buf, size_t len,
		      uint64_t offset)
{
	struct blocking_wait b = {.wait.done = blocking_done};
	struct content *newer = NULL;
	int r;

	if (!content_ready(*content, offset, len)) {
		r = blocking_end(cs, &b, contents_more(cs, *content, offset, len, &newer, &b.wait),
				 &newer);
		if (r)
			return r;
		content_unref(*content);
		*content = newer;
	}
	return content_pread(*content, buf, len, offset);
}

/* The hash of what is still being copied, or cannot be kept. */
static int content_hash(struct contents *cs, struct content **content, struct hash *out)
{
	cleanup(freep) uint8_t *buf = malloc(EXTENT_SIZE);
	struct hasher hasher;
	uint64_t at = 0;

	if (!buf)
		return -ENOMEM;
	hasher_init(&hasher);
	while (at < content_size(*content)) {
		ssize_t n = contents_read(cs, content, buf, EXTENT_SIZE, at);

		if (n < 0)
			return (int)n;
		hasher_add(&hasher, buf, (size_t)n);
		at += (uint64_t)n;
	}
	hasher_end(&hasher, out);
	return 0;
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
		hash_of(source.text.at, source.text.len, out);
		return 0;
	case TREE_IMAGE:
		if (version_known(source.version, source.pos, &record) &&
		    hash_known(&record.hash)) {
			*out = record.hash;
			return 0;
		}
		r = contents_open_at_wait(cs, view, node, 0, 0, &content);
		if (!r && hash_known(&content->hash))
			*out = content->hash;
		else if (!r)
			r = content_hash(cs, &content, out);
		return r;
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

bool content_ready(const struct content *c, uint64_t offset, uint64_t len)
{
	uint64_t missing;

	return !c->extents || extents_have(c->extents, offset, len, &missing);
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
	extents_free(c->extents);
	version_unref(c->version);
	free(c);
}

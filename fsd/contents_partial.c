/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/contents_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

enum {
	PARTIALS = 32, /* kept beyond those in use */
	PARTIAL_BROKEN_SECS = 10
};

bool content_is(const struct content *c, const struct fill_record *record)
{
	return c->record.size == record->size && c->record.mtime_sec == record->mtime_sec &&
	       c->record.mtime_nsec == record->mtime_nsec;
}

void partial_remove(struct contents *cs, struct partial *p)
{
	for (struct partial **at = &cs->partials; *at; at = &(*at)->next)
		if (*at == p) {
			*at = p->next;
			break;
		}
	content_unref(p->content);
	free(p);
}

void partial_break(struct partial *p)
{
	content_unref(take(&p->content));
	p->until = instant_add_ms(instant_now(), PARTIAL_BROKEN_SECS * 1000);
}

/* All is in and has its hash: an object like any other, by the same descriptor. */
static void partial_complete(struct contents *cs, struct partial *p, struct version *version)
{
	struct content *c = p->content;

	c->record.hash = *extents_hash(c->extents);
	version_learn(version, &c->record);
	extents_free(take(&c->extents));
	if (!cache_find(cs, &c->record.hash)) {
		p->content = NULL;
		cache_put(cs, &c->record.hash, c);
	} else {
		c->hash = c->record.hash;
	}
	partial_remove(cs, p);
}

struct partial *partial_get(struct contents *cs, struct version *version, uint32_t pos)
{
	uint32_t id = manifest_version(version_manifest(version));
	struct partial *p = cs->partials;

	while (p && (p->version != id || p->pos != pos))
		p = p->next;
	if (!p)
		return NULL;
	if (p->content && extents_state(p->content->extents) == EXTENTS_BROKEN)
		partial_break(p);
	if (p->content && extents_state(p->content->extents) == EXTENTS_COMPLETE) {
		partial_complete(cs, p, version);
		return NULL;
	}
	if (!p->content && instant_now().ns >= p->until.ns) {
		partial_remove(cs, p);
		return NULL;
	}
	return p;
}

/* The oldest that nobody uses makes room. */
static void make_room(struct contents *cs)
{
	struct partial *idle = NULL;
	unsigned int n = 0;

	for (struct partial *p = cs->partials; p; p = p->next) {
		n++;
		if (!p->content || p->content->refs == 1)
			idle = p;
	}
	if (n >= PARTIALS && idle)
		partial_remove(cs, idle);
}

static int content_of_reply(struct version *version, const struct copier_reply *reply, int fds[2],
			    struct content **out)
{
	cleanup(content_unrefp) struct content *c = calloc(1, sizeof(*c));
	struct stat st;
	int r;

	if (!c)
		return -ENOMEM;
	*c = (struct content){.refs = 1,
			      .fd = take_fd(&fds[0]),
			      .size = reply->record.size,
			      .version = version_ref(version),
			      .record = reply->record,
			      .stamp = reply->stamp};
	r = extents_attach(fds[1], c->size, &c->extents);
	if (r)
		return r;
	if (fstat(c->fd, &st) || (uint64_t)st.st_size != c->size)
		return -EBADMSG;
	*out = take(&c);
	return 0;
}

/* What another copier, or another try, goes on with. */
static int partial_renew(struct partial *p, struct version *version,
			 const struct copier_reply *reply, int fds[2])
{
	struct content *c;
	int r = content_of_reply(version, reply, fds, &c);

	if (r)
		return r;
	content_unref(p->content);
	p->content = c;
	p->flight = reply->flight;
	return 0;
}

static int partial_new(struct contents *cs, struct version *version,
		       const struct copier_reply *reply, int fds[2])
{
	struct partial *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	r = content_of_reply(version, reply, fds, &p->content);
	if (r) {
		free(p);
		return r;
	}
	make_room(cs);
	p->version = manifest_version(version_manifest(version));
	p->pos = reply->record.pos;
	p->flight = reply->flight;
	p->next = cs->partials;
	cs->partials = p;
	return 0;
}

int partial_take(struct contents *cs, struct version *version, const struct copier_reply *reply,
		 int fds[static 2])
{
	struct partial *p = partial_get(cs, version, reply->record.pos);
	int r = 0;

	if (p && p->content && p->content->stamp != reply->stamp)
		partial_break(p);
	if (p && !p->content)
		r = -EIO;
	else if (p && p->flight == reply->flight)
		r = 0; /* what we have */
	else if (fds[0] < 0 || fds[1] < 0)
		r = -ENOLINK; /* let go since: to be asked for anew */
	else if (p)
		r = partial_renew(p, version, reply, fds);
	else
		r = partial_new(cs, version, reply, fds);
	closep(&fds[0]);
	closep(&fds[1]);
	return r;
}

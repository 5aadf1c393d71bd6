/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/contents_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { CONTENT_PRUNE_MS = 1000 };

static unsigned int bucket_of(const struct hash *hash)
{
	return hash->octet[0] | (hash->octet[1] & 3) << 8;
}

static void cache_remove(struct content *c)
{
	struct contents *cs = c->owner;
	struct content **p = &cs->buckets[bucket_of(&c->hash)];

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

struct content *cache_find(struct contents *cs, const struct hash *hash)
{
	struct content *c = cs->buckets[bucket_of(hash)];

	while (c && memcmp(&c->hash, hash, sizeof(*hash)))
		c = c->chain;
	if (!c || c == cs->newest)
		return c;
	c->newer->older = c->older;
	*(c->older ? &c->older->newer : &cs->oldest) = c->newer;
	cache_front(cs, c);
	return c;
}

void cache_prune(struct contents *cs)
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

void cache_put(struct contents *cs, const struct hash *hash, struct content *c)
{
	unsigned int b = bucket_of(hash);

	c->hash = *hash;
	c->owner = cs;
	c->chain = cs->buckets[b];
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
}

int cache_add(struct contents *cs, const struct hash *hash, int fd, struct content **out)
{
	struct content *c = calloc(1, sizeof(*c));
	struct stat st;

	if (!c || fstat(fd, &st)) {
		int r = c ? -errno : -ENOMEM;

		free(c);
		close(fd);
		return r;
	}
	*c = (struct content){.refs = 1, .fd = fd, .size = (uint64_t)st.st_size};
	cache_put(cs, hash, c);
	*out = c;
	return 0;
}

void cache_clear(struct contents *cs)
{
	while (cs->newest)
		cache_remove(cs->newest);
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the files of `struct contents` share, and nobody else includes.
 *
 *	contents.c          opening: text, object, or a file that is still to be copied
 *	contents_cache.c    open objects, by use
 *	contents_partial.c  large files that are read while they are copied
 *	contents_ask.c      questions to the copier
 */
#ifndef FSD_CONTENTS_PARTS_H
#define FSD_CONTENTS_PARTS_H

#include "common/clock.h"
#include "fsd/contents.h"
#include "fsd/copier.h"
#include "fsd/extents.h"
#include "fsd/objects.h"
#include "fsd/version.h"

enum {
	CONTENT_BUCKETS = 1024,
	/* For a copier that went away to come back, and for one that is silent to speak. */
	CONTENTS_PATIENCE_MS = 30000
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
	/* Of a file that is still being copied. */
	struct extents *extents; /* NULL: all is there */
	struct version *version; /* set with it, and stays */
	struct fill_record record;
	uint64_t stamp;
};

/* A large file on its way, or one that changed on it: nothing more of it is given out for
 * some seconds, so that who read a part does not get the rest of another state. */
struct partial {
	uint32_t version;
	uint32_t pos;
	uint64_t flight;
	struct content *content; /* NULL: it changed */
	struct instant until;	 /* then: when that is forgotten */
	struct partial *next;	 /* the newest first */
};

/* A question to the copier that is under way. */
struct ask {
	uint64_t id;
	struct version *version;
	uint32_t pos;
	uint64_t offset;
	uint64_t len;
	uint64_t flight;
	uint64_t stamp;
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
	struct partial *partials;
	int epoll_fd;
	int timer_fd;
	int socket; /* -1: not connected */
	struct instant connected;
	struct instant heard; /* of the copier, or since when that is waited for */
	bool probed;	      /* it was asked whether it is there, and has not said so */
	bool ticking;	      /* the timer runs */
	unsigned int patience_ms;
	uint64_t next_id;
	struct ask *asks;
	struct instant prune_again;
	int64_t removals; /* of the stores, at the last look */
};

/* ---- contents_cache.c ---- */

struct content *cache_find(struct contents *cs, const struct hash *hash);
/* Keep an open object; consumes `fd`.  The cache holds one reference, the caller gets
 * none. */
int cache_add(struct contents *cs, const struct hash *hash, int fd, struct content **out);
/* Keep one that is open already; the caller's reference is the cache's now. */
void cache_put(struct contents *cs, const struct hash *hash, struct content *c);
/* Once a second: objects that were taken away, damaged or to make room, are not kept open
 * beyond their use. */
void cache_prune(struct contents *cs);
void cache_clear(struct contents *cs);

/* ---- contents_partial.c ---- */

/* What there is of the file, as its copier has it now: complete ones go into the cache.
 * NULL: nothing. */
struct partial *partial_get(struct contents *cs, struct version *version, uint32_t pos);
/* From a reply; consumes `fds`.  Returns 0 or a negative errno: EIO where the state is
 * another than what was there. */
int partial_take(struct contents *cs, struct version *version, const struct copier_reply *reply,
		 int fds[static 2]);
void partial_remove(struct contents *cs, struct partial *p);
void partial_break(struct partial *p);
/* Does the record speak of the state that the content is of? */
bool content_is(const struct content *c, const struct fill_record *record);

/* ---- contents_ask.c ---- */

/* Ask for some of a file; `flight` and `stamp` as in struct copier_ask.  CONTENT_WAIT or a
 * negative errno. */
int ask_new(struct contents *cs, const struct ask *what, struct content_wait *wait);
void asks_free(struct contents *cs);

#endif

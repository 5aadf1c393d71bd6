/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A store that is full: who met that makes room, or goes without.
 *
 *	a copy or a batch meets ENOSPC --> garbage goes
 *	somebody waits for the copy    --> and what can come again, the coldest first
 *	that was not enough            --> the copy goes to those who wait, and is not kept
 *	the fill                       --> pauses until there is room for what lacks
 *
 * The fill drives nothing out: it would put cold files in place of others, for ever.
 */
#include "fsd/copier_parts.h"

#include <errno.h>
#include <string.h>

#include "common/log.h"
#include "common/schema.h"
#include "fsd/evict.h"

enum {
	ROOM_SHARE = 64,       /* of the file system: made at a time */
	ROOM_MOST = 8,	       /* at most, for a large file */
	ROOM_FUTILE_MS = 5000, /* after a try that found nothing */
	ROOM_OPEN_MS = 1000,   /* after one whose room is not there yet */
	ROOM_HELD_MS = 200,    /* after one that found somebody at the store */
	ROOM_LOOK_MS = 2000,
	ROOM_QUOTA_MS = 60000 /* whose end cannot be seen */
};

static uint64_t share_of(const struct objects_space *space, uint64_t bytes)
{
	uint64_t share = space->total / ROOM_SHARE;

	if (bytes > space->total / ROOM_MOST)
		bytes = space->total / ROOM_MOST;
	return share > bytes ? share : bytes;
}

/* Returns what was freed. */
static uint64_t make(struct copier *c, uint64_t bytes, bool wanted, struct instant now)
{
	cleanup(db_closep) struct db *db = NULL;
	struct instant *again = wanted ? &c->room_again : &c->garbage_again;
	struct objects_space space;
	struct evicted out = {0};
	struct why why = {""};
	int r;

	if (now.ns < again->ns)
		return 0;
	r = objects_space(c->objects, &space);
	if (!r)
		r = db_open(c->config.state_dir, &schema_rootstock, DB_READ, &db, &why);
	if (!r)
		r = evict(db, c->config.state_dir, c->config.door,
			  wanted ? share_of(&space, bytes) : 0, &out, &why);
	if (out.garbage.files || out.files.files) {
		log_debug("store: %llu files that nobody names and %llu that can come again went",
			  (unsigned long long)out.garbage.files,
			  (unsigned long long)out.files.files);
		/* Who has them open keeps their room, for a while. */
		if (!objects_space(c->objects, &space) && space.free < bytes)
			*again = instant_add_ms(now, ROOM_OPEN_MS);
		return out.garbage.bytes + out.files.bytes;
	}
	if (r && r != -EWOULDBLOCK)
		log_error("store: %s", why_text(&why, r));
	*again = instant_add_ms(now, r == -EWOULDBLOCK ? ROOM_HELD_MS : ROOM_FUTILE_MS);
	return 0;
}

bool room_lacks(struct copier *c, uint64_t bytes)
{
	struct objects_space space;

	return !objects_space(c->objects, &space) && bytes > space.free &&
	       space.free > space.total / ROOM_MOST;
}

bool room_never(struct copier *c, uint64_t bytes)
{
	struct objects_space space;

	return !objects_space(c->objects, &space) && bytes > space.total;
}

bool room_make(struct copier *c, int err, uint64_t bytes, bool wanted)
{
	uint64_t before = atomic_load(&c->room_made);
	bool made;

	atomic_store(&c->full, err == -EDQUOT ? ROOM_QUOTA : ROOM_FULL);
	pthread_mutex_lock(&c->room_lock);
	made = c->room_made != before; /* by another thread meanwhile */
	if (!made && make(c, bytes, wanted, instant_now())) {
		c->room_made++;
		made = true;
	}
	pthread_mutex_unlock(&c->room_lock);
	return made;
}

/* What the version's files that were never copied have. */
static uint64_t source_lacks(struct source *s)
{
	const struct manifest *m = version_manifest(s->version);
	uint64_t bytes = 0;

	for (uint32_t pos = 0; pos < manifest_count(m); pos++) {
		const struct manifest_node *n = manifest_at(m, pos);
		struct fill_record record;

		if (n && S_ISREG(n->mode) && n->link == pos &&
		    !version_known(s->version, pos, &record))
			bytes += n->size;
	}
	return bytes;
}

static bool has_room(struct copier *c)
{
	struct objects_space space;
	uint64_t spare;

	if (objects_space(c->objects, &space))
		return false;
	spare = space.total / ROOM_SHARE;
	if (space.free <= spare || !space.inodes)
		return false;
	spare = space.free - spare;
	if (spare >= space.total / ROOM_MOST)
		return true;
	for (struct source *s = c->sources; s; s = s->next)
		if (!s->removed && source_lacks(s) <= spare)
			return true;
	return false;
}

void room_poll(struct copier *c, struct instant now)
{
	enum room_state full = atomic_load(&c->full);
	int64_t look_ms = full == ROOM_QUOTA ? ROOM_QUOTA_MS : ROOM_LOOK_MS;

	if (full == ROOM_ENOUGH)
		return;
	if (!c->told_full) {
		log_warn("the store is %s: no more is filled in for now; files that are read "
			 "are kept in place of what can be copied again, else read from their "
			 "origins each time",
			 full == ROOM_QUOTA ? "at its quota" : "full");
		c->told_full = true;
		c->full_look = instant_add_ms(now, look_ms);
	}
	if (now.ns < c->full_look.ns)
		return;
	c->full_look = instant_add_ms(now, look_ms);
	if (!has_room(c))
		return;
	atomic_store(&c->full, ROOM_ENOUGH);
	c->told_full = false;
	log_info("the store has room again");
}

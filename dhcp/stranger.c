/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dhcp/stranger.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

#define STORE_NS (10 * NS_PER_SEC) /* how old `last` may be on disk */
#define FORGET_NS (30 * INT64_C(86400) * NS_PER_SEC)

enum {
	BUCKETS = 2048, /* a power of two */
	NEW_BURST = STRANGERS_MAX,
	NEW_MS = 200
};

struct stranger {
	struct mac mac;
	int arch;
	char vendor[STRANGER_VENDOR_MAX];
	int64_t first; /* wall ns */
	int64_t last;
	int64_t last_stored;
	struct instant heard; /* `last`, by the other clock */
	bool used;
	bool dirty;
	bool gone;     /* its row has to go; then the slot is free */
	uint16_t next; /* of the bucket; index + 1 */
};

struct strangers {
	struct db *db;
	struct stranger slot[STRANGERS_MAX];
	uint16_t bucket[BUCKETS];
	unsigned int n;
	unsigned int ndirty;
	struct log_limit fresh;
};

static uint16_t *bucket_of(struct strangers *ss, const struct mac *mac)
{
	uint64_t x = 0;

	memcpy(&x, mac, sizeof(*mac));
	x *= UINT64_C(0x9e3779b97f4a7c15);
	return &ss->bucket[x >> 40 & (BUCKETS - 1)];
}

static struct stranger *stranger_find(struct strangers *ss, const struct mac *mac)
{
	for (uint16_t i = *bucket_of(ss, mac); i; i = ss->slot[i - 1].next)
		if (mac_equal(&ss->slot[i - 1].mac, mac))
			return &ss->slot[i - 1];
	return NULL;
}

static void stranger_link(struct strangers *ss, struct stranger *s)
{
	uint16_t *bucket = bucket_of(ss, &s->mac);

	s->used = true;
	s->next = *bucket;
	*bucket = (uint16_t)(s - ss->slot + 1);
	ss->n++;
}

static void stranger_unlink(struct strangers *ss, struct stranger *s)
{
	uint16_t *p = bucket_of(ss, &s->mac);

	while (&ss->slot[*p - 1] != s)
		p = &ss->slot[*p - 1].next;
	*p = s->next;
	*s = (struct stranger){.used = false};
	ss->n--;
}

static void stranger_changed(struct strangers *ss, struct stranger *s)
{
	ss->ndirty += !s->dirty;
	s->dirty = true;
}

static void stranger_remove(struct strangers *ss, struct stranger *s)
{
	s->gone = true;
	stranger_changed(ss, s);
}

/* A free slot, or one that is freed for the next time: its row goes first. */
static struct stranger *stranger_room(struct strangers *ss)
{
	struct stranger *victim = NULL;

	for (unsigned int i = 0; i < STRANGERS_MAX; i++) {
		struct stranger *s = &ss->slot[i];

		if (!s->used)
			return s;
		if (s->gone)
			continue;
		if (!victim || (s->first == s->last) > (victim->first == victim->last) ||
		    ((s->first == s->last) == (victim->first == victim->last) &&
		     s->last < victim->last))
			victim = s;
	}
	if (victim)
		stranger_remove(ss, victim);
	return NULL;
}

void strangers_note(struct strangers *ss, const struct mac *mac, int arch, struct bytes vendor,
		    struct dhcp_now now)
{
	struct stranger *s = stranger_find(ss, mac);

	if (s && s->gone)
		return;
	if (!s) {
		if (!log_allow(&ss->fresh, now.mono.ns, NEW_BURST, NEW_MS))
			return;
		s = stranger_room(ss);
		if (!s)
			return; /* it asks again */
		*s = (struct stranger){.mac = *mac, .arch = -1, .first = now.wall_ns};
		stranger_link(ss, s);
		stranger_changed(ss, s);
	}
	/* A later stage of the same machine says less. */
	if (arch >= 0)
		s->arch = arch;
	if (vendor.len)
		log_escape(s->vendor, sizeof(s->vendor), vendor.at, vendor.len);
	s->last = now.wall_ns;
	s->heard = now.mono;
	if (s->last - s->last_stored > STORE_NS || s->last < s->last_stored)
		stranger_changed(ss, s);
}

void strangers_register(struct strangers *ss, const struct inventory *inv)
{
	for (unsigned int i = 0; i < STRANGERS_MAX; i++) {
		struct stranger *s = &ss->slot[i];

		if (s->used && !s->gone && inventory_by_mac(inv, &s->mac))
			stranger_remove(ss, s);
	}
}

void strangers_sweep(struct strangers *ss, struct dhcp_now now)
{
	for (unsigned int i = 0; i < STRANGERS_MAX; i++) {
		struct stranger *s = &ss->slot[i];

		if (s->used && !s->gone && now.mono.ns - s->heard.ns > FORGET_NS)
			stranger_remove(ss, s);
	}
}

void strangers_rewrite(struct strangers *ss, int64_t by_ns)
{
	for (unsigned int i = 0; i < STRANGERS_MAX; i++) {
		struct stranger *s = &ss->slot[i];

		if (!s->used || s->gone)
			continue;
		if (__builtin_add_overflow(s->first, by_ns, &s->first) ||
		    __builtin_add_overflow(s->last, by_ns, &s->last))
			s->first = s->last = 0;
		stranger_changed(ss, s);
	}
}

/* ---- rows ---- */

int strangers_load(struct db *db, bool keep, struct dhcp_now now, struct strangers **out)
{
	cleanup(strangers_freep) struct strangers *ss = calloc(1, sizeof(*ss));
	sqlite3_stmt *stmt;
	int r;

	if (!ss)
		return -ENOMEM;
	ss->db = db;
	if (!keep) {
		r = db_run(db, "DELETE FROM stranger", "");
		if (r)
			return r;
	}
	stmt = db_stmt(db, "SELECT mac, coalesce(arch, -1), vendor, first_seen, last_seen"
			   " FROM stranger ORDER BY last_seen DESC");
	for (r = db_query(db, stmt, ""); r == DB_ROW && ss->n < STRANGERS_MAX;
	     r = db_next(db, stmt)) {
		struct stranger *s = &ss->slot[ss->n];

		if (db_column_mac(stmt, 0, &s->mac))
			return -EUCLEAN;
		s->arch = sqlite3_column_int(stmt, 1);
		db_column_text(stmt, 2, s->vendor, sizeof(s->vendor));
		s->first = sqlite3_column_int64(stmt, 3);
		s->last = s->last_stored = sqlite3_column_int64(stmt, 4);
		s->heard = instant_as_of(s->last, now);
		stranger_link(ss, s);
	}
	sqlite3_reset(stmt);
	if (r && r != DB_ROW)
		return r;
	*out = take(&ss);
	return 0;
}

void strangers_free(struct strangers *ss)
{
	free(ss);
}

bool strangers_dirty(const struct strangers *ss)
{
	return ss->ndirty;
}

static int stranger_write(struct strangers *ss, const struct stranger *s)
{
	const struct bytes mac = mac_bytes(&s->mac);

	if (s->gone)
		return db_run(ss->db, "DELETE FROM stranger WHERE mac = ?", "b", mac);
	return db_run(ss->db,
		      "INSERT OR REPLACE INTO stranger (mac, arch, vendor, first_seen, last_seen)"
		      " VALUES (?, nullif(?, -1), ?, ?, ?)",
		      "bisii", mac, (int64_t)s->arch, s->vendor, s->first, s->last);
}

int strangers_write(struct strangers *ss)
{
	int r = 0;

	for (unsigned int i = 0; i < STRANGERS_MAX && ss->ndirty && !r; i++)
		if (ss->slot[i].dirty)
			r = stranger_write(ss, &ss->slot[i]);
	return r;
}

void strangers_written(struct strangers *ss)
{
	for (unsigned int i = 0; i < STRANGERS_MAX && ss->ndirty; i++) {
		struct stranger *s = &ss->slot[i];

		if (!s->dirty)
			continue;
		s->dirty = false;
		s->last_stored = s->last;
		ss->ndirty--;
		if (s->gone)
			stranger_unlink(ss, s);
	}
}

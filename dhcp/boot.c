/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dhcp/boot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"

#define BOOT_SAME_MESSAGE_NS (10 * NS_PER_SEC)
#define BOOT_STARTING_NS (600 * NS_PER_SEC)
#define BOOT_SILENT_NS (30 * INT64_C(86400) * NS_PER_SEC)
#define BOOT_ALIVE_STORE_NS (300 * NS_PER_SEC)
#define BOOT_KEPT_NS (90 * INT64_C(86400) * NS_PER_SEC)
#define BOOT_KEPT_FAILED_NS (INT64_C(86400) * NS_PER_SEC)

enum { BOOT_BUCKETS = 16384, BOOT_STARTING_MAX = 16384, BOOT_PRESS_MIN = 64 };

struct boots {
	struct db *db;
	struct boot *bucket[BOOT_BUCKETS];
	struct boot *dirty; /* in the order they changed: ids tell which is newer */
	struct boot **dirty_end;
	struct boot *starting_oldest;
	struct boot *starting_newest;
	unsigned int nstarting;
	unsigned int rows_max;
	int64_t forget; /* rows that are too old go with the next commit, as of then; 0: not yet */
};

static struct boot **boot_bucket(struct boots *bs, const struct mac *mac)
{
	uint64_t x = 0;

	memcpy(&x, mac, sizeof(*mac));
	x *= UINT64_C(0x9e3779b97f4a7c15);
	return &bs->bucket[x >> 32 & (BOOT_BUCKETS - 1)];
}

static struct boot *boot_match(struct boot *b, const struct mac *mac)
{
	while (b && (b->ended || !mac_equal(&b->mac, mac)))
		b = b->next;
	return b;
}

struct boot *boots_newest(const struct boots *bs, const struct mac *mac)
{
	return boot_match(*boot_bucket((struct boots *)bs, mac), mac);
}

static struct boot *boot_earlier(struct boot *b)
{
	return boot_match(b->next, &b->mac);
}

void boots_count(const struct boots *bs, unsigned int out[static BOOT_FARS])
{
	memset(out, 0, BOOT_FARS * sizeof(*out));
	for (unsigned int i = 0; i < BOOT_BUCKETS; i++)
		for (const struct boot *b = bs->bucket[i]; b; b = b->next)
			if (!b->ended)
				out[b->init	 ? BOOT_RUNNING
				    : b->mounted ? BOOT_MOUNTED
				    : b->address ? BOOT_STARTED
						 : BOOT_STARTING]++;
}

static void boot_changed(struct boots *bs, struct boot *b)
{
	if (b->dirty)
		return;
	b->dirty = true;
	b->next_dirty = NULL;
	*bs->dirty_end = b;
	bs->dirty_end = &b->next_dirty;
}

static void starting_link(struct boots *bs, struct boot *b)
{
	b->older = bs->starting_newest;
	*(bs->starting_newest ? &bs->starting_newest->newer : &bs->starting_oldest) = b;
	bs->starting_newest = b;
	bs->nstarting++;
}

static void starting_unlink(struct boots *bs, struct boot *b)
{
	*(b->older ? &b->older->newer : &bs->starting_oldest) = b->newer;
	*(b->newer ? &b->newer->older : &bs->starting_newest) = b->older;
	b->older = b->newer = NULL;
	bs->nstarting--;
}

static bool boot_is_starting(const struct boot *b)
{
	return !b->address && !b->mounted && !b->id;
}

static void boot_destroy(struct boots *bs, struct boot *b)
{
	struct boot **p = boot_bucket(bs, &b->mac);

	while (*p != b)
		p = &(*p)->next;
	*p = b->next;
	free(b);
}

static void starting_drop(struct boots *bs, struct boot *b)
{
	starting_unlink(bs, b);
	boot_destroy(bs, b);
}

static struct boot *boot_link(struct boots *bs, const struct mac *mac)
{
	struct boot *b = calloc(1, sizeof(*b));
	struct boot **p = boot_bucket(bs, mac);

	if (!b)
		return NULL;
	b->mac = *mac;
	b->next = *p;
	*p = b;
	return b;
}

static void boot_pin(struct boot *b, const struct boot_pin *pin, struct dhcp_now now)
{
	b->host = pin->host;
	b->version = pin->version;
	b->change = pin->change;
	b->mode = pin->mode;
	b->opened = now.wall_ns;
	b->heard = now.mono;
}

static struct boot *boot_open(struct boots *bs, const struct mac *mac, int arch,
			      const struct boot_pin *pin, struct dhcp_now now)
{
	struct boot *b;

	if (bs->nstarting >= BOOT_STARTING_MAX)
		starting_drop(bs, bs->starting_oldest);
	b = boot_link(bs, mac);
	if (!b)
		return NULL;
	b->arch = arch;
	boot_pin(b, pin, now);
	starting_link(bs, b);
	return b;
}

static bool boot_takes(const struct boot *b, enum dhcp_stage stage, uint32_t xid,
		       struct instant now)
{
	if (stage == STAGE_KERNEL || stage == STAGE_INITRD)
		return !b->init;
	if (stage == STAGE_OS)
		return true;
	if (b->mounted)
		return false;
	if (stage == STAGE_LOADER && b->stage == STAGE_ROM)
		return true;
	return b->stage == stage &&
	       (!b->acked || (b->xid == xid && now.ns - b->seen.ns < BOOT_SAME_MESSAGE_NS));
}

struct boot *boots_discover(struct boots *bs, const struct mac *mac, enum dhcp_stage stage,
			    int arch, uint32_t xid, const struct boot_pin *pin, struct dhcp_now now)
{
	struct boot *b = boots_newest(bs, mac);

	if (b && boot_is_starting(b))
		/* Nothing was served by its pin yet: the newest version will do. */
		boot_pin(b, pin, now);
	else if (!b || !boot_takes(b, stage, xid, now.mono))
		b = boot_open(bs, mac, arch, pin, now);
	if (!b)
		return NULL;
	if (b->stage != stage || b->xid != xid)
		b->acked = false;
	if (arch >= 0 && boot_is_starting(b))
		b->arch = arch;
	b->stage = stage;
	b->xid = xid;
	b->seen = now.mono;
	return b;
}

static void boot_end(struct boots *bs, struct boot *b, const char *reason, struct dhcp_now now)
{
	if (boot_is_starting(b)) {
		starting_drop(bs, b);
		return;
	}
	b->ended = now.wall_ns;
	b->reason = reason;
	boot_changed(bs, b);
}

static void boot_settle(struct boots *bs, struct boot *b, uint32_t address)
{
	if (boot_is_starting(b))
		starting_unlink(bs, b);
	if (b->address == address && (b->id || b->dirty))
		return;
	b->address = address;
	boot_changed(bs, b);
}

/* The one that is past its DISCOVER, or the newest if none is. */
static struct boot *boot_settled(const struct boots *bs, const struct mac *mac)
{
	struct boot *b = boots_newest(bs, mac);

	while (b && boot_is_starting(b) && boot_earlier(b))
		b = boot_earlier(b);
	return b;
}

/* A machine that panics after its mount, or that somebody plays, must not keep ever
 * more of them open: each is memory, a pin, and a step for all that look. */
static void boots_thin(struct boots *bs, struct boot *newest, struct dhcp_now now)
{
	struct boot *oldest = NULL;
	struct boot *second = NULL;
	unsigned int n = 0;

	for (struct boot *e = boot_earlier(newest); e; e = boot_earlier(e)) {
		if (e->init)
			continue;
		second = oldest;
		oldest = e;
		n++;
	}
	if (n > BOOTS_OPEN_MAX)
		boot_end(bs, second, "many later boots mounted", now);
}

struct boot *boots_ack(struct boots *bs, const struct mac *mac, uint32_t address, bool selecting,
		       int arch, const struct boot_pin *pin, struct dhcp_now now)
{
	struct boot *b = selecting ? boots_newest(bs, mac) : boot_settled(bs, mac);
	struct boot *next;

	if (!b)
		b = boot_open(bs, mac, arch, pin, now);
	if (!b)
		return NULL;
	b->acked = true;
	boot_settle(bs, b, address);
	for (struct boot *e = boot_earlier(b); e; e = next) {
		next = boot_earlier(e);
		if (!e->mounted)
			boot_end(bs, e, "another boot came before it mounted", now);
	}
	boots_thin(bs, b, now);
	return b;
}

/* NULL: it is over. */
static struct boot *boot_by_id(const struct boots *bs, const struct mac *mac, uint32_t id)
{
	struct boot *b = boots_newest(bs, mac);

	while (b && b->id != id)
		b = boot_earlier(b);
	return b;
}

static void boot_heard(struct boots *bs, struct boot *b, struct dhcp_now now)
{
	b->last_alive = now.wall_ns;
	b->heard = now.mono;
	if (!b->mounted) {
		b->mounted = now.wall_ns;
		boot_changed(bs, b);
	}
}

void boots_mount(struct boots *bs, const struct mac *mac, uint32_t id, uint32_t address,
		 const struct boot_pin *pin, struct dhcp_now now)
{
	struct boot *b = id ? boot_by_id(bs, mac, id) : NULL;

	if (!b)
		b = boot_settled(bs, mac);
	if (!b)
		b = boot_open(bs, mac, -1, pin, now);
	if (!b)
		return;
	boot_settle(bs, b, address);
	boot_heard(bs, b, now);
}

static struct boot *boot_mounted(const struct boots *bs, const struct mac *mac)
{
	struct boot *b = boots_newest(bs, mac);

	while (b && !b->mounted)
		b = boot_earlier(b);
	return b;
}

/* End all boots of a MAC. */
static void boots_end(struct boots *bs, const struct mac *mac, const char *reason,
		      struct dhcp_now now)
{
	struct boot *next;

	for (struct boot *b = boots_newest(bs, mac); b; b = next) {
		next = boot_earlier(b);
		boot_end(bs, b, reason, now);
	}
}

void boots_init(struct boots *bs, const struct mac *mac, uint32_t id, const struct mac *others,
		unsigned int nothers, struct dhcp_now now)
{
	static const char reason[] = "a later boot read init";
	struct boot *b = id ? boot_by_id(bs, mac, id) : boot_mounted(bs, mac);
	struct boot *next;

	if (!b || b->init)
		return;
	boot_heard(bs, b, now);
	b->init = now.wall_ns;
	boot_changed(bs, b);
	for (struct boot *e = boot_earlier(b); e; e = next) {
		next = boot_earlier(e);
		boot_end(bs, e, reason, now);
	}
	for (unsigned int i = 0; i < nothers; i++)
		if (!mac_equal(&others[i], mac))
			boots_end(bs, &others[i], reason, now);
}

void boots_alive(struct boots *bs, const struct mac *mac, uint32_t id, struct dhcp_now now)
{
	struct boot *b = id ? boot_by_id(bs, mac, id) : boot_mounted(bs, mac);

	if (!b)
		return;
	boot_heard(bs, b, now);
	if (now.wall_ns - b->alive_stored > BOOT_ALIVE_STORE_NS || now.wall_ns < b->alive_stored)
		boot_changed(bs, b);
}

void boots_sweep(struct boots *bs, bool (*waits)(void *ctx, const struct boot *boot), void *ctx,
		 struct dhcp_now now)
{
	while (bs->starting_oldest && now.mono.ns - bs->starting_oldest->seen.ns > BOOT_STARTING_NS)
		starting_drop(bs, bs->starting_oldest);
	for (unsigned int i = 0; i < BOOT_BUCKETS; i++)
		for (struct boot *b = bs->bucket[i]; b; b = b->next) {
			if (b->ended || boot_is_starting(b))
				continue;
			if (now.mono.ns - b->heard.ns > BOOT_SILENT_NS)
				boot_end(bs, b, "no call for 30 days", now);
			else if (!b->mounted && now.mono.ns - b->seen.ns > BOOT_STARTING_NS &&
				 !waits(ctx, b))
				boot_end(bs, b, "its lease ended before it mounted", now);
		}
}

void boots_forget(struct boots *bs, struct dhcp_now now)
{
	bs->forget = now.wall_ns;
}

void boots_rewrite(struct boots *bs, int64_t by_ns)
{
	for (unsigned int i = 0; i < BOOT_BUCKETS; i++)
		for (struct boot *b = bs->bucket[i]; b; b = b->next) {
			if (b->last_alive &&
			    __builtin_add_overflow(b->last_alive, by_ns, &b->last_alive))
				b->last_alive = b->opened;
			if (b->id && !b->ended)
				boot_changed(bs, b);
		}
}

void boots_register(struct boots *bs, const struct inventory *inv)
{
	for (unsigned int i = 0; i < BOOT_BUCKETS; i++)
		for (struct boot *b = bs->bucket[i]; b; b = b->next) {
			const struct host *host;

			if (b->ended || (b->host && b->version))
				continue;
			host = inventory_by_mac(inv, &b->mac);
			if (!host || (b->host == host->id && !host->version))
				continue;
			b->host = host->id;
			b->mode = inventory_mode(inv, host);
			if (!b->version)
				b->version = host->version;
			if (!boot_is_starting(b))
				boot_changed(bs, b);
		}
}

/* ---- rows ---- */

static int id_cmp(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a;
	int64_t y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

int boots_reread(struct boots *bs, struct dhcp_now now)
{
	cleanup(freep) int64_t *open = NULL;
	unsigned int n = 0;
	sqlite3_stmt *stmt = db_stmt(bs->db, "SELECT id FROM boot INDEXED BY boot_open"
					     " WHERE ended IS NULL");
	int r;

	for (r = db_query(bs->db, stmt, ""); r == DB_ROW; r = db_next(bs->db, stmt)) {
		if (array_grow(&open, n, sizeof(*open)))
			return -ENOMEM;
		open[n++] = sqlite3_column_int64(stmt, 0);
	}
	if (r)
		return r;
	if (n)
		qsort(open, n, sizeof(*open), id_cmp);
	for (unsigned int i = 0; i < BOOT_BUCKETS; i++)
		for (struct boot *b = bs->bucket[i]; b; b = b->next)
			/* Its row says so already: this is not written. */
			if (b->id && !b->ended &&
			    (!n || !bsearch(&b->id, open, n, sizeof(*open), id_cmp)))
				boot_end(bs, b, "", now);
	return 0;
}

int boots_load(struct db *db, struct dhcp_now now, struct boots **out)
{
	cleanup(boots_freep) struct boots *bs = calloc(1, sizeof(*bs));
	sqlite3_stmt *stmt =
		db_stmt(db, "SELECT id, host, mac, address, version, change, coalesce(arch, -1),"
			    " opened, mounted, init, last_alive, mode FROM boot"
			    " WHERE ended IS NULL ORDER BY id");
	int r;

	if (!bs)
		return -ENOMEM;
	bs->db = db;
	bs->dirty_end = &bs->dirty;
	bs->rows_max = BOOTS_ROWS_MAX;
	for (r = db_query(db, stmt, ""); r == DB_ROW; r = db_next(db, stmt)) {
		struct boot *b;
		struct mac mac;

		if (db_column_mac(stmt, 2, &mac))
			return -EUCLEAN;
		b = boot_link(bs, &mac);
		if (!b)
			return -ENOMEM;
		b->id = sqlite3_column_int64(stmt, 0);
		b->host = (uint32_t)sqlite3_column_int64(stmt, 1);
		b->address = (uint32_t)sqlite3_column_int64(stmt, 3);
		b->version = (uint32_t)sqlite3_column_int64(stmt, 4);
		b->change = (uint64_t)sqlite3_column_int64(stmt, 5);
		b->arch = sqlite3_column_int(stmt, 6);
		b->opened = sqlite3_column_int64(stmt, 7);
		b->mounted = sqlite3_column_int64(stmt, 8);
		b->init = sqlite3_column_int64(stmt, 9);
		b->last_alive = b->alive_stored = sqlite3_column_int64(stmt, 10);
		b->heard = instant_as_of(b->last_alive ? b->last_alive : b->opened, now);
		b->mode = root_mode_parse((const char *)sqlite3_column_text(stmt, 11));
		/* The stage is not kept; a ROM that retries opens a new one. */
		b->stage = b->init ? STAGE_OS : STAGE_ROM;
		b->acked = true;
		b->seen = instant_as_of(b->opened, now);
		if (b->seen.ns > now.mono.ns - BOOT_SAME_MESSAGE_NS)
			b->seen.ns = now.mono.ns - BOOT_SAME_MESSAGE_NS;
	}
	if (r)
		return r;
	*out = take(&bs);
	return 0;
}

void boots_free(struct boots *bs)
{
	if (!bs)
		return;
	for (unsigned int i = 0; i < BOOT_BUCKETS; i++)
		while (bs->bucket[i]) {
			struct boot *b = bs->bucket[i];

			bs->bucket[i] = b->next;
			free(b);
		}
	free(bs);
}

bool boots_dirty(const struct boots *bs)
{
	return bs->dirty;
}

static int boot_write(struct boots *bs, const struct boot *b, int64_t *id)
{
	const struct bytes mac = mac_bytes(&b->mac);
	sqlite3_stmt *stmt;
	int r;

	if (!b->id) {
		stmt = db_stmt(bs->db,
			       "INSERT INTO boot (host, mac, address, version, change, mode, arch,"
			       " opened, mounted, init, last_alive, ended, reason)"
			       " VALUES (nullif(?, 0), ?, ?, nullif(?, 0), ?, ?, nullif(?, -1), ?,"
			       " nullif(?, 0), nullif(?, 0), nullif(?, 0), nullif(?, 0), ?)");
		r = db_query(bs->db, stmt, "ubuuisiiiiiis", b->host, mac, b->address, b->version,
			     (int64_t)b->change, root_mode_word(b->mode), (int64_t)b->arch,
			     b->opened, b->mounted, b->init, b->last_alive, b->ended, b->reason);
		*id = db_last_id(bs->db);
		return r;
	}
	stmt = db_stmt(
		bs->db,
		"UPDATE boot SET host = nullif(?, 0), address = ?, version = nullif(?, 0),"
		" mode = ?, mounted = nullif(?, 0), init = nullif(?, 0), last_alive = nullif(?, 0),"
		" ended = nullif(?, 0), reason = ? WHERE id = ? AND ended IS NULL");
	return db_query(bs->db, stmt, "uuusiiiisi", b->host, b->address, b->version,
			root_mode_word(b->mode), b->mounted, b->init, b->last_alive, b->ended,
			b->reason, b->id);
}

/* A few at a time: a commit holds clients up. */
static int forget_rows(struct boots *bs)
{
	int r = db_run(bs->db,
		       "DELETE FROM boot WHERE id IN (SELECT id FROM boot INDEXED BY boot_ended"
		       " WHERE ended < ? AND mounted IS NOT NULL LIMIT 1024)",
		       "i", bs->forget - BOOT_KEPT_NS);

	if (!r)
		r = db_run(
			bs->db,
			"DELETE FROM boot WHERE id IN (SELECT id FROM boot INDEXED BY boot_failed"
			" WHERE ended < ? AND mounted IS NULL LIMIT 1024)",
			"i", bs->forget - BOOT_KEPT_FAILED_NS);
	return r;
}

/* However fast they come, the rows are about `rows_max` and those still open: the
 * oldest go, a few more than came.  A few machines, or who makes them up, can add some dozens a
 * second for ever. */
static int boots_press(struct boots *bs, int64_t newest, unsigned int added)
{
	if (newest <= bs->rows_max)
		return 0;
	return db_run(bs->db,
		      "DELETE FROM boot WHERE id IN (SELECT id FROM boot"
		      " WHERE id <= ? AND ended IS NOT NULL ORDER BY id LIMIT ?)",
		      "iu", newest - bs->rows_max, 2 * added + BOOT_PRESS_MIN);
}

int boots_write(struct boots *bs)
{
	int r = bs->forget ? forget_rows(bs) : 0;
	unsigned int added = 0;
	int64_t newest = 0;

	for (struct boot *b = bs->dirty; b && !r; b = b->next_dirty) {
		r = boot_write(bs, b, &b->new_id);
		if (!b->id) {
			newest = b->new_id;
			added++;
		}
	}
	return r || !added ? r : boots_press(bs, newest, added);
}

void boots_keep(struct boots *bs, unsigned int rows)
{
	bs->rows_max = rows;
}

void boots_written(struct boots *bs)
{
	while (bs->dirty) {
		struct boot *b = bs->dirty;

		bs->dirty = b->next_dirty;
		b->dirty = false;
		b->alive_stored = b->last_alive;
		if (!b->id)
			b->id = b->new_id;
		if (b->ended)
			boot_destroy(bs, b);
	}
	bs->dirty_end = &bs->dirty;
	bs->forget = 0;
}

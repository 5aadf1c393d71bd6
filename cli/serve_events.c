/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/serve_parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/event.h"
#include "common/inventory.h"
#include "fsd/host.h"
#include "fsd/identity.h"
#include "fsd/image.h"
#include "fsd/overlay_prune.h"

enum {
	EVENTS_A_TURN = 256,
	REGISTER_BURST = 2000, /* new machines at once, then one each ... */
	REGISTER_MS = 5000,
	CROWDED_MS = 600 * 1000, /* said once in so long */
	REFUSED_MS = 60 * 1000,
	REGISTER_AGAIN_MS = 250,
	KEYS_HELD_MS = 1000,	      /* by a sweep, or another writer */
	KEYS_AGAIN_MS = 60000,	      /* where the disk is full */
	KEYS_MISSED_MS = 3600 * 1000, /* where it is the host's own trouble */
	TRACE_DAYS = 30,
	TRACE_ROWS_MAX = 5000000, /* 10,000 machines that boot daily, for those days */
	TRACE_PRESS_EVERY = 1024,
	TRACE_TRIM_ROWS = 1024, /* some 20 ms */
	TRIM_MS = 86400 * 1000,
	TRIM_AGAIN_MS = 600 * 1000,
	HOT_FLUSH_MS = 5000,
	PRUNE_MS = 60 * 1000,
	PRUNE_LEAST = 256, /* fewer are not worth a look at who holds them */
	PRUNE_ROWS = 1024,
	HOT_POS_MAX = 1 << 22, /* files of a version whose order is remembered */
};

static void trace_told(struct serve *v, int r)
{
	if (r && !v->trace_broken)
		log_error("trace.db: %s; the timeline has a gap", db_error(v->trace));
	v->trace_broken = r != 0;
}

/* Anybody can fetch a loader again and again, a row each time: the oldest go, twice as
 * many as came, until there are TRACE_ROWS_MAX. */
static int trace_press(struct serve *v, int64_t newest)
{
	return db_run(v->trace,
		      "DELETE FROM event WHERE id IN"
		      " (SELECT id FROM event WHERE id <= ? ORDER BY id LIMIT ?)",
		      "iu", newest - TRACE_ROWS_MAX, 2 * TRACE_PRESS_EVERY);
}

/* One transaction a turn of the loop, from its first row on.  That it went well is known
 * when it is committed; where something fails, the rest of its rows are not tried. */
static bool turn_begin(struct serve *v)
{
	int r;

	if (v->turn == TURN_NONE) {
		r = db_begin(v->trace);
		v->turn = r ? TURN_FAILED : TURN_OPEN;
		if (r)
			trace_told(v, r);
	}
	return v->turn == TURN_OPEN;
}

static void turn_end(struct serve *v)
{
	if (v->turn == TURN_OPEN)
		trace_told(v, db_commit(v->trace));
	else
		db_rollback(v->trace);
	v->turn = TURN_NONE;
}

static void trace_write(struct serve *v, const struct event *e)
{
	static const char sql[] =
		"INSERT INTO event (at, kind, host, mac, address, bytes, ms, text, step, again)"
		" VALUES (?, ?, nullif(?, 0), ?, nullif(?, 0), ?, ?, ?, ?, ?)";
	char text[sizeof(e->text)];
	int64_t id;
	int r;

	if (!turn_begin(v))
		return;
	/* The teller has escaped it; a terminal must not depend on that. */
	r = db_run(v->trace, sql, "iuubuiusuu", e->at ? e->at : wall_now_ns(), e->kind, e->host,
		   mac_bytes(&e->mac), e->address, (int64_t)e->bytes, e->ms,
		   log_printable(text, sizeof(text), e->text, strlen(e->text)), (uint32_t)e->step,
		   (uint32_t)e->again);
	id = db_last_id(v->trace);
	if (!r && id > TRACE_ROWS_MAX && id % TRACE_PRESS_EVERY == 0)
		r = trace_press(v, id);
	if (r) {
		trace_told(v, r);
		v->turn = TURN_FAILED;
	}
}

/* Whose is an address, by its lease? */
static int mac_by_address(struct serve *v, uint32_t address, struct mac *mac)
{
	sqlite3_stmt *stmt = db_stmt(v->leases, "SELECT mac FROM lease WHERE address = ?");
	int r = db_query(v->leases, stmt, "u", address);

	if (r != DB_ROW)
		return r ? r : -ENOENT;
	r = db_column_mac(stmt, 0, mac);
	sqlite3_reset(stmt);
	return r;
}

/* A machine that goes on to boot becomes a host, from its packet's own MAC. */
static void register_later(struct serve *v, const struct event *e)
{
	static const struct mac none;
	struct mac mac = e->mac;
	char text[MAC_TEXT];
	uint32_t id;

	if (v->config.dhcp.unknown != DHCP_UNKNOWN_BOOT || e->host)
		return;
	if (mac_equal(&mac, &none) && mac_by_address(v, e->address, &mac))
		return;
	if (mac.octet[0] & 1 || !host_find(v->db, mac_format(&mac, text), &id, NULL))
		return;
	for (unsigned int i = 0; i < v->nqueue; i++)
		if (mac_equal(&v->queue[i], &mac))
			return;
	if (v->nqueue == REGISTER_QUEUE)
		return; /* it asks again */
	/* MACs can be made up; keys and rows for them cannot be had without end. */
	if (!log_allow(&v->registered, instant_now().ns, REGISTER_BURST, REGISTER_MS)) {
		if (log_allow(&v->crowded, instant_now().ns, 1, CROWDED_MS))
			log_warn("%s: not registered: too many new machines at once; rootstock "
				 "host add %s does it by hand",
				 text, text);
		return;
	}
	v->queue[v->nqueue++] = mac;
	loop_timer_set(v->loop, &v->registrar, instant_now());
}

/* All that wait, by one commit where each of them can be; their keys come later.  Loaders
 * give a machine that is not known up within seconds, and a room full of new ones is
 * switched on at once.  Who else holds the database holds up these alone: they wait in
 * the queue, and we go on. */
static void register_queued(struct loop_timer *timer, struct instant now)
{
	struct serve *v = container(timer, struct serve, registrar);
	unsigned int left = 0;
	bool together;

	together = !hosts_add(v->db, v->queue, v->nqueue, NULL);
	for (unsigned int i = 0; i < v->nqueue; i++) {
		struct why why = {""};
		char text[MAC_TEXT];
		int r = together ? 0 : left ? -EAGAIN : hosts_add(v->db, &v->queue[i], 1, &why);

		if (r == -EAGAIN) {
			v->queue[left++] = v->queue[i];
			continue;
		}
		mac_format(&v->queue[i], text);
		if (r && !log_allow(&v->refused, now.ns, 5, REFUSED_MS))
			continue; /* it asks every few seconds */
		log_about(r ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO,
			  &(struct log_about){.mac = v->queue[i]}, "%s: %s%s", text,
			  r ? "cannot be registered: " : "registered as a new host",
			  r ? why_text(&why, r) : "");
	}
	v->nqueue = left;
	if (left)
		loop_timer_set(v->loop, timer, instant_add_ms(now, REGISTER_AGAIN_MS));
	else
		loop_timer_set(v->loop, &v->keymaker, now);
}

/* What keeps keys from all hosts, and not from this one alone. */
static bool keys_want_room(int r)
{
	return r == -ENOSPC || r == -EDQUOT || r == -EROFS;
}

/* Keys for those that have none, be it since a server before this one: one a turn, which
 * takes ten milliseconds and more.  Who sweeps the store, or writes to the database, holds
 * up these alone.  A host that cannot have any is passed over, and tried again much later. */
static void keys_next(struct loop_timer *timer, struct instant now)
{
	struct serve *v = container(timer, struct serve, keymaker);
	char name[NAME_MAX_LEN + 1];
	struct why why = {""};
	bool has_keys;
	uint32_t id;
	int r;

	if (v->nqueue)
		return;
	r = identity_lacking(v->db, v->keys_after, &id, name);
	if (r && r != -ENOENT) {
		if (log_allow(&v->keyless, now.ns, 5, KEYS_AGAIN_MS / 5))
			log_error("rootstock.db: %s; no SSH host keys are made", db_error(v->db));
		loop_timer_set(v->loop, timer, instant_add_ms(now, KEYS_HELD_MS));
		return;
	}
	if (r) {
		if (!v->keys_missed)
			return;
		v->keys_missed = false;
		v->keys_after = 0;
		loop_timer_set(v->loop, timer, instant_add_ms(now, KEYS_MISSED_MS));
		return;
	}
	r = identity_create(v->db, v->cli->state_dir, id, name, &has_keys, &why);
	if (r == -EAGAIN) {
		loop_timer_set(v->loop, timer, instant_add_ms(now, KEYS_HELD_MS));
		return;
	}
	if (r && log_allow(&v->keyless, now.ns, 5, KEYS_AGAIN_MS / 5))
		log_error("%s: no SSH host key yet: %s", name, why_text(&why, r));
	if (keys_want_room(r)) {
		loop_timer_set(v->loop, timer, instant_add_ms(now, KEYS_AGAIN_MS));
		return;
	}
	v->keys_after = id;
	v->keys_missed |= r != 0;
	if (r || has_keys)
		loop_timer_set(v->loop, timer, now);
	else /* nor for others, until the next new machine */
		log_warn("%s: no SSH host key: no ssh-keygen here", name);
}

static void seal_note(struct serve *v, const struct event *e)
{
	struct hash digest = {{0}};
	int r;

	for (int i = 0; i < HASH_LEN; i++) {
		unsigned int byte;

		if (sscanf(e->text + 2 * i, "%2x", &byte) != 1)
			return;
		digest.octet[i] = (uint8_t)byte;
	}
	/* The copier tells it again until it is there. */
	r = image_sealed(v->db, e->host, &digest);
	if (r && r != -EAGAIN)
		log_error("version %u: its seal cannot be noted: %s", e->host, db_error(v->db));
}

/* ---- first reads ---- */

static void hot_write(struct loop_timer *timer, struct instant now)
{
	struct serve *v = container(timer, struct serve, hot_flush);

	(void)now;
	v->hot_waits = false;
	trace_told(v, hot_flush(v->hot, v->trace));
}

/* Rows come from what is told here: only for what there is. */
static bool version_exists(struct serve *v, uint64_t version)
{
	sqlite3_stmt *stmt = db_stmt(v->db, "SELECT 1 FROM version WHERE id = ?");
	int r = db_query(v->db, stmt, "i", (int64_t)version);

	if (r == DB_ROW)
		sqlite3_reset(stmt);
	return r == DB_ROW;
}

static void hot_take(struct serve *v, const struct event *e)
{
	uint32_t list[EVENT_READS_MAX];
	bool full = false;

	if (e->bytes > UINT32_MAX || !version_exists(v, e->bytes))
		return;

	memcpy(list, e->text, sizeof(list));
	for (uint32_t i = 0; i < EVENT_READS_MAX && list[i] && list[i] < HOT_POS_MAX; i++)
		full |= hot_note(v->hot, (uint32_t)e->bytes, list[i], e->ms + i);
	if (full || !v->hot_waits)
		loop_timer_set(v->loop, &v->hot_flush,
			       instant_add_ms(instant_now(), full ? 0 : HOT_FLUSH_MS));
	v->hot_waits = true;
}

/* The timeline is for looking at lately; once a day what is older goes: some of it a turn
 * of the loop, since after long there may be millions. */
static void trace_trim(struct loop_timer *timer, struct instant now)
{
	struct serve *v = container(timer, struct serve, trim);
	int64_t old = wall_now_ns() - TRACE_DAYS * 86400 * NS_PER_SEC;
	int r = db_run(v->trace,
		       "DELETE FROM event WHERE id IN"
		       " (SELECT id FROM event WHERE at < ? ORDER BY at LIMIT ?)",
		       "iu", old, TRACE_TRIM_ROWS);
	bool more = !r && db_changes(v->trace) == TRACE_TRIM_ROWS;

	if (!r && !more)
		r = hot_trim(v->trace, v->db);
	if (r)
		trace_told(v, r);
	loop_timer_set(v->loop, timer, instant_add_ms(now, r ? TRIM_AGAIN_MS : more ? 0 : TRIM_MS));
}

/* What nobody holds any more of overlays: some of it a turn. */
static void overlays_prune(struct loop_timer *timer, struct instant now)
{
	struct serve *v = container(timer, struct serve, pruner);
	unsigned int gone;
	int r;

	r = overlay_prune(v->db, v->leases, wall_now_ns(), PRUNE_LEAST, PRUNE_ROWS, &gone);
	if (r && r != -EAGAIN && log_allow(&v->unpruned, now.ns, 1, CROWDED_MS))
		log_error("old rows of overlays stay: %s", db_error(v->db));
	loop_timer_set(v->loop, timer, instant_add_ms(now, gone == PRUNE_ROWS ? 0 : PRUNE_MS));
}

static void count(struct serve *v, const struct event *e)
{
	uint64_t *n = v->steps[e->step < EVENT_STEPS ? e->step : STEP_NONE];

	switch (e->kind) {
	case EVENT_ACK:
	case EVENT_LOADER:
	case EVENT_FILE:
	case EVENT_PORTMAP:
	case EVENT_MOUNT:
	case EVENT_INIT:
		n[0]++;
		break;
	case EVENT_REFUSED:
		n[1]++;
		break;
	case EVENT_BROKEN:
		n[2]++;
		break;
	default:
		break;
	}
}

/* From whom each can come: a child that was taken over must not speak in another's name,
 * as to register machines.  0: from any. */
static const unsigned int told_by[EVENT_KINDS] = {
	[EVENT_DISCOVER] = 1 << SERVICE_DHCP,
	[EVENT_OFFER] = 1 << SERVICE_DHCP,
	[EVENT_ACK] = 1 << SERVICE_DHCP,
	[EVENT_LOADER] = 1 << SERVICE_TFTP,
	[EVENT_ABSENT] = 1 << SERVICE_TFTP,
	[EVENT_FILE] = 1 << SERVICE_TFTP | 1 << SERVICE_NFS,
	[EVENT_BROKEN] = 1 << SERVICE_TFTP | 1 << SERVICE_NFS,
	[EVENT_UNKNOWN] = 1 << SERVICE_TFTP | 1 << SERVICE_NFS,
	[EVENT_REFUSED] = 1 << SERVICE_DHCP | 1 << SERVICE_TFTP | 1 << SERVICE_NFS,
	[EVENT_MOUNT] = 1 << SERVICE_NFS,
	[EVENT_INIT] = 1 << SERVICE_NFS,
	[EVENT_ALIVE] = 1 << SERVICE_NFS,
	[EVENT_READS] = 1 << SERVICE_NFS,
	[EVENT_PORTMAP] = 1 << SERVICE_NFS,
	[EVENT_SEALED] = 1 << SERVICE_COPIER,
};

static void event_act(struct serve *v, struct service *from, const struct event *e)
{
	if (told_by[e->kind] && !(told_by[e->kind] & 1u << (from - v->services))) {
		if (log_allow(&v->lies, instant_now().ns, 3, 60000))
			log_error("%s: says \"%s\", which is not its to say: dropped", from->name,
				  event_word(e->kind));
		return;
	}
	switch (e->kind) {
	case EVENT_WELL:
		health_heard(from);
		return;
	case EVENT_SEALED:
		seal_note(v, e);
		return;
	case EVENT_READS:
		hot_take(v, e);
		return;
	case EVENT_MOUNT:
	case EVENT_LOADER:
	case EVENT_UNKNOWN:
		register_later(v, e);
		break;
	default:
		break;
	}
	if (e->kind == EVENT_MOUNT || e->kind == EVENT_INIT || e->kind == EVENT_ALIVE)
		event_send(v->services[SERVICE_DHCP].ends[0], e);
	count(v, e);
	if (e->kind != EVENT_ALIVE)
		trace_write(v, e);
}

void events_ready(struct loop_source *source, uint32_t events)
{
	struct service *s = container(source, struct service, io);
	struct serve *v = s->serve;
	struct event e;

	(void)events;
	for (int i = 0; i < EVENTS_A_TURN; i++) {
		int r = event_receive(source->fd, &e);

		if (r == -EBADMSG)
			continue;
		if (r)
			break;
		event_act(v, s, &e);
	}
	turn_end(v);
}

int events_init(struct serve *v)
{
	v->registrar.due = register_queued;
	v->keymaker.due = keys_next;
	loop_timer_set(v->loop, &v->keymaker, instant_now());
	v->trim.due = trace_trim;
	v->hot_flush.due = hot_write;
	v->pruner.due = overlays_prune;
	loop_timer_set(v->loop, &v->pruner, instant_now());
	loop_timer_set(v->loop, &v->trim, instant_now());
	return hot_new(&v->hot);
}

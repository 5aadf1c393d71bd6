/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/story.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"

#define OPENING_NS (5 * NS_PER_MS)   /* a DISCOVER is told a moment before its boot's time */
#define BEFORE_NS (600 * NS_PER_SEC) /* how long a machine may have asked in vain before */
#define PAUSE_NS (120 * NS_PER_SEC)  /* between two vain requests of one attempt */
#define BACK_NS (86400 * NS_PER_SEC) /* how far back vain attempts are looked for */

void story_fini(struct story *s)
{
	free(s->events);
	s->events = NULL;
	s->n = 0;
}

/* ---- pure ---- */

/* It asks for an address, and has none yet. */
static bool is_vain(const struct story_event *e)
{
	bool dhcp = e->step == STEP_ROM_DHCP || e->step == STEP_LOADER_DHCP ||
		    e->step == STEP_KERNEL_DHCP || e->step == STEP_INITRD_DHCP ||
		    e->step == STEP_OS_DHCP;

	return dhcp &&
	       (e->kind == EVENT_DISCOVER || e->kind == EVENT_OFFER || e->kind == EVENT_REFUSED);
}

/* Where the boot that opened at `at` begins: with its first vain request. */
static unsigned int beginning(const struct story *s, int64_t at)
{
	unsigned int i = 0;

	while (i < s->n && s->events[i].at < at - OPENING_NS)
		i++;
	while (i && is_vain(&s->events[i - 1]) &&
	       (i == s->n || s->events[i].at - s->events[i - 1].at < PAUSE_NS))
		i--;
	return i;
}

void story_cut(struct story *s)
{
	unsigned int to = s->next ? beginning(s, s->next) : s->n;
	unsigned int from = beginning(s, s->opened);

	if (from > to)
		from = to;
	memmove(s->events, s->events + from, (to - from) * sizeof(*s->events));
	s->n = to - from;
}

unsigned int story_attempt(const struct story *s)
{
	unsigned int last = s->n;
	bool begun = s->init != 0;

	if (!s->id) { /* all of it is, since the machine was silent for long */
		while (last &&
		       (last == s->n || s->events[last].at - s->events[last - 1].at < BEFORE_NS))
			last--;
		return last;
	}
	/* The newest request, and those before it that went unheard, back to a ROM's. */
	while (last && is_vain(&s->events[last - 1]) &&
	       (last == s->n || s->events[last].at - s->events[last - 1].at < PAUSE_NS)) {
		last--;
		begun |= s->events[last].step == STEP_ROM_DHCP;
	}
	/* Without a ROM it is a later stage of the boot that is there. */
	return begun ? last : s->n;
}

/* ---- loading ---- */

void story_row(sqlite3_stmt *stmt, struct story *s)
{
	*s = (struct story){
		.id = sqlite3_column_int64(stmt, 0),
		.address = (uint32_t)sqlite3_column_int64(stmt, 2),
		.version = (uint32_t)sqlite3_column_int64(stmt, 3),
		.mode = root_mode_parse((const char *)sqlite3_column_text(stmt, 4)),
		.opened = sqlite3_column_int64(stmt, 5),
		.mounted = sqlite3_column_int64(stmt, 6),
		.init = sqlite3_column_int64(stmt, 7),
		.last_alive = sqlite3_column_int64(stmt, 8),
		.ended = sqlite3_column_int64(stmt, 9),
	};
	db_column_mac(stmt, 1, &s->mac);
	db_column_text(stmt, 10, s->reason, sizeof(s->reason));
}

static int event_cmp(const void *a, const void *b)
{
	const struct story_event *x = a;
	const struct story_event *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

#define EVENT_COLUMNS                                                                              \
	"SELECT at, kind, coalesce(step, 0), address, ms, coalesce(again, 0), bytes, text"

static int take_events(struct db *trace, sqlite3_stmt *stmt, int r, struct story *s)
{
	for (; r == DB_ROW; r = db_next(trace, stmt)) {
		struct story_event *e =
			array_grow(&s->events, s->n, sizeof(*e)) ? NULL : &s->events[s->n++];

		if (!e) {
			sqlite3_reset(stmt);
			return -ENOMEM;
		}
		*e = (struct story_event){
			.at = sqlite3_column_int64(stmt, 0),
			.kind = (uint32_t)sqlite3_column_int64(stmt, 1),
			.step = (uint32_t)sqlite3_column_int64(stmt, 2),
			.address = (uint32_t)sqlite3_column_int64(stmt, 3),
			.ms = (uint32_t)sqlite3_column_int64(stmt, 4),
			.again = (uint32_t)sqlite3_column_int64(stmt, 5),
			.bytes = (uint64_t)sqlite3_column_int64(stmt, 6),
		};
		db_column_text(stmt, 7, e->text, sizeof(e->text));
	}
	return r;
}

int story_events(struct db *trace, const struct story_machine *m, struct story *s)
{
	static const struct mac none;
	int64_t from = s->opened ? s->opened - BEFORE_NS : wall_now_ns() - BACK_NS;
	int64_t to = s->next ? s->next + NS_PER_SEC : INT64_MAX;
	sqlite3_stmt *stmt;
	int r = 0;

	if (!trace)
		return 0;
	if (m->host) {
		stmt = db_stmt(trace, EVENT_COLUMNS " FROM event WHERE host = ?"
						    " AND at BETWEEN ? AND ? ORDER BY at, id");
		r = take_events(trace, stmt, db_query(trace, stmt, "uii", m->host, from, to), s);
	}
	stmt = db_stmt(trace, EVENT_COLUMNS " FROM event WHERE host IS NULL AND mac = ?"
					    " AND at BETWEEN ? AND ? ORDER BY at, id");
	for (unsigned int i = 0; i < m->nmacs && !r; i++)
		r = take_events(trace, stmt,
				db_query(trace, stmt, "bii", mac_bytes(&m->macs[i]), from, to), s);
	/* What NFS says of an address that is nobody's has neither. */
	stmt = db_stmt(trace, EVENT_COLUMNS " FROM event WHERE host IS NULL AND mac = ?"
					    " AND at BETWEEN ? AND ? AND address = ?"
					    " ORDER BY at, id");
	if (!r && s->address)
		r = take_events(
			trace, stmt,
			db_query(trace, stmt, "biiu", mac_bytes(&none), from, to, s->address), s);
	if (!r && s->n)
		qsort(s->events, s->n, sizeof(*s->events), event_cmp);
	if (!r && s->id)
		story_cut(s);
	return r;
}

/* The row that is asked for, of one MAC, if it is newer than what *best has; and when the next one
 * opened. */
static int find_row(struct db *leases, const struct mac *mac, int64_t which, struct story *best)
{
	sqlite3_stmt *stmt = db_stmt(leases, "SELECT " STORY_COLUMNS " FROM boot WHERE mac = ?");
	struct story s;
	int r;

	for (r = db_query(leases, stmt, "b", mac_bytes(mac)); r == DB_ROW;
	     r = db_next(leases, stmt)) {
		story_row(stmt, &s);
		if (which ? s.id == which : s.opened >= best->opened)
			*best = s;
	}
	return r;
}

static int find_next(struct db *leases, const struct mac *mac, struct story *s)
{
	sqlite3_stmt *stmt =
		db_stmt(leases, "SELECT min(opened) FROM boot WHERE mac = ? AND opened > ?");
	int r = db_query(leases, stmt, "bi", mac_bytes(mac), s->opened);
	int64_t next;

	if (r != DB_ROW)
		return r;
	next = sqlite3_column_int64(stmt, 0);
	if (next && (!s->next || next < s->next))
		s->next = next;
	sqlite3_reset(stmt);
	return 0;
}

/* What of a machine's newest events no row came of, as a story of its own. */
static void keep_attempt(struct story *s)
{
	unsigned int from = story_attempt(s);

	if (from == s->n)
		return;
	memmove(s->events, s->events + from, (s->n - from) * sizeof(*s->events));
	*s = (struct story){
		.mac = s->mac,
		.opened = s->events[0].at,
		.events = s->events,
		.n = s->n - from,
	};
}

int story_load(struct db *leases, struct db *trace, const struct story_machine *m, int64_t which,
	       struct story *out)
{
	struct story s = {0};
	int r = 0;

	for (unsigned int i = 0; i < m->nmacs && !r && leases; i++)
		r = find_row(leases, &m->macs[i], which, &s);
	for (unsigned int i = 0; i < m->nmacs && !r && s.id; i++)
		r = find_next(leases, &m->macs[i], &s);
	if (!r && which && !s.id)
		r = -ENOENT;
	if (!r)
		r = story_events(trace, m, &s);
	if (!r && !which)
		keep_attempt(&s);
	if (!r && !s.id && !s.n)
		r = -ENOENT;
	if (r) {
		story_fini(&s);
		return r;
	}
	if (!s.id && m->nmacs)
		s.mac = m->macs[0];
	*out = s;
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What was told of one boot: its row of leases.db, if it came to an address, and its
 * events of trace.db, in order.
 *
 * Events know a machine, not a boot.  A boot's are those from its opening on until
 * the machine's next boot opens; what the machine asked for just before its row opened
 * (DISCOVERs that were refused or went unheard) is of it too.  An attempt that never came
 * to an address has no row: it is a story of events alone.
 */
#ifndef CLI_STORY_H
#define CLI_STORY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/db.h"
#include "common/event.h"
#include "common/inventory.h"

struct story_event {
	int64_t at; /* wall ns; of its end */
	uint32_t kind;
	uint32_t step;
	uint32_t address;
	uint32_t ms;
	uint32_t again;
	uint64_t bytes;
	char text[sizeof(((struct event *)0)->text)];
};

struct story {
	int64_t id; /* of the row; 0: there is none, and all but `events` and `opened` is empty */
	struct mac mac;
	uint32_t address;
	uint32_t version;
	enum root_mode mode;
	int64_t opened;
	int64_t mounted;
	int64_t init;
	int64_t last_alive;
	int64_t ended;
	char reason[80];
	int64_t next; /* when the machine's next boot opened; 0: this is the last */
	struct story_event *events;
	unsigned int n;
};

void story_fini(struct story *s); /* fine for zeroes */

/* Whose boots. */
struct story_machine {
	const struct mac *macs;
	unsigned int nmacs;
	uint32_t host; /* 0: not registered */
};

/* `which` is a boot's number; 0: the last one, be it an attempt without a row.  Without
 * `trace` (NULL) there are no events.
 * Returns 0, -ENOENT where there is no such boot, or another negative errno. */
int story_load(struct db *leases, struct db *trace, const struct story_machine *machine,
	       int64_t which, struct story *out);

/* The events of a boot whose row stands at `leases`' statement as STORY_COLUMNS say. */
#define STORY_COLUMNS                                                                              \
	"id, mac, address, version, mode, opened, mounted, init, last_alive, ended, reason"
void story_row(sqlite3_stmt *stmt, struct story *out);
/* Fill in the events; s->next is known.  `trace` may be NULL. */
int story_events(struct db *trace, const struct story_machine *machine, struct story *s);

/* ---- pure ---- */

/* Of a machine's events around a boot that opened at `opened`, while the next one opened at
 * `next` (0: none): leave the boot's own, in place. */
void story_cut(struct story *s);

/* Where in a story an attempt begins that no row came of: the index of its first event, or
 * s->n where there is none. */
unsigned int story_attempt(const struct story *s);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who has which address: the rows of leases.db, indexed in memory by address and
 * by MAC.  This process is the only writer.
 *
 *	a packet --> lease changed in memory, marked --> leases_write() in one
 *	transaction for the whole batch --> the replies that waited for it leave
 *
 * Offers live in memory alone: an offer that nobody took leaves no trace on disk.
 * Deadlines are instants, so that a step of the wall clock (a server without a
 * clock battery) neither ends nor stretches a lease; rows hold wall time.
 */
#ifndef DHCP_LEASE_H
#define DHCP_LEASE_H

#include "common/clock.h"
#include "common/cleanup.h"
#include "common/db.h"
#include "common/mac.h"
#include "common/schema.h"

/* Both clocks, read once a batch by the loop. */
struct dhcp_now {
	struct instant mono;
	int64_t wall_ns;
};

/* The instant of a row's wall time; long ago, where that is none. */
struct instant instant_as_of(int64_t wall_ns, struct dhcp_now now);

enum { LEASE_ID_MAX = 64, LEASE_HOSTNAME_MAX = 64 };

/* Fields are the caller's to change, followed by lease_changed(); address and mac
 * change by lease_assign() only. */
struct lease {
	uint32_t address;
	struct mac mac;
	uint32_t host;		/* 0: not registered */
	enum lease_state state; /* 0 while it waits to be forgotten on disk */
	int64_t started;	/* wall ns */
	struct instant expires; /* of the state */
	struct instant held;	/* offered to its own MAC: not for others until then */
	struct instant alive;	/* last NFS call seen; INT64_MIN: none */
	uint8_t id_len;
	uint8_t client_id[LEASE_ID_MAX];   /* option 61, to look at */
	char hostname[LEASE_HOSTNAME_MAX]; /* option 12, escaped, to look at */
	bool probing;			   /* being asked for by ARP: not offered yet */
	/* private */
	bool stored; /* a row exists */
	bool dirty;
	int64_t alive_stored; /* instant ns of the mark on disk */
	struct lease *next_by_address;
	struct lease *next_by_mac;
	struct lease *next_dirty;
	struct lease *older; /* of offers */
	struct lease *newer;
	/* the pool's */
	struct instant due; /* not later than lease_over_at() */
	unsigned int place;
	uint8_t line;
};

struct leases;

/* Borrows `db`, whose rows are from the point of view of `now` (dhcp/wall.h).  Returns 0 or
 * a negative errno. */
int leases_load(struct db *db, struct dhcp_now now, struct leases **out);
void leases_free(struct leases *leases); /* NULL is fine */
CLEANUP_DEFINE(struct leases *, leases_free);

struct lease *leases_by_address(const struct leases *leases, uint32_t address);
/* All leases of a MAC: the first, then the one after `lease`; NULL at the end. */
struct lease *leases_by_mac(const struct leases *leases, const struct mac *mac);
struct lease *leases_next(const struct lease *lease);
void leases_each(const struct leases *leases, void (*each)(void *ctx, struct lease *lease),
		 void *ctx);

/* The record of `address`, made or taken over for `mac`, with everything that was
 * its former tenant's wiped.  NULL: out of memory. */
struct lease *lease_assign(struct leases *leases, uint32_t address, const struct mac *mac);

/* To be written by the next commit. */
void lease_changed(struct leases *leases, struct lease *lease);

/* The wall clock was set: all rows, that is. */
void leases_rewrite(struct leases *leases);

/* Nobody's any more.  The record may be freed at once: let go of it. */
void lease_forget(struct leases *leases, struct lease *lease);

/* An offer to a MAC that has no lease there: state OFFERED, held until `until`.
 * Offers end in the order they were made: all are held equally long. */
void lease_offer(struct leases *leases, struct lease *lease, struct instant until);
void lease_bind(struct leases *leases, struct lease *lease, struct instant until, int64_t wall_ns);
/* Quarantined: nobody's until `until`. */
void lease_decline(struct leases *leases, struct lease *lease, struct instant until);
/* Over, but remembered, so that its MAC gets it back. */
void lease_release(struct leases *leases, struct lease *lease, struct instant now);
struct lease *leases_oldest_offer(const struct leases *leases); /* NULL: none */

/* A sign of life.  On disk it is as old as five minutes. */
void lease_alive(struct leases *leases, struct lease *lease, struct instant at);

/* May somebody else have it?  Not while the lease runs, nor while an offer holds
 * it, nor within an hour of its last NFS call: kernels that boot from NFS never
 * renew. */
bool lease_is_over(const struct lease *lease, struct instant now);
struct instant lease_over_at(const struct lease *lease);

/* Write what changed, inside the caller's transaction; after a good commit call
 * leases_written(), else everything stays to be written. */
bool leases_dirty(const struct leases *leases);
int leases_write(struct leases *leases, struct dhcp_now now);
void leases_written(struct leases *leases);

#endif

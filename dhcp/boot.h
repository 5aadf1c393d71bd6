/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The boots of each machine: opened, joined by later stages, pinned, ended.
 *
 *	ROM's DISCOVER --opens--> starting (memory alone)
 *	   its ACK ----> a row: version, overlay change and address are pinned
 *	   MNT --------> mounted
 *	   init read --> running; the machine's earlier boots end here, not before
 *
 * A boot is written with its first ACK, so that a DISCOVER, which anybody can
 * forge, leaves nothing behind.  An earlier boot that has mounted stays open, and
 * its version pinned, until a later one reads init: a running client never sees
 * its root change under it.  Of those that mounted and never read init the oldest,
 * which may run another program, and the newest BOOTS_OPEN_MAX stay open.
 *
 * Who joins and who opens:
 *	ROM            opens, unless the newest boot has had no ACK yet, or this is
 *	               the same message again (xid, within 10 s)
 *	iPXE           joins a ROM's boot that has not mounted; else as a ROM: it
 *	               may be one
 *	kernel, initrd join, unless the newest boot has read init already: that one
 *	               has a kernel (a machine that boots without a ROM)
 *	anything else  joins; opens only where none is open
 */
#ifndef DHCP_BOOT_H
#define DHCP_BOOT_H

#include "common/inventory.h"
#include "dhcp/class.h"
#include "dhcp/lease.h"

struct boot {
	struct mac mac;
	uint32_t host;	  /* 0: not registered */
	uint32_t address; /* 0: no ACK yet */
	uint32_t version; /* 0: there was no image */
	uint64_t change;
	enum root_mode mode;
	int arch;	/* -1: it did not say */
	int64_t opened; /* wall ns; so are the next three; 0: not yet */
	int64_t mounted;
	int64_t init;
	int64_t last_alive;
	struct instant heard;  /* the same, or `opened`: for how long it is silent */
	enum dhcp_stage stage; /* of the last message */
	/* private */
	int64_t id;	/* 0: no row yet */
	int64_t new_id; /* until the commit */
	int64_t ended;
	const char *reason;
	uint32_t xid;
	struct instant seen;
	int64_t alive_stored;
	bool dirty;
	bool acked;	   /* at this stage */
	struct boot *next; /* of this hash bucket, the newest first */
	struct boot *next_dirty;
	struct boot *older; /* among those without a row */
	struct boot *newer;
};

enum {
	BOOTS_OPEN_MAX = 16,
	BOOTS_ROWS_MAX = 1000000 /* ended ones on disk: 10,000 machines' of 90 days */
};

struct boots;

/* `now`: as for leases_load(). */
int boots_load(struct db *db, struct dhcp_now now, struct boots **out);
void boots_free(struct boots *boots); /* NULL is fine */
CLEANUP_DEFINE(struct boots *, boots_free);

/* What a boot that opens now is pinned to. */
struct boot_pin {
	uint32_t host;
	uint32_t version;
	uint64_t change;
	enum root_mode mode;
};

/* A DISCOVER: open or join.  NULL: out of memory.  The result is good until the
 * next call. */
struct boot *boots_discover(struct boots *boots, const struct mac *mac, enum dhcp_stage stage,
			    int arch, uint32_t xid, const struct boot_pin *pin,
			    struct dhcp_now now);

/* An ACK for `address`: the newest boot (opened here if there is none) has its
 * row, and earlier ones that never mounted end.  An ACK that no DISCOVER led to
 * (not `selecting`: a renewal) passes over a boot that is only starting. */
struct boot *boots_ack(struct boots *boots, const struct mac *mac, uint32_t address, bool selecting,
		       int arch, const struct boot_pin *pin, struct dhcp_now now);

/* What nfs tells: a MNT was granted, init was read, a handle was shown, in the boot `id`.  0:
 * none was open when the handle was given; then the newest is meant, for init and handles of
 * those that have mounted.  A handle of a boot that is over tells nothing; a MNT without a boot
 * opens one.  What was told before may be lost: who read init has mounted. */
void boots_mount(struct boots *boots, const struct mac *mac, uint32_t id, uint32_t address,
		 const struct boot_pin *pin, struct dhcp_now now);
/* `others` are the host's further MACs: their boots end too. */
void boots_init(struct boots *boots, const struct mac *mac, uint32_t id, const struct mac *others,
		unsigned int nothers, struct dhcp_now now);
void boots_alive(struct boots *boots, const struct mac *mac, uint32_t id, struct dhcp_now now);

/* The newest open one, or NULL. */
struct boot *boots_newest(const struct boots *boots, const struct mac *mac);
/* How many boots have come how far: only asked for an address, got one, mounted, read
 * init. */
enum boot_far { BOOT_STARTING, BOOT_STARTED, BOOT_MOUNTED, BOOT_RUNNING, BOOT_FARS };
void boots_count(const struct boots *boots, unsigned int out[static BOOT_FARS]);

/* Another connection wrote to the database: those whose row it ended are over. */
int boots_reread(struct boots *boots, struct dhcp_now now);

/* End what has not called for 30 days, and what never mounted and `waits` says may not do
 * so any more, ten minutes after its last DISCOVER; drop starting ones after as long.
 * Forget rows that ended 90 days ago, or a day ago without ever having mounted. */
void boots_sweep(struct boots *boots, bool (*waits)(void *ctx, const struct boot *boot), void *ctx,
		 struct dhcp_now now);
void boots_forget(struct boots *boots, struct dhcp_now now);

/* The wall clock was set by so much: rows say when they were heard of by the new one. */
void boots_rewrite(struct boots *boots, int64_t by_ns);

/* How many rows of ended boots there may be, about; beyond that the oldest go. */
void boots_keep(struct boots *boots, unsigned int rows);

/* Machines registered since: fill in their host, and a version where none was. */
void boots_register(struct boots *boots, const struct inventory *inv);

bool boots_dirty(const struct boots *boots);
int boots_write(struct boots *boots);
void boots_written(struct boots *boots);

#endif

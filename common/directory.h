/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who is where: the addresses in leases.db, an immutable snapshot like the inventory
 * (common/inventory.h), and one object that keeps both snapshots fresh.
 *
 *	leases.db --load--> struct tenants --by address--> tenant: whose, in which boot
 *	both databases --poll--> struct directory --who calls from here?--> host, version
 */
#ifndef COMMON_DIRECTORY_H
#define COMMON_DIRECTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/db.h"
#include "common/inventory.h"
#include "common/mac.h"
#include "common/why.h"

/* What an open boot holds on to. */
struct tenant_boot {
	uint32_t id;	  /* 0: no boot is open */
	uint32_t version; /* 0: there was no image */
	uint64_t change;  /* of the overlays, for next-boot entries */
	enum root_mode mode;
};

/* An address in use: a bound lease and the open boots of that machine. */
struct tenant {
	uint32_t address;
	struct mac mac;
	uint32_t host;		 /* 0: not registered */
	struct tenant_boot boot; /* the newest: loaders, kernel and MNT are of this one */
	struct tenant_boot runs; /* the newest that has mounted, else the newest: anybody
				  * can forge the start of a boot */
	uint32_t mounted;	 /* the newest that has mounted; 0: none */
};

/* A boot that is open, and whose. */
struct open_boot {
	struct mac mac;
	uint32_t host; /* 0: it was none when the boot began */
	bool mounted;
	struct tenant_boot boot;
};

struct tenants;

int tenants_load(struct db *leases, struct tenants **out);
void tenants_free(struct tenants *t);
CLEANUP_DEFINE(struct tenants *, tenants_free);
const struct tenant *tenants_by_address(const struct tenants *t, uint32_t address); /* NULL: none */
const struct tenant *tenants_at(const struct tenants *t, unsigned int i); /* NULL: past the end */
/* All that are open, those of machines without a lease too, by MAC, the newest first.
 * NULL: past the end. */
const struct open_boot *tenants_boot_at(const struct tenants *t, unsigned int i);

/* Opens both databases read-only and reloads what moved.  One thread. */
struct directory;

int directory_open(const char *state_dir, struct directory **out, struct why *why);
void directory_close(struct directory *d);
CLEANUP_DEFINE(struct directory *, directory_close);

/* Look at data_version of both (2 µs) and reload what moved.  Pointers into an
 * older snapshot die here: keep none across a call.  A reload that fails keeps
 * the last snapshot and is logged once.  Returns true when something moved. */
bool directory_poll(struct directory *d);
/* Could both be read at the last look?  Else who is not in the snapshot may well be in
 * the databases. */
bool directory_current(const struct directory *d);
const struct inventory *directory_inventory(const struct directory *d);
const struct tenants *directory_tenants(const struct directory *d);

/* From now on as if `mac` had just been given `address`, and booted next: for who asks
 * what would be (a directory of his own).  Returns 0 or -ENOMEM. */
int directory_assume(struct directory *d, uint32_t address, const struct mac *mac);

/* Who calls from `address`?  The open boot's tenant first, then a reservation.
 * Returns 0 and *host (never NULL) with *version, the version that this machine's
 * open boot is pinned to, else what the next boot would get (0: no image);
 * -ENOENT when nobody known has that address; -EACCES when the host is pending. */
int directory_who(const struct directory *d, uint32_t address, const struct host **host,
		  uint32_t *version, uint64_t *change);

#endif

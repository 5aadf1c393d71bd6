/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who is who: an immutable snapshot of hosts, groups and images from
 * rootstock.db, and of the addresses in leases.db.  Serving processes hold one,
 * swap it whole when a database moved, and never ask SQL about a packet.
 *
 *	rootstock.db --load--> struct inventory --by mac, name, id, address--> host
 *	leases.db    --load-->  (addresses: who has it, in which boot)
 */
#ifndef COMMON_INVENTORY_H
#define COMMON_INVENTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/db.h"
#include "common/mac.h"
#include "common/cleanup.h"

enum { NAME_MAX_LEN = 63 }; /* of hosts, groups and images: DNS labels fit */

struct host {
	uint32_t id;
	const char *name;
	uint32_t image;	  /* 0: none yet (no image has been added) */
	uint32_t version; /* what its next boot gets; 0: none */
	uint32_t address; /* reservation; 0: from the pool */
	bool pending;	  /* recorded, not approved: gets nothing */
	int64_t changed;  /* wall ns: when row, groups or settings last moved */
	const struct mac *macs;
	unsigned int nmacs;
	const uint32_t *groups; /* ids, the weakest first */
	unsigned int ngroups;
};

struct inventory;

/* A snapshot of one read transaction, or of the one that the caller has open.  `groups`,
 * `macs` and names live in it.
 * Returns 0 or a negative errno. */
int inventory_load(struct db *rootstock, struct inventory **out);
void inventory_free(struct inventory *inv); /* NULL is fine */
CLEANUP_DEFINE(struct inventory *, inventory_free);

unsigned int inventory_count(const struct inventory *inv);
const struct host *inventory_at(const struct inventory *inv, unsigned int i); /* by name order */

/* NULL: nobody. */
const struct host *inventory_by_mac(const struct inventory *inv, const struct mac *mac);
const struct host *inventory_by_id(const struct inventory *inv, uint32_t id);
const struct host *inventory_by_name(const struct inventory *inv, const char *name);
const struct host *inventory_by_address(const struct inventory *inv, uint32_t address);

/* A setting or template key of a host: its own, else the strongest group's, else
 * the site's (`all`).  NULL: not set. */
const char *inventory_setting(const struct inventory *inv, const struct host *host,
			      const char *key);

/* How a machine has its root, by its setting `mode`: writable where the list says, or
 * whole.  NONE: the setting names neither. */
enum root_mode { ROOT_MODE_NONE, ROOT_MODE_TMPFS, ROOT_MODE_OVERLAY };
enum root_mode inventory_mode(const struct inventory *inv, const struct host *host);
enum root_mode root_mode_parse(const char *word);
const char *root_mode_word(enum root_mode mode); /* NULL for NONE */

/* The active version of the default image (the first one added); 0: none. */
uint32_t inventory_default_version(const struct inventory *inv);

struct image_version {
	uint32_t id; /* of the version */
	uint32_t image;
	uint32_t number; /* the 3 of debian@3 */
	const char *image_name;
	bool active;
	bool sealed;
};

/* NULL: no such version; by id, or one after another from 0 on. */
const struct image_version *inventory_version(const struct inventory *inv, uint32_t version_id);
const struct image_version *inventory_version_at(const struct inventory *inv, unsigned int i);
/* By "name" (the active version) or "name@N".  NULL: none. */
const struct image_version *inventory_version_by_name(const struct inventory *inv,
						      const char *name);
/* What the host's setting `maintenance` names.  NULL: not set, or there is none such. */
const struct image_version *inventory_maintenance(const struct inventory *inv,
						  const struct host *host);

/* ---- addresses (leases.db) ---- */

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

/* ---- one object that keeps both fresh ---- */

/* A directory of who is where: opens both databases read-only and reloads what
 * moved.  One thread. */
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

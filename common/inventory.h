/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who is who: an immutable snapshot of hosts, groups and images from
 * rootstock.db.  Serving processes hold one (common/directory.h keeps it fresh),
 * swap it whole when the database moved, and never ask SQL about a packet.
 *
 *	rootstock.db --load--> struct inventory --by mac, name, id, address--> host
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

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Registering and changing hosts and groups: the writing half of the inventory.
 */
#ifndef FSD_HOST_H
#define FSD_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "common/db.h"
#include "common/mac.h"
#include "common/schema.h"
#include "common/why.h"

enum { HOST_GROUPS_MAX = 16, HOST_MACS_MAX = 16 };

struct host_spec {
	struct mac mac;
	const char *name;  /* NULL: host-525400123401 */
	const char *image; /* NAME or NAME@N; NULL: the group's, else the default */
	uint32_t address;  /* 0: none */
	bool pending;
	const char *groups[HOST_GROUPS_MAX];
	unsigned int ngroups;
};

/* Register a machine and make its identity.  *has_keys: see identity_create().
 * -EEXIST with words for a MAC, name or address that another host has. */
int host_add(struct db *db, const char *state_dir, const struct host_spec *spec, uint32_t *id,
	     bool *has_keys, struct why *why);

/* Register machines that are known by nothing but their MACs, in one transaction, and
 * so all or none; without keys, which identity_create() makes later. */
int hosts_add(struct db *db, const struct mac *macs, unsigned int n, struct why *why);

/* By name or MAC.  Returns 0 or -ENOENT with words. */
int host_find(struct db *db, const char *name, uint32_t *id, struct why *why);
int group_find(struct db *db, const char *name, uint32_t *id, struct why *why);

int host_approve(struct db *db, uint32_t id, struct why *why);
int group_add(struct db *db, const char *name, struct why *why);

/* Words of KEY=VALUE for a host, a group, or all (`id` 0), all or none; they are cut up.  Of a
 * host mac (a list with commas), address, image, group (a list), name, pending (yes, no) are
 * rows, and of a group image; any other key is a setting; an empty value takes it away. */
int scope_set(struct db *db, enum scope_kind kind, uint32_t id, char **words, unsigned int n,
	      struct why *why);
/* A host or a group, with its overlay.  -EBUSY with words while hosts are in the group. */
int scope_remove(struct db *db, enum scope_kind kind, uint32_t id, struct why *why);

/* ---- the same within a transaction that the caller has open, as an import does ---- */

int host_insert_row(struct db *db, const char *name, uint32_t *id, struct why *why);
/* One key, as scope_set() takes it; `value` may be cut up. */
int scope_set_row(struct db *db, enum scope_kind kind, uint32_t id, const char *key, char *value,
		  struct why *why);
/* The views and templates of hosts that it holds for are other ones from now on. */
int scope_changed(struct db *db, enum scope_kind kind, uint32_t id);
int scope_remove_rows(struct db *db, enum scope_kind kind, uint32_t id, struct why *why);

/* Is it fit for a setting?  -EINVAL with words. */
int setting_check(const char *key, const char *value, struct why *why);
/* NAME or NAME@N: ids; *version is 0 for a bare name.  -ENOENT with words. */
int image_find(struct db *db, const char *name, int64_t *image, int64_t *version, struct why *why);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who may have which tree.
 *
 *	struct directory --exports_poll--> struct roster (immutable) --> workers
 *	MNT path, address --exports_grant--> host, version, boot, path inside
 *
 * The directory is one thread's, so a lock sits around it here: for the poll ten
 * times a second, and for MNT. Other calls read a roster: a flat copy of
 * who has which address, counted references, swapped whole when something moved.
 * A worker holds one and asks a single atomic number whether it is still the last.
 */
#ifndef NFS_EXPORT_H
#define NFS_EXPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/mac.h"
#include "common/why.h"

struct nfs_config;

/* Somebody who has an address. */
struct roster_who {
	uint32_t address;
	uint32_t host;	  /* 0: a lease, but no registered host */
	uint32_t mounted; /* the newest boot that is known to have mounted; 0: none */
	uint64_t runs;	  /* its change */
	bool pending;
};

struct roster;

void roster_unref(struct roster *roster); /* NULL is fine */
CLEANUP_DEFINE(struct roster *, roster_unref);
uint64_t roster_generation(const struct roster *roster); /* never 0 */

/* Returns 0 or -ENOENT. */
int roster_by_address(const struct roster *roster, uint32_t address, struct roster_who *out);
/* The overlay change that a host's view is at where its handle is of `boot`: that boot's, while
 * it is open; else that of the newest boot that has mounted; UINT64_MAX without one. */
uint64_t roster_change(const struct roster *roster, const struct roster_who *who, uint32_t host,
		       uint32_t boot);
/* A host's `init` setting (NULL: none).  Returns 0 or -ENOENT. */
int roster_host(const struct roster *roster, uint32_t host, const char **init);

struct exports;

int exports_open(const char *state_dir, const struct nfs_config *config, struct exports **out,
		 struct why *why);
void exports_close(struct exports *exports); /* NULL is fine */
CLEANUP_DEFINE(struct exports *, exports_close);

/* As directory_assume(), and publish: for who asks what would be. */
int exports_assume(struct exports *exports, uint32_t address, const struct mac *mac);

/* Look whether hosts or leases moved, and publish. */
void exports_poll(struct exports *exports);
uint64_t exports_generation(const struct exports *exports); /* atomic; any thread */
struct roster *exports_roster(struct exports *exports);	    /* a reference to the last */

bool exports_admin(const struct nfs_config *config, uint32_t address);

struct grant {
	uint32_t host; /* 0: an image's bare view */
	uint32_t version;
	uint32_t boot;	  /* whose tree it is; 0: none is open */
	const char *path; /* inside the tree; points into the path that was asked */
};

enum grant_code {
	GRANT_UNKNOWN = 1,  /* nobody known has this address */
	GRANT_UNREGISTERED, /* a lease, but no host; *mac */
	GRANT_PENDING,
	GRANT_NO_IMAGE,
	GRANT_DENIED, /* another host's tree, or an image's, and no admin */
	GRANT_NOENT   /* no such host or image */
};

/* May `address` mount `path`?  By what both databases say now, not at the last poll.
 * Returns 0 with *out, or a grant_code; `mac` is set with GRANT_UNREGISTERED. */
int exports_grant(struct exports *exports, uint32_t address, const char *path, struct grant *out,
		  struct mac *mac);

/* The paths that `address` may mount, for EXPORT, one after another in `out`, each
 * ended; as many as fit.  Returns their number. */
unsigned int exports_list(struct exports *exports, uint32_t address, char *out, size_t size);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which address has mounted what, for DUMP, and what is told once for each: that
 * a boot read its init, that an address is alive, why one was refused.
 *
 * One table for all workers, bounded, behind one lock that no call takes on its
 * usual way: callers remember for themselves when they have to ask again.
 * The events go to the supervisor, and are lost when it is behind; that a boot mounted is
 * told until it is on record, for what the machine sees depends on it.
 */
#ifndef NFS_MOUNTS_H
#define NFS_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/event.h"
#include "common/mac.h"

enum {
	MOUNTS_MAX = 16384,
	MOUNTS_PATH = 96 /* of a longer one the head */
};

struct mounts;

int mounts_new(int event_fd, struct mounts **out); /* borrows event_fd; -1: none */
void mounts_free(struct mounts *mounts);	   /* NULL is fine */
CLEANUP_DEFINE(struct mounts *, mounts_free);

/* One for a caller who is only played: the table works, nothing is told or logged, but the
 * reasons of refusals, which go to `fd` (borrowed) as packets of a control socket. */
int mounts_new_dry(int fd, struct mounts **out);

/* MNT was granted, in that boot (0: none was open): logged, and told as EVENT_MOUNT.  Of one
 * address a few at once and then one a second, but the first of each boot always. */
void mounts_add(struct mounts *mounts, uint32_t address, uint32_t host, uint32_t boot,
		const char *path);
/* The same for a MNT by UDP, which anybody can send in an address's name: DUMP
 * shows it, but it is news, and the boot's, from the claim on. */
void mounts_offer(struct mounts *mounts, uint32_t address, uint32_t host, uint32_t boot,
		  const char *path);
/* The address shows a handle of that boot: what was offered in it is mounted. */
void mounts_claim(struct mounts *mounts, uint32_t address, uint32_t boot);
/* UMNT of a path, or of all (NULL). */
void mounts_remove(struct mounts *mounts, uint32_t address, const char *path);

struct mounts_entry {
	uint32_t address;
	char path[MOUNTS_PATH];
};
/* Copies up to `max` entries, oldest first not promised.  Returns their number. */
unsigned int mounts_list(struct mounts *mounts, struct mounts_entry *out, unsigned int max);

/* When the address mounted last, monotonic; 0: not since we were started. */
int64_t mounts_when(struct mounts *mounts, uint32_t address);

/* A host's init was read by a handle of that boot: EVENT_INIT, once a mount, and not of a boot
 * before the last one that was told. */
void mounts_init_read(struct mounts *mounts, uint32_t address, uint32_t host, uint32_t boot,
		      uint64_t bytes);

/* A host showed a handle of its own, of that boot: EVENT_ALIVE, once a minute; once a second
 * while the boot is newer than `mounted`, the one that is on record to have mounted: word of it
 * was lost with a process.  Returns the monotonic time from which on to ask again. */
int64_t mounts_alive(struct mounts *mounts, uint32_t address, uint32_t host, uint32_t boot,
		     uint32_t mounted, int64_t now_ns);

/* A file with a secret in it was read from its start: EVENT_FILE with the path, of one
 * address a few at once and then one a second. */
void mounts_secret_read(struct mounts *mounts, uint32_t address, uint32_t host, const char *path);

/* An address with a lease but no host asked to mount; every two seconds at most. */
void mounts_unknown(struct mounts *mounts, uint32_t address, const struct mac *mac,
		    const char *path);

/* Why a call was turned down: logged once an address and reason in ten minutes, and told as
 * EVENT_REFUSED, for hosts every ten seconds.  `what` and `why` are plain text. */
void mounts_refused(struct mounts *mounts, enum event_step step, uint32_t address, uint32_t host,
		    const char *what, const char *why);

/* A host asked for the port of a program: EVENT_PORTMAP, once an address, program and
 * version in ten seconds. */
void mounts_portmap(struct mounts *mounts, uint32_t address, uint32_t host, uint32_t program,
		    uint32_t version, uint32_t port);

/* A file of its root gave a host an error: logged, and told as EVENT_BROKEN, as
 * often as refusals. */
void mounts_unreadable(struct mounts *mounts, uint32_t address, uint32_t host, const char *path,
		       const char *why);

#endif

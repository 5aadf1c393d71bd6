/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which files of its image a boot reads, and when it read each first: told to the
 * supervisor, who keeps it for the fill of later versions (fsd/hot.h).
 *
 * On the way of a READ this is a bit that is looked at; an address that did not mount
 * since we were started has not even that.  The bits are fewer than the files may be, so
 * now and then one is not told: what is told is an order, not an account.
 */
#ifndef NFS_READS_H
#define NFS_READS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/event.h"

enum { READS_BITS = 65536 };

/* One caller's. */
struct reads {
	int event_fd;
	uint32_t address;
	uint32_t host;
	uint32_t version;
	int64_t mounted_ns;
	int64_t batch_ns; /* of the first of those that wait */
	unsigned int n;
	uint32_t waiting[EVENT_READS_MAX];
	uint64_t seen[READS_BITS / 64];
};

/* From the time that `address` mounted (monotonic).  NULL: out of memory. */
struct reads *reads_new(int event_fd, uint32_t address, uint32_t host, uint32_t version,
			int64_t mounted_ns);
void reads_free(struct reads *reads); /* tells what waits; NULL is fine */
void reads_tell(struct reads *reads);
void reads_add(struct reads *reads, uint32_t pos, int64_t now_ns);

/* The file at `pos` is read. */
static inline void reads_note(struct reads *reads, uint32_t pos, int64_t now_ns)
{
	uint32_t bit = pos * UINT32_C(2654435761) >> 16;

	if (!(reads->seen[bit / 64] >> bit % 64 & 1))
		reads_add(reads, pos, now_ns);
}

#endif

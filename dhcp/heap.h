/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Leases by when they are over, the earliest on top: a binary heap whose leases
 * know their place in it.
 */
#ifndef DHCP_HEAP_H
#define DHCP_HEAP_H

#include "dhcp/lease.h"

struct lease_heap {
	struct lease **at;
	unsigned int n;
	uint64_t steps; /* comparisons so far, for tests of what it costs */
};

void lease_heap_fini(struct lease_heap *heap);

/* By lease->due, which the caller has set.  Returns 0 or -ENOMEM. */
int lease_heap_add(struct lease_heap *heap, struct lease *lease);
void lease_heap_remove(struct lease_heap *heap, struct lease *lease);
/* Its `due` has moved. */
void lease_heap_move(struct lease_heap *heap, struct lease *lease);

static inline struct lease *lease_heap_top(const struct lease_heap *heap)
{
	return heap->n ? heap->at[0] : NULL;
}

#endif

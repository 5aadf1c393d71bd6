/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which address a machine gets.  Each subnet has a bitmap over its ranges; a new
 * machine's place is a hash of its MAC, the next free bit after that if it is
 * taken, so that the same machines get the same addresses on an empty server
 * too.  Addresses that nobody ever had go first, then the one whose tenant has
 * been gone for longest: heaps tell which, so that full ranges cost no walk.
 */
#ifndef DHCP_POOL_H
#define DHCP_POOL_H

#include "common/inventory.h"
#include "common/log.h"
#include "dhcp/config.h"
#include "dhcp/lease.h"

struct pools;

/* Borrows both. */
int pools_new(const struct dhcp_config *config, struct leases *leases, struct pools **out);
void pools_free(struct pools *pools); /* NULL is fine */
CLEANUP_DEFINE(struct pools *, pools_free);

/* Keep the hosts' reserved addresses out of what others get. */
void pools_reserve(struct pools *pools, const struct inventory *inv);

/* The subnet that holds `address`, or NULL. */
const struct dhcp_subnet *pools_subnet(const struct pools *pools, uint32_t address);

/* May a machine without a reservation for it be given this address? */
bool pools_offers(const struct pools *pools, uint32_t address);

/* An address of `subnet` for a machine that has none there; the caller goes on
 * with pools_assign().  `registered` machines may use up what is kept back from
 * strangers, and take over a stranger's offer.  0: none is left. */
uint32_t pools_choose(struct pools *pools, const struct dhcp_subnet *subnet, const struct mac *mac,
		      bool registered, struct instant now);

/* Addresses kept back from strangers in each subnet, up to a quarter of it. */
void pools_keep(struct pools *pools, unsigned int addresses);
unsigned int pools_kept(const struct pools *pools);

/* As lease_assign() and lease_forget(), with the bitmaps told. */
struct lease *pools_assign(struct pools *pools, uint32_t address, const struct mac *mac);
void pools_forget(struct pools *pools, struct lease *lease);

/* The lease's state or host changed, or it is over earlier than before.  (Later
 * alone need not be told.) */
void pools_moved(struct pools *pools, struct lease *lease);

/* Is it time to say that the subnet's ranges are full?  Once in ten minutes. */
bool pools_say_full(struct pools *pools, const struct dhcp_subnet *subnet, struct instant now);

/* Comparisons of leases so far: what finding an address in full ranges costs. */
uint64_t pools_steps(const struct pools *pools);

unsigned int pools_free_count(const struct pools *pools, const struct dhcp_subnet *subnet);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who may have which address: what leases, reservations and pools say of one request.
 */
#ifndef DHCP_CLAIM_H
#define DHCP_CLAIM_H

#include "dhcp/state.h"

/* The lease at an address; NULL where there is none, or only a row to be deleted. */
struct lease *dhcp_lease_at(const struct dhcp_server *s, uint32_t address);

/* Is `mac` another network card of this host (NULL: of none)? */
bool dhcp_same_host(const struct dhcp_server *s, const struct host *host, const struct mac *mac);

/* Is it an address of the wire that the request came from? */
bool claim_on_wire(const struct dhcp_server *s, const struct dhcp_request *rq, uint32_t address);
/* Has nfs heard of it lately? */
bool claim_is_calling(const struct lease *lease, struct instant now);
/* Is this the lease of `mac`, and no address that it declined? */
bool claim_is_for(const struct lease *lease, const struct mac *mac);
/* May this client have `address`, as far as leases say? */
bool claim_is_free(const struct dhcp_server *s, const struct dhcp_request *rq, uint32_t address);
bool claim_is_reserved(const struct dhcp_request *rq, uint32_t address);
/* May it have any of the pool?  A stranger only beyond those kept for registered machines. */
bool claim_may_take(const struct dhcp_server *s, const struct dhcp_request *rq);

/* Its address: reserved, else its own, else what it asks for, else one of the pool.
 * 0: none. */
uint32_t claim_choose(struct dhcp_server *s, const struct dhcp_request *rq);

#endif

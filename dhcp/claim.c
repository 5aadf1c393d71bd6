/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dhcp/claim.h"

#define CALLING_NS (180 * NS_PER_SEC) /* nfs tells once a minute who calls */

static bool lives(const struct lease *lease)
{
	return lease && lease->state;
}

struct lease *dhcp_lease_at(const struct dhcp_server *s, uint32_t address)
{
	struct lease *lease = address ? leases_by_address(s->leases, address) : NULL;

	return lives(lease) ? lease : NULL;
}

static bool same_wire(const struct dhcp_subnet *a, const struct dhcp_subnet *b)
{
	return a == b || (a->shared && a->shared == b->shared);
}

bool claim_on_wire(const struct dhcp_server *s, const struct dhcp_request *rq, uint32_t address)
{
	const struct dhcp_subnet *subnet = pools_subnet(s->pools, address);

	return subnet && rq->subnet && same_wire(subnet, rq->subnet);
}

bool claim_is_calling(const struct lease *lease, struct instant now)
{
	return lease->alive.ns != INT64_MIN && now.ns - lease->alive.ns < CALLING_NS;
}

bool dhcp_same_host(const struct dhcp_server *s, const struct host *host, const struct mac *mac)
{
	return host && inventory_by_mac(s->inv, mac) == host;
}

bool claim_is_for(const struct lease *lease, const struct mac *mac)
{
	return mac_equal(&lease->mac, mac) && lease->state != LEASE_DECLINED;
}

bool claim_is_free(const struct dhcp_server *s, const struct dhcp_request *rq, uint32_t address)
{
	const struct lease *lease = dhcp_lease_at(s, address);

	if (!lease || claim_is_for(lease, &rq->m->mac) || lease_is_over(lease, rq->now.mono))
		return true;
	return lease->state != LEASE_DECLINED && dhcp_same_host(s, rq->host, &lease->mac) &&
	       !claim_is_calling(lease, rq->now.mono);
}

bool claim_is_reserved(const struct dhcp_request *rq, uint32_t address)
{
	return rq->host && rq->host->address && rq->host->address == address;
}

/* A lease of its own, where the address is still its to have. */
static struct lease *own_lease(const struct dhcp_server *s, const struct dhcp_request *rq)
{
	struct lease *best = NULL;

	for (struct lease *l = leases_by_mac(s->leases, &rq->m->mac); l; l = leases_next(l)) {
		if (l->state == LEASE_DECLINED || !claim_on_wire(s, rq, l->address))
			continue;
		if (!claim_is_reserved(rq, l->address) && !pools_offers(s->pools, l->address) &&
		    !claim_is_calling(l, rq->now.mono))
			continue;
		if (!best || (l->state == LEASE_BOUND && best->state != LEASE_BOUND) ||
		    (l->state == best->state && l->expires.ns > best->expires.ns))
			best = l;
	}
	return best;
}

static uint32_t choose_from_pools(struct dhcp_server *s, const struct dhcp_request *rq)
{
	const struct dhcp_config *config = s->config;
	uint32_t address = pools_choose(s->pools, rq->subnet, &rq->m->mac, rq->host, rq->now.mono);

	for (unsigned int i = 0; i < config->nsubnets && !address && rq->subnet->shared; i++)
		if (&config->subnets[i] != rq->subnet && same_wire(&config->subnets[i], rq->subnet))
			address = pools_choose(s->pools, &config->subnets[i], &rq->m->mac, rq->host,
					       rq->now.mono);
	return address;
}

/* A stranger may have an address only beyond those kept for registered machines. */
bool claim_may_take(const struct dhcp_server *s, const struct dhcp_request *rq)
{
	return rq->host || pools_free_count(s->pools, rq->subnet) > pools_kept(s->pools);
}

uint32_t claim_choose(struct dhcp_server *s, const struct dhcp_request *rq)
{
	uint32_t asked = dhcp_message_u32(rq->m, OPTION_REQUESTED_ADDRESS);
	const struct lease *own;

	if (rq->host && rq->host->address) {
		if (!claim_on_wire(s, rq, rq->host->address))
			dhcp_refuse(s, rq,
				    "its reserved address is of another network: one of the range");
		else if (claim_is_free(s, rq, rq->host->address))
			return rq->host->address;
		else
			dhcp_refuse(s, rq, "its reserved address is in use: another for now");
	}
	own = own_lease(s, rq);
	if (own)
		return own->address;
	if (asked && claim_on_wire(s, rq, asked) && pools_offers(s->pools, asked) &&
	    !dhcp_lease_at(s, asked) && claim_may_take(s, rq))
		return asked;
	return choose_from_pools(s, rq);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dhcp/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "dhcp/claim.h"

#define SWEEP_MS (60 * INT64_C(1000))

/* ---- the wall clock ---- */

/* Rows are by the wall clock: what they say is moved along with it. */
static void clock_was_set(struct dhcp_server *s, int64_t by_ns)
{
	leases_rewrite(s->leases);
	boots_rewrite(s->boots, by_ns);
	strangers_rewrite(s->strangers, by_ns);
}

static void look_at_clock(struct dhcp_server *s, struct dhcp_now now)
{
	int64_t by_ns = wall_look(&s->wall, now);

	if (!by_ns)
		return;
	log_warn("the clock was set %s by %lld s: leases and boots run on as if it were not",
		 by_ns < 0 ? "back" : "forth", (long long)llabs(by_ns / NS_PER_SEC));
	clock_was_set(s, by_ns);
}

/* ---- a packet's way in ---- */

static void request_from_relay(struct dhcp_request *rq)
{
	const struct bytes *option = &rq->m->option[OPTION_RELAY];
	struct bytes sub;

	/* Only a relay adds it; in pieces it cannot be sent back verbatim. */
	if (!rq->m->giaddr || !option->at || option->len > 255)
		return;
	rq->relay = *option;
	sub = dhcp_suboption(*option, RELAY_SERVER_ID_OVERRIDE); /* RFC 5107 */
	if (sub.len == 4)
		rq->server_id = be32_at(sub.at);
}

/* The address whose subnet is the client's. */
static uint32_t request_link(const struct dhcp_request *rq)
{
	struct bytes sub = dhcp_suboption(rq->relay, RELAY_LINK_SELECTION); /* RFC 3527 */

	if (sub.len == 4)
		return be32_at(sub.at);
	if (rq->m->giaddr)
		return rq->m->giaddr;
	return rq->interface->address;
}

static bool rate_allows(struct dhcp_server *s, const struct dhcp_request *rq)
{
	const struct dhcp_config *config = s->config;
	struct bytes circuit = dhcp_suboption(rq->relay, RELAY_CIRCUIT_ID);
	struct client *c = clients_of_mac(s->clients, &rq->m->mac);

	if (!config->rate_ms)
		return true;
	if (!log_allow(&c->messages, rq->now.mono.ns, config->rate_burst, config->rate_ms)) {
		dhcp_refuse(s, rq, "sends too much");
		return false;
	}
	if (!circuit.at)
		return true;
	/* Many machines may share a circuit: sixteen times as much. */
	c = clients_of_bytes(s->clients, circuit);
	if (!log_allow(&c->messages, rq->now.mono.ns, 16 * config->rate_burst,
		       config->rate_ms / 16 + 1)) {
		dhcp_refuse(s, rq, "its relay's circuit sends too much");
		return false;
	}
	return true;
}

static void handle(struct dhcp_server *s, const struct dhcp_packet *in, bool probed,
		   struct dhcp_now now, struct dhcp_output *out)
{
	struct dhcp_request rq = {
		.config = s->config,
		.in = in,
		.m = &s->message,
		.interface = &s->config->interfaces[in->interface],
		.now = now,
		.out = out,
	};
	char text[IP4_TEXT];
	int fault;

	fault = dhcp_message_parse(in->data.at, in->data.len, &s->message);
	if (fault) {
		if (log_allow(&s->faults, now.mono.ns, 5, 60000))
			log_about(LOG_LEVEL_WARN, &(struct log_about){.address = in->source},
				  "%s: a packet from %s dropped: %s", rq.interface->name,
				  ip4_format(in->source, text), dhcp_message_fault_text(fault));
		return;
	}
	if (s->message.op != 1)
		return;
	rq.inv = s->inv;
	rq.server_id = rq.interface->address;
	request_from_relay(&rq);
	rq.subnet = pools_subnet(s->pools, request_link(&rq));
	/* Renewing through a router: the packet came straight, its network is
	 * another than the interface's. */
	if (!rq.m->giaddr && rq.m->ciaddr && rq.m->ciaddr == in->source &&
	    pools_subnet(s->pools, rq.m->ciaddr))
		rq.subnet = pools_subnet(s->pools, rq.m->ciaddr);
	rq.class = dhcp_class_of(rq.m);
	rq.host = inventory_by_mac(s->inv, &rq.m->mac);
	if (!probed && !rate_allows(s, &rq))
		return;
	if (!rq.subnet && s->config->mode == DHCP_MODE_FULL) {
		dhcp_refuse(s, &rq,
			    rq.m->giaddr ? "its relay is in no subnet of the configuration"
					 : "the interface is in no subnet of the configuration");
		return;
	}
	dhcp_exchange(s, &rq, probed);
}

void dhcp_server_packet(struct dhcp_server *s, const struct dhcp_packet *in, struct dhcp_now now,
			struct dhcp_output *out)
{
	look_at_clock(s, now);
	handle(s, in, false, now, out);
}

/* ---- ARP, events, time ---- */

void dhcp_server_taken(struct dhcp_server *s, unsigned int interface, uint32_t address,
		       const struct mac *mac, struct dhcp_now now)
{
	struct lease *lease = dhcp_lease_at(s, address);
	struct log_about about = {.address = address};
	char by[MAC_TEXT] = "another machine";
	char text[IP4_TEXT];

	if (!lease || !lease->probing)
		return;
	if (mac &&
	    (mac_equal(&lease->mac, mac) || mac_equal(&s->config->interfaces[interface].mac, mac) ||
	     dhcp_same_host(s, inventory_by_mac(s->inv, &lease->mac), mac)))
		return;
	if (mac) {
		mac_format(mac, by);
		about.mac = *mac;
	}
	if (log_allow(&s->taken, now.mono.ns, 20, 10000))
		log_about(
			LOG_LEVEL_WARN, &about,
			"%s is in use by %s, which has no lease for it: not given for ten minutes",
			ip4_format(address, text), by);
	lease->probing = false;
	lease_decline(s->leases, lease, instant_add_ms(now.mono, QUARANTINE_MS));
	pools_moved(s->pools, lease);
}

void dhcp_server_event(struct dhcp_server *s, const struct event *event, struct dhcp_now now)
{
	const struct lease *at = dhcp_lease_at(s, event->address);
	const struct host *host = at ? inventory_by_mac(s->inv, &at->mac)
				     : inventory_by_address(s->inv, event->address);
	struct boot_pin pin = {.change = s->change};
	struct lease *lease;
	struct mac mac;

	look_at_clock(s, now);
	/* Who has the address is known here best; a static one, by its reservation. */
	if (at)
		mac = at->mac;
	else if (host && host->nmacs)
		mac = host->macs[0];
	else
		return;
	lease = dhcp_lease_at(s, event->address);
	pin.host = host ? host->id : 0;
	pin.version = host ? host->version : inventory_default_version(s->inv);
	pin.mode = inventory_mode(s->inv, host);
	switch (event->kind) {
	case EVENT_MOUNT:
		boots_mount(s->boots, &mac, event->boot, event->address, &pin, now);
		break;
	case EVENT_INIT:
		boots_init(s->boots, &mac, event->boot, host ? host->macs : NULL,
			   host ? host->nmacs : 0, now);
		break;
	case EVENT_ALIVE:
		boots_alive(s->boots, &mac, event->boot, now);
		if (event->step == STEP_INIT) /* whose own event may be lost */
			boots_init(s->boots, &mac, event->boot, host ? host->macs : NULL,
				   host ? host->nmacs : 0, now);
		break;
	default:
		return;
	}
	if (lease && lease->state == LEASE_BOUND)
		lease_alive(s->leases, lease, now.mono);
}

struct sweep {
	const struct dhcp_server *server;
	struct instant now;
};

/* A program of a running system, or a guest, asks like a machine that boots, and would pin
 * its version for 30 days.  Where the leases are another server's a day must do. */
static bool may_mount_yet(void *ctx, const struct boot *boot)
{
	const struct sweep *sweep = ctx;
	const struct lease *lease = dhcp_lease_at(sweep->server, boot->address);

	if (sweep->server->config->mode == DHCP_MODE_PROXY)
		return sweep->now.ns - boot->seen.ns < 86400 * NS_PER_SEC;
	return lease && mac_equal(&lease->mac, &boot->mac) && lease->state == LEASE_BOUND &&
	       lease->expires.ns > sweep->now.ns;
}

void dhcp_server_tick(struct dhcp_server *s, struct dhcp_now now, struct dhcp_output *out)
{
	struct lease *lease;

	while (s->waits && s->waits->due.ns <= now.mono.ns && dhcp_output_has_room(out)) {
		struct wait *w = s->waits;

		s->waits = w->next;
		if (!s->waits)
			s->waits_end = &s->waits;
		s->nwaits--;
		/* After a conflict it starts over, and the next choice is asked for. */
		lease = dhcp_lease_at(s, w->address);
		if (lease && lease->probing)
			lease->probing = false;
		handle(s, &w->in, true, now, out);
		free(w);
	}
	while ((lease = leases_oldest_offer(s->leases)) && lease->expires.ns <= now.mono.ns)
		pools_forget(s->pools, lease);
	if (s->sweep.ns <= now.mono.ns) {
		s->sweep = instant_add_ms(now.mono, SWEEP_MS);
		look_at_clock(s, now);
		s->wall_due = wall_is_due(&s->wall, now);
		boots_sweep(s->boots, may_mount_yet, &(struct sweep){s, now.mono}, now);
		if (wall_is_settled(&s->wall, now))
			boots_forget(s->boots, now);
		strangers_sweep(s->strangers, now);
	}
}

struct instant dhcp_server_deadline(const struct dhcp_server *s)
{
	const struct lease *offer = leases_oldest_offer(s->leases);
	struct instant at = s->sweep;

	if (s->waits && s->waits->due.ns < at.ns)
		at = s->waits->due;
	if (offer && offer->expires.ns < at.ns)
		at = offer->expires;
	return at;
}

/* ---- life ---- */

int dhcp_server_new(const struct dhcp_config *config, struct db *db, struct dhcp_now now,
		    struct dhcp_server **out, struct why *why)
{
	cleanup(dhcp_server_freep) struct dhcp_server *s = calloc(1, sizeof(*s));
	struct dhcp_now as_of;
	int leapt;
	int r;

	if (!s)
		return -ENOMEM;
	s->config = config;
	s->db = db;
	s->waits_end = &s->waits;
	s->sweep = instant_add_ms(now.mono, SWEEP_MS);
	leapt = wall_start(&s->wall, db, now, &as_of);
	r = leapt < 0 ? leapt : leases_load(db, as_of, &s->leases);
	if (!r)
		r = boots_load(db, as_of, &s->boots);
	if (!r)
		r = strangers_load(db, config->unknown == DHCP_UNKNOWN_PENDING, as_of,
				   &s->strangers);
	if (r)
		return why_set(why, r, "leases.db: %s", db_error(db));
	if (leapt && now.wall_ns < as_of.wall_ns)
		log_warn("the clock is %lld s before the end of the last run: leases and boots run "
			 "on from there",
			 (long long)((as_of.wall_ns - now.wall_ns) / NS_PER_SEC));
	else if (leapt)
		log_warn("by the clock the last run ended over a week ago: leases and boots run on "
			 "as if it were a week");
	if (leapt)
		clock_was_set(s, now.wall_ns - as_of.wall_ns);
	r = pools_new(config, s->leases, &s->pools);
	if (!r)
		r = clients_new(&s->clients);
	if (r)
		return r;
	*out = take(&s);
	return 0;
}

void dhcp_server_free(struct dhcp_server *s)
{
	if (!s)
		return;
	while (s->waits) {
		struct wait *w = s->waits;

		s->waits = w->next;
		free(w);
	}
	clients_free(s->clients);
	pools_free(s->pools);
	strangers_free(s->strangers);
	boots_free(s->boots);
	leases_free(s->leases);
	free(s);
}

struct registering {
	struct dhcp_server *server;
	unsigned int with_lease;
};

static void register_lease(void *ctx, struct lease *lease)
{
	struct registering *g = ctx;
	const struct host *host = inventory_by_mac(g->server->inv, &lease->mac);

	if (!host || lease->state == LEASE_OFFERED)
		return;
	g->with_lease++;
	if (lease->host == host->id)
		return;
	lease->host = host->id;
	lease_changed(g->server->leases, lease);
	pools_moved(g->server->pools, lease);
}

void dhcp_server_inventory(struct dhcp_server *s, const struct inventory *inv, uint64_t change)
{
	struct registering g = {.server = s};
	unsigned int from_pool = 0;
	bool moved = inv != s->inv;

	s->inv = inv;
	s->change = change;
	if (!moved)
		return;
	pools_reserve(s->pools, inv);
	leases_each(s->leases, register_lease, &g);
	boots_register(s->boots, inv);
	strangers_register(s->strangers, inv);
	/* Registered machines that never had an address find one, whatever strangers
	 * do; strangers keep three quarters of each range. */
	for (unsigned int i = 0; i < inventory_count(inv); i++)
		if (!inventory_at(inv, i)->address)
			from_pool++;
	pools_keep(s->pools, from_pool > g.with_lease ? from_pool - g.with_lease : 0);
}

int dhcp_server_reread(struct dhcp_server *s, struct dhcp_now now)
{
	return boots_reread(s->boots, now);
}

bool dhcp_server_dirty(const struct dhcp_server *s)
{
	return s->wall_due || leases_dirty(s->leases) || boots_dirty(s->boots) ||
	       strangers_dirty(s->strangers);
}

int dhcp_server_commit(struct dhcp_server *s, struct dhcp_now now)
{
	int r;

	look_at_clock(s, now);
	if (!dhcp_server_dirty(s))
		return 0;
	r = db_begin(s->db);
	if (r)
		return r;
	r = wall_write(s->db, now);
	if (!r)
		r = leases_write(s->leases, now);
	if (!r)
		r = boots_write(s->boots);
	if (!r)
		r = strangers_write(s->strangers);
	if (r) {
		db_rollback(s->db);
		return r;
	}
	r = db_commit(s->db);
	if (r)
		return r;
	s->wall.written = now.mono;
	s->wall_due = false;
	leases_written(s->leases);
	boots_written(s->boots);
	strangers_written(s->strangers);
	return 0;
}

const struct leases *dhcp_server_leases(const struct dhcp_server *s)
{
	return s->leases;
}

const struct boots *dhcp_server_boots(const struct dhcp_server *s)
{
	return s->boots;
}

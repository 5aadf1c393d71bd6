/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The protocol: what a client is answered in each of its states (RFC 2131, 4.3).
 */
#include "dhcp/claim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define BOOT_LOOP_NS (30 * NS_PER_SEC)

enum {
	WAITS_MAX = 16384,
	FINAL_OFFER_MS = 600000 /* of a client that takes the OFFER as final */
};

/* ---- telling ---- */

static enum event_step step_of(const struct dhcp_request *rq)
{
	static const enum event_step step[] = {
		[STAGE_ROM] = STEP_ROM_DHCP,	   [STAGE_LOADER] = STEP_LOADER_DHCP,
		[STAGE_KERNEL] = STEP_KERNEL_DHCP, [STAGE_INITRD] = STEP_INITRD_DHCP,
		[STAGE_OS] = STEP_OS_DHCP,
	};

	return step[rq->class->stage];
}

static void tell(const struct dhcp_request *rq, struct event *event, enum event_kind kind,
		 uint32_t address, const char *file, const char *more)
{
	*event = (struct event){
		.kind = kind,
		.host = rq->host ? rq->host->id : 0,
		.address = address,
		.at = rq->now.wall_ns,
		.step = step_of(rq),
		.mac = rq->m->mac,
	};
	dhcp_request_describe(rq, file, more, event->text, sizeof(event->text));
}

/* Along with a reply, once that has left.  INFORMs and a proxy's clients need no lease,
 * and made-up MACs must not become lines and rows without end. */
static void tell_reply(struct dhcp_server *s, const struct dhcp_request *rq,
		       struct dhcp_reply *reply, enum event_kind kind, uint32_t address,
		       const char *file, const char *more)
{
	if (rq->host || log_allow(&s->stranger_answers, rq->now.mono.ns, 20000, 20))
		tell(rq, &reply->event, kind, address, file, more);
}

static void tell_now(const struct dhcp_request *rq, enum event_kind kind, uint32_t address,
		     const char *more)
{
	if (rq->out->nevents < 2 * DHCP_BATCH)
		tell(rq, &rq->out->event[rq->out->nevents++], kind, address, "", more);
}

/* Why there is no answer; a few lines a minute of each client. */
void dhcp_refuse(struct dhcp_server *s, const struct dhcp_request *rq, const char *why)
{
	struct client *c = clients_of_mac(s->clients, &rq->m->mac);

	if (!log_allow(&c->lines, rq->now.mono.ns, 3, 20000))
		return;
	/* Each made-up MAC has a budget of its own: all of them have one more. */
	if (rq->host || log_allow(&s->stranger_refusals, rq->now.mono.ns, 50, 200))
		tell_now(rq, EVENT_REFUSED, 0, why);
}

static uint32_t lease_secs(const struct dhcp_server *s, const struct dhcp_request *rq,
			   uint32_t address)
{
	const struct dhcp_subnet *subnet = pools_subnet(s->pools, address);
	uint32_t most = subnet ? subnet->lease_secs : s->config->lease_secs;
	uint32_t asked = dhcp_message_u32(rq->m, OPTION_LEASE_SECS);

	/* A shorter one is the client's to ask; under a minute serves nobody. */
	if (asked && asked < most)
		return asked < 60 && most > 60 ? 60 : asked < 4 ? 4 : asked;
	return most;
}

static struct boot_pin pin_of(const struct dhcp_server *s, const struct dhcp_request *rq)
{
	return (struct boot_pin){
		.host = rq->host ? rq->host->id : 0,
		.version = rq->host ? rq->host->version : inventory_default_version(s->inv),
		.change = s->change,
		.mode = inventory_mode(s->inv, rq->host),
	};
}

/* ---- the states of a client ---- */

static void boot_discover(struct dhcp_server *s, const struct dhcp_request *rq)
{
	struct boot_pin pin = pin_of(s, rq);

	boots_discover(s->boots, &rq->m->mac, rq->class->stage, dhcp_class_arch(rq->m), rq->m->xid,
		       &pin, rq->now);
}

static void boot_ack(struct dhcp_server *s, const struct dhcp_request *rq, uint32_t address,
		     bool selecting)
{
	struct boot_pin pin = pin_of(s, rq);

	/* A DISCOVER that was answered before we were started again is not known here:
	 * without it the ACK would be the boot's before. */
	if (selecting)
		boot_discover(s, rq);
	boots_ack(s->boots, &rq->m->mac, address, selecting, dhcp_class_arch(rq->m), &pin, rq->now);
}

/* The same loader twice within 30 s: it starts and fails. */
static const char *boot_loop(struct dhcp_server *s, const struct dhcp_request *rq)
{
	struct client *c = clients_of_mac(s->clients, &rq->m->mac);
	uint32_t loader = (uint32_t)rq->class->stage << 8 | rq->class->firmware;
	bool again = c->loader == loader && c->loader_xid != rq->m->xid &&
		     rq->now.mono.ns - c->loader_at.ns < BOOT_LOOP_NS;

	if (rq->class->firmware == FIRMWARE_NONE)
		return "";
	c->loader = loader;
	c->loader_xid = rq->m->xid;
	c->loader_at = rq->now.mono;
	return again ? "(again: the loader fails?)" : "";
}

static void note_client(struct lease *lease, const struct dhcp_request *rq)
{
	const struct bytes *id = &rq->m->option[OPTION_CLIENT_ID];
	const struct bytes *name = &rq->m->option[OPTION_HOSTNAME];

	lease->host = rq->host ? rq->host->id : 0;
	lease->id_len = (uint8_t)(id->len > LEASE_ID_MAX ? LEASE_ID_MAX : id->len);
	if (lease->id_len)
		memcpy(lease->client_id, id->at, lease->id_len);
	log_escape(lease->hostname, sizeof(lease->hostname), name->at, name->len);
}

/* Its record at `address`, made or taken over where it has none. */
static struct lease *lease_for(struct dhcp_server *s, const struct dhcp_request *rq,
			       uint32_t address)
{
	struct lease *lease = dhcp_lease_at(s, address);

	if (!lease || !claim_is_for(lease, &rq->m->mac))
		lease = pools_assign(s->pools, address, &rq->m->mac);
	return lease;
}

/* With the options of the address's own subnet, which may share the wire with the
 * one that the request came from. */
static struct dhcp_reply *compose(const struct dhcp_server *s, const struct dhcp_request *rq,
				  enum dhcp_type type, uint32_t address, uint32_t secs)
{
	struct dhcp_request at = *rq;

	at.subnet = pools_subnet(s->pools, address ? address : rq->m->ciaddr);
	return dhcp_reply_compose(&at, type, address, secs);
}

/* `how` it came to that, for the log; NULL: by an offer. */
static void ack(struct dhcp_server *s, const struct dhcp_request *rq, uint32_t address,
		const char *how)
{
	struct lease *lease = lease_for(s, rq, address);
	uint32_t secs = lease_secs(s, rq, address);
	struct dhcp_reply *reply;

	if (!lease)
		return;
	note_client(lease, rq);
	lease->probing = false;
	lease_bind(s->leases, lease, instant_add_ms(rq->now.mono, (int64_t)secs * 1000),
		   rq->now.wall_ns);
	pools_moved(s->pools, lease);
	boot_ack(s, rq, address, !how);
	reply = compose(s, rq, DHCP_ACK, address, secs);
	reply->durable = true;
	tell_reply(s, rq, reply, EVENT_ACK, address, dhcp_reply_file(rq),
		   how ? how : boot_loop(s, rq));
}

static void nak(struct dhcp_server *s, const struct dhcp_request *rq, const char *why)
{
	dhcp_reply_nak(rq, why);
	dhcp_refuse(s, rq, why);
}

/* Is it this client's turn at all?  Says why not. */
static bool admit(struct dhcp_server *s, const struct dhcp_request *rq)
{
	if (rq->host && rq->host->pending) {
		dhcp_refuse(s, rq, "waits for approval");
		return false;
	}
	if (!rq->host && s->config->unknown != DHCP_UNKNOWN_BOOT) {
		if (s->config->unknown == DHCP_UNKNOWN_PENDING)
			dhcp_refuse(s, rq, "not registered: waits for approval");
		return false;
	}
	if (rq->class->refusal && !*dhcp_reply_file(rq)) {
		dhcp_refuse(s, rq, rq->class->refusal);
		return false;
	}
	return true;
}

/* Does ARP reach it?  Also for a relay's client, or who says to be one: echoes to
 * addresses of our own network that nobody has would fill the kernel's table of
 * neighbours. */
static bool on_link(const struct dhcp_request *rq, uint32_t address)
{
	return !((address ^ rq->interface->address) & rq->interface->netmask);
}

static bool wait_add(struct dhcp_server *s, const struct dhcp_request *rq, uint32_t address)
{
	const struct bytes *data = &rq->in->data;
	struct wait *w;

	if (s->nwaits >= WAITS_MAX)
		return false;
	w = malloc(sizeof(*w) + data->len);
	if (!w)
		return false;
	*w = (struct wait){.in = *rq->in, .address = address};
	memcpy(w->data, data->at, data->len);
	w->in.data = (struct bytes){w->data, data->len};
	w->due = instant_add_ms(rq->now.mono, s->config->probe_ms);
	*s->waits_end = w;
	s->waits_end = &w->next;
	s->nwaits++;
	rq->out->probe[rq->out->nprobes++] =
		(struct dhcp_probe){.interface = rq->in->interface,
				    .address = address,
				    .relayed = rq->m->giaddr && !on_link(rq, address)};
	return true;
}

static void offer(struct dhcp_server *s, const struct dhcp_request *rq, bool probed)
{
	uint32_t address = claim_choose(s, rq);
	struct instant until = instant_add_ms(rq->now.mono, (int64_t)s->config->offer_secs * 1000);
	struct dhcp_reply *reply;
	struct lease *lease;
	char text[IP4_TEXT];
	uint32_t secs;
	bool fresh;

	if (!address) {
		dhcp_refuse(s, rq, "no address is left");
		if (pools_say_full(s->pools, rq->subnet, rq->now.mono))
			log_error("%s/%d: no address is left; give more with range = ...",
				  ip4_format(rq->subnet->network, text),
				  __builtin_popcount(rq->subnet->mask));
		return;
	}
	lease = dhcp_lease_at(s, address);
	fresh = !lease || !claim_is_for(lease, &rq->m->mac);
	if (!fresh && lease->probing && !probed)
		return; /* the answer is on its way */
	lease = lease_for(s, rq, address);
	if (!lease)
		return;
	lease->host = rq->host ? rq->host->id : 0;
	if (lease->state == LEASE_OFFERED || !lease->started)
		lease_offer(s->leases, lease, until);
	else
		lease->held = until;
	pools_moved(s->pools, lease);
	if (fresh && s->config->probe_ms) {
		lease->probing = wait_add(s, rq, address);
		if (!lease->probing)
			pools_forget(s->pools, lease);
		return;
	}
	lease->probing = false;
	secs = lease_secs(s, rq, address);
	if (rq->class->offer_is_final) {
		/* Its ROM never REQUESTs and loads slowly; a lease that it has runs on. */
		until = instant_add_ms(rq->now.mono, FINAL_OFFER_MS);
		if (lease->state == LEASE_BOUND && lease->expires.ns > until.ns)
			until = lease->expires;
		secs = (uint32_t)((until.ns - rq->now.mono.ns) / NS_PER_SEC);
		lease_bind(s->leases, lease, until, rq->now.wall_ns);
		pools_moved(s->pools, lease);
		boot_ack(s, rq, address, true);
	}
	reply = compose(s, rq, DHCP_OFFER, address, secs);
	reply->durable = rq->class->offer_is_final;
	tell_reply(s, rq, reply, rq->class->offer_is_final ? EVENT_ACK : EVENT_OFFER, address,
		   dhcp_reply_file(rq), rq->class->offer_is_final ? boot_loop(s, rq) : "");
}

/* Beside another server: loaders alone, to those who look for one. */
static void proxy_answer(struct dhcp_server *s, const struct dhcp_request *rq, enum dhcp_type type)
{
	struct dhcp_reply *reply;

	if (rq->class->firmware == FIRMWARE_NONE && rq->class->menu == MENU_NONE)
		return;
	reply = dhcp_reply_pxe(rq, type);
	tell_reply(s, rq, reply, type == DHCP_ACK ? EVENT_ACK : EVENT_OFFER, rq->m->ciaddr,
		   dhcp_reply_file(rq), boot_loop(s, rq));
}

static void on_discover(struct dhcp_server *s, const struct dhcp_request *rq, bool probed)
{
	if (!probed) {
		char class_id[40];
		const struct bytes *id = &rq->m->option[OPTION_CLASS_ID];

		/* A flood of made-up MACs must not become a flood of events. */
		if (rq->host || (s->config->unknown != DHCP_UNKNOWN_IGNORE &&
				 log_allow(&s->stranger_events, rq->now.mono.ns, 1000, 20)))
			tell_now(rq, EVENT_DISCOVER, 0,
				 log_escape(class_id, sizeof(class_id), id->at, id->len));
		if (!admit(s, rq))
			return;
		boot_discover(s, rq);
	}
	if (s->config->mode == DHCP_MODE_PROXY)
		proxy_answer(s, rq, DHCP_OFFER);
	else
		offer(s, rq, probed);
}

static bool is_ours(const struct dhcp_server *s, const struct dhcp_request *rq, uint32_t server_id)
{
	if (server_id == rq->server_id)
		return true;
	for (unsigned int i = 0; i < s->config->ninterfaces; i++)
		if (s->config->interfaces[i].address == server_id)
			return true;
	return false;
}

static void drop_offer(struct dhcp_server *s, const struct dhcp_request *rq)
{
	for (struct lease *l = leases_by_mac(s->leases, &rq->m->mac); l; l = leases_next(l))
		if (l->state == LEASE_OFFERED) {
			pools_forget(s->pools, l);
			return;
		}
}

/* A foreign server is named once; REQUESTs can be forged in the name of many. */
static bool is_news(struct dhcp_server *s, uint32_t server_id, struct instant now)
{
	unsigned int n = ARRAY_SIZE(s->foreign_servers);

	for (unsigned int i = 0; i < n && i < s->nforeign; i++)
		if (s->foreign_servers[i] == server_id)
			return false;
	if (!log_allow(&s->foreign, now.ns, n, 600000))
		return false;
	s->foreign_servers[s->nforeign++ % n] = server_id;
	return true;
}

/* It took another server's offer.  A proxy learns its address from that. */
static void on_foreign_request(struct dhcp_server *s, const struct dhcp_request *rq,
			       uint32_t server_id, uint32_t address)
{
	char text[IP4_TEXT];

	if (s->config->mode == DHCP_MODE_PROXY) {
		struct lease *lease;

		if (!address || !claim_on_wire(s, rq, address) || !admit(s, rq))
			return;
		/* Anybody can broadcast a REQUEST: whose address it is, while that one
		 * lives, is not for a stranger to say. */
		if (!claim_is_free(s, rq, address))
			return dhcp_refuse(s, rq, "claims an address that another machine uses");
		lease = lease_for(s, rq, address);
		if (!lease)
			return;
		note_client(lease, rq);
		lease_bind(s->leases, lease,
			   instant_add_ms(rq->now.mono, (int64_t)s->config->lease_secs * 1000),
			   rq->now.wall_ns);
		pools_moved(s->pools, lease);
		boot_ack(s, rq, address, true);
		tell_now(rq, EVENT_ACK, address, "another server's");
		return;
	}
	drop_offer(s, rq);
	if (is_news(s, server_id, rq->now.mono))
		log_about(LOG_LEVEL_WARN, &(struct log_about){.address = server_id},
			  "%s: another DHCP server answers here: %s", rq->interface->name,
			  ip4_format(server_id, text));
}

static void on_selecting(struct dhcp_server *s, const struct dhcp_request *rq, uint32_t address)
{
	const struct lease *lease = dhcp_lease_at(s, address);

	if (!address)
		return dhcp_refuse(s, rq, "a REQUEST without an address");
	if (!claim_on_wire(s, rq, address))
		return nak(s, rq, "that address is of another network");
	if (lease && claim_is_for(lease, &rq->m->mac) && !lease->probing) {
		ack(s, rq, address, NULL);
		return;
	}
	/* The offer was held in memory, and this process may have been restarted:
	 * what is free and was offered once may be had. */
	if (!lease && (claim_is_reserved(rq, address) ||
		       (pools_offers(s->pools, address) && claim_may_take(s, rq)))) {
		ack(s, rq, address, NULL);
		return;
	}
	nak(s, rq, "that address was not offered");
}

/* INIT-REBOOT, RENEWING and REBINDING: the client says what it had. */
static void on_claim(struct dhcp_server *s, const struct dhcp_request *rq, uint32_t address,
		     bool renewing)
{
	const struct lease *lease = dhcp_lease_at(s, address);
	/* RENEWING asks its server alone, REBINDING everybody. */
	const char *how = !renewing					       ? "init-reboot"
			  : rq->m->giaddr || rq->in->destination == UINT32_MAX ? "rebound"
									       : "renewed";

	if (!claim_on_wire(s, rq, address)) {
		/* RFC 2131, 4.3.2: on the wrong network it is told so. */
		if (!renewing || s->config->authoritative)
			nak(s, rq, "that address is of another network");
		return;
	}
	if (lease && claim_is_for(lease, &rq->m->mac)) {
		/* Its own, unless the host has a reservation elsewhere by now; a
		 * running client keeps it until it boots again. */
		if (!renewing && rq->host && rq->host->address && rq->host->address != address &&
		    claim_on_wire(s, rq, rq->host->address) &&
		    claim_is_free(s, rq, rq->host->address))
			return nak(s, rq, "it has another address now");
		if (renewing || claim_is_reserved(rq, address) || pools_offers(s->pools, address)) {
			ack(s, rq, address, how);
			return;
		}
		return nak(s, rq, "that address is given to others");
	}
	if (lease && !lease_is_over(lease, rq->now.mono))
		return nak(s, rq, "that address is somebody else's");
	if (claim_is_reserved(rq, address) ||
	    (renewing && !lease && pools_offers(s->pools, address) && claim_may_take(s, rq))) {
		/* A lost database must not take a running client's root away. */
		ack(s, rq, address, how);
		return;
	}
	if (leases_by_mac(s->leases, &rq->m->mac) || s->config->authoritative)
		nak(s, rq, "that address is not yours");
	else
		dhcp_refuse(s, rq, "claims an address that nobody here gave");
}

static void on_request(struct dhcp_server *s, const struct dhcp_request *rq)
{
	uint32_t asked = dhcp_message_u32(rq->m, OPTION_REQUESTED_ADDRESS);
	uint32_t server_id = dhcp_message_u32(rq->m, OPTION_SERVER_ID);

	if (server_id && !is_ours(s, rq, server_id))
		return on_foreign_request(s, rq, server_id, asked ? asked : rq->m->ciaddr);
	if (s->config->mode == DHCP_MODE_PROXY)
		return; /* a renewal, or what is not ours to answer */
	if (!admit(s, rq))
		return;
	if (server_id)
		on_selecting(s, rq, asked ? asked : rq->m->ciaddr);
	else if (asked)
		on_claim(s, rq, asked, false);
	else if (rq->m->ciaddr)
		on_claim(s, rq, rq->m->ciaddr, true);
	else
		dhcp_refuse(s, rq, "a REQUEST without an address");
}

static void on_decline(struct dhcp_server *s, const struct dhcp_request *rq)
{
	uint32_t address = dhcp_message_u32(rq->m, OPTION_REQUESTED_ADDRESS);
	uint32_t server_id = dhcp_message_u32(rq->m, OPTION_SERVER_ID);
	struct lease *lease = dhcp_lease_at(s, address);
	struct client *c = clients_of_mac(s->clients, &rq->m->mac);

	if ((server_id && !is_ours(s, rq, server_id)) || !lease ||
	    !claim_is_for(lease, &rq->m->mac))
		return;
	/* Who calls NFS from an address has no quarrel about it. */
	if (claim_is_calling(lease, rq->now.mono))
		return dhcp_refuse(s, rq, "declines an address that it uses");
	if (!log_allow(&c->declines, rq->now.mono.ns, 3, 600000) ||
	    !log_allow(&s->declines, rq->now.mono.ns, 32, 10000))
		return dhcp_refuse(s, rq, "declines too many addresses");
	lease_decline(s->leases, lease, instant_add_ms(rq->now.mono, QUARANTINE_MS));
	pools_moved(s->pools, lease);
	tell_now(rq, EVENT_REFUSED, address, "declined: in use by another machine?");
}

static void on_release(struct dhcp_server *s, const struct dhcp_request *rq)
{
	uint32_t server_id = dhcp_message_u32(rq->m, OPTION_SERVER_ID);
	struct lease *lease = dhcp_lease_at(s, rq->m->ciaddr);

	if (!lease || lease->state != LEASE_BOUND || !claim_is_for(lease, &rq->m->mac))
		return;
	if (!is_ours(s, rq, server_id) || rq->in->source != rq->m->ciaddr)
		return dhcp_refuse(s, rq, "a RELEASE that does not come from its address");
	lease_release(s->leases, lease, rq->now.mono);
	pools_moved(s->pools, lease);
	tell_now(rq, EVENT_ACK, lease->address, "released");
}

static void on_inform(struct dhcp_server *s, const struct dhcp_request *rq)
{
	struct dhcp_reply *reply;

	if (s->config->mode == DHCP_MODE_PROXY || !admit(s, rq))
		return;
	if (!claim_on_wire(s, rq, rq->m->ciaddr))
		return dhcp_refuse(s, rq, "an INFORM from no address of this network");
	reply = compose(s, rq, DHCP_ACK, 0, 0);
	tell_reply(s, rq, reply, EVENT_ACK, rq->m->ciaddr, dhcp_reply_file(rq), "informed");
}

/* RFC 951: for good, so from reservations alone. */
static void on_bootp(struct dhcp_server *s, const struct dhcp_request *rq)
{
	struct dhcp_reply *reply;

	if (s->config->mode == DHCP_MODE_PROXY || !rq->host || rq->host->pending)
		return;
	if (!rq->host->address || !claim_on_wire(s, rq, rq->host->address))
		return dhcp_refuse(s, rq, "BOOTP is answered from reservations, and it has none");
	if (!claim_is_free(s, rq, rq->host->address))
		return dhcp_refuse(s, rq, "its reserved address is in use by another machine");
	reply = compose(s, rq, DHCP_BOOTP, rq->host->address, 0);
	tell_reply(s, rq, reply, EVENT_ACK, rq->host->address, "", "BOOTP");
}

/* ---- all of them ---- */

/* Who asks for something and is not registered, for `host list --pending`. */
static void note_stranger(struct dhcp_server *s, const struct dhcp_request *rq)
{
	switch (rq->m->type) {
	case DHCP_DISCOVER:
	case DHCP_REQUEST:
	case DHCP_INFORM:
	case DHCP_BOOTP:
		strangers_note(s->strangers, &rq->m->mac, dhcp_class_arch(rq->m),
			       rq->m->option[OPTION_CLASS_ID], rq->now);
		return;
	default:
		return;
	}
}

void dhcp_exchange(struct dhcp_server *s, const struct dhcp_request *rq, bool probed)
{
	if (!rq->host && !probed && s->config->unknown == DHCP_UNKNOWN_PENDING)
		note_stranger(s, rq);
	if (rq->in->port == DHCP_PORT_PXE) {
		if (rq->m->type == DHCP_REQUEST && admit(s, rq))
			proxy_answer(s, rq, DHCP_ACK);
		return;
	}
	switch (rq->m->type) {
	case DHCP_DISCOVER:
		return on_discover(s, rq, probed);
	case DHCP_REQUEST:
		return on_request(s, rq);
	case DHCP_DECLINE:
		return on_decline(s, rq);
	case DHCP_RELEASE:
		return on_release(s, rq);
	case DHCP_INFORM:
		return on_inform(s, rq);
	case DHCP_BOOTP:
		return on_bootp(s, rq);
	default:
		return; /* a server's message, or none */
	}
}

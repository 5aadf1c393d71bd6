/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/test_dhcp_fixture.h"

static void a_discover_is_offered_and_a_request_acknowledged(void **state)
{
	struct site *site = *state;
	uint32_t address = discover(site, BETA, 1);
	struct dhcp_reply *r;

	assert_in_range(address, IP(10, 0, 0, 2), IP(10, 0, 0, 254));
	r = &site->out.reply[0];
	assert_false(r->durable);
	assert_int_equal(reply_option32(r, 54), SERVER);
	assert_int_equal(reply_option32(r, 51), 12 * 3600);
	assert_int_equal(r->data[0], 2);
	assert_true(r->len >= 300);
	r = request(site, BETA, 1, address);
	assert_reply(r, DHCP_ACK, address);
	assert_true(r->durable);
	assert_int_equal(reply_option32(r, 54), SERVER);
	assert_true(reply_option32(r, 58) < reply_option32(r, 59));
	assert_true(reply_option32(r, 59) < reply_option32(r, 51));
	assert_int_equal(reply_option32(r, 1), 0xffffff00);
	assert_int_equal(r->route, ROUTE_RAW);
	assert_int_equal(r->event.kind, EVENT_ACK);
	assert_int_equal(r->event.host, 2);
	site_commit(site);
	assert_int_equal(site_count(site, "SELECT count(*) FROM lease WHERE state = 2"), 1);
}

static void a_lease_and_its_boot_are_rows_before_the_ack_may_leave(void **state)
{
	struct site *site = *state;
	uint32_t address = discover(site, BETA, 1);

	site_commit(site);
	assert_int_equal(site_count(site, "SELECT count(*) FROM lease"), 0);
	assert_int_equal(site_count(site, "SELECT count(*) FROM boot"), 0);
	assert_non_null(request(site, BETA, 1, address));
	assert_true(dhcp_server_dirty(site->server));
	site_commit(site);
	assert_false(dhcp_server_dirty(site->server));
	assert_int_equal(site_count(site, "SELECT address FROM lease WHERE host = 2"), address);
	assert_int_equal(site_count(site, "SELECT address FROM boot WHERE host = 2"), address);
	assert_int_equal(site_count(site, "SELECT version FROM boot"), 1);
	assert_int_equal(site_count(site, "SELECT change FROM boot"), 7);
}

static void a_reservation_is_given_to_its_host_alone(void **state)
{
	struct site *site = *state;

	assert_int_equal(acquire(site, ALPHA), IP(10, 0, 0, 50));
	for (unsigned int i = 0; i < 240; i++)
		assert_int_not_equal(acquire(site, STRANGER(i)), IP(10, 0, 0, 50));
}

static void an_address_is_the_same_again_and_on_an_empty_server_too(void **state)
{
	struct site *site = *state;
	uint32_t first = acquire(site, BETA);

	site_pass(site, 1000);
	assert_int_equal(acquire(site, BETA), first);
	site_pass(site, 30 * INT64_C(86400000));
	assert_int_equal(acquire(site, BETA), first);
	site_restart(site);
	assert_int_equal(acquire(site, BETA), first);
	assert_int_equal(db_exec(site->leases, "DELETE FROM lease"), 0);
	site_restart(site);
	assert_int_equal(acquire(site, BETA), first);
}

static void two_clients_are_never_offered_one_address(void **state)
{
	struct site *site = *state;
	uint32_t given[260] = {0};
	unsigned int n = 0;

	for (unsigned int i = 0; i < 260; i++) {
		uint32_t a = discover(site, STRANGER(i), i);

		if (!a)
			continue;
		for (unsigned int j = 0; j < n; j++)
			assert_int_not_equal(given[j], a);
		given[n++] = a;
	}
	/* 254 but the server's own, the reservation, and the one that is kept back
	 * for beta and for "later", which have none yet */
	assert_int_equal(n, 254 - 2 - 2);
	/* a registered machine finds one all the same */
	assert_int_not_equal(discover(site, BETA, 1), 0);
	/* offers that nobody took are free again */
	site_pass(site, 31000);
	dhcp_server_tick(site->server, site->now, &site->out);
	assert_int_not_equal(discover(site, STRANGER(300), 9), 0);
}

static void unknown_machines_are_served_or_not_by_policy(void **state)
{
	struct site *site = *state;

	assert_int_not_equal(discover(site, STRANGER(1), 1), 0);
	site->config.unknown = DHCP_UNKNOWN_PENDING;
	assert_int_equal(discover(site, STRANGER(2), 1), 0);
	assert_int_equal(site->out.event[0].kind, EVENT_DISCOVER);
	assert_int_equal(site->out.event[1].kind, EVENT_REFUSED);
	site->config.unknown = DHCP_UNKNOWN_IGNORE;
	assert_int_equal(discover(site, STRANGER(3), 1), 0);
	assert_int_equal(site->out.nevents, 0);
	assert_int_not_equal(discover(site, BETA, 1), 0);
	assert_int_equal(discover(site, LATER, 1), 0);
	site_sql(site, "UPDATE host SET pending = 0");
	assert_int_not_equal(discover(site, LATER, 1), 0);
}

static void the_reply_takes_the_route_that_the_request_asks_for(void **state)
{
	struct site *site = *state;
	struct packet p = packet_of(DHCP_DISCOVER, BETA, 1);
	uint32_t address;
	struct dhcp_reply *r;

	p.at[10] = 0x80;
	r = site_send(site, &p);
	assert_int_equal(r->route, ROUTE_BROADCAST);
	assert_int_equal(r->port, 68);
	assert_int_equal(r->data[10], 0x80);
	p.at[10] = 0;
	r = site_send(site, &p);
	assert_int_equal(r->route, ROUTE_RAW);
	assert_int_equal(r->address, reply_yiaddr(r));
	set_giaddr(&p, IP(10, 0, 0, 254));
	r = site_send(site, &p);
	assert_int_equal(r->route, ROUTE_UNICAST);
	assert_int_equal(r->address, IP(10, 0, 0, 254));
	assert_int_equal(r->port, 67);
	assert_int_equal(get32(r->data + 24), IP(10, 0, 0, 254));
	/* renewing: to the address it has */
	address = acquire(site, BETA);
	p = packet_of(DHCP_REQUEST, BETA, 2);
	set_ciaddr(&p, address);
	r = site_send(site, &p);
	assert_reply(r, DHCP_ACK, address);
	assert_int_equal(r->route, ROUTE_UNICAST);
	assert_int_equal(r->address, address);
	assert_int_equal(get32(r->data + 12), address);
}

static void init_reboot_without_a_record_is_silent_or_refused_when_authoritative(void **state)
{
	struct site *site = *state;
	struct packet p = packet_of(DHCP_REQUEST, STRANGER(1), 1);
	struct dhcp_reply *r;

	add_option32(&p, 50, IP(10, 0, 0, 77));
	assert_null(site_send(site, &p));
	site->config.authoritative = true;
	r = site_send(site, &p);
	assert_reply(r, DHCP_NAK, 0);
	assert_int_equal(reply_option32(r, 54), SERVER);
	assert_null(reply_option(r, 51, NULL));
	assert_int_equal(reply_siaddr(r), 0);
	assert_int_equal(get32(r->data + 12), 0);
	assert_int_equal(r->route, ROUTE_BROADCAST);
}

static void init_reboot_with_a_record_is_acknowledged(void **state)
{
	struct site *site = *state;
	uint32_t address = acquire(site, BETA);
	struct packet p = packet_of(DHCP_REQUEST, BETA, 9);
	struct packet wrong = packet_of(DHCP_REQUEST, BETA, 9);

	add_option32(&p, 50, address);
	assert_reply(site_send(site, &p), DHCP_ACK, address);
	add_option32(&wrong, 50, IP(192, 168, 7, 7));
	assert_reply(site_send(site, &wrong), DHCP_NAK, 0);
}

static void a_renewal_of_a_lost_lease_is_taken_up_where_the_address_is_free(void **state)
{
	struct site *site = *state;
	struct packet p = packet_of(DHCP_REQUEST, BETA, 2);

	set_ciaddr(&p, IP(10, 0, 0, 99));
	assert_reply(site_send(site, &p), DHCP_ACK, IP(10, 0, 0, 99));
	site_commit(site);
	p = packet_of(DHCP_REQUEST, STRANGER(1), 2);
	set_ciaddr(&p, IP(10, 0, 0, 99));
	assert_reply(site_send(site, &p), DHCP_NAK, 0);
}

static void a_nak_goes_to_the_relay_with_the_broadcast_bit(void **state)
{
	struct site *site = *state;
	struct packet p = packet_of(DHCP_REQUEST, BETA, 2);
	struct dhcp_reply *r;

	add_option32(&p, 50, IP(192, 168, 7, 7));
	set_giaddr(&p, IP(10, 0, 0, 254));
	r = site_send(site, &p);
	assert_reply(r, DHCP_NAK, 0);
	assert_int_equal(r->address, IP(10, 0, 0, 254));
	assert_int_equal(r->port, 67);
	assert_int_equal(r->data[10] & 0x80, 0x80);
}

static void a_request_for_another_server_drops_the_offer_in_silence(void **state)
{
	struct site *site = *state;
	uint32_t address = discover(site, STRANGER(1), 1);
	struct packet p = packet_of(DHCP_REQUEST, STRANGER(1), 1);

	add_option32(&p, 50, address);
	add_option32(&p, 54, IP(10, 0, 0, 200));
	assert_null(site_send(site, &p));
	assert_null(leases_by_address(dhcp_server_leases(site->server), address));
}

static void a_declined_address_is_in_quarantine(void **state)
{
	struct site *site = *state;
	uint32_t address = acquire(site, BETA);
	struct packet p = packet_of(DHCP_DECLINE, BETA, 2);
	uint32_t second;

	add_option32(&p, 50, address);
	add_option32(&p, 54, SERVER);
	assert_null(site_send(site, &p));
	second = acquire(site, BETA);
	assert_int_not_equal(second, address);
	/* somebody else's cannot be declined */
	p = packet_of(DHCP_DECLINE, STRANGER(1), 2);
	add_option32(&p, 50, second);
	add_option32(&p, 54, SERVER);
	assert_null(site_send(site, &p));
	assert_int_equal(acquire(site, BETA), second);
}

static void an_inform_is_answered_without_address_or_lease(void **state)
{
	struct site *site = *state;
	struct packet p = packet_of(DHCP_INFORM, BETA, 2);
	struct dhcp_reply *r;

	set_ciaddr(&p, IP(10, 0, 0, 33));
	r = site_send(site, &p);
	assert_reply(r, DHCP_ACK, 0);
	assert_null(reply_option(r, 51, NULL));
	assert_int_equal(r->address, IP(10, 0, 0, 33));
	assert_int_equal(r->route, ROUTE_UNICAST);
	/* past a relay too */
	set_giaddr(&p, IP(10, 0, 0, 254));
	r = site_send(site, &p);
	assert_reply(r, DHCP_ACK, 0);
	assert_int_equal(r->address, IP(10, 0, 0, 33));
	assert_int_equal(r->port, 68);
}

static void bootp_is_answered_from_reservations_alone(void **state)
{
	struct site *site = *state;
	uint8_t raw[300] = {1, 1, 6, 0, 0, 0, 0, 9};
	struct mac mac = ALPHA;

	memcpy(raw + 28, &mac, 6);
	site_send_raw(site, raw, sizeof(raw), 0, 67);
	assert_int_equal(site->out.nreplies, 1);
	assert_int_equal(reply_yiaddr(&site->out.reply[0]), IP(10, 0, 0, 50));
	assert_int_equal(reply_type(&site->out.reply[0]), 0);
	mac = BETA;
	memcpy(raw + 28, &mac, 6);
	site_send_raw(site, raw, sizeof(raw), 0, 67);
	assert_int_equal(site->out.nreplies, 0);
}

static void a_running_client_keeps_its_address_whatever_its_lease_says(void **state)
{
	struct site *site = *state;
	uint32_t address;
	struct event e = {.kind = EVENT_ALIVE};
	unsigned int got = 0;

	/* a range of four: server's own is outside */
	site->config.subnets[0].ranges[0] =
		(struct dhcp_range){IP(10, 0, 0, 100), IP(10, 0, 0, 103)};
	site_restart(site);
	address = acquire(site, STRANGER(1));
	e.address = address;
	for (unsigned int day = 0; day < 3; day++) {
		site_pass(site, INT64_C(86400000) - 60000);
		dhcp_server_event(site->server, &e, site->now);
	}
	site_pass(site, 60000);
	site_commit(site);
	site_restart(site); /* it is remembered across a restart */
	for (unsigned int i = 10; i < 20; i++) {
		uint32_t a = acquire(site, STRANGER(i));

		assert_int_not_equal(a, address);
		got += a != 0;
	}
	assert_int_equal(got, 2); /* one is kept back for the registered */
	/* it went silent: somebody else may have it */
	site_pass(site, 3700000);
	assert_int_equal(acquire(site, STRANGER(30)), address);
}

static void a_full_range_gives_back_the_lease_that_ended_first(void **state)
{
	struct site *site = *state;
	uint32_t first;

	site->config.subnets[0].ranges[0] =
		(struct dhcp_range){IP(10, 0, 0, 100), IP(10, 0, 0, 101)};
	site_restart(site);
	first = acquire(site, STRANGER(1));
	site_pass(site, 1000);
	assert_int_not_equal(acquire(site, STRANGER(2)), 0);
	assert_int_equal(discover(site, STRANGER(3), 1), 0);
	assert_int_equal(site->out.event[1].kind, EVENT_REFUSED);
	site_pass(site, 12 * 3600 * 1000 - 500);
	assert_int_equal(acquire(site, STRANGER(3)), first);
	assert_int_equal(discover(site, STRANGER(4), 1), 0);
}

static void a_new_address_is_asked_for_by_arp_before_it_is_offered(void **state)
{
	struct site *site = *state;
	const struct mac other = {{2, 0, 0, 0, 0, 9}};
	uint32_t taken;
	uint32_t second;

	site->config.probe_ms = 200;
	assert_int_equal(discover(site, BETA, 1), 0);
	assert_int_equal(site->out.nprobes, 1);
	taken = site->out.probe[0].address;
	/* another client is not held up; the same one is not asked for twice */
	assert_int_equal(discover(site, STRANGER(1), 1), 0);
	assert_int_equal(site->out.nprobes, 1);
	assert_int_equal(discover(site, BETA, 1), 0);
	assert_int_equal(site->out.nprobes, 0);
	/* somebody has it */
	dhcp_server_taken(site->server, 0, taken, &other, site->now);
	site_pass(site, 200);
	site->out.nreplies = site->out.nprobes = 0;
	dhcp_server_tick(site->server, site->now, &site->out);
	assert_int_equal(site->out.nreplies, 1); /* the stranger's */
	assert_int_equal(site->out.nprobes, 1);
	second = site->out.probe[0].address;
	assert_int_not_equal(second, taken);
	site_pass(site, 200);
	site->out.nreplies = site->out.nprobes = 0;
	dhcp_server_tick(site->server, site->now, &site->out);
	assert_int_equal(site->out.nreplies, 1);
	assert_reply(&site->out.reply[0], DHCP_OFFER, second);
	/* its own is not asked for again */
	site->config.probe_ms = 200;
	assert_int_equal(acquire(site, BETA), second);
	site_pass(site, 1000);
	assert_int_equal(discover(site, BETA, 5), second);
}

static void a_forged_relay_makes_us_ask_nobody_on_our_link_by_icmp(void **state)
{
	struct site *site = *state;
	struct packet p = packet_of(DHCP_DISCOVER, STRANGER(1), 1);

	site->config.probe_ms = 200;
	set_giaddr(&p, IP(10, 0, 0, 254));
	assert_null(site_send(site, &p));
	assert_int_equal(site->out.nprobes, 1);
	assert_false(site->out.probe[0].relayed);
}

static void behind_a_relay_a_new_address_is_asked_for_by_icmp(void **state)
{
	struct site *site = *state;
	struct packet p = packet_of(DHCP_DISCOVER, STRANGER(1), 1);
	uint32_t taken;

	site->config.probe_ms = 200;
	site->config.interfaces[0].netmask = UINT32_MAX; /* no link to 10.0.0.0/24 */
	set_giaddr(&p, IP(10, 0, 0, 254));
	assert_null(site_send(site, &p));
	assert_int_equal(site->out.nprobes, 1);
	assert_true(site->out.probe[0].relayed);
	taken = site->out.probe[0].address;
	/* nobody else waits for it */
	site->config.probe_ms = 0;
	assert_int_not_equal(discover(site, BETA, 1), 0);
	site->config.probe_ms = 200;
	dhcp_server_taken(site->server, 0, taken + 1, NULL, site->now); /* not asked */
	dhcp_server_taken(site->server, 0, taken, NULL, site->now);
	site_pass(site, 200);
	site->out.nreplies = site->out.nprobes = 0;
	dhcp_server_tick(site->server, site->now, &site->out);
	assert_int_equal(site->out.nreplies, 0);
	assert_int_equal(site->out.nprobes, 1);
	assert_int_not_equal(site->out.probe[0].address, taken);
	taken = site->out.probe[0].address;
	site_pass(site, 200);
	site->out.nprobes = 0;
	dhcp_server_tick(site->server, site->now, &site->out);
	assert_int_equal(site->out.nreplies, 1);
	assert_reply(&site->out.reply[0], DHCP_OFFER, taken);
	assert_int_equal(site->out.reply[0].address, IP(10, 0, 0, 254));
}

static void options_come_once_in_the_order_asked(void **state)
{
	static const uint8_t asked[] = {6, 3, 6, 12, 15, 17, 50, 55, 57, 60, 43, 1};
	struct site *site = *state;
	struct dhcp_subnet *s = &site->config.subnets[0];
	struct packet p = packet_of(DHCP_DISCOVER, BETA, 1);
	const uint8_t *dns;
	const uint8_t *routers;
	size_t len = 0;
	struct dhcp_reply *r;

	s->dns[0] = IP(10, 0, 0, 2);
	s->ndns = 1;
	s->routers[0] = IP(10, 0, 0, 3);
	s->nrouters = 1;
	snprintf(s->domain, sizeof(s->domain), "example");
	add_option(&p, 55, asked, sizeof(asked));
	add_option(&p, 61, "\1abcdef", 7);
	r = site_send(site, &p);
	dns = reply_option(r, 6, NULL);
	routers = reply_option(r, 3, NULL);
	assert_true(dns && routers && dns < routers);
	assert_memory_equal(reply_option(r, 12, &len), "beta", 4);
	assert_int_equal(len, 4);
	assert_memory_equal(reply_option(r, 17, &len), "10.0.0.1:/", 10);
	assert_int_equal(len, 10);
	assert_null(reply_option(r, 50, NULL));
	assert_null(reply_option(r, 55, NULL));
	assert_null(reply_option(r, 57, NULL));
	assert_null(reply_option(r, 60, NULL));
	assert_null(reply_option(r, 43, NULL));
	assert_memory_equal(reply_option(r, 61, &len), "\1abcdef", 7);
	assert_int_equal(reply_siaddr(r), SERVER);
}

/* How a key of a [subnet] comes out: the time, the size of packets, and another server
 * than this one, which then is meant wherever a client may look for it. */
static void a_subnets_settings_are_what_its_clients_are_told(void **state)
{
	static const uint8_t asked[] = {26, 42, 66, 67, 17, 150, 43, 60};
	struct site *site = *state;
	struct dhcp_subnet *s = &site->config.subnets[0];
	struct packet p = packet_of(DHCP_DISCOVER, BETA, 1);
	const uint8_t *o;
	size_t len = 0;
	struct dhcp_reply *r;

	add_option(&p, 55, asked, sizeof(asked));
	add_option(&p, 93, "\0\0", 2);
	add_text(&p, 60, "PXEClient:Arch:00000:UNDI:002001");
	r = site_send(site, &p);
	assert_null(reply_option(r, 26, NULL));
	assert_null(reply_option(r, 42, NULL));
	assert_null(reply_option(r, 150, NULL));
	assert_memory_equal(reply_option(r, 66, &len), "10.0.0.1", 8);
	assert_int_equal(len, 8);
	assert_int_equal(reply_siaddr(r), SERVER);

	s->mtu = 1400;
	s->ntp[0] = IP(10, 0, 0, 7);
	s->ntp[1] = IP(10, 0, 0, 8);
	s->nntp = 2;
	s->next_server = IP(10, 0, 0, 99);
	assert_int_equal(dhcp_subnet_add_extra(s, 150, "ip:10.0.0.6", NULL), 0);
	r = site_send(site, &p);
	o = reply_option(r, 26, &len);
	assert_int_equal(len, 2);
	assert_int_equal(o[0] << 8 | o[1], 1400);
	o = reply_option(r, 42, &len);
	assert_int_equal(len, 8);
	assert_int_equal(get32(o), IP(10, 0, 0, 7));
	assert_int_equal(get32(o + 4), IP(10, 0, 0, 8));
	assert_int_equal(reply_option32(r, 150), IP(10, 0, 0, 6));
	assert_memory_equal(reply_option(r, 66, &len), "10.0.0.99", 9);
	assert_int_equal(len, 9);
	assert_memory_equal(reply_option(r, 17, &len), "10.0.0.99:/", 11);
	assert_int_equal(reply_siaddr(r), IP(10, 0, 0, 99));
	assert_string_equal(reply_file(r), "pxelinux.0");
	/* who answered is who answered */
	assert_int_equal(reply_option32(r, 54), SERVER);

	/* an option by its number beats the key of its own, a host's beats the subnet's */
	assert_int_equal(dhcp_subnet_add_extra(s, 42, "ip:10.0.0.9", NULL), 0);
	r = site_send(site, &p);
	assert_int_equal(reply_option32(r, 42), IP(10, 0, 0, 9));
	site_sql(site,
		 "INSERT INTO setting (kind, owner, key, value) VALUES"
		 " (2, 2, 'option-42', 'ip:10.0.0.10'), (2, 2, 'option-150', 'ip:10.0.0.11')");
	r = site_send(site, &p);
	assert_int_equal(reply_option32(r, 42), IP(10, 0, 0, 10));
	assert_int_equal(reply_option32(r, 150), IP(10, 0, 0, 11));
}

static void relay_information_is_echoed_last_and_verbatim(void **state)
{
	static const uint8_t info[] = {1, 3, 'c', 'i', 'd', 2, 2, 'r', 'i', 151, 1, 0};
	struct site *site = *state;
	struct packet p = packet_of(DHCP_DISCOVER, BETA, 1);
	const uint8_t *o;
	size_t len = 0;
	struct dhcp_reply *r;

	add_option(&p, 82, info, sizeof(info));
	r = site_send(site, &p);
	assert_null(reply_option(r, 82, NULL)); /* no relay: a client's own is not sent back */
	set_giaddr(&p, IP(10, 0, 0, 254));
	r = site_send(site, &p);
	o = reply_option(r, 82, &len);
	assert_int_equal(len, sizeof(info));
	assert_memory_equal(o, info, len);
	assert_int_equal(o[len], 255);
}

static void a_relays_subnet_is_chosen_by_giaddr_and_link_selection(void **state)
{
	static const uint8_t select[] = {5, 4, 10, 2, 0, 0, 11, 4, 10, 9, 9, 9};
	struct site *site = *state;
	struct dhcp_subnet *s = dhcp_config_add_subnet(&site->config);
	struct packet p;
	struct why why = {""};
	struct dhcp_reply *r;

	s->network = IP(10, 1, 0, 0);
	s->mask = 0xffff0000;
	s = dhcp_config_add_subnet(&site->config);
	s->network = IP(10, 2, 0, 0);
	s->mask = 0xffff0000;
	assert_int_equal(dhcp_config_derive(&site->config, &why), 0);
	site_restart(site);
	p = packet_of(DHCP_DISCOVER, STRANGER(1), 1);
	set_giaddr(&p, IP(10, 1, 0, 1));
	r = site_send(site, &p);
	assert_int_equal(reply_yiaddr(r) & 0xffff0000, IP(10, 1, 0, 0));
	assert_int_equal(reply_option32(r, 1), 0xffff0000);
	p = packet_of(DHCP_DISCOVER, STRANGER(2), 1);
	set_giaddr(&p, IP(10, 1, 0, 1));
	add_option(&p, 82, select, sizeof(select));
	r = site_send(site, &p);
	assert_int_equal(reply_yiaddr(r) & 0xffff0000, IP(10, 2, 0, 0));
	assert_int_equal(reply_option32(r, 54), IP(10, 9, 9, 9)); /* RFC 5107 */
	assert_int_equal(r->address, IP(10, 1, 0, 1));
	/* a relay that nobody knows */
	p = packet_of(DHCP_DISCOVER, STRANGER(3), 1);
	set_giaddr(&p, IP(172, 16, 0, 1));
	assert_null(site_send(site, &p));
}

static void a_reservation_that_somebody_uses_waits_for_him(void **state)
{
	struct site *site = *state;
	uint32_t address = acquire(site, STRANGER(1));
	struct event e = {.kind = EVENT_ALIVE, .address = address};
	char sql[80];

	dhcp_server_event(site->server, &e, site->now);
	snprintf(sql, sizeof(sql), "UPDATE host SET address = %u WHERE id = 2", address);
	site_sql(site, sql);
	assert_int_not_equal(acquire(site, BETA), address);
	/* a renewal of the running one still works; its next boot gets another */
	{
		struct packet p = packet_of(DHCP_REQUEST, STRANGER(1), 5);

		set_ciaddr(&p, address);
		assert_reply(site_send(site, &p), DHCP_ACK, address);
	}
	site_pass(site, 24 * 3600000);
	assert_int_equal(acquire(site, BETA), address);
	assert_int_not_equal(acquire(site, STRANGER(1)), address);
}

static void two_cards_of_a_host_share_its_reservation_in_turn(void **state)
{
	struct site *site = *state;
	struct event e = {.kind = EVENT_ALIVE, .address = IP(10, 0, 0, 50)};

	assert_int_equal(acquire(site, ALPHA), IP(10, 0, 0, 50));
	assert_int_equal(acquire(site, ALPHA2), IP(10, 0, 0, 50));
	dhcp_server_event(site->server, &e, site->now);
	assert_int_not_equal(acquire(site, ALPHA), IP(10, 0, 0, 50));
}

static void subnets_that_share_a_wire_lend_each_other(void **state)
{
	struct site *site = *state;
	struct dhcp_subnet *s = dhcp_config_add_subnet(&site->config);
	unsigned int second = 0;

	s->network = IP(10, 5, 0, 0);
	s->mask = 0xffffff00;
	s->shared = 1;
	site->config.subnets[0].shared = 1;
	site->config.subnets[0].ranges[0] =
		(struct dhcp_range){IP(10, 0, 0, 100), IP(10, 0, 0, 103)};
	assert_int_equal(dhcp_config_derive(&site->config, NULL), 0);
	site_restart(site);
	for (unsigned int i = 0; i < 8; i++) {
		uint32_t address = acquire(site, STRANGER(i));

		assert_int_not_equal(address, 0);
		if (address >> 8 == IP(10, 5, 0, 0) >> 8) {
			second++;
			/* its own mask goes with it */
			assert_int_equal(discover(site, STRANGER(i), 77), address);
			assert_int_equal(reply_option32(&site->out.reply[0], 28),
					 IP(10, 5, 0, 255));
		}
	}
	assert_int_equal(second, 5);
}

static void nothing_is_acknowledged_that_could_not_be_written(void **state)
{
	struct site *site = *state;
	uint32_t address = discover(site, BETA, 1);
	struct db *other;

	assert_int_equal(db_open(site->dir, &schema_leases, DB_WRITE, &other, NULL), 0);
	assert_reply(request(site, BETA, 1, address), DHCP_ACK, address);
	assert_int_equal(db_exec(site->leases, "PRAGMA query_only = 1"), 0);
	assert_int_not_equal(dhcp_server_commit(site->server, site->now), 0);
	assert_true(dhcp_server_dirty(site->server));
	assert_int_equal(db_exec(site->leases, "PRAGMA query_only = 0"), 0);
	/* it asks again, and now it works */
	assert_reply(request(site, BETA, 1, address), DHCP_ACK, address);
	site_commit(site);
	assert_int_equal(site_count(site, "SELECT count(*) FROM lease WHERE state = 2"), 1);
	assert_int_equal(site_count(site, "SELECT count(*) FROM boot"), 1);
	db_close(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SITE(a_discover_is_offered_and_a_request_acknowledged),
		SITE(a_lease_and_its_boot_are_rows_before_the_ack_may_leave),
		SITE(a_reservation_is_given_to_its_host_alone),
		SITE(an_address_is_the_same_again_and_on_an_empty_server_too),
		SITE(two_clients_are_never_offered_one_address),
		SITE(unknown_machines_are_served_or_not_by_policy),
		SITE(the_reply_takes_the_route_that_the_request_asks_for),
		SITE(init_reboot_without_a_record_is_silent_or_refused_when_authoritative),
		SITE(init_reboot_with_a_record_is_acknowledged),
		SITE(a_renewal_of_a_lost_lease_is_taken_up_where_the_address_is_free),
		SITE(a_nak_goes_to_the_relay_with_the_broadcast_bit),
		SITE(a_request_for_another_server_drops_the_offer_in_silence),
		SITE(a_declined_address_is_in_quarantine),
		SITE(an_inform_is_answered_without_address_or_lease),
		SITE(bootp_is_answered_from_reservations_alone),
		SITE(a_running_client_keeps_its_address_whatever_its_lease_says),
		SITE(a_full_range_gives_back_the_lease_that_ended_first),
		SITE(a_new_address_is_asked_for_by_arp_before_it_is_offered),
		SITE(a_forged_relay_makes_us_ask_nobody_on_our_link_by_icmp),
		SITE(behind_a_relay_a_new_address_is_asked_for_by_icmp),
		SITE(options_come_once_in_the_order_asked),
		SITE(a_subnets_settings_are_what_its_clients_are_told),
		SITE(relay_information_is_echoed_last_and_verbatim),
		SITE(a_relays_subnet_is_chosen_by_giaddr_and_link_selection),
		SITE(a_reservation_that_somebody_uses_waits_for_him),
		SITE(two_cards_of_a_host_share_its_reservation_in_turn),
		SITE(subnets_that_share_a_wire_lend_each_other),
		SITE(nothing_is_acknowledged_that_could_not_be_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

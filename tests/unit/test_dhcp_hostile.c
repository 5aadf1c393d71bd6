/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who means harm, or behaves as if: floods, starvation, forged messages; and that
 * each of these is said, once.
 */
#include "tests/unit/test_dhcp_fixture.h"

#include <fcntl.h>

#include "common/log.h"

/* What the log said since the last call, standard error being a file meanwhile. */
struct said {
	int kept;
	FILE *file;
};

static struct said said_begin(void)
{
	struct said s = {.kept = dup(STDERR_FILENO), .file = tmpfile()};

	assert_true(s.kept >= 0 && s.file);
	dup2(fileno(s.file), STDERR_FILENO);
	return s;
}

/* How many lines have `words` in them. */
static unsigned int said_end(struct said *s, const char *words)
{
	char line[512];
	unsigned int n = 0;

	dup2(s->kept, STDERR_FILENO);
	close(s->kept);
	rewind(s->file);
	while (fgets(line, sizeof(line), s->file))
		n += strstr(line, words) != NULL;
	fclose(s->file);
	return n;
}

static void declines_have_a_quota(void **state)
{
	struct site *site = *state;
	unsigned int declined = 0;

	for (unsigned int i = 0; i < 20; i++) {
		uint32_t address = acquire(site, BETA);
		struct packet p = packet_of(DHCP_DECLINE, BETA, 2);

		add_option32(&p, 50, address);
		add_option32(&p, 54, SERVER);
		site_send(site, &p);
		declined += leases_by_address(dhcp_server_leases(site->server), address)->state ==
			    LEASE_DECLINED;
		site_pass(site, 1000);
	}
	assert_int_equal(declined, 3);
}

static void a_release_must_come_from_its_own_address(void **state)
{
	struct site *site = *state;
	uint32_t address = acquire(site, BETA);
	struct packet p = packet_of(DHCP_RELEASE, BETA, 2);
	const struct lease *lease = leases_by_address(dhcp_server_leases(site->server), address);

	add_option32(&p, 54, SERVER);
	set_ciaddr(&p, address);
	p.source = IP(10, 0, 0, 66);
	assert_null(site_send(site, &p));
	assert_int_equal(lease->state, LEASE_BOUND);
	p.source = address;
	assert_null(site_send(site, &p));
	assert_int_equal(lease->state, LEASE_RELEASED);
	site_commit(site);
	assert_int_equal(acquire(site, BETA), address);
}

static void a_flood_of_one_mac_is_held_to_its_rate(void **state)
{
	struct site *site = *state;
	unsigned int answered = 0;

	for (unsigned int i = 0; i < 1000; i++)
		answered += discover(site, STRANGER(1), i) != 0;
	assert_int_equal(answered, 40);
	assert_int_not_equal(discover(site, BETA, 1), 0);
	site_pass(site, 1000);
	assert_int_not_equal(discover(site, STRANGER(1), 1), 0);
}

/* One INFORM, which needs no address of ours, behind a circuit of a relay. */
static bool informs(struct site *site, unsigned int machine, const char *circuit)
{
	struct packet p = packet_of(DHCP_INFORM, STRANGER(machine), machine);
	uint8_t info[32] = {1, (uint8_t)strlen(circuit)};

	memcpy(info + 2, circuit, strlen(circuit));
	add_option(&p, 82, info, 2 + strlen(circuit));
	set_giaddr(&p, IP(10, 0, 0, 254));
	set_ciaddr(&p, IP(10, 0, 0, 99));
	return site_send(site, &p);
}

/* Sixteen times what one machine may send, whatever machines it says it is; who is behind
 * another circuit, or none, is not held up by that. */
static void a_flood_of_one_circuit_is_held_to_its_rate(void **state)
{
	struct site *site = *state;
	unsigned int answered = 0;
	unsigned int told = 0;

	for (unsigned int i = 0; i < 1000; i++) {
		answered += informs(site, i, "port 7");
		for (unsigned int e = 0; e < site->out.nevents; e++)
			told += strstr(site->out.event[e].text, "circuit sends too much") != NULL;
	}
	assert_int_equal(answered, 16 * 40);
	assert_in_range(told, 1, 60);
	assert_false(informs(site, 2000, "port 7"));
	assert_true(informs(site, 2000, "port 8"));
	assert_int_not_equal(acquire(site, BETA), 0);
	site_pass(site, 10);
	assert_true(informs(site, 2001, "port 7"));
	assert_false(informs(site, 2002, "port 7"));
}

/* A whole handshake for each of `n` made-up MACs; how many got an address. */
static unsigned int starve(struct site *site, unsigned int n)
{
	unsigned int got = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct mac mac = {{2, 1, 0, 0, 0, 0}};
		uint32_t address;

		put32(mac.octet + 2, i);
		address = discover(site, mac, i);
		if (address && request(site, mac, i, address))
			got++;
		site_pass(site, 1);
	}
	site_commit(site);
	return got;
}

static void starvation_by_made_up_macs_leaves_known_hosts_served(void **state)
{
	struct site *site = *state;
	uint32_t mine = acquire(site, BETA);

	site_sql(site, "INSERT INTO host (id, name, added, changed) VALUES (9, 'fresh', 0, 0);"
		       "INSERT INTO host_mac VALUES (x'525400000009', 9)");
	assert_in_range(starve(site, 20000), 200, 254);
	assert_int_equal(acquire(site, BETA), mine);
	assert_int_equal(acquire(site, ALPHA), IP(10, 0, 0, 50));
	assert_int_not_equal(acquire(site, site_mac(9)), 0); /* never had one */
	/* and after a restart */
	site_restart(site);
	starve(site, 1000);
	assert_int_equal(acquire(site, BETA), mine);
	/* the attack leaves with its leases */
	site_pass(site, 13 * 3600000);
	assert_int_not_equal(acquire(site, STRANGER(1)), 0);
}

static void starvation_by_discovers_alone_lasts_as_long_as_it_goes_on(void **state)
{
	struct site *site = *state;

	for (uint32_t i = 0; i < 2000; i++)
		discover(site, STRANGER(i), i);
	assert_int_not_equal(acquire(site, BETA), 0);
	site_commit(site);
	assert_int_equal(site_count(site, "SELECT count(*) FROM lease"), 1);
	site_pass(site, 31000);
	dhcp_server_tick(site->server, site->now, &site->out);
	assert_int_equal(site_leases(site), 1);
}

static void a_calling_client_cannot_be_talked_out_of_its_address(void **state)
{
	struct site *site = *state;
	uint32_t address = acquire(site, BETA);
	struct event e = {.kind = EVENT_ALIVE, .address = address};
	struct packet p;

	dhcp_server_event(site->server, &e, site->now);
	/* a DECLINE in its name */
	p = packet_of(DHCP_DECLINE, BETA, 2);
	add_option32(&p, 50, address);
	add_option32(&p, 54, SERVER);
	site_send(site, &p);
	/* a RELEASE, with a forged source too */
	p = packet_of(DHCP_RELEASE, BETA, 2);
	add_option32(&p, 54, SERVER);
	set_ciaddr(&p, address);
	site_send(site, &p);
	starve(site, 400);
	assert_true(mac_equal(&leases_by_address(dhcp_server_leases(site->server), address)->mac,
			      &(struct mac){{0x52, 0x54, 0, 0, 0, 2}}));
	assert_int_equal(acquire(site, BETA), address);
}

static void full_ranges_are_said_once_for_each_subnet(void **state)
{
	struct site *site = *state;
	struct dhcp_subnet *s = dhcp_config_add_subnet(&site->config);
	struct said said;

	s->network = IP(10, 1, 0, 0);
	s->mask = 0xffffff00;
	for (unsigned int i = 0; i < 2; i++) {
		s = &site->config.subnets[i];
		s->ranges[0] = (struct dhcp_range){s->network + 100, s->network + 101};
		s->nranges = 1;
	}
	assert_int_equal(dhcp_config_derive(&site->config, NULL), 0);
	site_restart(site);
	said = said_begin();
	starve(site, 500);
	assert_int_equal(said_end(&said, "10.0.0.0/24: no address is left"), 1);
	said = said_begin();
	for (unsigned int i = 0; i < 20; i++) {
		struct packet p = packet_of(DHCP_DISCOVER, STRANGER(i), i);

		set_giaddr(&p, IP(10, 1, 0, 1));
		site_send(site, &p);
	}
	assert_int_equal(said_end(&said, "10.1.0.0/24: no address is left"), 1);
	/* ten minutes later again */
	site_pass(site, 601000);
	said = said_begin();
	starve(site, 50);
	assert_int_equal(said_end(&said, "no address is left"), 1);
}

static void foreign_servers_are_said_once_each_and_a_flood_of_them_is_bounded(void **state)
{
	struct site *site = *state;
	struct said said = said_begin();

	for (unsigned int i = 0; i < 30; i++) {
		struct packet p = packet_of(DHCP_REQUEST, STRANGER(i), i);

		add_option32(&p, 50, IP(10, 0, 0, 77));
		add_option32(&p, 54, IP(10, 0, 0, 200 + i % 2));
		assert_null(site_send(site, &p));
		site_pass(site, 3600000);
	}
	assert_int_equal(said_end(&said, "another DHCP server answers here: 10.0.0.200"), 1);
	said = said_begin();
	for (unsigned int i = 0; i < 5000; i++) {
		struct packet p = packet_of(DHCP_REQUEST, STRANGER(i), i);

		add_option32(&p, 54, IP(10, 9, i >> 8, i));
		site_send(site, &p);
	}
	assert_in_range(said_end(&said, "another DHCP server"), 1, 8);
}

static void answers_to_made_up_macs_are_told_in_bounds(void **state)
{
	struct site *site = *state;
	unsigned int told = 0;

	for (uint32_t i = 0; i < 60000; i++) {
		struct mac mac = {{2, 2, 0, 0, 0, 0}};
		struct packet p;
		struct dhcp_reply *r;

		put32(mac.octet + 2, i);
		p = packet_of(DHCP_INFORM, mac, i);
		set_ciaddr(&p, IP(10, 0, 0, 99));
		r = site_send(site, &p);
		assert_non_null(r);
		told += r->event.kind != 0;
	}
	assert_in_range(told, 1000, 25000);
	/* who is known has a budget of nobody else's */
	assert_int_not_equal(acquire(site, BETA), 0);
	assert_int_equal(site->out.reply[0].event.kind, EVENT_ACK);
}

static void malformed_packets_are_dropped_and_said_in_bounds(void **state)
{
	struct site *site = *state;
	struct packet good = packet_of(DHCP_DISCOVER, STRANGER(1), 1);
	struct said said = said_begin();
	uint8_t wide[5000] = {1, 1, 6};

	/* cut at every length: never an answer unless the type was still there */
	for (size_t len = 0; len <= good.len; len++) {
		site_send_raw(site, good.at, len, 0, 67);
		assert_true(site->out.nreplies == 0 || len == good.len);
	}
	site_send_raw(site, wide, sizeof(wide), 0, 67);
	assert_int_equal(site->out.nreplies, 0);
	for (unsigned int code = 1; code < 255; code++) {
		struct packet p = packet_of(DHCP_DISCOVER, STRANGER(2), code);

		/* a length that passes the end */
		p.at[p.len++] = (uint8_t)code;
		p.at[p.len++] = 200;
		site_send_raw(site, p.at, p.len, 0, 67);
		assert_int_equal(site->out.nreplies, 0);
	}
	/* 52 that names itself: sname holds a 52 that names file, and so on */
	for (unsigned int i = 0; i < 4; i++) {
		struct packet p = packet_of(DHCP_DISCOVER, STRANGER(3), i);
		const uint8_t loop[] = {52, 1, 3, 52, 1, 3, 255};
		const uint8_t overload = 3;

		memcpy(p.at + 44, loop, sizeof(loop));
		memcpy(p.at + 108, loop, sizeof(loop));
		add_option(&p, 52, &overload, 1);
		site_send(site, &p);
		site_pass(site, 1000);
	}
	/* a relay that is a broadcast, a client, ourselves */
	for (unsigned int i = 0; i < 3; i++) {
		static const uint32_t from[] = {UINT32_MAX, IP(127, 0, 0, 1), IP(224, 0, 0, 1)};
		struct packet p = packet_of(DHCP_DISCOVER, STRANGER(4), i);

		set_giaddr(&p, from[i]);
		assert_null(site_send(site, &p));
	}
	assert_in_range(said_end(&said, "dropped"), 1, 6);
	assert_int_not_equal(acquire(site, STRANGER(5)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SITE(declines_have_a_quota),
		SITE(a_release_must_come_from_its_own_address),
		SITE(a_flood_of_one_mac_is_held_to_its_rate),
		SITE(a_flood_of_one_circuit_is_held_to_its_rate),
		SITE(starvation_by_made_up_macs_leaves_known_hosts_served),
		SITE(starvation_by_discovers_alone_lasts_as_long_as_it_goes_on),
		SITE(a_calling_client_cannot_be_talked_out_of_its_address),
		SITE(full_ranges_are_said_once_for_each_subnet),
		SITE(foreign_servers_are_said_once_each_and_a_flood_of_them_is_bounded),
		SITE(answers_to_made_up_macs_are_told_in_bounds),
		SITE(malformed_packets_are_dropped_and_said_in_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

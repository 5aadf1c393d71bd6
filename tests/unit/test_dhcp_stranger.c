/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Machines that wait for approval, through the server.
 */
#include "tests/unit/test_dhcp_fixture.h"

static void asks(struct site *site, struct mac mac, int arch, const char *vendor)
{
	struct packet p = packet_of(DHCP_DISCOVER, mac, 1);
	const uint8_t code[2] = {0, (uint8_t)arch};

	if (arch >= 0)
		add_option(&p, 93, code, 2);
	if (vendor)
		add_text(&p, 60, vendor);
	assert_null(site_send(site, &p));
}

static int64_t rows(struct site *site)
{
	return site_count(site, "SELECT count(*) FROM stranger");
}

static void who_waits_is_written_down(void **state)
{
	struct site *site = *state;
	int64_t began = site->now.wall_ns;

	site->config.unknown = DHCP_UNKNOWN_PENDING;
	asks(site, STRANGER(1), 7, "PXEClient:Arch:00007\n");
	assert_int_not_equal(discover(site, BETA, 1), 0); /* registered */
	asks(site, LATER, 7, "PXEClient");
	assert_true(dhcp_server_dirty(site->server));
	site_commit(site);
	assert_int_equal(rows(site), 1);
	assert_int_equal(site_count(site,
				    "SELECT mac = x'525400001001' AND arch = 7"
				    " AND vendor = 'PXEClient:Arch:00007\\x0a' FROM stranger"),
			 1);
	/* again, at once: nothing to write; later: the last time moves, the first not */
	asks(site, STRANGER(1), -1, NULL);
	assert_false(dhcp_server_dirty(site->server));
	site_pass(site, 60000);
	asks(site, STRANGER(1), -1, NULL);
	site_commit(site);
	assert_int_equal(site_count(site, "SELECT first_seen FROM stranger"), began);
	assert_int_equal(site_count(site, "SELECT last_seen FROM stranger"), site->now.wall_ns);
	assert_int_equal(site_count(site, "SELECT arch FROM stranger"), 7);
	/* it is remembered across a restart, and gone once it is registered */
	site_restart(site);
	site_pass(site, 60000);
	asks(site, STRANGER(1), 7, "PXEClient");
	site_commit(site);
	assert_int_equal(site_count(site, "SELECT first_seen FROM stranger"), began);
	site_sql(site, "INSERT INTO host (id, name, added, changed) VALUES (9, 'new', 0, 0);"
		       "INSERT INTO host_mac VALUES (x'525400001001', 9)");
	site_commit(site);
	assert_int_equal(rows(site), 0);
	assert_int_not_equal(acquire(site, STRANGER(1)), 0);
}

static void made_up_macs_do_not_crowd_out_who_asks_again(void **state)
{
	struct site *site = *state;
	struct mac mac = {{2, 9, 0, 0, 0, 0}};

	site->config.unknown = DHCP_UNKNOWN_PENDING;
	asks(site, STRANGER(1), 7, "PXEClient");
	site_pass(site, 4000);
	asks(site, STRANGER(1), 7, "PXEClient");
	for (uint32_t i = 0; i < 20000; i++) {
		put32(mac.octet + 2, i);
		asks(site, mac, -1, NULL);
		if (i % 100 == 0)
			site_commit(site);
		site_pass(site, 10);
	}
	site_commit(site);
	assert_in_range(rows(site), 512, 1024);
	assert_int_equal(site_count(site, "SELECT count(*) FROM stranger"
					  " WHERE mac = x'525400001001'"),
			 1);
	/* the flood is over: room for who comes now */
	site_pass(site, 60000);
	for (unsigned int i = 0; i < 2; i++) {
		asks(site, STRANGER(2), 0, "PXEClient");
		site_commit(site);
	}
	assert_int_equal(site_count(site, "SELECT count(*) FROM stranger"
					  " WHERE mac = x'525400001002'"),
			 1);
	/* and in a month all is forgotten */
	site_pass(site, 31 * INT64_C(86400000));
	dhcp_server_tick(site->server, site->now, &site->out);
	site_commit(site);
	assert_int_equal(rows(site), 0);
}

static void another_policy_keeps_no_list(void **state)
{
	struct site *site = *state;
	struct packet p = packet_of(DHCP_DISCOVER, STRANGER(1), 1);

	site->config.unknown = DHCP_UNKNOWN_PENDING;
	asks(site, STRANGER(1), 7, "PXEClient");
	site_commit(site);
	assert_int_equal(rows(site), 1);
	site->config.unknown = DHCP_UNKNOWN_IGNORE;
	site_restart(site);
	assert_int_equal(rows(site), 0);
	assert_null(site_send(site, &p));
	site_commit(site);
	assert_int_equal(rows(site), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SITE(who_waits_is_written_down),
		SITE(made_up_macs_do_not_crowd_out_who_asks_again),
		SITE(another_policy_keeps_no_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What it costs to find an address, in comparisons and not in time; and who is
 * passed over when a range is full.
 */
#include "tests/unit/test_dhcp_fixture.h"

#include "dhcp/pool.h"

enum { FIRST = IP(10, 8, 0, 0), SIZE = 1 << 16 };

struct yard {
	struct dhcp_config config;
	struct dhcp_subnet *subnet;
	struct leases *leases;
	struct pools *pools;
};

/* A range of 65,536 addresses less two, all bound to made-up MACs, one of which is
 * over each second from `now` on. */
static void yard_fill(struct site *site, struct yard *y)
{
	dhcp_config_init(&y->config);
	y->config.ninterfaces = 1;
	y->config.interfaces[0].address = IP(10, 7, 0, 1);
	y->subnet = dhcp_config_add_subnet(&y->config);
	y->subnet->network = FIRST;
	y->subnet->mask = 0xffff0000;
	assert_int_equal(dhcp_config_derive(&y->config, NULL), 0);
	assert_int_equal(leases_load(site->leases, site->now, &y->leases), 0);
	assert_int_equal(pools_new(&y->config, y->leases, &y->pools), 0);
	/* in an order that a heap does not find sorted */
	for (uint32_t n = 0, i = 0; n < SIZE; n++, i = (i * 5 + 12345) % SIZE) {
		struct mac mac = {{2, 3, 0, 0, 0, 0}};
		struct lease *lease;

		if (i == 0 || i == SIZE - 1)
			continue;
		put32(mac.octet + 2, i);
		lease = pools_assign(y->pools, FIRST + i, &mac);
		lease_bind(y->leases, lease, instant_add_ms(site->now.mono, i * INT64_C(1000)), 1);
		pools_moved(y->pools, lease);
	}
	assert_int_equal(pools_free_count(y->pools, y->subnet), 0);
}

static void yard_fini(struct yard *y)
{
	pools_free(y->pools);
	leases_free(y->leases);
	dhcp_config_fini(&y->config);
}

static uint32_t choose(struct site *site, struct yard *y, unsigned int n, bool registered)
{
	struct mac mac = STRANGER(n);

	return pools_choose(y->pools, y->subnet, &mac, registered, site->now.mono);
}

static void a_full_range_costs_no_walk(void **state)
{
	struct site *site = *state;
	struct yard y = {0};
	uint64_t before;

	yard_fill(site, &y);
	before = pools_steps(y.pools);
	for (unsigned int i = 0; i < 1000; i++)
		assert_int_equal(choose(site, &y, i, false), 0);
	assert_true(pools_steps(y.pools) - before <= 1000 * 4);
	/* those that are over go to new machines, the earliest first */
	site_pass(site, 1000 * 1000);
	before = pools_steps(y.pools);
	for (unsigned int i = 1; i <= 1000; i++) {
		struct mac mac = STRANGER(i);
		uint32_t address = choose(site, &y, i, false);
		struct lease *lease = pools_assign(y.pools, address, &mac);

		assert_int_equal(address, FIRST + i);
		lease_bind(y.leases, lease, instant_add_ms(site->now.mono, 43200000), 1);
		pools_moved(y.pools, lease);
	}
	assert_int_equal(choose(site, &y, 2000, false), 0);
	/* a logarithm of 65,536 each, up and down */
	assert_true(pools_steps(y.pools) - before <= 1000 * 3 * 2 * 17);
	yard_fini(&y);
}

static void a_renewal_costs_a_logarithm(void **state)
{
	struct site *site = *state;
	struct yard y = {0};
	uint64_t before;

	yard_fill(site, &y);
	/* everybody renews, ten times */
	before = pools_steps(y.pools);
	for (unsigned int round = 1; round <= 10; round++)
		for (uint32_t i = 1; i < SIZE - 1; i++) {
			struct lease *lease = leases_by_address(y.leases, FIRST + i);

			lease_bind(
				y.leases, lease,
				instant_add_ms(site->now.mono, 100000000 + round * 1000 + i % 977),
				1);
			pools_moved(y.pools, lease);
		}
	assert_true(pools_steps(y.pools) - before <= 10 * SIZE * UINT64_C(2) * 17);
	site_pass(site, 50000000);
	before = pools_steps(y.pools);
	assert_int_equal(choose(site, &y, 1, false), 0);
	assert_true(pools_steps(y.pools) - before <= 4);
	yard_fini(&y);
}

static void registered_machines_keep_theirs_and_a_release_counts_at_once(void **state)
{
	struct site *site = *state;
	struct yard y = {0};
	struct lease *lease;

	yard_fill(site, &y);
	/* the first three to be over are hosts' */
	for (uint32_t i = 1; i <= 3; i++) {
		lease = leases_by_address(y.leases, FIRST + i);
		lease->host = i;
		pools_moved(y.pools, lease);
	}
	site_pass(site, 3500);
	assert_int_equal(choose(site, &y, 1, false), 0);
	assert_int_equal(choose(site, &y, 1, true), FIRST + 1);
	lease = leases_by_address(y.leases, FIRST + 40000);
	lease_release(y.leases, lease, site->now.mono);
	pools_moved(y.pools, lease);
	assert_int_equal(choose(site, &y, 1, false), FIRST + 40000);
	pools_forget(y.pools, lease);
	assert_int_equal(choose(site, &y, 1, false), FIRST + 40000); /* free */
	yard_fini(&y);
}

/* The same rules, against a plain walk, over a random life. */
static void heaps_agree_with_a_walk(void **state)
{
	struct site *site = *state;
	unsigned int seed = 1;
	struct yard y = {0};

	yard_fill(site, &y);
	for (unsigned int i = 0; i < 20000; i++) {
		uint32_t a = FIRST + 1 + (uint32_t)rand_r(&seed) % 300;
		struct lease *lease = leases_by_address(y.leases, a);
		struct mac mac = STRANGER((unsigned int)rand_r(&seed) % 2000);
		int64_t ms = rand_r(&seed) % 100000;
		bool registered = rand_r(&seed) % 2;
		const struct lease *best = NULL;
		uint32_t got;

		switch (rand_r(&seed) % 8) {
		case 0:
			lease_release(y.leases, lease, site->now.mono);
			break;
		case 1:
			lease_decline(y.leases, lease, instant_add_ms(site->now.mono, ms));
			break;
		case 2:
			lease_alive(y.leases, lease, site->now.mono);
			continue; /* later alone: not told */
		case 3:
			lease = pools_assign(y.pools, a, &mac);
			lease_offer(y.leases, lease, instant_add_ms(site->now.mono, 30000));
			break;
		case 4:
			lease->host = (uint32_t)rand_r(&seed) % 2;
			break;
		case 5:
			lease->held = instant_add_ms(site->now.mono, ms);
			continue;
		default:
			lease_bind(y.leases, lease, instant_add_ms(site->now.mono, ms), 1);
			break;
		}
		pools_moved(y.pools, lease);
		site_pass(site, rand_r(&seed) % 200);
		got = pools_choose(y.pools, y.subnet, &mac, registered, site->now.mono);
		for (uint32_t n = 1; n < SIZE - 1 && i % 50 == 0; n++) {
			const struct lease *l = leases_by_address(y.leases, FIRST + n);

			if ((!l->host || registered) &&
			    (!best || lease_over_at(l).ns < lease_over_at(best).ns))
				best = l;
		}
		if (best && lease_over_at(best).ns <= site->now.mono.ns) {
			lease = leases_by_address(y.leases, got);
			assert_non_null(lease);
			assert_true(lease_over_at(lease).ns == lease_over_at(best).ns);
		}
	}
	yard_fini(&y);
}

static void a_code_that_is_asked_for_often_is_looked_up_once(void **state)
{
	uint8_t asked[1000];
	uint8_t codes[256];

	(void)state;
	for (unsigned int i = 0; i < sizeof(asked); i++)
		asked[i] = (uint8_t)(i % 3 == 0 ? 6 : i % 3 == 1 ? 3 : 120);
	assert_int_equal(dhcp_option_codes((struct bytes){asked, sizeof(asked)}, codes), 3);
	assert_int_equal(codes[0], 6);
	assert_int_equal(codes[1], 3);
	assert_int_equal(codes[2], 120);
	for (unsigned int i = 0; i < sizeof(asked); i++)
		asked[i] = (uint8_t)(255 - i);
	assert_int_equal(dhcp_option_codes((struct bytes){asked, sizeof(asked)}, codes), 256);
	assert_int_equal(codes[255], 0);
	assert_int_equal(dhcp_option_codes((struct bytes){NULL, 0}, codes), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SITE(a_full_range_costs_no_walk),
		SITE(a_renewal_costs_a_logarithm),
		SITE(registered_machines_keep_theirs_and_a_release_counts_at_once),
		SITE(heaps_agree_with_a_walk),
		cmocka_unit_test(a_code_that_is_asked_for_often_is_looked_up_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

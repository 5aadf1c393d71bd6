/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The wall clock is set, forth and back, while the server runs and while it does not:
 * nothing ends that has not run out.
 */
#include "tests/unit/test_dhcp_fixture.h"

#include "dhcp/wall.h"

#define HOUR_MS (3600 * INT64_C(1000))
#define DAY_MS (24 * HOUR_MS)
#define YEARS_NS (56 * 365 * INT64_C(86400) * NS_PER_SEC)

enum { LEASE_HOURS = 12 };

/* The wall clock alone. */
static void set_clock(struct site *site, int64_t by_ns)
{
	site->now.wall_ns += by_ns;
}

/* Time passes, and the server looks now and then. */
static void pass(struct site *site, int64_t ms)
{
	for (int64_t step = HOUR_MS; ms > 0; ms -= step) {
		site_pass(site, ms < step ? ms : step);
		dhcp_server_tick(site->server, site->now, &site->out);
		site->out.nreplies = site->out.nprobes = site->out.nevents = 0;
		site_commit(site);
	}
}

static void tell(struct site *site, uint32_t kind, uint32_t address)
{
	const struct event e = {.kind = kind, .address = address};

	dhcp_server_event(site->server, &e, site->now);
	site_commit(site);
}

static unsigned int open_boots(struct site *site)
{
	unsigned int n[BOOT_FARS];
	unsigned int sum = 0;

	boots_count(dhcp_server_boots(site->server), n);
	for (unsigned int i = 0; i < BOOT_FARS; i++)
		sum += n[i];
	return sum;
}

static uint32_t runs(struct site *site)
{
	uint32_t address = acquire(site, ALPHA);

	tell(site, EVENT_MOUNT, address);
	tell(site, EVENT_INIT, address);
	assert_int_equal(open_boots(site), 1);
	return address;
}

static bool boot_is_open(struct site *site)
{
	bool in_memory = open_boots(site) == 1;

	assert_int_equal(site_count(site, "SELECT count(*) FROM boot WHERE ended IS NULL"),
			 in_memory);
	return in_memory;
}

/* How long the lease at `address` still runs, in hours. */
static int64_t hours_left(struct site *site, uint32_t address)
{
	const struct lease *lease = leases_by_address(dhcp_server_leases(site->server), address);

	assert_non_null(lease);
	return (lease->expires.ns - site->now.mono.ns + 1800 * NS_PER_SEC) / (3600 * NS_PER_SEC);
}

/* The row says the same by the wall clock that there is. */
static int64_t hours_left_by_row(struct site *site)
{
	return (site_count(site, "SELECT max(expires) FROM lease") - site->now.wall_ns +
		1800 * NS_PER_SEC) /
	       (3600 * NS_PER_SEC);
}

static void set_while_it_runs(void **state)
{
	struct site *site = *state;
	const int64_t ways[] = {YEARS_NS, -YEARS_NS, 40 * DAY_MS * NS_PER_MS, -2 * YEARS_NS};
	uint32_t address = runs(site);

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		set_clock(site, ways[i]);
		pass(site, HOUR_MS);
		assert_true(boot_is_open(site));
		assert_int_equal(hours_left(site, address), LEASE_HOURS - 1 - (int64_t)i);
		assert_int_equal(hours_left_by_row(site), LEASE_HOURS - 1 - (int64_t)i);
	}
	/* The next run is of the same mind. */
	site_restart(site);
	assert_int_equal(hours_left(site, address), LEASE_HOURS - 4);
	pass(site, HOUR_MS);
	assert_true(boot_is_open(site));
}

static void set_back_and_started_again_before_it_is_right(void **state)
{
	struct site *site = *state;
	uint32_t address = runs(site);

	pass(site, 2 * HOUR_MS);
	/* No battery: a start in 1970, then NTP, then another start. */
	set_clock(site, -YEARS_NS);
	site_restart(site);
	assert_int_equal(hours_left(site, address), LEASE_HOURS - 2);
	pass(site, HOUR_MS);
	assert_int_equal(hours_left_by_row(site), LEASE_HOURS - 3);
	site_restart(site);
	assert_int_equal(hours_left(site, address), LEASE_HOURS - 3);
	set_clock(site, YEARS_NS);
	pass(site, HOUR_MS);
	assert_int_equal(hours_left_by_row(site), LEASE_HOURS - 4);
	site_restart(site);
	assert_int_equal(hours_left(site, address), LEASE_HOURS - 4);
	assert_true(boot_is_open(site));
}

static void started_years_ahead(void **state)
{
	struct site *site = *state;

	runs(site);
	pass(site, HOUR_MS);
	set_clock(site, YEARS_NS);
	site_restart(site);
	pass(site, HOUR_MS);
	assert_true(boot_is_open(site));
	/* A week is believed; the rest of 30 days without a call has to pass. */
	pass(site, 22 * DAY_MS);
	assert_true(boot_is_open(site));
	pass(site, 2 * DAY_MS);
	assert_false(boot_is_open(site));
}

static void off_over_a_holiday(void **state)
{
	struct site *site = *state;
	uint32_t address = runs(site);

	pass(site, HOUR_MS);
	site_pass(site, 5 * DAY_MS);
	site_restart(site);
	assert_true(hours_left(site, address) < 0);
	assert_true(boot_is_open(site));
	pass(site, 24 * DAY_MS);
	assert_true(boot_is_open(site));
	pass(site, 2 * DAY_MS);
	assert_false(boot_is_open(site));
}

static void history_outlives_a_clock_that_was_set(void **state)
{
	struct site *site = *state;

	runs(site);
	assert_int_equal(db_run(site->leases,
				"UPDATE boot SET ended = ?, reason = 'by hand' WHERE ended IS NULL",
				"i", site->now.wall_ns),
			 0);
	assert_int_equal(dhcp_server_reread(site->server, site->now), 0);
	assert_int_equal(open_boots(site), 0);
	pass(site, HOUR_MS);
	set_clock(site, YEARS_NS);
	pass(site, 20 * HOUR_MS);
	set_clock(site, -YEARS_NS);
	pass(site, 30 * HOUR_MS);
	assert_int_equal(site_count(site, "SELECT count(*) FROM boot"), 1);
	/* In time it goes. */
	pass(site, 91 * DAY_MS);
	assert_int_equal(site_count(site, "SELECT count(*) FROM boot"), 0);
}

static void slewing_is_no_setting(void **state)
{
	struct site *site = *state;
	struct wall wall;
	struct dhcp_now as_of;

	site_commit(site);
	assert_int_equal(wall_start(&wall, site->leases, site->now, &as_of), 0);
	for (int i = 0; i < 100000; i++) {
		site_pass(site, 1000);
		site->now.wall_ns += 500000; /* 500 parts in a million */
		assert_int_equal(wall_look(&wall, site->now), 0);
	}
	site->now.wall_ns += 2 * NS_PER_SEC;
	assert_int_equal(wall_look(&wall, site->now), 2 * NS_PER_SEC);
	assert_int_equal(wall_look(&wall, site->now), 0);
	site->now.wall_ns = INT64_MAX;
	assert_true(wall_look(&wall, site->now) > 0);
	site->now.wall_ns = INT64_MIN;
	assert_true(wall_look(&wall, site->now) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(set_while_it_runs, site_setup, site_teardown),
		cmocka_unit_test_setup_teardown(set_back_and_started_again_before_it_is_right,
						site_setup, site_teardown),
		cmocka_unit_test_setup_teardown(started_years_ahead, site_setup, site_teardown),
		cmocka_unit_test_setup_teardown(off_over_a_holiday, site_setup, site_teardown),
		cmocka_unit_test_setup_teardown(history_outlives_a_clock_that_was_set, site_setup,
						site_teardown),
		cmocka_unit_test_setup_teardown(slewing_is_no_setting, site_setup, site_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

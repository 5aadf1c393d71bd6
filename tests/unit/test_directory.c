/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

#include "common/directory.h"
#include "common/schema.h"

static const char site[] =
	"INSERT INTO image (id, name) VALUES (1, 'debian');"
	"INSERT INTO version (id, image, number, origin_kind, origin, added) VALUES"
	" (1, 1, 1, 'dir', '/a', 0), (2, 1, 2, 'dir', '/b', 0);"
	"UPDATE image SET active = 2;"
	"INSERT INTO host (id, name, address, added, changed) VALUES (1, 'zoe', 167772167, 0, 0);"
	"INSERT INTO host_mac VALUES (x'525400000001', 1);";

static const char lease_rows[] = "INSERT INTO lease (address, mac, state, started, expires) VALUES"
				 " (5, x'525400000001', 2, 0, 0);"
				 "INSERT INTO boot (mac, address, version, change, opened) VALUES"
				 " (x'525400000001', 5, 1, 7, 0)";

static void an_open_boot_decides_the_version(void **state)
{
	cleanup(directory_closep) struct directory *d = NULL;
	cleanup(db_closep) struct db *db = NULL;
	cleanup(db_closep) struct db *leases = NULL;
	const struct tenant *t;
	const struct host *host;
	uint32_t version;
	uint64_t change;

	assert_int_equal(db_open(*state, &schema_rootstock, DB_CREATE, &db, NULL), 0);
	assert_int_equal(db_exec(db, site), 0);
	assert_int_equal(directory_open(*state, &d, NULL), 0);
	/* no leases.db yet: the reservation serves */
	assert_int_equal(directory_who(d, 167772167, &host, &version, &change), 0);
	assert_string_equal(host->name, "zoe");
	assert_int_equal(version, 2);
	assert_int_equal(directory_who(d, 5, &host, &version, &change), -ENOENT);

	assert_int_equal(db_open(*state, &schema_leases, DB_CREATE, &leases, NULL), 0);
	assert_int_equal(db_exec(leases, lease_rows), 0);
	assert_true(directory_poll(d));
	assert_int_equal(directory_who(d, 5, &host, &version, &change), 0);
	assert_string_equal(host->name, "zoe");
	assert_int_equal(version, 1);
	assert_int_equal(change, 7);
	/* a start that was forged: loaders are the newest's, what runs stays */
	assert_int_equal(db_exec(leases,
				 "UPDATE boot SET mounted = 1;"
				 "INSERT INTO boot (mac, address, version, change, opened) VALUES"
				 " (x'525400000001', 5, 2, 9, 0)"),
			 0);
	assert_true(directory_poll(d));
	t = tenants_by_address(directory_tenants(d), 5);
	assert_int_equal(t->boot.version, 2);
	assert_int_equal(t->boot.change, 9);
	assert_int_equal(t->runs.version, 1);
	assert_int_equal(t->runs.change, 7);
	assert_int_equal(db_exec(leases, "UPDATE boot SET mounted = 2 WHERE version = 2"), 0);
	assert_true(directory_poll(d));
	assert_int_equal(tenants_by_address(directory_tenants(d), 5)->runs.change, 9);
	assert_int_equal(db_exec(leases, "UPDATE boot SET ended = 1"), 0);
	assert_true(directory_poll(d));
	assert_false(directory_poll(d));
	assert_int_equal(directory_who(d, 5, &host, &version, &change), 0);
	assert_int_equal(version, 2);
	assert_int_equal(db_exec(db, "UPDATE host SET pending = 1"), 0);
	directory_poll(d);
	assert_int_equal(directory_who(d, 5, &host, &version, &change), -EACCES);
}

static void leases_of_an_older_version_are_taken_over(void **state)
{
	struct db_schema old = schema_leases;
	cleanup(tenants_freep) struct tenants *tenants = NULL;
	cleanup(db_closep) struct db *leases = NULL;

	old.nsteps = 1;
	assert_int_equal(db_open(*state, &old, DB_CREATE, &leases, NULL), 0);
	assert_int_equal(db_exec(leases, lease_rows), 0);
	db_close(leases);
	leases = NULL;
	assert_int_equal(db_open(*state, &schema_leases, DB_WRITE, &leases, NULL), 0);
	assert_int_equal(tenants_load(leases, &tenants), 0);
	assert_int_equal(tenants_by_address(tenants, 5)->boot.version, 1);
	assert_int_equal(db_exec(leases, "SELECT first_seen FROM stranger"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_open_boot_decides_the_version, unit_dir_setup,
						unit_dir_teardown),
		cmocka_unit_test_setup_teardown(leases_of_an_older_version_are_taken_over,
						unit_dir_setup, unit_dir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

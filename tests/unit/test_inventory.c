/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

#include "common/inventory.h"
#include "common/schema.h"

static const char rows[] =
	"INSERT INTO image (id, name) VALUES (1, 'debian'), (2, 'rescue');"
	"INSERT INTO version (id, image, number, origin_kind, origin, added) VALUES"
	" (1, 1, 1, 'dir', '/a', 0), (2, 1, 2, 'dir', '/b', 0), (3, 2, 1, 'dir', '/c', 0);"
	"UPDATE image SET active = 2 WHERE id = 1; UPDATE image SET active = 3 WHERE id = 2;"
	"INSERT INTO grp (id, name, image, changed) VALUES (1, 'lab', NULL, 0), (2, 'fix', 2, 0);"
	"INSERT INTO host (id, name, version, address, added, changed) VALUES"
	" (1, 'zoe', NULL, 167772167, 0, 0), (2, 'amy', 1, NULL, 0, 0), (3, 'mia', NULL, NULL, 0, "
	"0);"
	"INSERT INTO host_mac VALUES (x'525400000001', 1), (x'525400000009', 1),"
	" (x'525400000002', 2), (x'525400000003', 3);"
	"INSERT INTO host_group VALUES (3, 0, 1), (3, 1, 2);"
	"INSERT INTO setting VALUES (0, 0, 'site', 'x'), (1, 1, 'color', 'red'),"
	" (1, 2, 'color', 'blue'), (2, 1, 'color', 'green');";

static void a_snapshot_answers_by_every_key(void **state)
{
	static const struct mac second = {{0x52, 0x54, 0, 0, 0, 9}};
	static const struct mac nobody = {{0x52, 0x54, 0, 0, 0, 8}};
	cleanup(inventory_freep) struct inventory *inv = NULL;
	cleanup(db_closep) struct db *db = NULL;
	const struct host *zoe;
	const struct host *mia;

	assert_int_equal(db_open(*state, &schema_rootstock, DB_CREATE, &db, NULL), 0);
	assert_int_equal(db_exec(db, rows), 0);
	assert_int_equal(inventory_load(db, &inv), 0);
	assert_int_equal(inventory_count(inv), 3);
	assert_string_equal(inventory_at(inv, 0)->name, "amy");
	zoe = inventory_by_mac(inv, &second);
	assert_non_null(zoe);
	assert_string_equal(zoe->name, "zoe");
	assert_int_equal(zoe->nmacs, 2);
	assert_ptr_equal(inventory_by_address(inv, 167772167), zoe);
	assert_null(inventory_by_mac(inv, &nobody));
	assert_null(inventory_by_address(inv, 1));
	/* versions: the default image's active one; its own; its strongest group's */
	assert_int_equal(zoe->version, 2);
	assert_int_equal(inventory_by_name(inv, "amy")->version, 1);
	mia = inventory_by_name(inv, "mia");
	assert_int_equal(mia->version, 3);
	/* settings: own, strongest group, site */
	assert_string_equal(inventory_setting(inv, zoe, "color"), "green");
	assert_string_equal(inventory_setting(inv, mia, "color"), "blue");
	assert_string_equal(inventory_setting(inv, mia, "site"), "x");
	assert_null(inventory_setting(inv, mia, "none"));
	assert_int_equal(inventory_version_by_name(inv, "debian")->id, 2);
	assert_int_equal(inventory_version_by_name(inv, "debian@1")->id, 1);
	assert_null(inventory_version_by_name(inv, "debian@3"));
	assert_null(inventory_version_by_name(inv, "debian@"));
	assert_null(inventory_version_by_name(inv, "deb"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_snapshot_answers_by_every_key, unit_dir_setup,
						unit_dir_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

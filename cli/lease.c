/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/cmd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/table.h"
#include "common/clock.h"
#include "common/inventory.h"

/* leases.db and the hosts' names beside it. */
struct lease_view {
	struct db *leases;
	struct inventory *inv;
};

static int lease_open(struct cli *cli, struct lease_view *v)
{
	int r = cli_leases(cli, false, &v->leases);

	return r ? r : inventory_load(cli->db, &v->inv);
}

static void lease_close(struct lease_view *v)
{
	inventory_free(v->inv);
	db_close(v->leases);
}

static const char *mac_column(sqlite3_stmt *stmt, int column, struct mac *mac,
			      char text[static MAC_TEXT])
{
	*mac = (struct mac){0};
	db_column_mac(stmt, column, mac);
	return mac_format(mac, text);
}

static const char *name_of(const struct lease_view *v, const struct mac *mac)
{
	const struct host *h = inventory_by_mac(v->inv, mac);

	return h ? h->name : NULL;
}

static int lease_list_run(struct cli *cli)
{
	static const char *const columns[] = {"address", "mac",	    "host",	 "state",
					      "started", "expires", "last_alive"};
	static const char *const states[] = {"", "offered", "bound", "released", "declined"};
	cleanup(lease_close) struct lease_view v = {0};
	sqlite3_stmt *stmt;
	struct table *t;
	int r = lease_open(cli, &v);

	if (r)
		return r;
	t = table_new(columns, ARRAY_SIZE(columns));
	stmt = db_stmt(v.leases, "SELECT address, mac, state, started, expires, last_alive"
				 " FROM lease ORDER BY address");
	for (r = db_query(v.leases, stmt, ""); r == DB_ROW; r = db_next(v.leases, stmt)) {
		unsigned int state = (unsigned int)sqlite3_column_int(stmt, 2);
		char text[MAC_TEXT];
		struct mac mac;

		table_row(t);
		table_address(t, (uint32_t)sqlite3_column_int64(stmt, 0));
		table_text(t, mac_column(stmt, 1, &mac, text));
		table_text(t, name_of(&v, &mac));
		table_text(t, state < ARRAY_SIZE(states) ? states[state] : "");
		table_time(t, sqlite3_column_int64(stmt, 3));
		table_time(t, sqlite3_column_int64(stmt, 4));
		table_time(t, sqlite3_column_int64(stmt, 5));
	}
	table_print(t, cli->json);
	return r;
}

const struct command command_lease_list = {
	.words = "lease list",
	.run = lease_list_run,
	.db = CLI_READ,
};

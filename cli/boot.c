/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A boot before it happens (plan), after (show: the timeline), and its end by hand.
 */
#include "cli/cmd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/table.h"
#include "common/clock.h"
#include "common/event.h"
#include "common/inventory.h"
#include "fsd/host.h"
#include "tftp/plan.h"

/* Where the last `serve` was reached; 0: there was none. */
static uint32_t last_server(struct db *db)
{
	sqlite3_stmt *stmt = db_stmt(db, "SELECT value FROM site WHERE key = 'server'");
	uint32_t address = 0;
	char text[IP4_TEXT];

	if (db_query(db, stmt, "") == DB_ROW) {
		db_column_text(stmt, 0, text, sizeof(text));
		if (ip4_parse(text, &address))
			address = 0;
	}
	sqlite3_reset(stmt);
	return address;
}

static int plan_run(struct cli *cli)
{
	cleanup(inventory_freep) struct inventory *inv = NULL;
	cleanup(cli_view_close) struct cli_view v;
	cleanup(view_unrefp) struct view *maintenance = NULL;
	const struct image_version *version;
	struct tftp_plan plan;
	int r = cli_view_open(cli, cli->args[0], &v);

	if (r)
		return r;
	if (!v.host)
		return why_set(&cli->why, -EINVAL, "%s: an image does not boot: name a host",
			       cli->args[0]);
	r = inventory_load(cli->db, &inv);
	if (r)
		return r;
	plan = (struct tftp_plan){
		.inventory = inv,
		.host = inventory_by_id(inv, v.host),
		.view = v.view,
		.version = v.version,
		.server = last_server(cli->db),
	};
	version = plan.host ? inventory_maintenance(inv, plan.host) : NULL;
	if (version && !views_get(v.views, v.host, version->id, UINT64_MAX, &maintenance))
		plan.maintenance = maintenance;
	return plan.host ? tftp_plan(&plan, stdout, &cli->why) : -ENOENT;
}

const struct command command_boot_plan = {
	.words = "boot plan",
	.usage = "HOST",
	.run = plan_run,
	.db = CLI_READ,
	.min = 1,
	.max = 1,
};

/* When the host's last boot began; 0: it never did. */
static int last_boot(struct cli *cli, const struct host *host, int64_t *opened)
{
	cleanup(db_closep) struct db *leases = NULL;
	sqlite3_stmt *stmt;
	int r = db_open(cli->state_dir, &schema_leases, DB_READ, &leases, NULL);

	*opened = 0;
	if (r)
		return r == -ENOENT ? 0 : r;
	stmt = db_stmt(leases, "SELECT max(opened) FROM boot WHERE mac = ?");
	for (unsigned int i = 0; i < host->nmacs && r >= 0; i++) {
		r = db_query(leases, stmt, "b",
			     (struct bytes){host->macs[i].octet, sizeof(host->macs[i].octet)});
		if (r == DB_ROW && sqlite3_column_int64(stmt, 0) > *opened)
			*opened = sqlite3_column_int64(stmt, 0);
		sqlite3_reset(stmt);
		sqlite3_clear_bindings(stmt);
	}
	return r < 0 ? r : 0;
}

static int timeline(struct db *trace, const struct host *host, int64_t since, struct table *t)
{
	/* Events know their machine by MAC or, from NFS, by host. */
	sqlite3_stmt *stmt = db_stmt(trace, "SELECT at, kind, address, bytes, ms, text, mac, host"
					    " FROM event WHERE at >= ? ORDER BY at, id");
	int r;

	for (r = db_query(trace, stmt, "i", since); r == DB_ROW; r = db_next(trace, stmt)) {
		struct bytes mac = db_column_bytes(stmt, 6);
		bool its = (uint32_t)sqlite3_column_int64(stmt, 7) == host->id;
		char after[32];

		for (unsigned int i = 0; i < host->nmacs && !its; i++)
			its = mac.len == sizeof(struct mac) &&
			      !memcmp(mac.at, &host->macs[i], sizeof(struct mac));
		if (!its)
			continue;
		table_row(t);
		snprintf(after, sizeof(after), "%.3f",
			 (double)(sqlite3_column_int64(stmt, 0) - since) / 1e9);
		table_text(t, after);
		table_text(t, event_word((uint32_t)sqlite3_column_int64(stmt, 1)));
		table_address(t, (uint32_t)sqlite3_column_int64(stmt, 2));
		table_number(t, sqlite3_column_int64(stmt, 3));
		table_number(t, sqlite3_column_int64(stmt, 4));
		table_text(t, (const char *)sqlite3_column_text(stmt, 5));
	}
	return r;
}

static int show_run(struct cli *cli)
{
	static const char *const columns[] = {"seconds", "stage", "address", "bytes", "ms", "what"};
	cleanup(inventory_freep) struct inventory *inv = NULL;
	cleanup(db_closep) struct db *trace = NULL;
	const char *name = cli->args[0];
	const struct host *host = NULL;
	struct table *t;
	int64_t since;
	uint32_t id;
	int r = host_find(cli->db, name, &id, &cli->why);

	if (!r)
		r = inventory_load(cli->db, &inv);
	if (!r)
		host = inventory_by_id(inv, id);
	r = r ? r : host ? last_boot(cli, host, &since) : -ENOENT;
	if (!r && !since)
		r = why_set(&cli->why, -ENOENT, "%s: has not booted yet", name);
	if (!r)
		r = db_open(cli->state_dir, &schema_trace, DB_READ, &trace, &cli->why);
	if (r)
		return r;
	t = table_new(columns, ARRAY_SIZE(columns));
	/* A DISCOVER comes a moment before the boot that it opens. */
	r = timeline(trace, host, since - 5000000, t);
	table_print(t, cli->json);
	return r;
}

const struct command command_boot_show = {
	.words = "boot show",
	.usage = "HOST",
	.run = show_run,
	.db = CLI_READ,
	.min = 1,
	.max = 1,
};

/* The MACs that HOST means: a host's, or the one that it spells. */
static int boot_macs(struct cli *cli, struct mac *macs, unsigned int *n)
{
	cleanup(inventory_freep) struct inventory *inv = NULL;
	const struct host *host;
	uint32_t id;
	int r = host_find(cli->db, cli->args[0], &id, &cli->why);

	*n = 1;
	if (r == -ENOENT && !mac_parse(cli->args[0], macs))
		return 0;
	if (!r)
		r = inventory_load(cli->db, &inv);
	if (r)
		return r;
	host = inventory_by_id(inv, id);
	*n = host ? host->nmacs : 0;
	for (unsigned int i = 0; i < *n; i++)
		macs[i] = host->macs[i];
	return 0;
}

/* How many open boots of a MAC there were. */
static int boots_end_rows(struct db *leases, const struct mac *mac, unsigned int *n)
{
	sqlite3_stmt *stmt =
		db_stmt(leases, "UPDATE boot SET ended = ?, reason = 'ended by command'"
				" WHERE mac = ? AND ended IS NULL RETURNING id");
	int r;

	for (r = db_query(leases, stmt, "ib", wall_now_ns(),
			  (struct bytes){mac->octet, sizeof(mac->octet)});
	     r == DB_ROW; r = db_next(leases, stmt))
		(*n)++;
	return r;
}

/* The dhcp child sees the rows move, and lets go of what it holds in memory. */
static int boots_end_all(struct cli *cli, const struct mac *macs, unsigned int n)
{
	cleanup(db_closep) struct db *leases = NULL;
	cleanup(txn_abortp) struct txn *txn = NULL;
	unsigned int ended = 0;
	int r = cli_leases(cli, true, &leases);

	if (r)
		return r;
	r = txn_begin(leases, &txn);
	for (unsigned int i = 0; i < n && !r; i++)
		r = boots_end_rows(leases, &macs[i], &ended);
	if (!r)
		r = txn_commit(take(&txn));
	if (r)
		return why_set(&cli->why, r, "leases.db: %s", db_error(leases));
	return ended ? 0 : why_set(&cli->why, -ENOENT, "%s: no boot of it is open", cli->args[0]);
}

static int end_run(struct cli *cli)
{
	struct mac macs[HOST_MACS_MAX];
	unsigned int n;
	int r = boot_macs(cli, macs, &n);

	if (r)
		return r;
	cli->why = (struct why){""}; /* a MAC that is nobody's is fine */
	return boots_end_all(cli, macs, n);
}

const struct command command_boot_end = {
	.words = "boot end",
	.usage = "HOST",
	.run = end_run,
	.db = CLI_READ,
	.min = 1,
	.max = 1,
};

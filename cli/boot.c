/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A boot before it happens (plan), and its end by hand.
 */
#include "cli/cmd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
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

	for (r = db_query(leases, stmt, "ib", wall_now_ns(), mac_bytes(mac)); r == DB_ROW;
	     r = db_next(leases, stmt))
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

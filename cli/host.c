/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The host commands, over fsd/host; the pending list is of leases.db, which dhcp writes.
 */
#include "cli/cmd.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/table.h"
#include "common/inventory.h"
#include "fsd/host.h"

static void say_keyless(const struct cli *cli)
{
	fprintf(stderr, "rootstock: %s: no ssh-keygen here: the host has no SSH host key\n",
		cli->command->words);
}

static int add_spec(struct cli *cli, struct host_spec *spec)
{
	const char *address = cli_option(cli, 'a');

	*spec = (struct host_spec){.name = cli_option(cli, 'n'), .image = cli_option(cli, 'i')};
	if (mac_parse(cli->args[0], &spec->mac))
		return why_set(&cli->why, -EINVAL, "%s: not a MAC address", cli->args[0]);
	if (address && (ip4_parse(address, &spec->address) || !spec->address))
		return why_set(&cli->why, -EINVAL, "%s: not an IPv4 address", address);
	for (unsigned int i = 0; i < cli->ngiven; i++) {
		if (cli->given[i].val != 'g')
			continue;
		if (spec->ngroups == HOST_GROUPS_MAX)
			return why_set(&cli->why, -E2BIG, "more than %d groups", HOST_GROUPS_MAX);
		spec->groups[spec->ngroups++] = cli->given[i].value;
	}
	return 0;
}

static int host_add_check(struct cli *cli)
{
	struct host_spec spec;

	return add_spec(cli, &spec);
}

static int host_add_run(struct cli *cli)
{
	struct host_spec spec;
	bool has_keys = true;
	uint32_t id;
	int r = add_spec(cli, &spec);

	if (!r)
		r = host_add(cli->db, cli->state_dir, &spec, &id, &has_keys, &cli->why);
	if (!has_keys)
		say_keyless(cli);
	return r;
}

static const struct option add_options[] = {{"name", required_argument, NULL, 'n'},
					    {"address", required_argument, NULL, 'a'},
					    {"image", required_argument, NULL, 'i'},
					    {"group", required_argument, NULL, 'g'},
					    {0}};

const struct command command_host_add = {
	.words = "host add",
	.usage = "MAC [--name N] [--address IP] [--image NAME[@N]] [--group G]...",
	.run = host_add_run,
	.check = host_add_check,
	.db = CLI_WRITE,
	.min = 1,
	.max = 1,
	.options = add_options,
};

static int host_set_run(struct cli *cli)
{
	uint32_t id;
	int r = host_find(cli->db, cli->args[0], &id, &cli->why);

	return r ? r
		 : scope_set(cli->db, SCOPE_HOST, id, cli->args + 1, (unsigned int)cli->nargs - 1,
			     &cli->why);
}

const struct command command_host_set = {
	.words = "host set",
	.usage = "HOST KEY=VALUE...",
	.run = host_set_run,
	.db = CLI_WRITE,
	.min = 2,
	.max = CLI_ANY,
};

/* Has this machine asked for an address, and waits? */
static int stranger_waits(struct cli *cli, const struct mac *mac)
{
	cleanup(db_closep) struct db *leases = NULL;
	sqlite3_stmt *stmt;
	int r = cli_leases(cli, false, &leases);

	if (r)
		return r;
	stmt = db_stmt(leases, "SELECT 1 FROM stranger WHERE mac = ?");
	r = db_query(leases, stmt, "b", mac_bytes(mac));
	sqlite3_reset(stmt);
	return r == DB_ROW ? 0 : r ? r : -ENOENT;
}

/* A host that was set aside, or a machine that only asked so far, by its MAC. */
static int host_approve_run(struct cli *cli)
{
	struct host_spec spec = {.pending = false};
	const char *name = cli->args[0];
	bool has_keys = true;
	uint32_t id;
	int r = host_find(cli->db, name, &id, &cli->why);

	if (!r)
		return host_approve(cli->db, id, &cli->why);
	if (r != -ENOENT || mac_parse(name, &spec.mac) || stranger_waits(cli, &spec.mac))
		return r;
	cli->why = (struct why){""};
	r = host_add(cli->db, cli->state_dir, &spec, &id, &has_keys, &cli->why);
	if (!has_keys)
		say_keyless(cli);
	return r;
}

const struct command command_host_approve = {
	.words = "host approve",
	.usage = "HOST",
	.run = host_approve_run,
	.db = CLI_WRITE,
	.min = 1,
	.max = 1,
};

static int host_remove_run(struct cli *cli)
{
	uint32_t id;
	int r = host_find(cli->db, cli->args[0], &id, &cli->why);

	return r ? r : scope_remove(cli->db, SCOPE_HOST, id, &cli->why);
}

const struct command command_host_remove = {
	.words = "host remove",
	.usage = "HOST",
	.run = host_remove_run,
	.db = CLI_WRITE,
	.min = 1,
	.max = 1,
};

static const char *image_text(const struct inventory *inv, const struct host *h, char *out,
			      size_t size)
{
	const struct image_version *v = inventory_version(inv, h->version);

	if (!v)
		return NULL;
	snprintf(out, size, "%s@%u", v->image_name, v->number);
	return out;
}

/* Machines that asked and are nobody's: as dhcp wrote them down. */
static int stranger_rows(struct db *leases, const struct inventory *inv, struct table *t)
{
	sqlite3_stmt *stmt = db_stmt(leases, "SELECT mac, vendor, arch, first_seen, last_seen"
					     " FROM stranger ORDER BY last_seen DESC, mac");
	int r;

	for (r = db_query(leases, stmt, ""); r == DB_ROW; r = db_next(leases, stmt)) {
		char text[MAC_TEXT];
		struct mac mac;

		if (db_column_mac(stmt, 0, &mac))
			continue;
		if (inventory_by_mac(inv, &mac))
			continue; /* registered a moment ago */
		table_row(t);
		table_text(t, mac_format(&mac, text));
		table_text(t, NULL);
		table_text(t, (const char *)sqlite3_column_text(stmt, 1));
		if (sqlite3_column_type(stmt, 2) == SQLITE_NULL)
			table_text(t, NULL);
		else
			table_number(t, sqlite3_column_int64(stmt, 2));
		table_time(t, sqlite3_column_int64(stmt, 3));
		table_time(t, sqlite3_column_int64(stmt, 4));
	}
	return r;
}

static int list_pending(struct cli *cli, const struct inventory *inv)
{
	static const char *const columns[] = {"mac",  "host",	    "vendor",
					      "arch", "first_seen", "last_seen"};
	cleanup(db_closep) struct db *leases = NULL;
	struct table *t;
	int r = cli_leases(cli, false, &leases);

	if (r && r != -ENOENT) /* never served: nobody has asked */
		return r;
	t = table_new(columns, ARRAY_SIZE(columns));
	for (unsigned int i = 0; i < inventory_count(inv); i++) {
		const struct host *h = inventory_at(inv, i);
		char mac[MAC_TEXT];

		if (!h->pending)
			continue;
		table_row(t);
		table_text(t, h->nmacs ? mac_format(&h->macs[0], mac) : NULL);
		table_text(t, h->name);
		for (unsigned int c = 2; c < ARRAY_SIZE(columns); c++)
			table_text(t, NULL);
	}
	r = leases ? stranger_rows(leases, inv, t) : 0;
	table_print(t, cli->json);
	return r;
}

static void list_hosts(struct cli *cli, const struct inventory *inv)
{
	static const char *const columns[] = {"name", "mac", "address", "image", "pending"};
	struct table *t = table_new(columns, ARRAY_SIZE(columns));

	for (unsigned int i = 0; i < inventory_count(inv); i++) {
		const struct host *h = inventory_at(inv, i);
		char mac[MAC_TEXT];
		char text[128];

		table_row(t);
		table_text(t, h->name);
		table_text(t, h->nmacs ? mac_format(&h->macs[0], mac) : NULL);
		table_address(t, h->address);
		table_text(t, image_text(inv, h, text, sizeof(text)));
		table_bool(t, h->pending);
	}
	table_print(t, cli->json);
}

static int host_list_run(struct cli *cli)
{
	cleanup(inventory_freep) struct inventory *inv = NULL;
	int r = inventory_load(cli->db, &inv);

	if (r)
		return r;
	if (cli_option(cli, 'p'))
		return list_pending(cli, inv);
	list_hosts(cli, inv);
	return 0;
}

static const struct option list_options[] = {{"pending", no_argument, NULL, 'p'}, {0}};

const struct command command_host_list = {
	.words = "host list",
	.usage = "[--pending]",
	.run = host_list_run,
	.db = CLI_READ,
	.options = list_options,
};

static int host_show_run(struct cli *cli)
{
	static const char *const columns[] = {"key", "value"};
	cleanup(inventory_freep) struct inventory *inv = NULL;
	const struct host *h;
	char text[128];
	struct table *t;
	sqlite3_stmt *stmt;
	uint32_t id;
	int r = host_find(cli->db, cli->args[0], &id, &cli->why);

	if (!r)
		r = inventory_load(cli->db, &inv);
	h = r ? NULL : inventory_by_id(inv, id);
	if (!h)
		return r ? r : -ENOENT;
	t = table_new(columns, ARRAY_SIZE(columns));
	table_pair(t, "name", h->name);
	for (unsigned int i = 0; i < h->nmacs; i++)
		table_pair(t, "mac", mac_format(&h->macs[i], text));
	table_pair(t, "address", h->address ? ip4_format(h->address, text) : NULL);
	table_pair(t, "image", image_text(inv, h, text, sizeof(text)));
	table_pair(t, "pending", h->pending ? "yes" : "no");
	stmt = db_stmt(cli->db, "SELECT g.name FROM host_group m JOIN grp g ON g.id = m.grp"
				" WHERE m.host = ? ORDER BY m.position");
	for (r = db_query(cli->db, stmt, "u", id); r == DB_ROW; r = db_next(cli->db, stmt))
		table_pair(t, "group", (const char *)sqlite3_column_text(stmt, 0));
	cli_settings(cli, SCOPE_HOST, id, t);
	table_print(t, cli->json);
	return r;
}

const struct command command_host_show = {
	.words = "host show",
	.usage = "HOST",
	.run = host_show_run,
	.db = CLI_READ,
	.min = 1,
	.max = 1,
};

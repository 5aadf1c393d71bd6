/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/cmd.h"

#include <errno.h>

#include "cli/table.h"
#include "fsd/host.h"

/* ---- what holds for all ---- */

static int all_set_run(struct cli *cli)
{
	return scope_set(cli->db, SCOPE_ALL, 0, cli->args, (unsigned int)cli->nargs, &cli->why);
}

const struct command command_all_set = {
	.words = "all set",
	.usage = "KEY=VALUE...",
	.run = all_set_run,
	.db = CLI_WRITE,
	.min = 1,
	.max = CLI_ANY,
};

static int all_show_run(struct cli *cli)
{
	static const char *const columns[] = {"key", "value"};
	struct table *t = table_new(columns, ARRAY_SIZE(columns));

	cli_settings(cli, SCOPE_ALL, 0, t);
	table_print(t, cli->json);
	return 0;
}

const struct command command_all_show = {
	.words = "all show",
	.run = all_show_run,
	.db = CLI_READ,
};

/* ---- groups ---- */

static int group_add_run(struct cli *cli)
{
	return group_add(cli->db, cli->args[0], &cli->why);
}

const struct command command_group_add = {
	.words = "group add",
	.usage = "NAME",
	.run = group_add_run,
	.db = CLI_WRITE,
	.min = 1,
	.max = 1,
};

static int group_set_run(struct cli *cli)
{
	uint32_t id;
	int r = group_find(cli->db, cli->args[0], &id, &cli->why);

	return r ? r
		 : scope_set(cli->db, SCOPE_GROUP, id, cli->args + 1, (unsigned int)cli->nargs - 1,
			     &cli->why);
}

const struct command command_group_set = {
	.words = "group set",
	.usage = "NAME KEY=VALUE...",
	.run = group_set_run,
	.db = CLI_WRITE,
	.min = 2,
	.max = CLI_ANY,
};

static int group_remove_run(struct cli *cli)
{
	uint32_t id;
	int r = group_find(cli->db, cli->args[0], &id, &cli->why);

	return r ? r : scope_remove(cli->db, SCOPE_GROUP, id, &cli->why);
}

const struct command command_group_remove = {
	.words = "group remove",
	.usage = "NAME",
	.run = group_remove_run,
	.db = CLI_WRITE,
	.min = 1,
	.max = 1,
};

static int group_list_run(struct cli *cli)
{
	static const char *const columns[] = {"name", "image", "hosts"};
	struct table *t = table_new(columns, ARRAY_SIZE(columns));
	sqlite3_stmt *stmt = db_stmt(
		cli->db, "SELECT g.name, i.name, (SELECT count(*) FROM host_group WHERE grp = g.id)"
			 " FROM grp g LEFT JOIN image i ON i.id = g.image ORDER BY g.name");
	int r;

	for (r = db_query(cli->db, stmt, ""); r == DB_ROW; r = db_next(cli->db, stmt)) {
		table_row(t);
		table_text(t, (const char *)sqlite3_column_text(stmt, 0));
		table_text(t, (const char *)sqlite3_column_text(stmt, 1));
		table_number(t, sqlite3_column_int64(stmt, 2));
	}
	table_print(t, cli->json);
	return r;
}

const struct command command_group_list = {
	.words = "group list",
	.run = group_list_run,
	.db = CLI_READ,
};

static int group_show_run(struct cli *cli)
{
	static const char *const columns[] = {"key", "value"};
	sqlite3_stmt *stmt;
	struct table *t;
	uint32_t id;
	int r = group_find(cli->db, cli->args[0], &id, &cli->why);

	if (r)
		return r;
	t = table_new(columns, ARRAY_SIZE(columns));
	table_pair(t, "name", cli->args[0]);
	stmt = db_stmt(cli->db, "SELECT i.name FROM grp g LEFT JOIN image i ON i.id = g.image"
				" WHERE g.id = ?");
	for (r = db_query(cli->db, stmt, "u", id); r == DB_ROW; r = db_next(cli->db, stmt))
		table_pair(t, "image", (const char *)sqlite3_column_text(stmt, 0));
	stmt = db_stmt(cli->db, "SELECT h.name FROM host_group m JOIN host h ON h.id = m.host"
				" WHERE m.grp = ? ORDER BY h.name");
	for (r = db_query(cli->db, stmt, "u", id); r == DB_ROW; r = db_next(cli->db, stmt))
		table_pair(t, "host", (const char *)sqlite3_column_text(stmt, 0));
	cli_settings(cli, SCOPE_GROUP, id, t);
	table_print(t, cli->json);
	return r;
}

const struct command command_group_show = {
	.words = "group show",
	.usage = "NAME",
	.run = group_show_run,
	.db = CLI_READ,
	.min = 1,
	.max = 1,
};

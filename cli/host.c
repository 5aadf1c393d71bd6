/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/cmd.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/table.h"
#include "common/inventory.h"
#include "dhcp/import.h"
#include "fsd/host.h"

static int add_option(void *ctx, int val, const char *value)
{
	struct host_spec *spec = ctx;

	switch (val) {
	case 'n':
		spec->name = value;
		return 0;
	case 'i':
		spec->image = value;
		return 0;
	case 'a':
		if (!ip4_parse(value, &spec->address) && spec->address)
			return 0;
		fprintf(stderr, "rootstock: host add: %s: not an IPv4 address\n", value);
		return -1;
	default:
		if (spec->ngroups == HOST_GROUPS_MAX)
			return -1;
		spec->groups[spec->ngroups++] = value;
		return 0;
	}
}

static void say_keyless(const char *what)
{
	fprintf(stderr, "rootstock: %s: no ssh-keygen here: the host has no SSH host key\n", what);
}

int cmd_host_add(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"name", required_argument, NULL, 'n'},
						{"address", required_argument, NULL, 'a'},
						{"image", required_argument, NULL, 'i'},
						{"group", required_argument, NULL, 'g'},
						{0}};
	cleanup(db_closep) struct db *db = NULL;
	struct host_spec spec = {0};
	struct why why = {""};
	bool has_keys = true;
	uint32_t id;
	int r;

	if (cli_args(argc, argv, options, add_option, &spec, 1, 1) < 0)
		return 2;
	if (mac_parse(argv[1], &spec.mac)) {
		why_set(&why, -EINVAL, "%s: not a MAC address", argv[1]);
		return cli_fail("host add", &why, -EINVAL);
	}
	r = cli_db(cli, "host add", &db);
	if (r)
		return r;
	r = host_add(db, cli->state_dir, &spec, &id, &has_keys, &why);
	if (r)
		return cli_fail("host add", &why, r);
	if (!has_keys)
		say_keyless("host add");
	return 0;
}

int cmd_host_set(struct cli *cli, int argc, char **argv)
{
	cleanup(db_closep) struct db *db = NULL;
	struct why why = {""};
	uint32_t id;
	int n = cli_args(argc, argv, NULL, NULL, NULL, 2, -1);
	int r;

	if (n < 0)
		return 2;
	r = cli_db(cli, "host set", &db);
	if (r)
		return r;
	r = host_find(db, argv[1], &id, &why);
	if (!r)
		r = host_set(db, id, argv + 2, (unsigned int)n - 1, &why);
	return r ? cli_fail("host set", &why, r) : 0;
}

/* A command of one host and nothing else. */
static int one_host(struct cli *cli, int argc, char **argv, const char *what,
		    int (*act)(struct db *, uint32_t, struct why *))
{
	cleanup(db_closep) struct db *db = NULL;
	struct why why = {""};
	uint32_t id;
	int r;

	if (cli_args(argc, argv, NULL, NULL, NULL, 1, 1) < 0)
		return 2;
	r = cli_db(cli, what, &db);
	if (r)
		return r;
	r = host_find(db, argv[1], &id, &why);
	if (!r)
		r = act(db, id, &why);
	return r ? cli_fail(what, &why, r) : 0;
}

/* Has this machine asked for an address, and waits? */
static int stranger_waits(struct cli *cli, const struct mac *mac)
{
	cleanup(db_closep) struct db *leases = NULL;
	sqlite3_stmt *stmt;
	int r = cli_leases(cli, false, &leases, NULL);

	if (r)
		return r;
	stmt = db_stmt(leases, "SELECT 1 FROM stranger WHERE mac = ?");
	r = db_query(leases, stmt, "b", (struct bytes){mac->octet, sizeof(mac->octet)});
	sqlite3_reset(stmt);
	return r == DB_ROW ? 0 : r ? r : -ENOENT;
}

/* A host that was set aside, or a machine that only asked so far, by its MAC. */
int cmd_host_approve(struct cli *cli, int argc, char **argv)
{
	cleanup(db_closep) struct db *db = NULL;
	struct host_spec spec = {.pending = false};
	struct why why = {""};
	bool has_keys = true;
	uint32_t id;
	int r;

	if (cli_args(argc, argv, NULL, NULL, NULL, 1, 1) < 0)
		return 2;
	r = cli_db(cli, "host approve", &db);
	if (r)
		return r;
	r = host_find(db, argv[1], &id, &why);
	if (!r)
		r = host_approve(db, id, &why);
	else if (r == -ENOENT && !mac_parse(argv[1], &spec.mac) && !stranger_waits(cli, &spec.mac))
		r = host_add(db, cli->state_dir, &spec, &id, &has_keys, &why);
	if (r)
		return cli_fail("host approve", &why, r);
	if (!has_keys)
		say_keyless("host approve");
	return 0;
}

int cmd_host_remove(struct cli *cli, int argc, char **argv)
{
	return one_host(cli, argc, argv, "host remove", host_remove);
}

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
		struct bytes b = db_column_bytes(stmt, 0);
		char text[MAC_TEXT];
		struct mac mac;

		if (b.len != sizeof(mac))
			continue;
		memcpy(&mac, b.at, sizeof(mac));
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
	int r = cli_leases(cli, false, &leases, NULL);

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

static int pending_option(void *ctx, int val, const char *value)
{
	(void)val;
	(void)value;
	*(bool *)ctx = true;
	return 0;
}

int cmd_host_list(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"pending", no_argument, NULL, 'p'}, {0}};
	static const char *const columns[] = {"name", "mac", "address", "image", "pending"};
	cleanup(inventory_freep) struct inventory *inv = NULL;
	cleanup(db_closep) struct db *db = NULL;
	bool pending = false;
	struct table *t;
	int r;

	if (cli_args(argc, argv, options, pending_option, &pending, 0, 0) < 0)
		return 2;
	r = cli_db_read(cli, "host list", &db);
	if (r)
		return r;
	r = inventory_load(db, &inv);
	if (!r && pending)
		r = list_pending(cli, inv);
	if (r)
		return cli_fail("host list", NULL, r);
	if (pending)
		return 0;
	t = table_new(columns, ARRAY_SIZE(columns));
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
	return 0;
}

static void row(struct table *t, const char *key, const char *value)
{
	table_row(t);
	table_text(t, key);
	table_text(t, value);
}

static void setting_rows(struct db *db, struct table *t, enum scope_kind kind, uint32_t owner)
{
	sqlite3_stmt *stmt = db_stmt(
		db, "SELECT key, value FROM setting WHERE kind = ? AND owner = ? ORDER BY key");

	for (int r = db_query(db, stmt, "uu", (uint32_t)kind, owner); r == DB_ROW;
	     r = db_next(db, stmt))
		row(t, (const char *)sqlite3_column_text(stmt, 0),
		    (const char *)sqlite3_column_text(stmt, 1));
}

int cmd_host_show(struct cli *cli, int argc, char **argv)
{
	static const char *const columns[] = {"key", "value"};
	cleanup(inventory_freep) struct inventory *inv = NULL;
	cleanup(db_closep) struct db *db = NULL;
	const struct host *h;
	struct why why = {""};
	char text[128];
	struct table *t;
	sqlite3_stmt *stmt;
	uint32_t id;
	int r;

	if (cli_args(argc, argv, NULL, NULL, NULL, 1, 1) < 0)
		return 2;
	r = cli_db_read(cli, "host show", &db);
	if (r)
		return r;
	r = host_find(db, argv[1], &id, &why);
	if (!r)
		r = inventory_load(db, &inv);
	h = r ? NULL : inventory_by_id(inv, id);
	if (!h)
		return cli_fail("host show", &why, r ? r : -ENOENT);
	t = table_new(columns, ARRAY_SIZE(columns));
	row(t, "name", h->name);
	for (unsigned int i = 0; i < h->nmacs; i++)
		row(t, "mac", mac_format(&h->macs[i], text));
	row(t, "address", h->address ? ip4_format(h->address, text) : NULL);
	row(t, "image", image_text(inv, h, text, sizeof(text)));
	row(t, "pending", h->pending ? "yes" : "no");
	stmt = db_stmt(db, "SELECT g.name FROM host_group m JOIN grp g ON g.id = m.grp"
			   " WHERE m.host = ? ORDER BY m.position");
	for (r = db_query(db, stmt, "u", id); r == DB_ROW; r = db_next(db, stmt))
		row(t, "group", (const char *)sqlite3_column_text(stmt, 0));
	setting_rows(db, t, SCOPE_HOST, id);
	table_print(t, cli->json);
	return 0;
}

int cmd_group_add(struct cli *cli, int argc, char **argv)
{
	cleanup(db_closep) struct db *db = NULL;
	struct why why = {""};
	int r;

	if (cli_args(argc, argv, NULL, NULL, NULL, 1, 1) < 0)
		return 2;
	r = cli_db(cli, "group add", &db);
	if (r)
		return r;
	r = group_add(db, argv[1], &why);
	return r ? cli_fail("group add", &why, r) : 0;
}

int cmd_group_set(struct cli *cli, int argc, char **argv)
{
	cleanup(db_closep) struct db *db = NULL;
	struct why why = {""};
	uint32_t id;
	int n = cli_args(argc, argv, NULL, NULL, NULL, 2, -1);
	int r;

	if (n < 0)
		return 2;
	r = cli_db(cli, "group set", &db);
	if (r)
		return r;
	r = group_find(db, argv[1], &id, &why);
	if (!r)
		r = group_set(db, id, argv + 2, (unsigned int)n - 1, &why);
	return r ? cli_fail("group set", &why, r) : 0;
}

int cmd_group_remove(struct cli *cli, int argc, char **argv)
{
	cleanup(db_closep) struct db *db = NULL;
	struct why why = {""};
	uint32_t id;
	int r;

	if (cli_args(argc, argv, NULL, NULL, NULL, 1, 1) < 0)
		return 2;
	r = cli_db(cli, "group remove", &db);
	if (r)
		return r;
	r = group_find(db, argv[1], &id, &why);
	if (!r)
		r = group_remove(db, id, &why);
	return r ? cli_fail("group remove", &why, r) : 0;
}

int cmd_group_list(struct cli *cli, int argc, char **argv)
{
	static const char *const columns[] = {"name", "image", "hosts"};
	cleanup(db_closep) struct db *db = NULL;
	sqlite3_stmt *stmt;
	struct table *t;
	int r;

	if (cli_args(argc, argv, NULL, NULL, NULL, 0, 0) < 0)
		return 2;
	r = cli_db_read(cli, "group list", &db);
	if (r)
		return r;
	t = table_new(columns, ARRAY_SIZE(columns));
	stmt = db_stmt(db,
		       "SELECT g.name, i.name, (SELECT count(*) FROM host_group WHERE grp = g.id)"
		       " FROM grp g LEFT JOIN image i ON i.id = g.image ORDER BY g.name");
	for (r = db_query(db, stmt, ""); r == DB_ROW; r = db_next(db, stmt)) {
		table_row(t);
		table_text(t, (const char *)sqlite3_column_text(stmt, 0));
		table_text(t, (const char *)sqlite3_column_text(stmt, 1));
		table_number(t, sqlite3_column_int64(stmt, 2));
	}
	table_print(t, cli->json);
	return r ? cli_fail("group list", NULL, r) : 0;
}

int cmd_group_show(struct cli *cli, int argc, char **argv)
{
	static const char *const columns[] = {"key", "value"};
	cleanup(db_closep) struct db *db = NULL;
	struct why why = {""};
	sqlite3_stmt *stmt;
	struct table *t;
	uint32_t id;
	int r;

	if (cli_args(argc, argv, NULL, NULL, NULL, 1, 1) < 0)
		return 2;
	r = cli_db_read(cli, "group show", &db);
	if (r)
		return r;
	r = group_find(db, argv[1], &id, &why);
	if (r)
		return cli_fail("group show", &why, r);
	t = table_new(columns, ARRAY_SIZE(columns));
	row(t, "name", argv[1]);
	stmt = db_stmt(db, "SELECT h.name FROM host_group m JOIN host h ON h.id = m.host"
			   " WHERE m.grp = ? ORDER BY h.name");
	for (r = db_query(db, stmt, "u", id); r == DB_ROW; r = db_next(db, stmt))
		row(t, "host", (const char *)sqlite3_column_text(stmt, 0));
	setting_rows(db, t, SCOPE_GROUP, id);
	table_print(t, cli->json);
	return 0;
}

/* ---- import ---- */

struct import {
	struct dhcp_import_host *list;
	size_t n;
	size_t room;
};

/* A MAC that comes again replaces what came before: the last line is right. */
static int import_collect(void *ctx, const struct dhcp_import_host *host)
{
	struct import *im = ctx;

	for (size_t i = 0; i < im->n; i++)
		if (mac_equal(&im->list[i].mac, &host->mac)) {
			im->list[i] = *host;
			return 0;
		}
	if (im->n == im->room) {
		size_t room = im->room ? im->room * 2 : 64;
		struct dhcp_import_host *bigger = realloc(im->list, room * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		im->list = bigger;
		im->room = room;
	}
	im->list[im->n++] = *host;
	return 0;
}

int cmd_host_import(struct cli *cli, int argc, char **argv)
{
	cleanup(fclosep) FILE *file = NULL;
	cleanup(db_closep) struct db *db = NULL;
	struct import im = {0};
	struct why why = {""};
	unsigned int added = 0;
	unsigned int known = 0;
	unsigned int keyless = 0;
	int r;

	if (cli_args(argc, argv, NULL, NULL, NULL, 1, 1) < 0)
		return 2;
	file = fopen(argv[1], "re");
	r = file ? dhcp_import(file, argv[1], import_collect, &im, &why)
		 : why_set(&why, -errno, "%s: %m", argv[1]);
	if (r) {
		free(im.list);
		return cli_fail("host import", &why, r);
	}
	r = cli_db(cli, "host import", &db);
	for (size_t i = 0; !r && i < im.n; i++) {
		const struct dhcp_import_host *h = &im.list[i];
		const struct host_spec spec = {.mac = h->mac,
					       .name = h->name[0] ? h->name : NULL,
					       .address = h->leased ? 0 : h->address};
		struct why one = {""};
		bool has_keys;
		uint32_t id;

		/* A machine, a name or an address that is here already stays as it is. */
		r = host_add(db, cli->state_dir, &spec, &id, &has_keys, &one);
		if (r == -EEXIST) {
			fprintf(stderr, "rootstock: host import: %s:%u: left out: %s\n", argv[1],
				h->line, why_text(&one, r));
			known++;
			r = 0;
		} else if (r) {
			r = cli_fail("host import", &one, r);
		} else {
			added++;
			keyless += !has_keys;
		}
	}
	if (keyless)
		fprintf(stderr,
			"rootstock: host import: no ssh-keygen here: %u hosts have no SSH "
			"host key\n",
			keyless);
	free(im.list);
	if (!r)
		printf("%u added, %u left out\n", added, known);
	return r;
}

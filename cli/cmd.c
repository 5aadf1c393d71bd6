/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/cmd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/table.h"
#include "common/inventory.h"
#include "common/state.h"
#include "fsd/host.h"
#include "fsd/own_copier.h"

const char *cli_option(const struct cli *cli, int val)
{
	for (unsigned int i = cli->ngiven; i--;)
		if (cli->given[i].val == val)
			return cli->given[i].value ? cli->given[i].value : "";
	return NULL;
}

int cli_leases(struct cli *cli, bool write, struct db **leases)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/leases.db", cli->state_dir);
	if (access(path, F_OK) && errno == ENOENT)
		return why_set(&cli->why, -ENOENT, "%s: nothing was served from here yet",
			       cli->state_dir);
	return db_open(cli->state_dir, &schema_leases, write || !geteuid() ? DB_WRITE : DB_READ,
		       leases, &cli->why);
}

int cli_scope(struct cli *cli, const char *text, struct scope *out)
{
	if (!strcmp(text, "all")) {
		*out = (struct scope){SCOPE_ALL, 0};
		return 0;
	}
	if (!strncmp(text, "group:", 6)) {
		out->kind = SCOPE_GROUP;
		return group_find(cli->db, text + 6, &out->owner, &cli->why);
	}
	if (!strncmp(text, "host:", 5)) {
		out->kind = SCOPE_HOST;
		return host_find(cli->db, text + 5, &out->owner, &cli->why);
	}
	return why_set(&cli->why, -EINVAL, "%s: not a scope (all, group:NAME, host:NAME, host:MAC)",
		       text);
}

void cli_settings(struct cli *cli, enum scope_kind kind, uint32_t owner, struct table *t)
{
	sqlite3_stmt *stmt =
		db_stmt(cli->db,
			"SELECT key, value FROM setting WHERE kind = ? AND owner = ? ORDER BY key");

	for (int r = db_query(cli->db, stmt, "uu", (uint32_t)kind, owner); r == DB_ROW;
	     r = db_next(cli->db, stmt))
		table_pair(t, (const char *)sqlite3_column_text(stmt, 0),
			   (const char *)sqlite3_column_text(stmt, 1));
}

/* What NAME means: a host, or an image's version. */
static int view_target(struct cli *cli, const char *name, uint32_t *host, uint32_t *version)
{
	cleanup(inventory_freep) struct inventory *inv = NULL;
	const struct image_version *image;
	const struct host *h;
	struct mac mac;
	int r = inventory_load(cli->db, &inv);

	if (r)
		return r;
	h = inventory_by_name(inv, name);
	if (!h && !mac_parse(name, &mac))
		h = inventory_by_mac(inv, &mac);
	if (h) {
		*host = h->id;
		*version = h->version;
		if (!*version)
			return why_set(&cli->why, -ENOENT, "%s: has no image yet", name);
		return 0;
	}
	image = inventory_version_by_name(inv, name);
	if (!image)
		return why_set(&cli->why, -ENOENT, "%s: no such host, nor an image", name);
	*host = 0;
	*version = image->id;
	return 0;
}

int cli_view_open(struct cli *cli, const char *name, struct cli_view *out)
{
	int r;

	*out = (struct cli_view){0};
	r = view_target(cli, name, &out->host, &out->version);
	if (!r)
		r = views_open(cli->state_dir, &out->views, &cli->why);
	if (!r)
		r = views_get(out->views, out->host, out->version, UINT64_MAX, &out->view);
	if (!r)
		r = own_copier_start(cli->state_dir, false, &out->copier, &cli->why);
	if (!r)
		r = contents_new(cli->state_dir, 64, &out->contents, &cli->why);
	if (r)
		cli_view_close(out);
	return r;
}

int cli_view_other(struct cli *cli, const char *name, struct cli_view *v, struct view **out)
{
	uint32_t version = 0;
	uint32_t host = 0;
	int r = view_target(cli, name, &host, &version);

	return r ? r : views_get(v->views, host, version, UINT64_MAX, out);
}

void cli_view_close(struct cli_view *v)
{
	contents_free(v->contents);
	own_copier_stop(v->copier);
	view_unref(v->view);
	views_close(v->views);
	*v = (struct cli_view){0};
}

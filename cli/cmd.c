/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/cmd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/inventory.h"
#include "common/state.h"
#include "fsd/host.h"
#include "fsd/own_copier.h"

int cli_db(struct cli *cli, const char *what, struct db **db)
{
	struct why why = {""};
	int r = state_open(cli->state_dir, db, &why);

	return r ? cli_fail(what, &why, r) : 0;
}

int cli_db_read(struct cli *cli, const char *what, struct db **db)
{
	struct why why = {""};
	char path[512];
	int r;

	snprintf(path, sizeof(path), "%s/rootstock.db", cli->state_dir);
	if (access(path, F_OK) && errno == ENOENT) {
		why_set(&why, -ENOENT, "%s: nothing here yet: add an image or a host first",
			cli->state_dir);
		return cli_fail(what, &why, -ENOENT);
	}
	/* A reader of a WAL database needs a living writer, or the right to be one. */
	r = db_open(cli->state_dir, &schema_rootstock, geteuid() ? DB_READ : DB_WRITE, db, &why);
	return r ? cli_fail(what, &why, r) : 0;
}

int cli_leases(struct cli *cli, bool write, struct db **leases, struct why *why)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/leases.db", cli->state_dir);
	if (access(path, F_OK) && errno == ENOENT)
		return why_set(why, -ENOENT, "%s: nothing was served from here yet",
			       cli->state_dir);
	return db_open(cli->state_dir, &schema_leases, write || !geteuid() ? DB_WRITE : DB_READ,
		       leases, why);
}

int cli_scope(struct db *db, const char *text, struct scope *out, struct why *why)
{
	if (!strcmp(text, "all")) {
		*out = (struct scope){SCOPE_ALL, 0};
		return 0;
	}
	if (!strncmp(text, "group:", 6)) {
		out->kind = SCOPE_GROUP;
		return group_find(db, text + 6, &out->owner, why);
	}
	if (!strncmp(text, "host:", 5)) {
		out->kind = SCOPE_HOST;
		return host_find(db, text + 5, &out->owner, why);
	}
	return why_set(why, -EINVAL, "%s: not a scope (all, group:NAME, host:NAME, host:MAC)",
		       text);
}

/* What NAME means: a host, or an image's version. */
static int view_target(struct cli_view *v, const char *name, uint32_t *host, uint32_t *version,
		       struct why *why)
{
	cleanup(inventory_freep) struct inventory *inv = NULL;
	const struct image_version *image;
	const struct host *h;
	struct mac mac;
	int r = inventory_load(v->db, &inv);

	if (r)
		return r;
	h = inventory_by_name(inv, name);
	if (!h && !mac_parse(name, &mac))
		h = inventory_by_mac(inv, &mac);
	if (h) {
		*host = h->id;
		*version = h->version;
		if (!*version)
			return why_set(why, -ENOENT, "%s: has no image yet", name);
		return 0;
	}
	image = inventory_version_by_name(inv, name);
	if (!image)
		return why_set(why, -ENOENT, "%s: no such host, nor an image", name);
	*host = 0;
	*version = image->id;
	return 0;
}

int cli_view_open(struct cli *cli, const char *what, const char *name, struct cli_view *out)
{
	struct why why = {""};
	int r;

	*out = (struct cli_view){0};
	r = cli_db_read(cli, what, &out->db);
	if (r)
		return r;
	r = view_target(out, name, &out->host, &out->version, &why);
	if (!r)
		r = views_open(cli->state_dir, &out->views, &why);
	if (!r)
		r = views_get(out->views, out->host, out->version, UINT64_MAX, &out->view);
	if (!r)
		r = own_copier_start(cli->state_dir, false, &out->copier, &why);
	if (!r)
		r = contents_new(cli->state_dir, 64, &out->contents, &why);
	if (r) {
		cli_view_close(out);
		return cli_fail(what, &why, r);
	}
	return 0;
}

int cli_view_other(const char *what, const char *name, struct cli_view *v, struct view **out)
{
	struct why why = {""};
	uint32_t version = 0;
	uint32_t host = 0;
	int r = view_target(v, name, &host, &version, &why);

	if (!r)
		r = views_get(v->views, host, version, UINT64_MAX, out);
	return r ? cli_fail(what, &why, r) : 0;
}

void cli_view_close(struct cli_view *v)
{
	contents_free(v->contents);
	own_copier_stop(v->copier);
	view_unref(v->view);
	views_close(v->views);
	db_close(v->db);
	*v = (struct cli_view){0};
}

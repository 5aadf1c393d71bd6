/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/cmd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/inventory.h"
#include "common/state.h"
#include "fsd/copier.h"
#include "fsd/host.h"
#include "fsd/image.h"

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

static void note_sealed(void *ctx, uint32_t version, const struct hash *digest)
{
	struct cli *cli = ctx;
	cleanup(db_closep) struct db *db = NULL;

	/* A connection of its own: this is the copier's thread. */
	if (!db_open(cli->state_dir, &schema_rootstock, DB_WRITE, &db, NULL))
		image_sealed(db, version, digest);
}

int cli_copier_start(struct cli *cli, struct copier **copier, int fds[static 2], struct why *why)
{
	struct copier_config config = {
		.state_dir = cli->state_dir, .sealed = note_sealed, .ctx = cli};
	int r;

	*copier = NULL;
	fds[0] = fds[1] = -1;
	r = copier_listen(cli->state_dir, &fds[0], &fds[1], NULL);
	if (r == -EBUSY || r == -EACCES)
		return 0; /* a server's, or none that this user may be */
	if (r)
		return why_set(why, r, "copier: %s", strerror(-r));
	config.listen_fd = fds[0];
	config.lock_fd = fds[1];
	return copier_start(&config, copier, why);
}

void cli_copier_stop(struct copier *copier, int fds[static 2])
{
	copier_stop(copier);
	closep(&fds[0]);
	closep(&fds[1]);
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

	*out = (struct cli_view){.copier_fds = {-1, -1}};
	r = cli_db_read(cli, what, &out->db);
	if (r)
		return r;
	r = view_target(out, name, &out->host, &out->version, &why);
	if (!r)
		r = views_open(cli->state_dir, &out->views, &why);
	if (!r)
		r = views_get(out->views, out->host, out->version, UINT64_MAX, &out->view);
	if (!r)
		r = cli_copier_start(cli, &out->copier, out->copier_fds, &why);
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
	cli_copier_stop(v->copier, v->copier_fds);
	view_unref(v->view);
	views_close(v->views);
	db_close(v->db);
	*v = (struct cli_view){.copier_fds = {-1, -1}};
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/check_bytes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/table.h"
#include "common/inventory.h"
#include "fsd/manifest_format.h"
#include "fsd/verify.h"

struct bytes_check {
	struct cli *cli;
	struct table *table;
	const struct inventory *inv;
	uint32_t version; /* 0: all */
	bool fails;
};

static void row(struct bytes_check *c, const char *result, const char *what)
{
	table_row(c->table);
	table_text(c->table, result);
	table_text(c->table, what);
}

static void tell(void *ctx, enum verify_end end, bool absent, const struct hash *hash,
		 const char *names)
{
	static const char *const words[] = {
		[VERIFY_HEALED] = "copied again from an origin",
		[VERIFY_DROPPED] = "dropped: it is copied again when it is read",
		[VERIFY_LOST] = "reading it is an error",
		[VERIFY_FOUND] = "left as it is: you may not write to the store",
	};
	char name[2 * HASH_LEN + 1];
	char text[768];

	hash_format(hash, name);
	snprintf(text, sizeof(text), "%s: %s (object %s)", names, words[end], name);
	row(ctx, absent ? "absent" : "damaged", text);
}

/* Every block of the manifest, whose check sums are looked at when it is touched. */
static int check_manifest(struct bytes_check *c, const struct image_version *v)
{
	cleanup(manifest_closep) struct manifest *m = NULL;
	struct why why = {""};
	char text[640];
	char dir[256];
	int r;

	snprintf(dir, sizeof(dir), "%s/manifests", c->cli->state_dir);
	r = manifest_open(dir, v->id, &m, &why);
	for (int i = 0; i < SECTIONS && !r; i++)
		if (!manifest_section(m, (enum manifest_section)i).at)
			r = why_set(&why, -EUCLEAN, "%s/%u: damaged", dir, v->id);
	if (!r)
		return 0;
	snprintf(text, sizeof(text), "%s@%u: %s", v->image_name, v->number, why_text(&why, r));
	row(c, "damaged", text);
	c->fails = true;
	return r;
}

static int check_manifests(struct bytes_check *c, struct why *why)
{
	sqlite3_stmt *stmt = db_stmt(c->cli->db, "SELECT id FROM version WHERE ?1 IN (0, id)");
	bool damaged = false;
	int r;

	for (r = db_query(c->cli->db, stmt, "u", c->version); r == DB_ROW;
	     r = db_next(c->cli->db, stmt)) {
		const struct image_version *v =
			inventory_version(c->inv, (uint32_t)sqlite3_column_int64(stmt, 0));

		if (v && check_manifest(c, v))
			damaged = true;
	}
	if (r)
		return why_set(why, r, "%s", db_error(c->cli->db));
	return damaged ? -EUCLEAN : 0;
}

static int check_store(struct bytes_check *c, enum store store, struct why *why)
{
	struct verify v = {
		.state_dir = c->cli->state_dir,
		.store = store,
		.version = c->version,
		.tell = tell,
		.ctx = c,
	};
	struct verify_found found;
	char path[256];
	char text[128];
	int r;

	snprintf(path, sizeof(path), "%s/%s", v.state_dir, store_name(store));
	if (access(path, R_OK | X_OK)) {
		snprintf(text, sizeof(text), "%s: not looked at: %m", store_name(store));
		row(c, "note", text);
		return 0;
	}
	v.mend = !access(path, W_OK);
	r = verify(c->cli->db, &v, &found, why);
	if (r)
		return r;
	snprintf(text, sizeof(text), "%s: %" PRIu64 " files of %" PRIu64 " bytes looked at",
		 store_name(store), found.files, found.bytes);
	row(c, found.lost || found.healed || found.dropped ? "note" : "ok", text);
	c->fails |= found.lost != 0;
	return 0;
}

int check_bytes(struct cli *cli, const char *name)
{
	static const char *const columns[] = {"result", "what"};
	cleanup(inventory_freep) struct inventory *inv = NULL;
	const struct image_version *v = NULL;
	struct bytes_check c = {.cli = cli};
	int r = inventory_load(cli->db, &inv);

	if (r)
		return r;
	if (name) {
		v = inventory_version_by_name(inv, name);
		if (!v)
			return why_set(&cli->why, -ENOENT, "%s: no such version", name);
		c.version = v->id;
	}
	c.inv = inv;
	c.table = table_new(columns, ARRAY_SIZE(columns));
	r = check_manifests(&c, &cli->why);
	/* What a damaged manifest names is not known, so nothing can be said of the rest. */
	if (!r)
		r = check_store(&c, STORE_OBJECTS, &cli->why);
	if (!r && !name)
		r = check_store(&c, STORE_SECRETS, &cli->why);
	table_print(c.table, cli->json);
	return r && !(r == -EUCLEAN && c.fails) ? r : c.fails;
}

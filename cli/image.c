/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/cmd.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/table.h"
#include "common/clock.h"
#include "common/inventory.h"
#include "common/log.h"
#include "common/schema.h"
#include "fsd/image.h"
#include "fsd/objects.h"
#include "fsd/own_copier.h"
#include "fsd/sweep.h"
#include "fsd/version.h"

static int add_option(void *ctx, int val, const char *value)
{
	bool *flags = ctx; /* wait, strict, activate */

	(void)value;
	flags[val] = true;
	return 0;
}

static bool is_sealed(struct db *db, uint32_t version)
{
	sqlite3_stmt *stmt =
		db_stmt(db, "SELECT 1 FROM version WHERE id = ? AND sealed IS NOT NULL");
	bool sealed = db_query(db, stmt, "u", version) == DB_ROW;

	sqlite3_reset(stmt);
	return sealed;
}

/* Until the version is sealed, by a running server or by ourselves. */
static int wait_sealed(struct cli *cli, struct db *db, uint32_t version, struct why *why)
{
	cleanup(own_copier_stopp) struct own_copier *copier = NULL;
	bool tty = isatty(STDERR_FILENO);
	int r = own_copier_start(cli->state_dir, true, &copier, why);

	while (!r && !is_sealed(db, version)) {
		struct version_progress p;
		struct version *v;

		poll(NULL, 0, 100);
		/* Whoever copied may have ended: then it is our turn. */
		if (!copier)
			r = own_copier_start(cli->state_dir, true, &copier, why);
		if (!tty || version_open(cli->state_dir, version, &v, NULL))
			continue;
		version_progress(v, &p);
		version_unref(v);
		fprintf(stderr, "\r%u of %u files copied", p.copied + p.gone, p.files);
	}
	if (tty && !r)
		fputc('\n', stderr);
	return r;
}

/* How far the reading is, told a few times a second. */
struct add_progress {
	struct instant next;
	bool told;
};

static void add_tell(void *ctx, uint64_t entries, uint64_t bytes)
{
	struct add_progress *p = ctx;
	struct instant now = instant_now();

	if (now.ns < p->next.ns)
		return;
	p->next = instant_add_ms(now, 200);
	p->told = true;
	fprintf(stderr, "\r%llu files, %llu MB", (unsigned long long)entries,
		(unsigned long long)(bytes / 1000000));
}

int cmd_image_add(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"wait", no_argument, NULL, 0},
						{"strict", no_argument, NULL, 1},
						{"activate", no_argument, NULL, 2},
						{0}};
	cleanup(db_closep) struct db *db = NULL;
	struct why why = {""};
	bool flags[3] = {false};
	struct add_progress progress = {0};
	struct image_add add;
	uint32_t version;
	uint32_t number;
	int r;

	if (cli_args(argc, argv, options, add_option, flags, 2, 2) < 0)
		return 2;
	add = (struct image_add){
		.name = argv[1], .source = argv[2], .strict = flags[1], .activate = flags[2]};
	r = cli_db(cli, "image add", &db);
	if (r)
		return r;
	if (isatty(STDERR_FILENO)) {
		add.tell = add_tell;
		add.ctx = &progress;
	}
	r = image_add(db, cli->state_dir, &add, &version, &number, &why);
	if (progress.told)
		fputs("\r\033[K", stderr);
	if (r)
		return cli_fail("image add", &why, r);
	printf("%s@%u\n", add.name, number);
	fflush(stdout);
	r = flags[0] && !is_sealed(db, version) ? wait_sealed(cli, db, version, &why) : 0;
	return r ? cli_fail("image add", &why, r) : 0;
}

int cmd_image_list(struct cli *cli, int argc, char **argv)
{
	static const char *const columns[] = {"version", "active", "sealed", "added", "origin"};
	cleanup(db_closep) struct db *db = NULL;
	sqlite3_stmt *stmt;
	struct table *t;
	int r;

	if (cli_args(argc, argv, NULL, NULL, NULL, 0, 0) < 0)
		return 2;
	r = cli_db_read(cli, "image list", &db);
	if (r)
		return r;
	t = table_new(columns, ARRAY_SIZE(columns));
	stmt = db_stmt(db,
		       "SELECT i.name || '@' || v.number, i.active = v.id, v.sealed IS NOT NULL,"
		       " v.added, v.origin FROM version v JOIN image i ON i.id = v.image"
		       " ORDER BY i.name, v.number");
	for (r = db_query(db, stmt, ""); r == DB_ROW; r = db_next(db, stmt)) {
		table_row(t);
		table_text(t, (const char *)sqlite3_column_text(stmt, 0));
		table_bool(t, sqlite3_column_int(stmt, 1));
		table_bool(t, sqlite3_column_int(stmt, 2));
		table_time(t, sqlite3_column_int64(stmt, 3));
		table_text(t, (const char *)sqlite3_column_text(stmt, 4));
	}
	table_print(t, cli->json);
	return r ? cli_fail("image list", NULL, r) : 0;
}

/* NAME or NAME@N as the inventory has it. */
static int find_version(struct db *db, const char *name, struct image_version *out, struct why *why)
{
	cleanup(inventory_freep) struct inventory *inv = NULL;
	const struct image_version *v;
	int r = inventory_load(db, &inv);

	if (r)
		return why_set(why, r, "%s", db_error(db));
	v = inventory_version_by_name(inv, name);
	if (!v)
		return why_set(why, -ENOENT, "%s: no such version", name);
	*out = *v;
	out->image_name = NULL; /* dies with the snapshot */
	return 0;
}

static void show_text(struct table *t, const char *key, const char *value)
{
	table_row(t);
	table_text(t, key);
	table_text(t, value);
}

static void show_number(struct table *t, const char *key, int64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long)value);
	show_text(t, key, text);
}

/* Files that were not as scanned, by name. */
static void show_odd(struct table *t, struct version *v)
{
	const struct manifest *m = version_manifest(v);

	for (uint32_t pos = 0; pos < manifest_count(m); pos++) {
		const struct manifest_node *n = manifest_at(m, pos);
		struct fill_record record;
		char path[PATH_MAX];
		char text[512];

		if (!n || !S_ISREG(n->mode) || n->link != pos || !version_known(v, pos, &record) ||
		    !record.flags || manifest_path(m, pos, path, sizeof(path)) < 0)
			continue;
		text[0] = '/';
		log_escape(text + 1, sizeof(text) - 1, path, strlen(path));
		show_text(t, record.flags & FILL_GONE ? "gone" : "drifted", text);
	}
}

/* Who keeps the version from going. */
static void show_pins(struct cli *cli, struct db *db, uint32_t version, struct table *t)
{
	cleanup(db_closep) struct db *leases = NULL;
	sqlite3_stmt *stmt = db_stmt(db, "SELECT name FROM host WHERE version = ? ORDER BY name");

	for (int r = db_query(db, stmt, "u", version); r == DB_ROW; r = db_next(db, stmt))
		show_text(t, "set_for_host", (const char *)sqlite3_column_text(stmt, 0));
	if (db_open(cli->state_dir, &schema_leases, DB_READ, &leases, NULL))
		return; /* never served */
	stmt = db_stmt(leases, "SELECT mac FROM boot WHERE version = ? AND ended IS NULL");
	for (int r = db_query(leases, stmt, "u", version); r == DB_ROW; r = db_next(leases, stmt)) {
		struct bytes b = db_column_bytes(stmt, 0);
		char text[MAC_TEXT];
		struct mac mac;

		if (b.len != sizeof(mac))
			continue;
		memcpy(&mac, b.at, sizeof(mac));
		show_text(t, "pinned_by_boot_of", mac_format(&mac, text));
	}
}

static void show_version(struct table *t, const struct image_version *row, struct version *v)
{
	const struct manifest *m = version_manifest(v);
	char digest[2 * HASH_LEN + 1];
	struct version_progress p;

	version_progress(v, &p);
	hash_format(manifest_digest(m), digest);
	show_number(t, "number", row->number);
	show_text(t, "active", row->active ? "yes" : "no");
	show_text(t, "sealed", manifest_sealed(m) ? digest : "no");
	show_number(t, "paths", manifest_count(m));
	show_number(t, "bytes", (int64_t)manifest_bytes(m));
	show_number(t, "files", p.files);
	show_number(t, "copied", p.copied);
}

int cmd_image_show(struct cli *cli, int argc, char **argv)
{
	static const char *const columns[] = {"key", "value"};
	cleanup(db_closep) struct db *db = NULL;
	cleanup(version_unrefp) struct version *v = NULL;
	struct image_version row;
	struct why why = {""};
	struct table *t;
	int r;

	if (cli_args(argc, argv, NULL, NULL, NULL, 1, 1) < 0)
		return 2;
	r = cli_db_read(cli, "image show", &db);
	if (r)
		return r;
	r = find_version(db, argv[1], &row, &why);
	if (!r)
		r = version_open(cli->state_dir, row.id, &v, &why);
	if (r)
		return cli_fail("image show", &why, r);
	t = table_new(columns, ARRAY_SIZE(columns));
	show_version(t, &row, v);
	show_odd(t, v);
	show_pins(cli, db, row.id, t);
	table_print(t, cli->json);
	return 0;
}

int cmd_image_activate(struct cli *cli, int argc, char **argv)
{
	cleanup(db_closep) struct db *db = NULL;
	struct image_version v;
	struct why why = {""};
	int r;

	if (cli_args(argc, argv, NULL, NULL, NULL, 1, 1) < 0)
		return 2;
	r = cli_db(cli, "image activate", &db);
	if (r)
		return r;
	r = strchr(argv[1], '@') ? find_version(db, argv[1], &v, &why)
				 : why_set(&why, -EINVAL, "%s: not NAME@NUMBER", argv[1]);
	if (!r)
		r = image_activate(db, v.id, &why);
	return r ? cli_fail("image activate", &why, r) : 0;
}

int cmd_image_rollback(struct cli *cli, int argc, char **argv)
{
	cleanup(db_closep) struct db *db = NULL;
	struct why why = {""};
	uint32_t number;
	int r;

	if (cli_args(argc, argv, NULL, NULL, NULL, 1, 1) < 0)
		return 2;
	r = cli_db(cli, "image rollback", &db);
	if (r)
		return r;
	r = image_rollback(db, argv[1], &number, &why);
	if (r)
		return cli_fail("image rollback", &why, r);
	printf("%s@%u\n", argv[1], number);
	return 0;
}

/* What the removed versions alone had. */
static int swept(struct cli *cli, struct db *db, const char *what)
{
	struct objects_swept s;
	struct why why = {""};
	int r = sweep(db, cli->state_dir, &s, &why);

	if (r)
		return cli_fail(what, &why, r);
	printf("%llu files of %llu bytes freed\n", (unsigned long long)s.files,
	       (unsigned long long)s.bytes);
	return 0;
}

static int keep_option(void *ctx, int val, const char *value)
{
	unsigned int *keep = ctx;
	unsigned long n;
	char *end;

	(void)val;
	n = strtoul(value, &end, 10);
	if (end == value || *end || !n || n > 1000) {
		fprintf(stderr, "rootstock: image prune: %s: not a number from 1 to 1000\n", value);
		return -1;
	}
	*keep = (unsigned int)n;
	return 0;
}

int cmd_image_prune(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"keep", required_argument, NULL, 'k'}, {0}};
	cleanup(db_closep) struct db *db = NULL;
	struct why why = {""};
	unsigned int removed;
	unsigned int keep = 0;
	int r;

	if (cli_args(argc, argv, options, keep_option, &keep, 1, 1) < 0)
		return 2;
	if (!keep)
		return cli_usage();
	r = cli_db(cli, "image prune", &db);
	if (r)
		return r;
	r = image_prune(db, cli->state_dir, argv[1], keep, &removed, &why);
	if (r)
		return cli_fail("image prune", &why, r);
	printf("%u removed\n", removed);
	return removed ? swept(cli, db, "image prune") : 0;
}

int cmd_image_remove(struct cli *cli, int argc, char **argv)
{
	cleanup(db_closep) struct db *db = NULL;
	struct image_version v;
	struct why why = {""};
	struct why held = {""};
	int r;

	if (cli_args(argc, argv, NULL, NULL, NULL, 1, 1) < 0)
		return 2;
	r = cli_db(cli, "image remove", &db);
	if (r)
		return r;
	r = strchr(argv[1], '@') ? find_version(db, argv[1], &v, &why)
				 : why_set(&why, -EINVAL, "%s: not NAME@NUMBER", argv[1]);
	if (!r) {
		r = image_remove(db, cli->state_dir, v.id, &held);
		if (r)
			why_set(&why, r, "%s: %s", argv[1], why_text(&held, r));
	}
	return r ? cli_fail("image remove", &why, r) : swept(cli, db, "image remove");
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The image commands: words and progress over fsd/image.  What takes long, reading an
 * origin, is done before the transaction; --wait copies, too, where no server does.
 */
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
#include "fsd/hot.h"
#include "fsd/image.h"
#include "fsd/objects.h"
#include "fsd/own_copier.h"
#include "fsd/sweep.h"
#include "fsd/version.h"

/* Returns 0 or a negative errno; -ENOENT: it was removed meanwhile. */
static int is_sealed(struct cli *cli, uint32_t version, bool *out)
{
	sqlite3_stmt *stmt =
		db_stmt(cli->db, "SELECT sealed IS NOT NULL FROM version WHERE id = ?");
	int r = db_query(cli->db, stmt, "u", version);

	if (!r)
		return why_set(&cli->why, -ENOENT, "the version was removed");
	if (r < 0 && r != -EAGAIN) /* busy: asked again */
		return why_set(&cli->why, r, "rootstock.db: %s", db_error(cli->db));
	*out = r == DB_ROW && sqlite3_column_int(stmt, 0);
	sqlite3_reset(stmt);
	return 0;
}

/* Until the version is sealed, by a running server or by ourselves. */
static int wait_sealed(struct cli *cli, uint32_t version)
{
	cleanup(own_copier_stopp) struct own_copier *copier = NULL;
	bool tty = isatty(STDERR_FILENO);
	bool sealed;
	int r = own_copier_start(cli->state_dir, true, &copier, &cli->why);

	while (!r && !(r = is_sealed(cli, version, &sealed)) && !sealed) {
		struct version_progress p;
		struct version *v;

		poll(NULL, 0, 100);
		/* Whoever copied may have ended: then it is our turn. */
		if (!copier)
			r = own_copier_start(cli->state_dir, true, &copier, &cli->why);
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

static int image_add_run(struct cli *cli)
{
	struct add_progress progress = {0};
	struct image_add add = {
		.name = cli->args[0],
		.source = cli->args[1],
		.strict = cli_option(cli, 's'),
		.activate = cli_option(cli, 'a'),
	};
	uint32_t version;
	uint32_t number;
	int r;

	if (isatty(STDERR_FILENO)) {
		add.tell = add_tell;
		add.ctx = &progress;
	}
	r = image_add(cli->db, cli->state_dir, &add, &version, &number, &cli->why);
	if (progress.told)
		fputs("\r\033[K", stderr);
	if (r)
		return r;
	printf("%s@%u\n", add.name, number);
	fflush(stdout);
	return cli_option(cli, 'w') ? wait_sealed(cli, version) : 0;
}

static const struct option add_options[] = {{"wait", no_argument, NULL, 'w'},
					    {"strict", no_argument, NULL, 's'},
					    {"activate", no_argument, NULL, 'a'},
					    {0}};

const struct command command_image_add = {
	.words = "image add",
	.usage = "NAME SOURCE [--wait] [--strict] [--activate]",
	.run = image_add_run,
	.db = CLI_WRITE,
	.min = 2,
	.max = 2,
	.options = add_options,
};

static int image_list_run(struct cli *cli)
{
	static const char *const columns[] = {"version", "active", "sealed", "added", "origin"};
	struct table *t = table_new(columns, ARRAY_SIZE(columns));
	sqlite3_stmt *stmt = db_stmt(
		cli->db, "SELECT i.name || '@' || v.number, i.active = v.id, v.sealed IS NOT NULL,"
			 " v.added, v.origin FROM version v JOIN image i ON i.id = v.image"
			 " ORDER BY i.name, v.number");
	int r;

	for (r = db_query(cli->db, stmt, ""); r == DB_ROW; r = db_next(cli->db, stmt)) {
		table_row(t);
		table_text(t, (const char *)sqlite3_column_text(stmt, 0));
		table_bool(t, sqlite3_column_int(stmt, 1));
		table_bool(t, sqlite3_column_int(stmt, 2));
		table_time(t, sqlite3_column_int64(stmt, 3));
		table_text(t, (const char *)sqlite3_column_text(stmt, 4));
	}
	table_print(t, cli->json);
	return r;
}

const struct command command_image_list = {
	.words = "image list",
	.run = image_list_run,
	.db = CLI_READ,
};

/* NAME or NAME@N as the inventory has it. */
static int find_version(struct cli *cli, struct image_version *out)
{
	cleanup(inventory_freep) struct inventory *inv = NULL;
	const struct image_version *v;
	int r = inventory_load(cli->db, &inv);

	if (r)
		return why_set(&cli->why, r, "%s", db_error(cli->db));
	v = inventory_version_by_name(inv, cli->args[0]);
	if (!v)
		return why_set(&cli->why, -ENOENT, "%s: no such version", cli->args[0]);
	*out = *v;
	out->image_name = NULL; /* dies with the snapshot */
	return 0;
}

/* NAME@NUMBER and nothing shorter, for what a slip would hurt. */
static int find_numbered(struct cli *cli, struct image_version *out)
{
	if (!strchr(cli->args[0], '@'))
		return why_set(&cli->why, -EINVAL, "%s: not NAME@NUMBER", cli->args[0]);
	return find_version(cli, out);
}

static void show_number(struct table *t, const char *key, int64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long)value);
	table_pair(t, key, text);
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
		table_pair(t, record.flags & FILL_GONE ? "gone" : "drifted", text);
	}
}

/* Who keeps the version from going. */
static void show_pins(struct cli *cli, uint32_t version, struct table *t)
{
	cleanup(db_closep) struct db *leases = NULL;
	sqlite3_stmt *stmt =
		db_stmt(cli->db, "SELECT name FROM host WHERE version = ? ORDER BY name");

	for (int r = db_query(cli->db, stmt, "u", version); r == DB_ROW; r = db_next(cli->db, stmt))
		table_pair(t, "set_for_host", (const char *)sqlite3_column_text(stmt, 0));
	if (db_open(cli->state_dir, &schema_leases, DB_READ, &leases, NULL))
		return; /* never served */
	stmt = db_stmt(leases, "SELECT mac FROM boot WHERE version = ? AND ended IS NULL");
	for (int r = db_query(leases, stmt, "u", version); r == DB_ROW; r = db_next(leases, stmt)) {
		char text[MAC_TEXT];
		struct mac mac;

		if (db_column_mac(stmt, 0, &mac))
			continue;
		table_pair(t, "pinned_by_boot_of", mac_format(&mac, text));
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
	table_pair(t, "active", row->active ? "yes" : "no");
	table_pair(t, "sealed", manifest_sealed(m) ? digest : "no");
	show_number(t, "paths", manifest_count(m));
	show_number(t, "bytes", (int64_t)manifest_bytes(m));
	show_number(t, "files", p.files);
	show_number(t, "copied", p.copied);
}

/* What of the version is in the store, and whether the rest has room there: an absent
 * file of an unsealed one was driven out of a full store, or lost. */
static void show_store(struct cli *cli, struct table *t, struct version *v)
{
	cleanup(objects_closep) struct objects *store = NULL;
	const struct manifest *m = version_manifest(v);
	struct objects_space space;
	uint64_t lacking = 0;
	uint32_t absent = 0;

	if (objects_open(cli->state_dir, STORE_OBJECTS, false, &store, NULL) ||
	    objects_space(store, &space))
		return;
	for (uint32_t pos = 0; pos < manifest_count(m); pos++) {
		const struct manifest_node *n = manifest_at(m, pos);
		struct fill_record record = {0};

		if (!n || !S_ISREG(n->mode) || n->link != pos)
			continue;
		if (!version_known(v, pos, &record)) {
			lacking += n->size;
		} else if (hash_known(&record.hash) && !objects_has(store, &record.hash)) {
			lacking += record.size;
			absent++;
		}
	}
	if (absent)
		show_number(t, "absent", absent);
	if (!lacking)
		return;
	show_number(t, "bytes_to_copy", (int64_t)lacking);
	if (lacking > space.free) {
		show_number(t, "bytes_free", (int64_t)space.free);
		table_pair(t, "store", "full: no room for what is to be copied");
	}
}

/* What boots read of it (fsd/hot.h). */
static void show_reads(struct cli *cli, struct table *t, uint32_t version)
{
	cleanup(db_closep) struct db *trace = NULL;
	uint32_t files;
	uint32_t boots;

	if (db_open(cli->state_dir, &schema_trace, DB_READ, &trace, NULL) ||
	    hot_count(trace, version, &files, &boots) || !files)
		return; /* never served */
	show_number(t, "files_read_by_boots", files);
	show_number(t, "boots_at_most", boots);
}

static int image_show_run(struct cli *cli)
{
	static const char *const columns[] = {"key", "value"};
	cleanup(version_unrefp) struct version *v = NULL;
	struct image_version row;
	struct table *t;
	int r = find_version(cli, &row);

	if (!r)
		r = version_open(cli->state_dir, row.id, &v, &cli->why);
	if (r)
		return r;
	t = table_new(columns, ARRAY_SIZE(columns));
	show_version(t, &row, v);
	show_store(cli, t, v);
	show_reads(cli, t, row.id);
	show_odd(t, v);
	show_pins(cli, row.id, t);
	table_print(t, cli->json);
	return 0;
}

const struct command command_image_show = {
	.words = "image show",
	.usage = "NAME[@N]",
	.run = image_show_run,
	.db = CLI_READ,
	.min = 1,
	.max = 1,
};

static int image_activate_run(struct cli *cli)
{
	struct image_version v;
	int r = find_numbered(cli, &v);

	return r ? r : image_activate(cli->db, v.id, &cli->why);
}

const struct command command_image_activate = {
	.words = "image activate",
	.usage = "NAME@N",
	.run = image_activate_run,
	.db = CLI_WRITE,
	.min = 1,
	.max = 1,
};

static int image_rollback_run(struct cli *cli)
{
	uint32_t number;
	int r = image_rollback(cli->db, cli->args[0], &number, &cli->why);

	if (!r)
		printf("%s@%u\n", cli->args[0], number);
	return r;
}

const struct command command_image_rollback = {
	.words = "image rollback",
	.usage = "NAME",
	.run = image_rollback_run,
	.db = CLI_WRITE,
	.min = 1,
	.max = 1,
};

/* What the removed versions alone had. */
static int swept(struct cli *cli)
{
	struct objects_swept s;
	int r = sweep(cli->db, cli->state_dir, &s, &cli->why);

	if (!r)
		printf("%llu files of %llu bytes freed\n", (unsigned long long)s.files,
		       (unsigned long long)s.bytes);
	return r;
}

static int image_prune_run(struct cli *cli)
{
	const char *text = cli_option(cli, 'k');
	unsigned int removed;
	unsigned long keep;
	char *end;
	int r;

	if (!text)
		return cli_usage(cli);
	keep = strtoul(text, &end, 10);
	if (end == text || *end || !keep || keep > 1000)
		return why_set(&cli->why, -EINVAL, "%s: not a number from 1 to 1000", text);
	r = image_prune(cli->db, cli->state_dir, cli->args[0], (unsigned int)keep, &removed,
			&cli->why);
	if (r)
		return r;
	printf("%u removed\n", removed);
	return removed ? swept(cli) : 0;
}

static const struct option prune_options[] = {{"keep", required_argument, NULL, 'k'}, {0}};

const struct command command_image_prune = {
	.words = "image prune",
	.usage = "NAME --keep N",
	.run = image_prune_run,
	.db = CLI_WRITE,
	.min = 1,
	.max = 1,
	.options = prune_options,
};

static int image_remove_run(struct cli *cli)
{
	struct image_version v;
	struct why held = {""};
	int r = find_numbered(cli, &v);

	if (r)
		return r;
	r = image_remove(cli->db, cli->state_dir, v.id, &held);
	if (r)
		return why_set(&cli->why, r, "%s: %s", cli->args[0], why_text(&held, r));
	return swept(cli);
}

const struct command command_image_remove = {
	.words = "image remove",
	.usage = "NAME@N",
	.run = image_remove_run,
	.db = CLI_WRITE,
	.min = 1,
	.max = 1,
};

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * overlay put, link, mkdir, hide, opaque, attr, reset and list.  Each makes one entry_spec
 * of its words and leaves the rest to fsd/overlay: a body goes into the store first, and the
 * row that names it is written while the store is held, so that no sweep comes between.
 */
#include "cli/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/table.h"
#include "common/clock.h"
#include "common/inventory.h"
#include "common/log.h"
#include "fsd/host.h"
#include "fsd/keys.h"
#include "fsd/objects.h"
#include "fsd/template.h"
#include "fsd/way.h"

struct put {
	const char *from;
	bool template;
	struct objects *store; /* where the body went; NULL: none */
	uint8_t *text;	       /* a template's, which is the body then; ours to free */
	struct entry_spec spec;
};

static int owner_parse(const char *text, uint32_t *uid, uint32_t *gid)
{
	unsigned long u;
	unsigned long g;
	char *end;

	/* Names would be this machine's, not the image's. */
	u = strtoul(text, &end, 10);
	if (end == text || *end != ':' || u >= UINT32_MAX)
		return -EINVAL;
	text = end + 1;
	g = strtoul(text, &end, 10);
	if (end == text || *end || g >= UINT32_MAX)
		return -EINVAL;
	*uid = (uint32_t)u;
	*gid = (uint32_t)g;
	return 0;
}

/* What the options say of the entry, whichever of them the command takes. */
static int take_options(struct cli *cli, struct put *put)
{
	const char *mode = cli_option(cli, 'm');
	const char *owner = cli_option(cli, 'o');
	struct entry_spec *spec = &put->spec;
	char *end;

	put->from = cli_option(cli, 'f');
	put->template = cli_option(cli, 't');
	if (cli_option(cli, 's'))
		spec->flags |= ENTRY_SECRET;
	if (cli_option(cli, 'n'))
		spec->flags |= ENTRY_NEXT_BOOT;
	if (mode) {
		unsigned long bits = strtoul(mode, &end, 8);

		if (end == mode || *end || bits > 07777)
			return why_set(&cli->why, -EINVAL, "%s: not an octal mode", mode);
		spec->mode = (uint16_t)bits;
		spec->flags |= ENTRY_MODE_SET;
	}
	if (owner) {
		if (owner_parse(owner, &spec->uid, &spec->gid))
			return why_set(&cli->why, -EINVAL,
				       "%s: not UID:GID in numbers, which are the image's", owner);
		spec->flags |= ENTRY_OWNER_SET;
	}
	return 0;
}

/* ---- bodies ---- */

/* All that is left of what is small. */
static int slurp(int fd, uint8_t **out, size_t *out_len)
{
	size_t size = 4096;
	size_t len = 0;
	uint8_t *data = NULL;

	for (;;) {
		uint8_t *bigger = realloc(data, size);
		ssize_t n;

		if (!bigger) {
			free(data);
			return -ENOMEM;
		}
		data = bigger;
		n = read(fd, data + len, size - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || len > TEMPLATE_SIZE_MAX) {
			int r = n < 0 ? -errno : -EFBIG;

			free(data);
			return r;
		}
		if (!n)
			break;
		len += (size_t)n;
		if (len == size)
			size *= 2;
	}
	*out = data;
	*out_len = len;
	return 0;
}

/* The store is held until the row that names the object is there. */
static int body_store(struct cli *cli, int fd, struct put *put)
{
	int r = objects_open_held(cli->state_dir,
				  put->spec.flags & ENTRY_SECRET ? STORE_SECRETS : STORE_OBJECTS,
				  true, &put->store, NULL);

	return r ? r : objects_put(put->store, fd, &put->spec.hash, &put->spec.size);
}

static int body_take(struct cli *cli, struct scope scope, struct put *put)
{
	cleanup(inventory_freep) struct inventory *inv = NULL;
	const char *name = put->from ? put->from : "standard input";
	cleanup(closep) int fd = -1;
	struct stat st;
	mode_t mode;
	size_t len = 0;
	bool regular;
	int r;

	fd = put->from ? open(put->from, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);
	if (fd < 0 || fstat(fd, &st))
		return why_set(&cli->why, -errno, "%s: %m", name);
	if (S_ISDIR(st.st_mode))
		return why_set(&cli->why, -EISDIR, "%s: is a directory", name);
	regular = S_ISREG(st.st_mode);
	put->spec.mtime_ns =
		regular ? st.st_mtim.tv_sec * NS_PER_SEC + st.st_mtim.tv_nsec : wall_now_ns();
	if (!(put->spec.flags & ENTRY_MODE_SET)) {
		mode = put->spec.flags & ENTRY_SECRET ? 0600 : 0644;
		put->spec.mode = (uint16_t)(regular ? st.st_mode & 07777 : mode);
		put->spec.flags |= ENTRY_MODE_SET;
	}
	if (!put->template) {
		put->spec.kind = ENTRY_FILE;
		return body_store(cli, fd, put);
	}
	if (put->spec.flags & ENTRY_SECRET)
		return why_set(&cli->why, -EINVAL,
			       "a template cannot be a secret: its text is in the "
			       "database");
	put->spec.kind = ENTRY_TEMPLATE;
	r = slurp(fd, &put->text, &len);
	if (r)
		return r;
	put->spec.body = (struct bytes){put->text, len};
	r = inventory_load(cli->db, &inv);
	return r ? r : keys_check(inv, scope, put->spec.body, &cli->why);
}

/* ---- the commands ---- */

/* The scope and the path that every change names. */
static int change_target(struct cli *cli, struct scope *scope, char path[static PATH_MAX])
{
	int r = cli_scope(cli, cli->args[0], scope);

	return r ? r : overlay_path(cli->args[1], path, &cli->why);
}

/* Scope, path and options from the command line, then the body, then the change in
 * one transaction. */
static int change(struct cli *cli, struct put *put)
{
	cleanup(txn_abortp) struct txn *txn = NULL;
	cleanup(way_closep) struct way *way = NULL;
	struct scope scope;
	char path[PATH_MAX];
	int r = take_options(cli, put);

	if (!r)
		r = change_target(cli, &scope, path);
	if (!r)
		r = way_open(cli->db, cli->state_dir, &way, &cli->why);
	if (!r)
		r = way_check(way, path, &cli->why);
	if (!r && put->spec.kind == ENTRY_FILE)
		r = body_take(cli, scope, put);
	if (!r) {
		r = txn_begin(cli->db, &txn);
		if (r)
			why_set(&cli->why, r, "%s", db_error(cli->db));
	}
	if (!r)
		r = overlay_change(cli->db, scope, path, &put->spec, NULL, &cli->why);
	if (!r)
		r = txn_commit(take(&txn));
	objects_close(put->store);
	put->store = NULL;
	free(put->text);
	put->text = NULL;
	return r;
}

static const struct option put_options[] = {{"from", required_argument, NULL, 'f'},
					    {"template", no_argument, NULL, 't'},
					    {"secret", no_argument, NULL, 's'},
					    {"next-boot", no_argument, NULL, 'n'},
					    {"mode", required_argument, NULL, 'm'},
					    {"owner", required_argument, NULL, 'o'},
					    {0}};
static const struct option attr_options[] = {{"next-boot", no_argument, NULL, 'n'},
					     {"mode", required_argument, NULL, 'm'},
					     {"owner", required_argument, NULL, 'o'},
					     {0}};
static const struct option boot_options[] = {{"next-boot", no_argument, NULL, 'n'}, {0}};

static int put_run(struct cli *cli)
{
	/* What is put is root's unless it is said otherwise. */
	struct put put = {.spec = {.kind = ENTRY_FILE, .flags = ENTRY_OWNER_SET}};

	return change(cli, &put);
}

const struct command command_overlay_put = {
	.words = "overlay put",
	.usage = "SCOPE PATH [--from FILE] [--template] [--secret] [--next-boot] [--mode M] "
		 "[--owner U:G]",
	.run = put_run,
	.db = CLI_WRITE,
	.min = 2,
	.max = 2,
	.options = put_options,
};

static int link_run(struct cli *cli)
{
	struct put put = {.spec = {.kind = ENTRY_LINK, .flags = ENTRY_OWNER_SET}};
	char *target = cli->args[2];
	size_t len = strlen(target);

	if (!len || len >= PATH_MAX)
		return why_set(&cli->why, -EINVAL, "%.64s: not a link's target", target);
	put.spec.body = (struct bytes){(uint8_t *)target, len};
	return change(cli, &put);
}

const struct command command_overlay_link = {
	.words = "overlay link",
	.usage = "SCOPE PATH TARGET [--next-boot]",
	.run = link_run,
	.db = CLI_WRITE,
	.min = 3,
	.max = 3,
	.options = boot_options,
};

/* An entry that is nothing but its kind and attributes. */
static int change_kind(struct cli *cli, enum entry_kind kind)
{
	struct put put = {.spec.kind = kind};

	return change(cli, &put);
}

static int mkdir_run(struct cli *cli)
{
	return change_kind(cli, ENTRY_DIR);
}

const struct command command_overlay_mkdir = {
	.words = "overlay mkdir",
	.usage = "SCOPE PATH [--mode M] [--owner U:G] [--next-boot]",
	.run = mkdir_run,
	.db = CLI_WRITE,
	.min = 2,
	.max = 2,
	.options = attr_options,
};

static int hide_run(struct cli *cli)
{
	return change_kind(cli, ENTRY_WHITEOUT);
}

const struct command command_overlay_hide = {
	.words = "overlay hide",
	.usage = "SCOPE PATH [--next-boot]",
	.run = hide_run,
	.db = CLI_WRITE,
	.min = 2,
	.max = 2,
	.options = boot_options,
};

static int opaque_run(struct cli *cli)
{
	return change_kind(cli, ENTRY_OPAQUE);
}

const struct command command_overlay_opaque = {
	.words = "overlay opaque",
	.usage = "SCOPE PATH [--next-boot]",
	.run = opaque_run,
	.db = CLI_WRITE,
	.min = 2,
	.max = 2,
	.options = boot_options,
};

static int attr_run(struct cli *cli)
{
	if (!cli_option(cli, 'm') && !cli_option(cli, 'o'))
		return cli_usage(cli);
	return change_kind(cli, ENTRY_ATTR);
}

const struct command command_overlay_attr = {
	.words = "overlay attr",
	.usage = "SCOPE PATH [--mode M] [--owner U:G] [--next-boot]",
	.run = attr_run,
	.db = CLI_WRITE,
	.min = 2,
	.max = 2,
	.options = attr_options,
};

static int reset_run(struct cli *cli)
{
	cleanup(txn_abortp) struct txn *txn = NULL;
	struct scope scope;
	char path[PATH_MAX];
	int r = change_target(cli, &scope, path);

	if (!r)
		r = txn_begin(cli->db, &txn);
	if (!r)
		r = overlay_reset(cli->db, scope, path, cli_option(cli, 'n'));
	if (r == -ENOENT)
		why_set(&cli->why, r, "/%s: this overlay has no entry for it", path);
	return r ? r : txn_commit(take(&txn));
}

const struct command command_overlay_reset = {
	.words = "overlay reset",
	.usage = "SCOPE PATH [--next-boot]",
	.run = reset_run,
	.db = CLI_WRITE,
	.min = 2,
	.max = 2,
	.options = boot_options,
};

/* ---- list ---- */

static const char *kind_word(unsigned int kind)
{
	static const char *const word[ENTRY_KINDS] = {
		[ENTRY_FILE] = "file",	   [ENTRY_TEMPLATE] = "template", [ENTRY_LINK] = "link",
		[ENTRY_DIR] = "directory", [ENTRY_WHITEOUT] = "hide",	  [ENTRY_OPAQUE] = "opaque",
		[ENTRY_ATTR] = "attr",	   [ENTRY_PARENT_ATTR] = "attr",
	};

	return kind < ARRAY_SIZE(word) ? word[kind] : NULL;
}

static int list_scope(struct db *db, struct scope scope, const char *label, struct table *t)
{
	cleanup(overlay_freep) struct overlay *ov = NULL;
	char text[4096];
	int r = overlay_load(db, scope, NULL, &ov);

	for (unsigned int i = 0; !r && i < ov->n; i++) {
		const struct entry *e = &ov->entries[i];

		if (e->retired || e->kind == ENTRY_PARENT)
			continue;
		table_row(t);
		table_text(t, label);
		table_text(t, kind_word(e->kind));
		snprintf(text, sizeof(text), "%04o", e->mode);
		table_text(t, e->flags & ENTRY_MODE_SET && e->kind != ENTRY_LINK ? text : NULL);
		snprintf(text, sizeof(text), "%u:%u", e->uid, e->gid);
		table_text(t, e->flags & ENTRY_OWNER_SET ? text : NULL);
		table_number(t, (int64_t)(e->kind == ENTRY_FILE ? e->size
					  : e->kind == ENTRY_TEMPLATE || e->kind == ENTRY_LINK
						  ? e->body.len
						  : 0));
		table_bool(t, e->flags & ENTRY_SECRET);
		table_bool(t, e->flags & ENTRY_NEXT_BOOT);
		snprintf(text, sizeof(text), "/");
		log_escape(text + 1, sizeof(text) - 1, e->path, strlen(e->path));
		table_text(t, text);
	}
	return r;
}

static int list_all(struct db *db, struct table *t)
{
	static const char sql[] =
		"SELECT s.kind, s.owner, CASE s.kind WHEN 0 THEN 'all'"
		" WHEN 1 THEN 'group:' || (SELECT name FROM grp WHERE id = s.owner)"
		" ELSE 'host:' || (SELECT name FROM host WHERE id = s.owner) END AS label"
		" FROM scope s ORDER BY s.kind, label";
	sqlite3_stmt *stmt = db_stmt(db, sql);
	int r;

	for (r = db_query(db, stmt, ""); r == DB_ROW; r = db_next(db, stmt)) {
		struct scope scope = {(enum scope_kind)sqlite3_column_int(stmt, 0),
				      (uint32_t)sqlite3_column_int64(stmt, 1)};
		char label[128];

		db_column_text(stmt, 2, label, sizeof(label));
		r = list_scope(db, scope, label, t);
		if (r)
			break;
	}
	return r;
}

static int list_run(struct cli *cli)
{
	static const char *const columns[] = {"scope", "kind",	 "mode",      "owner",
					      "size",  "secret", "next_boot", "path"};
	struct scope scope;
	struct table *t;
	int r = cli->nargs ? cli_scope(cli, cli->args[0], &scope) : 0;

	if (r)
		return r;
	t = table_new(columns, ARRAY_SIZE(columns));
	r = cli->nargs ? list_scope(cli->db, scope, cli->args[0], t) : list_all(cli->db, t);
	table_print(t, cli->json);
	return r;
}

const struct command command_overlay_list = {
	.words = "overlay list",
	.usage = "[SCOPE]",
	.run = list_run,
	.db = CLI_READ,
	.max = 1,
};

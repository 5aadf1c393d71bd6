/* SPDX-License-Identifier: GPL-2.0-or-later */
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

struct put {
	const char *what; /* "overlay put", for errors */
	const char *from;
	bool template;
	struct objects *store; /* where the body went; NULL: none */
	struct entry_spec spec;
};

static int option_bad(const struct put *put, const char *value, const char *should)
{
	fprintf(stderr, "rootstock: %s: %s: not %s\n", put->what, value, should);
	return -1;
}

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

static int put_option(void *ctx, int val, const char *value)
{
	struct put *put = ctx;
	unsigned long mode;
	char *end;

	switch (val) {
	case 'f':
		put->from = value;
		return 0;
	case 't':
		put->template = true;
		return 0;
	case 's':
		put->spec.flags |= ENTRY_SECRET;
		return 0;
	case 'n':
		put->spec.flags |= ENTRY_NEXT_BOOT;
		return 0;
	case 'm':
		mode = strtoul(value, &end, 8);
		if (end == value || *end || mode > 07777)
			return option_bad(put, value, "an octal mode");
		put->spec.mode = (uint16_t)mode;
		put->spec.flags |= ENTRY_MODE_SET;
		return 0;
	default:
		if (owner_parse(value, &put->spec.uid, &put->spec.gid))
			return option_bad(put, value, "UID:GID in numbers, which are the image's");
		put->spec.flags |= ENTRY_OWNER_SET;
		return 0;
	}
}

/* The way to `path` in every active version: what is not a directory there, or
 * goes round, is said now and not at a boot. */
static int way_check(struct cli *cli, struct db *db, const char *path, struct why *why)
{
	cleanup(inventory_freep) struct inventory *inv = NULL;
	cleanup(views_closep) struct views *views = NULL;
	sqlite3_stmt *stmt;
	char above[4096];
	char *slash;
	int r = inventory_load(db, &inv);

	snprintf(above, sizeof(above), "%s", path);
	slash = strrchr(above, '/');
	if (!slash || r)
		return r;
	slash[1] = '\0'; /* the slash asks for a directory */
	r = views_open(cli->state_dir, &views, why);
	if (r)
		return r;
	stmt = db_stmt(db, "SELECT active FROM image WHERE active IS NOT NULL");
	for (r = db_query(db, stmt, ""); r == DB_ROW; r = db_next(db, stmt)) {
		cleanup(view_unrefp) struct view *view = NULL;
		const struct image_version *v;
		uint32_t id = (uint32_t)sqlite3_column_int64(stmt, 0);
		uint32_t node;

		r = views_get(views, 0, id, UINT64_MAX, &view);
		if (!r)
			r = view_resolve(view, VIEW_ROOT, above, true, &node);
		v = inventory_version(inv, id);
		if (v && (r == VIEW_LOOP || r == VIEW_NOTDIR || r == VIEW_NAMETOOLONG)) {
			sqlite3_reset(stmt);
			return why_set(why, -EINVAL, "/%s: %s in %s@%u", path,
				       r == VIEW_LOOP	  ? "the way there is a loop of links"
				       : r == VIEW_NOTDIR ? "a file is in the way"
							  : "the way there is too long",
				       v->image_name, v->number);
		}
		if (r < 0)
			break;
	}
	return r < 0 ? r : 0;
}

/* ---- templates ---- */

static bool host_in_scope(const struct host *h, struct scope scope)
{
	if (scope.kind == SCOPE_ALL)
		return true;
	if (scope.kind == SCOPE_HOST)
		return h->id == scope.owner;
	for (unsigned int i = 0; i < h->ngroups; i++)
		if (h->groups[i] == scope.owner)
			return true;
	return false;
}

/* Every host that the template is for must have every key. */
static int template_check(struct db *db, struct scope scope, struct bytes text, struct why *why)
{
	cleanup(inventory_freep) struct inventory *inv = NULL;
	struct keys keys;
	struct why one = {""};
	char *rendered;
	size_t len;
	int r = inventory_load(db, &inv);

	for (unsigned int i = 0; !r && i < inventory_count(inv); i++) {
		const struct host *host = inventory_at(inv, i);

		if (!host_in_scope(host, scope))
			continue;
		keys_fill(&keys, inv, host, host->version);
		r = template_render(text, keys_lookup, &keys, &rendered, &len, &one);
		if (r)
			return why_set(
				why, r, "for host %s: %s%s", host->name, why_text(&one, r),
				template_uses(text, "address") && !host->address
					? " (it needs a fixed address: host set HOST address=IP)"
					: "");
		free(rendered);
	}
	return r;
}

/* ---- bodies ---- */

/* The whole of a small file. */
static int slurp(int fd, struct bytes *out)
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
		n = pread(fd, data + len, size - len, (off_t)len);
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
	*out = (struct bytes){data, len};
	return 0;
}

/* object_copy reads by position: what comes from a pipe goes through a file first. */
static int drained(int from)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char chunk[65536];
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = read(from, chunk, sizeof(chunk))) > 0)
		if (write(fd, chunk, (size_t)n) != n) {
			close(fd);
			return -ENOSPC;
		}
	if (n < 0) {
		close(fd);
		return -errno;
	}
	return fd;
}

/* The store is held until the row that names the object is there. */
static int body_store(struct cli *cli, int fd, struct put *put)
{
	char path[PATH_MAX];
	int r;

	snprintf(path, sizeof(path), "%s/%s", cli->state_dir,
		 put->spec.flags & ENTRY_SECRET ? "secrets" : "objects");
	r = objects_open(path, true, 0750, &put->store, NULL);
	if (!r)
		r = objects_hold(put->store, false);
	return r ? r : objects_put(put->store, fd, &put->spec.hash, &put->spec.size);
}

static int body_take(struct cli *cli, struct db *db, struct scope scope, struct put *put,
		     struct why *why)
{
	const char *name = put->from ? put->from : "standard input";
	cleanup(closep) int given = -1;
	cleanup(closep) int pipe = -1;
	struct stat st;
	mode_t mode;
	int fd;
	int r;

	given = put->from ? open(put->from, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);
	if (given < 0 || fstat(given, &st))
		return why_set(why, -errno, "%s: %m", name);
	if (!S_ISREG(st.st_mode)) {
		pipe = S_ISDIR(st.st_mode) ? -EISDIR : drained(given);
		if (pipe < 0)
			return why_set(why, pipe, "%s: %s", name, strerror(-pipe));
	}
	fd = pipe >= 0 ? pipe : given;
	put->spec.mtime_ns =
		pipe < 0 ? st.st_mtim.tv_sec * NS_PER_SEC + st.st_mtim.tv_nsec : wall_now_ns();
	if (!(put->spec.flags & ENTRY_MODE_SET)) {
		mode = put->spec.flags & ENTRY_SECRET ? 0600 : 0644;
		put->spec.mode = (uint16_t)(pipe < 0 ? st.st_mode & 07777 : mode);
		put->spec.flags |= ENTRY_MODE_SET;
	}
	if (!put->template) {
		put->spec.kind = ENTRY_FILE;
		return body_store(cli, fd, put);
	}
	if (put->spec.flags & ENTRY_SECRET)
		return why_set(why, -EINVAL,
			       "a template cannot be a secret: its text is in the "
			       "database");
	put->spec.kind = ENTRY_TEMPLATE;
	r = slurp(fd, &put->spec.body);
	return r ? r : template_check(db, scope, put->spec.body, why);
}

/* ---- the commands ---- */

/* Scope and path from the command line, then `fill` for what the kind needs, then
 * the change in one transaction. */
static int change(struct cli *cli, char **argv, struct put *put)
{
	cleanup(db_closep) struct db *db = NULL;
	cleanup(txn_abortp) struct txn *txn = NULL;
	struct why why = {""};
	struct scope scope;
	char path[4096];
	int r;

	r = cli_db(cli, put->what, &db);
	if (r)
		return r;
	r = cli_scope(db, argv[1], &scope, &why);
	if (!r)
		r = overlay_path(argv[2], path, &why);
	if (!r)
		r = way_check(cli, db, path, &why);
	if (!r && put->spec.kind == ENTRY_FILE)
		r = body_take(cli, db, scope, put, &why);
	if (!r) {
		r = txn_begin(db, &txn);
		if (r)
			why_set(&why, r, "%s", db_error(db));
	}
	if (!r)
		r = overlay_change(db, scope, path, &put->spec, NULL, &why);
	if (!r)
		r = txn_commit(take(&txn));
	objects_close(put->store);
	put->store = NULL;
	return r ? cli_fail(put->what, &why, r) : 0;
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

int cmd_overlay_put(struct cli *cli, int argc, char **argv)
{
	struct put put = {.what = "overlay put", .spec.kind = ENTRY_FILE};

	/* What is put is root's unless it is said otherwise. */
	put.spec.flags = ENTRY_OWNER_SET;
	if (cli_args(argc, argv, put_options, put_option, &put, 2, 2) < 0)
		return 2;
	return change(cli, argv, &put);
}

int cmd_overlay_link(struct cli *cli, int argc, char **argv)
{
	struct put put = {.what = "overlay link",
			  .spec = {.kind = ENTRY_LINK, .flags = ENTRY_OWNER_SET}};
	size_t len;

	if (cli_args(argc, argv, boot_options, put_option, &put, 3, 3) < 0)
		return 2;
	len = strlen(argv[3]);
	if (!len || len >= PATH_MAX) {
		option_bad(&put, argv[3], "a link's target");
		return 1;
	}
	put.spec.body = (struct bytes){(uint8_t *)argv[3], len};
	return change(cli, argv, &put);
}

int cmd_overlay_mkdir(struct cli *cli, int argc, char **argv)
{
	struct put put = {.what = "overlay mkdir", .spec.kind = ENTRY_DIR};

	if (cli_args(argc, argv, attr_options, put_option, &put, 2, 2) < 0)
		return 2;
	return change(cli, argv, &put);
}

int cmd_overlay_hide(struct cli *cli, int argc, char **argv)
{
	struct put put = {.what = "overlay hide", .spec.kind = ENTRY_WHITEOUT};

	if (cli_args(argc, argv, boot_options, put_option, &put, 2, 2) < 0)
		return 2;
	return change(cli, argv, &put);
}

int cmd_overlay_opaque(struct cli *cli, int argc, char **argv)
{
	struct put put = {.what = "overlay opaque", .spec.kind = ENTRY_OPAQUE};

	if (cli_args(argc, argv, boot_options, put_option, &put, 2, 2) < 0)
		return 2;
	return change(cli, argv, &put);
}

int cmd_overlay_attr(struct cli *cli, int argc, char **argv)
{
	struct put put = {.what = "overlay attr", .spec.kind = ENTRY_ATTR};

	if (cli_args(argc, argv, attr_options, put_option, &put, 2, 2) < 0)
		return 2;
	if (!(put.spec.flags & (ENTRY_MODE_SET | ENTRY_OWNER_SET)))
		return cli_usage();
	return change(cli, argv, &put);
}

int cmd_overlay_reset(struct cli *cli, int argc, char **argv)
{
	cleanup(txn_abortp) struct txn *txn = NULL;
	cleanup(db_closep) struct db *db = NULL;
	struct put put = {.what = "overlay reset"};
	struct why why = {""};
	struct scope scope;
	char path[4096];
	int r;

	if (cli_args(argc, argv, boot_options, put_option, &put, 2, 2) < 0)
		return 2;
	r = cli_db(cli, put.what, &db);
	if (r)
		return r;
	r = cli_scope(db, argv[1], &scope, &why);
	if (!r)
		r = overlay_path(argv[2], path, &why);
	if (!r)
		r = txn_begin(db, &txn);
	if (!r)
		r = overlay_reset(db, scope, path, put.spec.flags & ENTRY_NEXT_BOOT);
	if (r == -ENOENT)
		why_set(&why, r, "/%s: this overlay has no entry for it", path);
	if (!r)
		r = txn_commit(take(&txn));
	return r ? cli_fail(put.what, &why, r) : 0;
}

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

int cmd_overlay_list(struct cli *cli, int argc, char **argv)
{
	static const char *const columns[] = {"scope", "kind",	 "mode",      "owner",
					      "size",  "secret", "next_boot", "path"};
	cleanup(db_closep) struct db *db = NULL;
	struct why why = {""};
	struct scope scope;
	struct table *t;
	int n = cli_args(argc, argv, NULL, NULL, NULL, 0, 1);
	int r;

	if (n < 0)
		return 2;
	r = cli_db_read(cli, "overlay list", &db);
	if (r)
		return r;
	r = n ? cli_scope(db, argv[1], &scope, &why) : 0;
	if (r)
		return cli_fail("overlay list", &why, r);
	t = table_new(columns, ARRAY_SIZE(columns));
	r = n ? list_scope(db, scope, argv[1], t) : list_all(db, t);
	table_print(t, cli->json);
	return r ? cli_fail("overlay list", NULL, r) : 0;
}

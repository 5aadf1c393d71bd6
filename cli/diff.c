/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Why a path is what it is, how two views differ, and one number for a whole view.
 */
#include "cli/cmd.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/table.h"
#include "common/log.h"
#include "fsd/objects.h"
#include "fsd/view_source.h"

/* ---- explain ---- */

struct explain {
	struct db *db;
	struct table *table;
};

static const char *scope_label(struct db *db, const struct view_step *s, char out[static 96])
{
	static const char host_sql[] = "SELECT 'host:' || name FROM host WHERE id = ?";
	static const char group_sql[] = "SELECT 'group:' || name FROM grp WHERE id = ?";
	sqlite3_stmt *stmt;

	if (!s->entry)
		return "image";
	if (!s->scope)
		return "profile";
	if (s->scope->kind == SCOPE_ALL)
		return "all";
	stmt = db_stmt(db, s->scope->kind == SCOPE_HOST ? host_sql : group_sql);
	out[0] = '\0';
	if (db_query(db, stmt, "u", s->scope->owner) == DB_ROW)
		db_column_text(stmt, 0, out, 96);
	sqlite3_reset(stmt);
	return out;
}

static const char *type_word(uint32_t mode)
{
	return S_ISREG(mode)	? "file"
	       : S_ISDIR(mode)	? "directory"
	       : S_ISLNK(mode)	? "link"
	       : S_ISCHR(mode)	? "character device"
	       : S_ISBLK(mode)	? "block device"
	       : S_ISFIFO(mode) ? "fifo"
				: "socket";
}

static void explain_step(void *ctx, const struct view_step *s)
{
	struct explain *x = ctx;
	char label[96];
	char text[4200];

	table_row(x->table);
	table_text(x->table, scope_label(x->db, s, label));
	if (!s->node)
		table_text(x->table, s->entry ? "hidden" : "nothing");
	else
		table_text(x->table, type_word(s->mode));
	snprintf(text, sizeof(text), "%04o %u:%u", s->mode & 07777, s->uid, s->gid);
	table_text(x->table, s->node ? text : NULL);
	if (s->entry) {
		text[0] = '/';
		log_escape(text + 1, sizeof(text) - 1, s->entry->path, strlen(s->entry->path));
	}
	table_text(x->table, s->entry ? text : NULL);
	table_time(x->table, s->entry ? s->entry->changed_ns : 0);
}

static int explain_run(struct cli *cli)
{
	/* The last row is what the host gets; those above it were beaten. */
	static const char *const columns[] = {"layer", "makes_it", "mode", "entry", "changed"};
	cleanup(cli_view_close) struct cli_view v;
	struct explain x;
	int r = cli_view_open(cli, cli->args[0], &v);

	if (r)
		return r;
	if (!v.host)
		return why_set(&cli->why, -EINVAL, "%s: an image, which has no layers: name a host",
			       cli->args[0]);
	x = (struct explain){cli->db, table_new(columns, ARRAY_SIZE(columns))};
	r = views_explain(v.views, v.host, v.version, cli->args[1], explain_step, &x);
	table_print(x.table, cli->json && !r);
	return r;
}

const struct command command_view_explain = {
	.words = "view explain",
	.usage = "HOST PATH",
	.run = explain_run,
	.db = CLI_READ,
	.min = 2,
	.max = 2,
};

/* ---- two views side by side ---- */

struct pair {
	struct cli_view *v;
	struct view *side[2];
	bool json;
	struct table *table; /* of the JSON form */
};

struct name {
	char *text;
	uint32_t node;
};

struct names {
	struct name *list;
	size_t n;
};

static int name_cmp(const void *a, const void *b)
{
	return strcmp(((const struct name *)a)->text, ((const struct name *)b)->text);
}

static void names_free(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->list[i].text);
	free(names->list);
}

static int names_read(const struct view *view, uint32_t dir, struct names *out)
{
	struct view_dirent d;
	uint64_t cookie = 2;
	size_t room = 0;
	int r;

	*out = (struct names){0};
	while (!(r = view_readdir(view, dir, cookie, &d))) {
		cookie = d.cookie;
		if (out->n == room) {
			struct name *bigger;

			room = room ? room * 2 : 64;
			bigger = realloc(out->list, room * sizeof(*bigger));
			if (!bigger)
				return -ENOMEM;
			out->list = bigger;
		}
		out->list[out->n] = (struct name){strndup(d.name, d.name_len), d.node};
		if (!out->list[out->n++].text)
			return -ENOMEM;
	}
	if (out->n)
		qsort(out->list, out->n, sizeof(*out->list), name_cmp);
	return r == VIEW_END ? 0 : r;
}

static void say(struct pair *p, const char *mark, const char *path, const char *what)
{
	char text[PATH_MAX * 2];
	char safe[1024];

	log_escape(text, sizeof(text), path, strlen(path));
	what = log_printable(safe, sizeof(safe), what, strlen(what));
	if (p->json) {
		table_row(p->table);
		table_text(p->table, text);
		table_text(p->table, *mark == '<' ? "first" : *mark == '>' ? "second" : "both");
		table_text(p->table, what[0] ? what : NULL);
	} else {
		printf("%s %s%s%s\n", mark, text, what[0] ? "  " : "", what);
	}
}

/* A small file of text in memory, for diff(1); -1: not that. */
static int text_fd(struct pair *p, struct view *view, uint32_t node)
{
	cleanup(content_unrefp) struct content *c = NULL;
	cleanup(freep) char *data = NULL;
	uint64_t size;
	int fd;

	if (view_secret(view, node) || contents_open_at_wait(p->v->contents, view, node, 0, 0, &c))
		return -1;
	size = content_size(c);
	if (size > 256 * 1024)
		return -1;
	data = malloc(size + 1);
	if (!data || contents_read(p->v->contents, &c, data, size, 0) != (ssize_t)size ||
	    memchr(data, '\0', size))
		return -1;
	fd = memfd_create("diff", 0);
	if (fd >= 0 && write(fd, data, size) != (ssize_t)size) {
		close(fd);
		return -1;
	}
	return fd;
}

/* The lines that differ, by diff(1), which every system has. */
static void show_lines(struct pair *p, const uint32_t node[2])
{
	int fd[2] = {text_fd(p, p->side[0], node[0]), text_fd(p, p->side[1], node[1])};
	char path[2][32];
	pid_t pid;

	if (fd[0] >= 0 && fd[1] >= 0) {
		for (int i = 0; i < 2; i++)
			snprintf(path[i], sizeof(path[i]), "/dev/fd/%d", fd[i]);
		fflush(stdout);
		pid = fork();
		if (!pid) {
			execlp("sh", "sh", "-c",
			       "diff -U0 \"$0\" \"$1\" | sed -e 1,2d -e 's/^/    /'", path[0],
			       path[1], (char *)NULL);
			_exit(127);
		}
		if (pid > 0)
			waitpid(pid, NULL, 0);
	}
	closep(&fd[0]);
	closep(&fd[1]);
}

/* A regular file's hash, and its attributes then: one that changed since the scan has others
 * once its bytes are taken. */
static int body_of(struct cli_view *v, struct view *view, uint32_t node, struct hash *hash,
		   struct view_attr *attr)
{
	int r = view_body_hash(v->contents, view, node, hash);

	return r ? r : view_attr(view, node, attr);
}

static int compare_bodies(struct pair *p, const uint32_t node[2], struct view_attr attr[2],
			  bool *same)
{
	struct hash hash[2];

	for (int i = 0; i < 2; i++) {
		int r = body_of(p->v, p->side[i], node[i], &hash[i], &attr[i]);

		if (r)
			return r;
	}
	*same = !memcmp(&hash[0], &hash[1], sizeof(hash[0]));
	return 0;
}

static int compare_trees(struct pair *p, const uint32_t dir[2], char *path, size_t len);

static int compare_nodes(struct pair *p, const uint32_t node[2], char *path, size_t len)
{
	struct view_attr a[2];
	struct bytes target[2] = {{0}, {0}};
	char what[256] = "";
	size_t at = 0;
	bool same = true;
	int r = 0;

	for (int i = 0; i < 2 && !r; i++) {
		r = view_attr(p->side[i], node[i], &a[i]);
		if (!r && S_ISLNK(a[i].mode))
			r = view_readlink(p->side[i], node[i], &target[i]);
	}
	if (r)
		return r;
	if ((a[0].mode ^ a[1].mode) & S_IFMT) {
		snprintf(what, sizeof(what), "%s, %s", type_word(a[0].mode), type_word(a[1].mode));
		say(p, "!", path, what);
		return 0;
	}
	if (S_ISREG(a[0].mode)) {
		r = compare_bodies(p, node, a, &same);
		if (r)
			return r;
	}
	if (!same)
		at += (size_t)snprintf(what + at, sizeof(what) - at, " contents");
	if (a[0].mode != a[1].mode)
		at += (size_t)snprintf(what + at, sizeof(what) - at, " mode %04o, %04o",
				       a[0].mode & 07777, a[1].mode & 07777);
	if (a[0].uid != a[1].uid || a[0].gid != a[1].gid)
		at += (size_t)snprintf(what + at, sizeof(what) - at, " owner %u:%u, %u:%u",
				       a[0].uid, a[0].gid, a[1].uid, a[1].gid);
	if (a[0].rdev_major != a[1].rdev_major || a[0].rdev_minor != a[1].rdev_minor)
		at += (size_t)snprintf(what + at, sizeof(what) - at, " device");
	if (target[0].len != target[1].len ||
	    (target[0].len && memcmp(target[0].at, target[1].at, target[0].len)))
		at += (size_t)snprintf(what + at, sizeof(what) - at, " target %.*s, %.*s",
				       (int)target[0].len, target[0].at, (int)target[1].len,
				       target[1].at);
	if (at)
		say(p, "!", path, what + 1);
	if (!same && !p->json)
		show_lines(p, node);
	return S_ISDIR(a[0].mode) ? compare_trees(p, node, path, len) : 0;
}

static int compare_names(struct pair *p, struct names names[2], char *path, size_t len)
{
	size_t i = 0;
	size_t j = 0;

	while (i < names[0].n || j < names[1].n) {
		int c = i == names[0].n	  ? 1
			: j == names[1].n ? -1
					  : strcmp(names[0].list[i].text, names[1].list[j].text);
		const char *name = c > 0 ? names[1].list[j].text : names[0].list[i].text;
		size_t more = (size_t)snprintf(path + len, PATH_MAX - len, "/%s", name);
		int r;

		if (more >= PATH_MAX - len)
			return -ENAMETOOLONG;
		if (c) {
			say(p, c < 0 ? "<" : ">", path, "");
		} else {
			const uint32_t node[2] = {names[0].list[i].node, names[1].list[j].node};

			r = compare_nodes(p, node, path, len + more);
			if (r)
				return r;
		}
		path[len] = '\0';
		i += c <= 0;
		j += c >= 0;
	}
	return 0;
}

static int compare_trees(struct pair *p, const uint32_t dir[2], char *path, size_t len)
{
	struct names names[2] = {{0}, {0}};
	int r = names_read(p->side[0], dir[0], &names[0]);

	if (!r)
		r = names_read(p->side[1], dir[1], &names[1]);
	if (!r)
		r = compare_names(p, names, path, len);
	names_free(&names[0]);
	names_free(&names[1]);
	return r;
}

static int diff_run(struct cli *cli)
{
	static const char *const columns[] = {"path", "in", "differs"};
	const uint32_t roots[2] = {VIEW_ROOT, VIEW_ROOT};
	cleanup(cli_view_close) struct cli_view v;
	struct pair p = {.json = cli->json};
	char path[PATH_MAX] = "";
	int r = cli_view_open(cli, cli->args[0], &v);

	if (!r)
		r = cli_view_other(cli, cli->args[1], &v, &p.side[1]);
	if (r)
		return r;
	p.v = &v;
	p.side[0] = v.view;
	p.table = table_new(columns, ARRAY_SIZE(columns));
	r = compare_trees(&p, roots, path, 0);
	table_print(p.table, cli->json && !r);
	view_unref(p.side[1]);
	return r > 0 ? -EIO : r;
}

const struct command command_view_diff = {
	.words = "view diff",
	.usage = "HOST|NAME[@N] HOST|NAME[@N]",
	.run = diff_run,
	.db = CLI_READ,
	.min = 2,
	.max = 2,
};

/* ---- digest ---- */

static int digest_tree(struct cli_view *v, struct hasher *hasher, uint32_t dir, unsigned int depth);

/* A record of fixed shape, then what varies by type: two trees that feed the same
 * bytes are the same. */
static int digest_node(struct cli_view *v, struct hasher *hasher, const struct name *name,
		       unsigned int depth)
{
	uint8_t record[64];
	struct writer w = writer_of(record, sizeof(record));
	struct bytes target;
	struct view_attr a;
	struct hash hash;
	int r = view_attr(v->view, name->node, &a);

	if (!r && S_ISREG(a.mode))
		r = body_of(v, v->view, name->node, &hash, &a);
	if (r)
		return r;
	writer_be32(&w, depth);
	writer_be32(&w, (uint32_t)strlen(name->text));
	writer_be32(&w, a.mode);
	writer_be32(&w, a.uid);
	writer_be32(&w, a.gid);
	writer_be32(&w, a.rdev_major);
	writer_be32(&w, a.rdev_minor);
	writer_be64(&w, S_ISDIR(a.mode) ? 0 : a.size);
	writer_be64(&w, (uint64_t)a.mtime.sec);
	writer_be32(&w, a.mtime.nsec);
	hasher_add(hasher, record, writer_len(&w));
	hasher_add(hasher, name->text, strlen(name->text));
	if (S_ISREG(a.mode)) {
		hasher_add(hasher, hash.octet, sizeof(hash.octet));
	} else if (S_ISLNK(a.mode)) {
		r = view_readlink(v->view, name->node, &target);
		if (!r)
			hasher_add(hasher, target.at, target.len);
	} else if (S_ISDIR(a.mode)) {
		r = digest_tree(v, hasher, name->node, depth + 1);
	}
	return r;
}

static int digest_tree(struct cli_view *v, struct hasher *hasher, uint32_t dir, unsigned int depth)
{
	struct names names;
	int r = names_read(v->view, dir, &names);

	for (size_t i = 0; !r && i < names.n; i++)
		r = digest_node(v, hasher, &names.list[i], depth);
	names_free(&names);
	return r;
}

static int digest_run(struct cli *cli)
{
	cleanup(cli_view_close) struct cli_view v = {0};
	char empty[] = "";
	const struct name root = {empty, VIEW_ROOT};
	struct hasher hasher;
	char text[2 * HASH_LEN + 1];
	struct hash hash;
	int r;

	hasher_init(&hasher);
	r = cli_view_open(cli, cli->args[0], &v);
	if (!r)
		r = digest_node(&v, &hasher, &root, 0);
	if (r)
		return r > 0 ? -EIO : r;
	hasher_end(&hasher, &hash);
	hash_format(&hash, text);
	puts(text);
	return 0;
}

const struct command command_view_digest = {
	.words = "view digest",
	.usage = "HOST|NAME[@N]",
	.run = digest_run,
	.db = CLI_READ,
	.min = 1,
	.max = 1,
};

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * view ls, stat and cat: a host's or an image's tree, read as a client would have it, by
 * this process.
 */
#include "cli/cmd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cli/table.h"
#include "common/clock.h"
#include "common/log.h"

static int view_errno(int code)
{
	static const int as[] = {
		[VIEW_NOENT] = -ENOENT, [VIEW_NOTDIR] = -ENOTDIR,
		[VIEW_STALE] = -ESTALE, [VIEW_NAMETOOLONG] = -ENAMETOOLONG,
		[VIEW_INVAL] = -EINVAL, [VIEW_LOOP] = -ELOOP,
		[VIEW_END] = -ENOENT,
	};

	return code > 0 && code < (int)ARRAY_SIZE(as) ? as[code] : code;
}

static int fail_path(struct cli *cli, const char *path, int code)
{
	int r = view_errno(code);

	return why_set(&cli->why, r, "%s: %s", path, strerror(-r));
}

static void mode_text(uint32_t mode, char out[static 12])
{
	static const char bits[] = "rwxrwxrwx";

	out[0] = S_ISDIR(mode)	  ? 'd'
		 : S_ISLNK(mode)  ? 'l'
		 : S_ISCHR(mode)  ? 'c'
		 : S_ISBLK(mode)  ? 'b'
		 : S_ISFIFO(mode) ? 'p'
		 : S_ISSOCK(mode) ? 's'
				  : '-';
	for (int i = 0; i < 9; i++)
		out[1 + i] = mode & (0400u >> i) ? bits[i] : '-';
	if (mode & S_ISUID)
		out[3] = mode & 0100 ? 's' : 'S';
	if (mode & S_ISGID)
		out[6] = mode & 010 ? 's' : 'S';
	if (mode & S_ISVTX)
		out[9] = mode & 01 ? 't' : 'T';
	out[10] = '\0';
}

static const char *const columns[] = {"mode",  "links", "owner", "group", "size",
				      "mtime", "node",	"name",	 "target"};

static int row_of(struct table *t, const struct view *view, uint32_t node, const char *name)
{
	struct view_attr a;
	struct bytes target;
	char text[4096];
	int r = view_attr(view, node, &a);

	if (r)
		return r;
	table_row(t);
	mode_text(a.mode, text);
	table_text(t, text);
	table_number(t, a.nlink);
	table_number(t, a.uid);
	table_number(t, a.gid);
	if (S_ISCHR(a.mode) || S_ISBLK(a.mode)) {
		snprintf(text, sizeof(text), "%u,%u", a.rdev_major, a.rdev_minor);
		table_text(t, text);
	} else {
		table_number(t, (int64_t)a.size);
	}
	table_time(t, a.mtime.sec * NS_PER_SEC + a.mtime.nsec);
	table_number(t, a.node);
	/* Names are bytes; JSON and terminals want text. */
	log_escape(text, sizeof(text), name, strlen(name));
	table_text(t, text);
	if (S_ISLNK(a.mode) && !view_readlink(view, node, &target)) {
		log_escape(text, sizeof(text), target.at, target.len);
		table_text(t, text);
	} else {
		table_text(t, NULL);
	}
	return 0;
}

static int ls_rows(struct table *t, const struct view *view, uint32_t node, const char *path)
{
	struct view_dirent d;
	struct view_attr a;
	uint64_t cookie = 2;
	char name[256];
	int r = view_attr(view, node, &a);

	if (r || !S_ISDIR(a.mode))
		return r ? r : row_of(t, view, node, path);
	while (!(r = view_readdir(view, node, cookie, &d))) {
		memcpy(name, d.name, d.name_len);
		name[d.name_len] = '\0';
		r = row_of(t, view, d.node, name);
		if (r)
			return r;
		cookie = d.cookie;
	}
	return r == VIEW_END ? 0 : r;
}

/* ls and stat: the rows of one path. */
static int show(struct cli *cli, bool list)
{
	const char *path = cli->nargs > 1 ? cli->args[1] : "/";
	cleanup(cli_view_close) struct cli_view v;
	struct table *t;
	uint32_t node;
	int r = cli_view_open(cli, cli->args[0], &v);

	if (r)
		return r;
	t = table_new(columns, ARRAY_SIZE(columns));
	r = view_resolve(v.view, VIEW_ROOT, path, list, &node);
	if (!r)
		r = list ? ls_rows(t, v.view, node, path) : row_of(t, v.view, node, path);
	table_print(t, cli->json && !r);
	return r ? fail_path(cli, path, r) : 0;
}

static int ls_run(struct cli *cli)
{
	return show(cli, true);
}

const struct command command_view_ls = {
	.words = "view ls",
	.usage = "HOST|NAME[@N] [PATH]",
	.run = ls_run,
	.db = CLI_READ,
	.min = 1,
	.max = 2,
};

static int stat_run(struct cli *cli)
{
	return show(cli, false);
}

const struct command command_view_stat = {
	.words = "view stat",
	.usage = "HOST|NAME[@N] PATH",
	.run = stat_run,
	.db = CLI_READ,
	.min = 2,
	.max = 2,
};

static int write_all(const uint8_t *data, size_t len)
{
	while (len) {
		ssize_t n = write(STDOUT_FILENO, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int cat(struct cli_view *v, uint32_t node)
{
	cleanup(content_unrefp) struct content *c = NULL;
	static uint8_t chunk[256 * 1024];
	uint64_t at = 0;
	int r = contents_open_at_wait(v->contents, v->view, node, 0, sizeof(chunk), &c);

	while (!r) {
		ssize_t n = contents_read(v->contents, &c, chunk, sizeof(chunk), at);

		if (n <= 0)
			return (int)n;
		at += (uint64_t)n;
		r = write_all(chunk, (size_t)n);
	}
	return r;
}

static int cat_run(struct cli *cli)
{
	cleanup(cli_view_close) struct cli_view v;
	uint32_t node;
	int r = cli_view_open(cli, cli->args[0], &v);

	if (r)
		return r;
	r = view_resolve(v.view, VIEW_ROOT, cli->args[1], true, &node);
	if (!r)
		r = cat(&v, node);
	return r ? fail_path(cli, cli->args[1], r) : 0;
}

const struct command command_view_cat = {
	.words = "view cat",
	.usage = "HOST|NAME[@N] PATH",
	.run = cat_run,
	.db = CLI_READ,
	.min = 2,
	.max = 2,
};

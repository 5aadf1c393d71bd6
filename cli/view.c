/* SPDX-License-Identifier: GPL-2.0-or-later */
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

static int fail_path(const char *what, const char *path, int code)
{
	struct why why = {""};
	int r = view_errno(code);

	why_set(&why, r, "%s: %s", path, strerror(-r));
	return cli_fail(what, &why, r);
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
static int show(struct cli *cli, int argc, char **argv, const char *what, int min, bool list)
{
	struct cli_view v;
	struct table *t;
	const char *path;
	uint32_t node;
	int n = cli_args(argc, argv, NULL, NULL, NULL, min, 2);
	int r;

	if (n < 0)
		return 2;
	path = n > 1 ? argv[2] : "/";
	r = cli_view_open(cli, what, argv[1], &v);
	if (r)
		return r;
	t = table_new(columns, ARRAY_SIZE(columns));
	r = view_resolve(v.view, VIEW_ROOT, path, list, &node);
	if (!r)
		r = list ? ls_rows(t, v.view, node, path) : row_of(t, v.view, node, path);
	if (r)
		r = fail_path(what, path, r);
	table_print(t, cli->json && !r);
	cli_view_close(&v);
	return r;
}

int cmd_view_ls(struct cli *cli, int argc, char **argv)
{
	return show(cli, argc, argv, "view ls", 1, true);
}

int cmd_view_stat(struct cli *cli, int argc, char **argv)
{
	return show(cli, argc, argv, "view stat", 2, false);
}

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

int cmd_view_cat(struct cli *cli, int argc, char **argv)
{
	struct cli_view v;
	uint32_t node;
	int r;

	if (cli_args(argc, argv, NULL, NULL, NULL, 2, 2) < 0)
		return 2;
	r = cli_view_open(cli, "view cat", argv[1], &v);
	if (r)
		return r;
	r = view_resolve(v.view, VIEW_ROOT, argv[2], true, &node);
	if (!r)
		r = cat(&v, node);
	if (r)
		r = fail_path("view cat", argv[2], r);
	cli_view_close(&v);
	return r;
}

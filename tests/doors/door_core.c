/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/doors/door.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsd/contents.h"

struct core {
	struct door door;
	struct view **view;
	struct contents *contents;
};

static struct core *core_of(struct door *door)
{
	return (struct core *)door;
}

static int code(int r)
{
	static const int errnos[] = {
		[VIEW_NOENT] = ENOENT, [VIEW_NOTDIR] = ENOTDIR,
		[VIEW_STALE] = ESTALE, [VIEW_NAMETOOLONG] = ENAMETOOLONG,
		[VIEW_INVAL] = EINVAL, [VIEW_LOOP] = ELOOP,
	};

	return r <= 0 ? -r : errnos[r];
}

static uint32_t number(const struct door_node *node)
{
	uint32_t n;

	memcpy(&n, node->octet, sizeof(n));
	return n;
}

static void node_set(struct door_node *node, uint32_t n)
{
	*node = (struct door_node){.len = sizeof(n)};
	memcpy(node->octet, &n, sizeof(n));
}

static int core_root(struct door *door, const char *tree, struct door_node *out)
{
	(void)door;
	(void)tree;
	node_set(out, VIEW_ROOT);
	return 0;
}

static int core_lookup(struct door *door, const struct door_node *dir, const char *name,
		       struct door_node *out)
{
	uint32_t n;
	int r = view_lookup(*core_of(door)->view, number(dir), name, strlen(name), &n);

	if (!r)
		node_set(out, n);
	return code(r);
}

static int core_attr(struct door *door, const struct door_node *node, struct door_attr *out)
{
	struct view_attr a;
	int r = view_attr(*core_of(door)->view, number(node), &a);

	if (!r)
		*out = (struct door_attr){
			.fileid = a.node,
			.mode = a.mode,
			.nlink = a.nlink,
			.uid = a.uid,
			.gid = a.gid,
			.rdev_major = a.rdev_major,
			.rdev_minor = a.rdev_minor,
			.size = a.size,
			.mtime_sec = a.mtime.sec,
			.mtime_nsec = a.mtime.nsec,
			.ctime_sec = a.ctime.sec,
		};
	return code(r);
}

static int core_list(struct door *door, const struct door_node *dir, uint64_t cookie, size_t room,
		     bool plus, struct door_names *names)
{
	struct view_dirent d;
	int r;

	(void)plus;
	r = view_readdir(*core_of(door)->view, number(dir), cookie, &d);
	while (!r) {
		struct door_name *name = door_names_add(names);

		memcpy(name->name, d.name, d.name_len);
		name->len = d.name_len;
		name->cookie = d.cookie;
		name->fileid = d.node;
		name->type = DT_UNKNOWN;
		if (room < 2 * sizeof(d))
			break;
		room -= sizeof(d);
		r = view_readdir(*core_of(door)->view, number(dir), d.cookie, &d);
	}
	return r == VIEW_END ? 0 : code(r);
}

static int core_readlink(struct door *door, const struct door_node *node, char *out, size_t *len)
{
	struct bytes target;
	int r = view_readlink(*core_of(door)->view, number(node), &target);

	if (r)
		return code(r);
	if (target.len > *len)
		return ENAMETOOLONG;
	memcpy(out, target.at, target.len);
	*len = target.len;
	return 0;
}

static int core_read(struct door *door, const struct door_node *node, uint64_t offset, void *out,
		     size_t *len)
{
	struct core *c = core_of(door);
	struct content *content;
	ssize_t n;
	int r = contents_open_wait(c->contents, *c->view, number(node), &content);

	if (r)
		return code(r);
	n = content_pread(content, out, *len, offset);
	content_unref(content);
	if (n < 0)
		return (int)-n;
	*len = (size_t)n;
	return 0;
}

static void core_drop(struct door *door, const struct door_node *node)
{
	(void)door;
	(void)node;
}

static void core_free(struct door *door)
{
	free(door);
}

struct door *door_core_new(struct view **view, struct contents *contents)
{
	struct core *c = malloc(sizeof(*c));

	if (!c)
		abort();
	*c = (struct core){
		.door = {.word = "core",
			 .top = true,
			 .root = core_root,
			 .lookup = core_lookup,
			 .attr = core_attr,
			 .list = core_list,
			 .readlink = core_readlink,
			 .read = core_read,
			 .drop = core_drop,
			 .free = core_free},
		.view = view,
		.contents = contents,
	};
	return &c->door;
}

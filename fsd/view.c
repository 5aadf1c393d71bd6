/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a door asks of one view, answered by its tree.
 */
#include "fsd/view_cache.h"

#include <errno.h>
#include <stdlib.h>

uint32_t view_host(const struct view *view)
{
	return view->host;
}

uint32_t view_version(const struct view *view)
{
	return view->version;
}

uint64_t view_fsid(const struct view *view)
{
	return (uint64_t)view->host << 32 | view->version;
}

const struct tree *view_tree(const struct view *view)
{
	return view->tree;
}

int view_attr(const struct view *view, uint32_t node, struct view_attr *out)
{
	struct tree_node n;
	int r = tree_node(view->tree, node, &n);

	if (r)
		return r;
	*out = (struct view_attr){
		.node = n.id,
		.parent = S_ISDIR(n.mode) ? (n.parent ? n.parent : VIEW_ROOT) : 0,
		.mode = n.mode,
		.nlink = n.nlink,
		.uid = n.uid,
		.gid = n.gid,
		.rdev_major = n.rdev[0],
		.rdev_minor = n.rdev[1],
		.size = n.size,
		.mtime = n.mtime,
		.ctime = n.ctime,
	};
	return 0;
}

int view_lookup(const struct view *view, uint32_t dir, const char *name, size_t len, uint32_t *node)
{
	struct tree_node n;
	int r;

	if (len > 255)
		return VIEW_NAMETOOLONG;
	if (len && name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'))) {
		r = tree_node(view->tree, dir, &n);
		if (r)
			return r;
		if (!S_ISDIR(n.mode))
			return VIEW_NOTDIR;
		*node = len == 1 ? dir : n.parent ? n.parent : VIEW_ROOT;
		return 0;
	}
	return tree_child(view->tree, dir, name, len, node);
}

int view_readdir(const struct view *view, uint32_t dir, uint64_t cookie, struct view_dirent *out)
{
	struct tree_node n;
	int r;

	if (cookie >= 2)
		return tree_next(view->tree, dir, cookie, out);
	r = tree_node(view->tree, dir, &n);
	if (r)
		return r;
	if (!S_ISDIR(n.mode))
		return VIEW_NOTDIR;
	*out = (struct view_dirent){
		.cookie = cookie + 1,
		.node = cookie == 0 ? dir
			: n.parent  ? n.parent
				    : VIEW_ROOT,
		.name_len = (uint8_t)(cookie + 1),
		.name = "..",
	};
	return 0;
}

int view_readlink(const struct view *view, uint32_t node, struct bytes *target)
{
	struct tree_node n;
	int r = tree_node(view->tree, node, &n);

	if (r)
		return r;
	if (!S_ISLNK(n.mode))
		return VIEW_INVAL;
	*target = n.text;
	return 0;
}

int view_resolve(const struct view *view, uint32_t from, const char *path, bool follow,
		 uint32_t *node)
{
	return tree_walk(view->tree, from, path, follow, node, NULL);
}

ssize_t view_path(const struct view *view, uint32_t node, char *out, size_t size)
{
	char *at = out + size;
	size_t len;

	if (!size)
		return -ENAMETOOLONG;
	*--at = '\0';
	while (node != VIEW_ROOT) {
		struct bytes name = tree_name(view->tree, node);
		struct tree_node n;

		if (!name.len || tree_node(view->tree, node, &n))
			return -ESTALE;
		if ((size_t)(at - out) < name.len + 1)
			return -ENAMETOOLONG;
		at -= name.len;
		memcpy(at, name.at, name.len);
		*--at = '/';
		node = tree_parent(view->tree, node);
		if (!node)
			return -ESTALE;
	}
	if (!*at && at > out)
		*--at = '/';
	len = (size_t)(out + size - 1 - at);
	memmove(out, at, len + 1);
	return (ssize_t)len;
}

bool view_secret(const struct view *view, uint32_t node)
{
	struct tree_node n;

	return !tree_node(view->tree, node, &n) && n.entry && (n.entry->flags & ENTRY_SECRET);
}

void view_stats(const struct view *view, struct view_stats *out)
{
	const struct manifest *m = version_manifest(tree_version(view->tree));

	*out = (struct view_stats){manifest_bytes(m), manifest_count(m)};
}

int view_source(const struct view *view, uint32_t node, struct view_source *out)
{
	struct tree_node n;
	int r = tree_node(view->tree, node, &n);

	if (r)
		return r;
	if (S_ISDIR(n.mode))
		return -EISDIR;
	if (!S_ISREG(n.mode))
		return -EINVAL;
	*out = (struct view_source){
		.source = n.source,
		.version = tree_version(view->tree),
		.pos = n.image_pos,
		.size = n.size,
		.text = n.text,
	};
	if (n.source == TREE_OBJECT || n.source == TREE_SECRET)
		out->hash = n.entry->hash;
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/changes.h"

#include <string.h>
#include <sys/stat.h>

#include "fsd/view_source.h"

static bool time_equal(struct view_time a, struct view_time b)
{
	return a.sec == b.sec && a.nsec == b.nsec;
}

static bool attr_equal(const struct view_attr *a, const struct view_attr *b)
{
	return a->mode == b->mode && a->nlink == b->nlink && a->uid == b->uid && a->gid == b->gid &&
	       a->rdev_major == b->rdev_major && a->rdev_minor == b->rdev_minor &&
	       a->size == b->size && time_equal(a->mtime, b->mtime) &&
	       time_equal(a->ctime, b->ctime);
}

/* A put file's body never changes under its number; a template's does, with its
 * keys. */
static bool text_equal(const struct view *old, const struct view *now, uint32_t node)
{
	struct view_source a;
	struct view_source b;

	if (view_source(old, node, &a) || view_source(now, node, &b))
		return true;
	if (a.source != TREE_TEXT || b.source != TREE_TEXT)
		return a.source == b.source;
	return a.text.len == b.text.len && !memcmp(a.text.at, b.text.at, a.text.len);
}

/* Names of `dir` in `from` that `to` lacks or, with `moved`, that lead elsewhere.
 * Before the first the directory itself is told.  Returns false when nobody knows it. */
static bool names_tell(const struct view *from, const struct view *to, uint32_t dir, bool moved,
		       uint64_t add, const struct changes_sink *sink, bool *told)
{
	struct view_dirent entry;
	uint64_t cookie = 2;
	uint32_t node;

	for (; !view_readdir(from, dir, cookie, &entry); cookie = entry.cookie) {
		int r = view_lookup(to, dir, entry.name, entry.name_len, &node);

		if (!r && (!moved || node == entry.node))
			continue;
		if (!*told) {
			*told = true;
			if (!sink->node(sink->ctx, add + dir, true))
				return false;
		}
		sink->name(sink->ctx, add + dir, entry.name, entry.name_len);
	}
	return true;
}

static void node_tell(const struct view *old, const struct view *now, uint32_t node, uint64_t add,
		      const struct changes_sink *sink)
{
	struct view_attr a;
	struct view_attr b;
	bool was = !view_attr(old, node, &a);
	bool is = !view_attr(now, node, &b);
	bool bytes = false;
	bool told = false;
	bool known = true;

	if (!was || !is) {
		/* Nobody was told of the one, and the other's name is gone. */
		if (was)
			sink->node(sink->ctx, add + node, true);
		return;
	}
	if (!S_ISDIR(a.mode) || !S_ISDIR(b.mode)) {
		bytes = !text_equal(old, now, node);
	} else {
		if (a.parent != b.parent) { /* its listing says what ".." is */
			told = true;
			known = sink->node(sink->ctx, add + node, true);
		}
		if (known && names_tell(old, now, node, true, add, sink, &told))
			names_tell(now, old, node, false, add, sink, &told);
	}
	if (!told && (bytes || !attr_equal(&a, &b)))
		sink->node(sink->ctx, add + node, bytes);
}

void changes_tell(const struct view *old, const struct view *now, uint64_t add,
		  const struct changes_sink *sink)
{
	const struct view *both[] = {old, now};

	for (int i = 0; i < 2; i++) {
		uint32_t cursor = 0;
		uint32_t node;

		while ((node = tree_touched(view_tree(both[i]), &cursor)))
			node_tell(old, now, node, add, sink);
	}
}

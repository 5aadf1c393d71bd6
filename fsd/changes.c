/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/changes.h"

#include <string.h>
#include <sys/stat.h>

#include "fsd/tree_nodes.h"
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

/* ---- names ---- */

/* A directory that is being told of; itself first, and not when nobody knows it. */
struct telling {
	const struct view *old;
	const struct view *now;
	const struct changes_sink *sink;
	uint64_t add;
	uint32_t dir;
	bool told;
	bool known;
};

static void dir_tell(struct telling *t)
{
	if (t->told)
		return;
	t->told = true;
	t->known = t->sink->node(t->sink->ctx, t->add + t->dir, true);
}

static void name_tell(struct telling *t, const char *name, size_t len)
{
	dir_tell(t);
	if (t->known)
		t->sink->name(t->sink->ctx, t->add + t->dir, name, len);
}

/* Names of the directory in `from` that `to` lacks or, with `moved`, that lead
 * elsewhere. */
static void names_all(struct telling *t, const struct view *from, const struct view *to, bool moved)
{
	struct view_dirent entry;
	uint64_t cookie = 2;
	uint32_t node;

	for (; !view_readdir(from, t->dir, cookie, &entry); cookie = entry.cookie)
		if (view_lookup(to, t->dir, entry.name, entry.name_len, &node) ||
		    (moved && node != entry.node))
			name_tell(t, entry.name, entry.name_len);
}

/* What a name that an entry touched means in one view, 0 for nothing. */
static uint32_t name_means(const struct view *view, uint32_t dir, const char *name)
{
	uint32_t node;

	return view_lookup(view, dir, name, strlen(name), &node) ? 0 : node;
}

/* Where the image shows through in both or in neither, only names that entries touched
 * can differ: a directory of thousands costs those. */
static void names_tell(struct telling *t, const struct changed_dir *a, const struct changed_dir *b)
{
	const struct changed_dir none = {.id = t->dir};
	uint32_t i = 0;
	uint32_t k = 0;

	if (!a)
		a = &none;
	if (!b)
		b = &none;
	if (a->opaque != b->opaque) {
		names_all(t, t->old, t->now, true);
		names_all(t, t->now, t->old, false);
		return;
	}
	while (i < a->n || k < b->n) {
		int c = i == a->n ? 1 : k == b->n ? -1 : strcmp(a->names[i].name, b->names[k].name);
		const char *name = c > 0 ? b->names[k].name : a->names[i].name;

		if (c || a->names[i].id != b->names[k].id)
			if (name_means(t->old, t->dir, name) != name_means(t->now, t->dir, name))
				name_tell(t, name, strlen(name));
		i += c <= 0;
		k += c >= 0;
	}
}

static void node_tell(const struct view *old, const struct view *now, uint32_t node, uint64_t add,
		      const struct changes_sink *sink)
{
	struct telling t = {.old = old, .now = now, .sink = sink, .add = add, .dir = node};
	struct view_attr a;
	struct view_attr b;
	bool was = !view_attr(old, node, &a);
	bool is = !view_attr(now, node, &b);
	bool bytes = false;

	if (!was || !is) {
		/* Nobody was told of the one, and the other's name is gone. */
		if (was)
			sink->node(sink->ctx, add + node, true);
		return;
	}
	if (!S_ISDIR(a.mode) || !S_ISDIR(b.mode)) {
		bytes = !text_equal(old, now, node);
	} else {
		if (a.parent != b.parent) /* its listing says what ".." is */
			dir_tell(&t);
		names_tell(&t, tree_dir_find(view_tree(old), node),
			   tree_dir_find(view_tree(now), node));
	}
	if (!t.told && (bytes || !attr_equal(&a, &b)))
		sink->node(sink->ctx, add + node, bytes);
}

/* ---- which nodes ---- */

/* Made alike, from the same rows: nothing of it can have changed. */
static bool node_same(const struct tree *old, const struct tree *now, const struct changed_node *a,
		      const struct changed_node *b)
{
	struct bytes x;
	struct bytes y;

	if (!a || !b)
		return a == b;
	if (a->parent != b->parent || a->uid != b->uid || a->gid != b->gid || a->mode != b->mode ||
	    a->flags != b->flags || a->entry != b->entry || a->attr != b->attr)
		return false;
	if (!a->rendered && !b->rendered)
		return true;
	x = tree_rendered(old, a);
	y = tree_rendered(now, b);
	return old->keys_ns == now->keys_ns && x.len == y.len &&
	       (!x.len || !memcmp(x.at, y.at, x.len));
}

static bool dir_same(const struct changed_dir *a, const struct changed_dir *b)
{
	if (!a || !b)
		return a == b;
	if (a->opaque != b->opaque || a->nlink != b->nlink || a->n != b->n ||
	    a->touched_ns != b->touched_ns)
		return false;
	for (uint32_t i = 0; i < a->n; i++)
		if (a->names[i].id != b->names[i].id ||
		    (a->names[i].name != b->names[i].name &&
		     strcmp(a->names[i].name, b->names[i].name) != 0))
			return false;
	return true;
}

/* Where the walk along one tree's sorted nodes and directories is. */
struct place {
	uint32_t node;
	uint32_t dir;
};

static uint32_t place_id(const struct tree *t, struct place at)
{
	uint32_t node = at.node < t->nnodes ? t->nodes[at.node].id : UINT32_MAX;
	uint32_t dir = at.dir < t->ndirs ? t->dirs[at.dir].id : UINT32_MAX;

	return node < dir ? node : dir;
}

/* What the tree has of the node, stepped over. */
static void place_take(const struct tree *t, struct place *at, uint32_t id,
		       const struct changed_node **node, const struct changed_dir **dir)
{
	bool has_node = at->node < t->nnodes && t->nodes[at->node].id == id;
	bool has_dir = at->dir < t->ndirs && t->dirs[at->dir].id == id;

	*node = has_node ? &t->nodes[at->node++] : NULL;
	*dir = has_dir ? &t->dirs[at->dir++] : NULL;
}

/* Hard-linked files of the image some of whose names are hidden in `a`, otherwise than
 * in `b`. */
static void links_tell(const struct view *a, const struct view *b, uint64_t add,
		       const struct changes_sink *sink)
{
	const struct map *links = &view_tree(a)->fewer_links;

	for (uint32_t i = 0; i < links->size; i++) {
		uint32_t id = links->slots[i].key;
		const uint32_t *other = id ? map_get(&view_tree(b)->fewer_links, id) : NULL;

		if (id && (!other || *other != links->slots[i].value))
			node_tell(a, b, id, add, sink);
	}
}

void changes_tell(const struct view *old, const struct view *now, uint64_t add,
		  const struct changes_sink *sink)
{
	const struct tree *a = view_tree(old);
	const struct tree *b = view_tree(now);
	struct place in_a = {0};
	struct place in_b = {0};

	for (;;) {
		const struct changed_node *node_a;
		const struct changed_node *node_b;
		const struct changed_dir *dir_a;
		const struct changed_dir *dir_b;
		uint32_t id = place_id(a, in_a);

		if (place_id(b, in_b) < id)
			id = place_id(b, in_b);
		if (id == UINT32_MAX)
			break;
		place_take(a, &in_a, id, &node_a, &dir_a);
		place_take(b, &in_b, id, &node_b, &dir_b);
		if (!node_same(a, b, node_a, node_b) || !dir_same(dir_a, dir_b))
			node_tell(old, now, id, add, sink);
	}
	links_tell(old, now, add, sink);
	links_tell(now, old, add, sink);
}

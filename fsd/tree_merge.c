/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Laying entries over a tree, until it is frozen.
 */
#include "fsd/tree_nodes.h"

#include "common/array.h"

#include <errno.h>
#include <stdlib.h>

static int map_put(struct map *map, uint32_t key, uint32_t value)
{
	uint32_t *old = map_get(map, key);
	uint32_t i;

	if (old) {
		*old = value;
		return 0;
	}
	if (map->n * 2 >= map->size) {
		struct map bigger = {.size = map->size ? map->size * 2 : 16};

		bigger.slots = calloc(bigger.size, sizeof(*bigger.slots));
		if (!bigger.slots)
			return -ENOMEM;
		for (uint32_t s = 0; s < map->size; s++)
			if (map->slots[s].key)
				map_put(&bigger, map->slots[s].key, map->slots[s].value);
		free(map->slots);
		*map = bigger;
	}
	i = map_home(map, key);
	while (map->slots[i].key)
		i = (i + 1) & (map->size - 1);
	map->slots[i] = (struct map_slot){key, value};
	map->n++;
	return 0;
}

/* The changeable form of any node. */
static int node_edit(struct tree *t, uint32_t id, struct changed_node **out)
{
	int r;

	*out = tree_node_find(t, id);
	if (*out)
		return 0;
	r = array_grow(&t->nodes, t->nnodes, sizeof(*t->nodes));
	if (!r)
		r = map_put(&t->node_by_id, id, t->nnodes);
	if (r)
		return r;
	*out = &t->nodes[t->nnodes++];
	**out = (struct changed_node){.id = id};
	return 0;
}

static int dir_edit(struct tree *t, uint32_t id, struct changed_dir **out)
{
	int r;

	*out = tree_dir_find(t, id);
	if (*out)
		return 0;
	r = array_grow(&t->dirs, t->ndirs, sizeof(*t->dirs));
	if (!r)
		r = map_put(&t->dir_by_id, id, t->ndirs);
	if (r)
		return r;
	*out = &t->dirs[t->ndirs++];
	**out = (struct changed_dir){.id = id, .opaque = !is_image(t, id), .touched_ns = INT64_MIN};
	return 0;
}

static int fewer_links(struct tree *t, uint32_t id)
{
	uint32_t *old = map_get(&t->fewer_links, id);

	return map_put(&t->fewer_links, id, old ? *old + 1 : 1);
}

/* The tree below (and with) `id` is no longer to be seen: names of hard-linked
 * files in it count no more.  The manifest bounds how many there are. */
static int links_lost(struct tree *t, uint32_t id)
{
	cleanup(freep) uint32_t *stack = NULL;
	struct view_dirent entry;
	struct tree_node n;
	uint32_t depth = 0;
	int r;

	if (!manifest_has_links(t->m))
		return 0;
	r = array_grow(&stack, depth, sizeof(*stack));
	if (r)
		return r;
	stack[depth++] = id;
	while (depth) {
		uint32_t at = stack[--depth];

		r = tree_node(t, at, &n);
		if (r)
			return r;
		if (!S_ISDIR(n.mode)) {
			if (is_image(t, at) && n.nlink > 1)
				r = fewer_links(t, n.id);
			if (r)
				return r;
			continue;
		}
		/* Names that only overlays have are no links of the image. */
		for (uint64_t cookie = 2; !(r = tree_next(t, at, cookie, &entry));
		     cookie = entry.cookie) {
			if (entry.cookie >= TREE_OVERLAY)
				break;
			r = array_grow(&stack, depth, sizeof(*stack));
			if (r)
				return r;
			stack[depth++] = entry.node;
		}
		if (r && r != VIEW_END)
			return r;
	}
	return 0;
}

/* The position of a name in the image's directory, whatever lies over it. */
static int image_find(const struct tree *t, uint32_t dir, struct bytes name, uint32_t *pos)
{
	const struct manifest_node *image = is_image(t, dir) ? manifest_at(t->m, dir - 1) : NULL;

	if (!image || !S_ISDIR(image->mode))
		return MANIFEST_NOENT;
	return manifest_find(t->m, image, (const char *)name.at, name.len, pos);
}

/* What `dir` has under `name`: *id and *n; 0 when nothing. */
static int name_get(const struct tree *t, uint32_t dir, struct bytes name, uint32_t *id,
		    struct tree_node *n)
{
	int r = tree_child(t, dir, (const char *)name.at, name.len, id);

	if (r == VIEW_NOENT) {
		*id = 0;
		return 0;
	}
	return r ? r : tree_node(t, *id, n);
}

/* Make `name` of `dir` mean `id` (0: nothing); what it meant goes.  `name` is the
 * end of an entry's path. */
static int name_set(struct tree *t, uint32_t dir_id, struct bytes name, uint32_t id,
		    uint32_t path_id)
{
	uint32_t cookie = TREE_OVERLAY + path_id;
	struct changed_dir *dir;
	struct tree_node old;
	struct tree_node new;
	uint32_t old_id;
	uint32_t pos;
	uint32_t i;
	bool found;
	int r;

	r = name_get(t, dir_id, name, &old_id, &old);
	if (r || old_id == id)
		return r;
	if (old_id)
		r = links_lost(t, old_id);
	if (!r && id)
		r = tree_node(t, id, &new);
	if (!r)
		r = dir_edit(t, dir_id, &dir);
	if (r)
		return r;
	if (old_id && S_ISDIR(old.mode))
		dir->nlink--;
	if (id && S_ISDIR(new.mode))
		dir->nlink++;
	i = tree_name_slot(dir, (const char *)name.at, name.len, &found);
	if (!found) {
		/* The image's cookie even where nothing of the image shows: a listing that
		 * began before that goes on after it. */
		r = image_find(t, dir_id, name, &pos);
		if (r < 0)
			return r;
		if (!r)
			cookie = pos + 2;
		r = array_grow(&dir->names, dir->n, sizeof(*dir->names));
		if (r)
			return r;
		memmove(&dir->names[i + 1], &dir->names[i], (dir->n - i) * sizeof(*dir->names));
		dir->names[i] = (struct changed_name){(const char *)name.at, 0, cookie};
		dir->n++;
	} else if (dir->names[i].cookie > cookie) {
		/* Several rows lead here, through links: the lowest path stands for the name. */
		dir->names[i].cookie = cookie;
	}
	dir->names[i].id = id;
	return 0;
}

static int dir_touch(struct tree *t, uint32_t id, int64_t ns)
{
	struct changed_dir *dir;
	int r = dir_edit(t, id, &dir);

	if (!r && dir->touched_ns < ns)
		dir->touched_ns = ns;
	return r;
}

/* Nothing is in the directory any more.  The names stay, hidden, for their cookies:
 * should one come back, it is where it was. */
static void names_hide(struct changed_dir *dir)
{
	for (uint32_t i = 0; i < dir->n; i++)
		dir->names[i].id = 0;
	dir->nlink = 0;
}

/* ---- what one entry puts ---- */

static bool puts_dir(const struct entry *e)
{
	return e->kind == ENTRY_DIR || e->kind == ENTRY_OPAQUE || e->kind == ENTRY_PARENT ||
	       e->kind == ENTRY_PARENT_ATTR;
}

static uint32_t put_id(const struct entry *e)
{
	return TREE_NODE_OVERLAY + (puts_dir(e) ? e->path_id : e->id);
}

/* A weaker scope's row of the same path may have put the directory elsewhere, where a
 * link led then, or it was hidden since: this one is another, then. */
static uint32_t put_id_twin(const struct entry *e)
{
	return TREE_NODE_OVERLAY + e->id;
}

static void attr_set(struct changed_node *n, const struct entry *e)
{
	if ((e->flags & ENTRY_MODE_SET) && !S_ISLNK(n->mode)) {
		n->mode = (uint16_t)((n->mode & S_IFMT) | e->mode);
		n->flags |= NODE_MODE;
	}
	if (e->flags & ENTRY_OWNER_SET) {
		n->uid = e->uid;
		n->gid = e->gid;
		n->flags |= NODE_OWNER;
	}
}

/* A node for the entry, detached: without a name. */
static int put_node(struct tree *t, const struct entry *e, uint32_t id)
{
	struct changed_node *n;
	int r = node_edit(t, id, &n);

	if (r)
		return r;
	*n = (struct changed_node){
		.id = id,
		.mode = e->kind == ENTRY_LINK ? S_IFLNK | 0777
			: puts_dir(e)	      ? S_IFDIR | 0755
					      : S_IFREG | 0644,
		.flags = NODE_MODE | NODE_OWNER,
		.entry = e,
	};
	attr_set(n, e);
	return 0;
}

static bool has_name(const struct tree *t, uint32_t id)
{
	const struct changed_node *n = tree_node_find(t, id);

	return n && n->parent;
}

/* What an entry puts, detached: it answers those who hold it from another view,
 * whatever becomes of its name in this one.  Returns 0, VIEW_NOENT for a template
 * that cannot be rendered, or a negative errno. */
static int put_detached(struct tree *t, const struct entry *e, template_lookup *lookup, void *ctx)
{
	struct rendered made = {0};
	size_t len = 0;
	int r;

	if (puts_dir(e)) {
		r = has_name(t, put_id(e)) ? 0 : put_node(t, e, put_id(e));
		return r ? r : put_node(t, e, put_id_twin(e));
	}
	if (e->kind != ENTRY_TEMPLATE || !memmem(e->body.at, e->body.len, "{{", 2))
		return put_node(t, e, put_id(e));
	r = array_grow(&t->rendered, t->nrendered, sizeof(*t->rendered));
	if (!r)
		r = template_render(e->body, lookup, ctx, &made.text, &len, NULL);
	if (r)
		return r == -EINVAL || r == -EFBIG ? VIEW_NOENT : r;
	made.len = (uint32_t)len;
	t->rendered[t->nrendered++] = made;
	r = put_node(t, e, put_id(e));
	if (!r)
		tree_node_find(t, put_id(e))->rendered = t->nrendered;
	return r;
}

static bool puts_node(const struct entry *e)
{
	return e->kind != ENTRY_WHITEOUT && e->kind != ENTRY_ATTR;
}

/* Give the entry's node its name. */
static int put_name(struct tree *t, const struct entry *e, uint32_t dir, struct bytes name)
{
	uint32_t id = has_name(t, put_id(e)) ? put_id_twin(e) : put_id(e);
	int r = tree_node_find(t, id) ? 0 : put_node(t, e, id);

	if (r)
		return r;
	tree_node_find(t, id)->parent = dir;
	r = name_set(t, dir, name, id, e->path_id);
	return r ? r : dir_touch(t, dir, e->changed_ns);
}

/* ---- what one entry changes ---- */

/* The mode and the owner of a node that stays. */
static int change_attr(struct tree *t, const struct entry *e, uint32_t dir, struct bytes name,
		       uint32_t id, const struct tree_node *now)
{
	struct changed_node *n;
	uint32_t pos;
	int r;

	if (!(e->flags & (ENTRY_MODE_SET | ENTRY_OWNER_SET)))
		return 0;
	if (!S_ISDIR(now->mode) && is_image(t, id) && now->nlink > 1) {
		/* Only this name of the file changes: it leaves its group. */
		r = image_find(t, dir, name, &pos);
		if (r)
			return r < 0 ? r : -EUCLEAN;
		id = TREE_NODE_ALONE + pos + 1;
		r = name_set(t, dir, name, id, e->path_id);
		if (r)
			return r;
	}
	r = node_edit(t, id, &n);
	if (r)
		return r;
	if (!n->mode)
		n->mode = now->mode & S_IFMT;
	attr_set(n, e);
	n->attr = e;
	return 0;
}

/* All that is in the directory goes. */
static int change_opaque(struct tree *t, const struct entry *e, uint32_t dir, struct bytes name,
			 uint32_t id, const struct tree_node *now)
{
	struct changed_dir *children;
	struct view_dirent entry;
	uint64_t cookie = 2;
	int32_t nlink;
	int r;

	while (!(r = tree_next(t, id, cookie, &entry)) && entry.cookie < TREE_OVERLAY) {
		cookie = entry.cookie;
		r = links_lost(t, entry.node);
		if (r)
			return r;
	}
	if (r < 0)
		return r;
	r = dir_touch(t, id, e->changed_ns);
	if (!r)
		r = dir_edit(t, id, &children);
	if (r)
		return r;
	nlink = children->nlink - (int32_t)now->nlink + 2; /* the image's own count goes, too */
	names_hide(children);
	children->nlink = nlink;
	children->opaque = true;
	return change_attr(t, e, dir, name, id, now);
}

/* The entry is in force, and `dir` is where its name is. */
static int apply_in_force(struct tree *t, const struct entry *e, uint32_t dir, struct bytes name)
{
	struct tree_node now;
	uint32_t old = VIEW_ROOT;
	int r = name.len ? name_get(t, dir, name, &old, &now) : tree_node(t, old, &now);

	if (r)
		return r;
	switch (e->kind) {
	case ENTRY_WHITEOUT:
		r = name_set(t, dir, name, 0, e->path_id);
		return r ? r : dir_touch(t, dir, e->changed_ns);
	case ENTRY_PARENT:
		if (old)
			return 0;
		break;
	case ENTRY_PARENT_ATTR:
		if (old)
			return change_attr(t, e, dir, name, old, &now);
		break;
	case ENTRY_ATTR:
		return old ? change_attr(t, e, dir, name, old, &now) : VIEW_NOENT;
	case ENTRY_DIR:
		if (old && S_ISDIR(now.mode))
			return change_attr(t, e, dir, name, old, &now);
		break;
	case ENTRY_OPAQUE:
		if (old && S_ISDIR(now.mode))
			return change_opaque(t, e, dir, name, old, &now);
		break;
	}
	return put_name(t, e, dir, name);
}

int tree_apply(struct tree *t, const struct entry *e, uint64_t pin, template_lookup *lookup,
	       void *ctx)
{
	const char *slash = strrchr(e->path, '/');
	const char *last = slash ? slash + 1 : e->path;
	cleanup(freep) char *above = NULL;
	uint32_t dir = VIEW_ROOT;
	struct tree_node n;
	int way;
	int r;

	if ((e->flags & ENTRY_NEXT_BOOT) && e->change > pin)
		return 0;
	above = strndup(e->path, slash ? (size_t)(slash - e->path) : 0);
	if (!above)
		return -ENOMEM;
	way = tree_walk(t, VIEW_ROOT, above, true, &dir, NULL);
	if (!way)
		way = tree_node(t, dir, &n);
	if (!way && !S_ISDIR(n.mode))
		way = VIEW_NOTDIR;
	if (way < 0)
		return way;
	/* The profile is the same in all views of a version: what has no place in one has
	 * none in another. */
	r = puts_node(e) && !(e->kind == ENTRY_PARENT && e->id < ENTRY_ID_FIRST)
		    ? put_detached(t, e, lookup, ctx)
		    : 0;
	if (!entry_in_force(e, pin)) {
		if (r >= 0 && !way) /* once it may have had the keys that it lacks */
			r = dir_touch(t, dir, e->retired_ns);
		return r < 0 ? r : 0;
	}
	if (way || r)
		return r ? r : way;
	return apply_in_force(t, e, dir, (struct bytes){(const uint8_t *)last, strlen(last)});
}

/* ---- the end ---- */

static int extra_cmp(const void *a, const void *b, void *ctx)
{
	const struct changed_dir *dir = ctx;
	uint32_t x = dir->names[*(const uint32_t *)a].cookie;
	uint32_t y = dir->names[*(const uint32_t *)b].cookie;

	return (x > y) - (x < y);
}

static int node_cmp(const void *a, const void *b)
{
	uint32_t x = ((const struct changed_node *)a)->id;
	uint32_t y = ((const struct changed_node *)b)->id;

	return (x > y) - (x < y);
}

static int dir_cmp(const void *a, const void *b)
{
	uint32_t x = ((const struct changed_dir *)a)->id;
	uint32_t y = ((const struct changed_dir *)b)->id;

	return (x > y) - (x < y);
}

/* Give back what the doubling took too much of.  Failing to is no failure. */
static void array_trim(void *array_p, uint32_t n, size_t size)
{
	void **array = array_p;
	void *smaller = n ? realloc(*array, n * size) : NULL;

	if (smaller)
		*array = smaller;
}

static int dir_freeze(struct changed_dir *dir)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < dir->n; i++)
		n += dir->names[i].id && (dir->opaque || dir->names[i].cookie >= TREE_OVERLAY);
	array_trim(&dir->names, dir->n, sizeof(*dir->names));
	if (!n)
		return 0;
	dir->extra = malloc(n * sizeof(*dir->extra));
	if (!dir->extra)
		return -ENOMEM;
	for (uint32_t i = 0; i < dir->n; i++)
		if (dir->names[i].id && (dir->opaque || dir->names[i].cookie >= TREE_OVERLAY))
			dir->extra[dir->nextra++] = i;
	qsort_r(dir->extra, dir->nextra, sizeof(*dir->extra), extra_cmp, dir);
	return 0;
}

int tree_freeze(struct tree *t)
{
	for (uint32_t d = 0; d < t->ndirs; d++) {
		int r = dir_freeze(&t->dirs[d]);

		if (r)
			return r;
	}
	array_trim(&t->nodes, t->nnodes, sizeof(*t->nodes));
	array_trim(&t->rendered, t->nrendered, sizeof(*t->rendered));
	array_trim(&t->dirs, t->ndirs, sizeof(*t->dirs));
	if (t->nnodes)
		qsort(t->nodes, t->nnodes, sizeof(*t->nodes), node_cmp);
	if (t->ndirs)
		qsort(t->dirs, t->ndirs, sizeof(*t->dirs), dir_cmp);
	free(t->node_by_id.slots);
	free(t->dir_by_id.slots);
	t->node_by_id = t->dir_by_id = (struct map){0};
	t->frozen = true;
	return 0;
}

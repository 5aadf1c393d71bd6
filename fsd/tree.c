/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/tree.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "common/clock.h"

#define NONE UINT32_MAX
enum { TREE_LINKS_MAX = 40 };

/* uint32_t to uint32_t by open addressing; key 0 is free. */
struct map {
	struct map_slot {
		uint32_t key;
		uint32_t value;
	} * slots;
	uint32_t n;
	uint32_t size; /* a power of two, or 0 */
};

static uint32_t map_home(const struct map *map, uint32_t key)
{
	return key * 2654435761u & (map->size - 1);
}

static uint32_t *map_get(const struct map *map, uint32_t key)
{
	if (!map->n)
		return NULL;
	for (uint32_t i = map_home(map, key); map->slots[i].key; i = (i + 1) & (map->size - 1))
		if (map->slots[i].key == key)
			return &map->slots[i].value;
	return NULL;
}

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

/* A node that is not as the image has it. */
struct changed_node {
	struct tree_node n;
	struct bytes name; /* in its parent; empty when detached */
	char *rendered;	   /* owned */
};

/* A name that is not as the image has it. */
struct changed_name {
	struct bytes name;
	uint32_t id;	 /* 0: hidden */
	uint32_t cookie; /* the image's, else TREE_OVERLAY + path id */
};

/* A directory with such names. */
struct changed_dir {
	uint32_t id;
	bool opaque; /* nothing of the image shows */
	int32_t nlink;
	int64_t touched_ns;
	struct changed_name *names; /* sorted */
	uint32_t n;
	uint32_t room;
	uint32_t *extra; /* frozen: indexes of names that the image lacks, by cookie */
	uint32_t nextra;
};

struct tree {
	struct version *version;
	const struct manifest *m;
	uint32_t count; /* of image nodes */
	struct changed_node *nodes;
	uint32_t nnodes;
	struct changed_dir *dirs;
	uint32_t ndirs;
	struct map node_by_id;
	struct map dir_by_id;
	struct map fewer_links; /* group's first node -> names hidden or replaced here */
};

int tree_new(struct version *version, struct tree **out)
{
	struct tree *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->version = version_ref(version);
	t->m = version_manifest(version);
	t->count = manifest_count(t->m);
	*out = t;
	return 0;
}

void tree_free(struct tree *t)
{
	if (!t)
		return;
	for (uint32_t i = 0; i < t->nnodes; i++)
		free(t->nodes[i].rendered);
	for (uint32_t i = 0; i < t->ndirs; i++) {
		free(t->dirs[i].names);
		free(t->dirs[i].extra);
	}
	free(t->nodes);
	free(t->dirs);
	free(t->node_by_id.slots);
	free(t->dir_by_id.slots);
	free(t->fewer_links.slots);
	version_unref(t->version);
	free(t);
}

struct version *tree_version(const struct tree *t)
{
	return t->version;
}

static bool is_image(const struct tree *t, uint32_t id)
{
	return id >= 1 && id <= t->count;
}

static struct changed_node *node_find(const struct tree *t, uint32_t id)
{
	uint32_t *i = map_get(&t->node_by_id, id);

	return i ? &t->nodes[*i] : NULL;
}

static struct changed_dir *dir_find(const struct tree *t, uint32_t id)
{
	uint32_t *i = map_get(&t->dir_by_id, id);

	return i ? &t->dirs[*i] : NULL;
}

static struct view_time time_of(int64_t ns)
{
	int64_t sec = ns / NS_PER_SEC - (ns % NS_PER_SEC < 0);

	return (struct view_time){sec, (uint32_t)(ns - sec * NS_PER_SEC)};
}

static bool time_before(struct view_time a, struct view_time b)
{
	return a.sec != b.sec ? a.sec < b.sec : a.nsec < b.nsec;
}

static int image_node(const struct tree *t, uint32_t id, struct tree_node *out)
{
	struct manifest_node n;
	int r = version_node(t->version, id - 1, &n);

	if (r)
		return r;
	*out = (struct tree_node){
		.id = n.link + 1,
		.mode = n.mode,
		.nlink = n.nlink,
		.uid = n.uid,
		.gid = n.gid,
		.size = n.size,
		.mtime = {n.mtime_sec, n.mtime_nsec},
		.ctime = {n.mtime_sec, n.mtime_nsec},
		.image_pos = n.link,
	};
	switch (n.mode & S_IFMT) {
	case S_IFDIR:
		out->parent = n.parent + 1;
		out->size = 4096 * (1 + (uint64_t)n.extra / 64);
		break;
	case S_IFREG:
		out->source = TREE_IMAGE;
		break;
	case S_IFLNK:
		out->text = manifest_target(t->m, &n);
		if (!out->text.len)
			return -EUCLEAN;
		break;
	case S_IFCHR:
	case S_IFBLK:
		out->rdev[0] = n.data;
		out->rdev[1] = n.extra;
		break;
	}
	return 0;
}

int tree_node(const struct tree *t, uint32_t id, struct tree_node *out)
{
	const struct changed_node *changed = node_find(t, id);
	const struct changed_dir *dir;
	uint32_t *fewer;
	int r = 0;

	if (changed)
		*out = changed->n;
	else if (is_image(t, id))
		r = image_node(t, id, out);
	else
		return VIEW_STALE;
	if (r)
		return r;
	if (S_ISDIR(out->mode)) {
		dir = dir_find(t, id);
		if (dir) {
			struct view_time touched = time_of(dir->touched_ns);

			out->nlink += (uint32_t)dir->nlink;
			if (time_before(out->mtime, touched))
				out->mtime = touched;
			if (time_before(out->ctime, touched))
				out->ctime = touched;
		}
	} else if (t->fewer_links.n && is_image(t, id)) {
		fewer = map_get(&t->fewer_links, out->id);
		/* A handle to a file whose last name is hidden here still answers. */
		if (fewer)
			out->nlink = out->nlink > *fewer ? out->nlink - *fewer : 1;
	}
	return 0;
}

static int name_cmp(struct bytes a, const char *name, size_t len)
{
	int c = memcmp(a.at, name, a.len < len ? a.len : len);

	return c ? c : (a.len > len) - (a.len < len);
}

/* Index at which `name` is or belongs; *found tells which. */
static uint32_t name_slot(const struct changed_dir *dir, const char *name, size_t len, bool *found)
{
	uint32_t lo = 0;
	uint32_t hi = dir->n;

	*found = false;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		int c = name_cmp(dir->names[mid].name, name, len);

		if (!c) {
			*found = true;
			return mid;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The directory in the image behind `id`, or NULL when nothing of it shows. */
static int image_dir(const struct tree *t, uint32_t id, const struct changed_dir *dir,
		     const struct manifest_node **out)
{
	*out = NULL;
	if (!is_image(t, id) || (dir && dir->opaque))
		return 0;
	*out = manifest_at(t->m, id - 1);
	if (!*out)
		return -EUCLEAN;
	return S_ISDIR((*out)->mode) ? 0 : VIEW_NOTDIR;
}

/* Number of the node that the image has at `pos`: names of one file share it. */
static int image_id(const struct tree *t, uint32_t pos, uint32_t *id)
{
	const struct manifest_node *n = manifest_at(t->m, pos);

	if (!n || n->link >= t->count)
		return -EUCLEAN;
	*id = n->link + 1;
	return 0;
}

static int dir_check(const struct tree *t, uint32_t id)
{
	const struct changed_node *changed;

	if (is_image(t, id))
		return 0; /* image_dir() tells */
	changed = node_find(t, id);
	if (!changed)
		return VIEW_STALE;
	return S_ISDIR(changed->n.mode) ? 0 : VIEW_NOTDIR;
}

int tree_child(const struct tree *t, uint32_t dir_id, const char *name, size_t len, uint32_t *id)
{
	const struct changed_dir *dir = dir_find(t, dir_id);
	const struct manifest_node *image;
	uint32_t pos;
	bool found;
	int r;

	if (dir) {
		uint32_t i = name_slot(dir, name, len, &found);

		if (found) {
			*id = dir->names[i].id;
			return *id ? 0 : VIEW_NOENT;
		}
	} else {
		r = dir_check(t, dir_id);
		if (r)
			return r;
	}
	r = image_dir(t, dir_id, dir, &image);
	if (r || !image)
		return r ? r : VIEW_NOENT;
	r = manifest_find(t->m, image, name, len, &pos);
	if (r)
		return r == MANIFEST_NOENT ? VIEW_NOENT : r;
	return image_id(t, pos, id);
}

/* Names of the image come first, in its order, with their own cookies even where an
 * entry replaced the file; then names that only overlays have.  Both orders are
 * the same in every view, so a cookie from before a change is good after it. */
int tree_next(const struct tree *t, uint32_t dir_id, uint64_t cookie, struct view_dirent *out)
{
	const struct changed_dir *dir = dir_find(t, dir_id);
	const struct manifest_node *image;
	uint32_t lo = 0;
	uint32_t hi;
	int r;

	r = dir ? 0 : dir_check(t, dir_id);
	if (!r)
		r = image_dir(t, dir_id, dir, &image);
	if (r)
		return r;
	if (image && cookie < TREE_OVERLAY) {
		uint32_t pos = image->data;
		uint32_t end = image->data + image->extra;

		/* A position's cookie is its number plus two. */
		if (cookie >= 2 && cookie - 1 > pos)
			pos = (uint32_t)(cookie - 1 > end ? end : cookie - 1);
		for (; pos < end; pos++) {
			const struct manifest_node *n = manifest_at(t->m, pos);
			struct bytes name;
			bool found = false;
			uint32_t i = 0;

			if (!n || n->link >= t->count)
				return -EUCLEAN;
			name = manifest_name(t->m, n);
			if (!name.len)
				return -EUCLEAN;
			if (dir)
				i = name_slot(dir, (const char *)name.at, name.len, &found);
			if (found && !dir->names[i].id)
				continue;
			*out = (struct view_dirent){
				.cookie = (uint64_t)pos + 2,
				.node = found ? dir->names[i].id : n->link + 1,
				.name_len = (uint8_t)name.len,
				.name = (const char *)name.at,
			};
			return 0;
		}
	}
	hi = dir ? dir->nextra : 0;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (dir->names[dir->extra[mid]].cookie <= cookie)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!dir || lo == dir->nextra)
		return VIEW_END;
	*out = (struct view_dirent){
		.cookie = dir->names[dir->extra[lo]].cookie,
		.node = dir->names[dir->extra[lo]].id,
		.name_len = (uint8_t)dir->names[dir->extra[lo]].name.len,
		.name = (const char *)dir->names[dir->extra[lo]].name.at,
	};
	return 0;
}

static int parent_of(const struct tree *t, uint32_t id, uint32_t *parent)
{
	struct tree_node n;
	int r = tree_node(t, id, &n);

	if (!r)
		*parent = n.parent ? n.parent : VIEW_ROOT;
	return r;
}

/* One step of a walk: ".", ".." or a name. */
static int walk_step(const struct tree *t, uint32_t dir, const char *name, size_t len, uint32_t *id)
{
	if (len == 1 && name[0] == '.') {
		*id = dir;
		return 0;
	}
	if (len == 2 && name[0] == '.' && name[1] == '.')
		return parent_of(t, dir, id);
	if (len > 255)
		return VIEW_NAMETOOLONG;
	return tree_child(t, dir, name, len, id);
}

int tree_walk(const struct tree *t, uint32_t from, const char *path, bool follow, uint32_t *id,
	      uint32_t *parent)
{
	char rest[2][PATH_MAX]; /* what is left, once a link has put words in its place */
	uint32_t at = path[0] == '/' ? VIEW_ROOT : from;
	uint32_t above = at;
	unsigned int links = 0;
	int use = 0;

	for (;;) {
		struct tree_node n;
		uint32_t next;
		size_t len;
		size_t tail;
		int r;

		path += strspn(path, "/");
		if (!*path)
			break;
		len = strcspn(path, "/");
		r = walk_step(t, at, path, len, &next);
		if (!r)
			r = tree_node(t, next, &n);
		if (r)
			return r;
		above = at;
		path += len;
		if (!S_ISLNK(n.mode) || (!follow && !path[strspn(path, "/")])) {
			if (*path && !S_ISDIR(n.mode))
				return VIEW_NOTDIR;
			at = next;
			continue;
		}
		if (++links > TREE_LINKS_MAX)
			return VIEW_LOOP;
		tail = strlen(path);
		if (n.text.len + tail >= PATH_MAX)
			return VIEW_NAMETOOLONG;
		/* `path` may stand in the other buffer. */
		memcpy(rest[use], n.text.at, n.text.len);
		memcpy(rest[use] + n.text.len, path, tail + 1);
		path = rest[use];
		use = !use;
		if (*path == '/')
			at = VIEW_ROOT;
	}
	*id = at;
	if (parent)
		*parent = above;
	return 0;
}

struct bytes tree_name(const struct tree *t, uint32_t id)
{
	const struct changed_node *changed = node_find(t, id);
	const struct manifest_node *n;

	if (changed && changed->name.len)
		return changed->name;
	n = is_image(t, id) ? manifest_at(t->m, id - 1) : NULL;
	return n && id > 1 ? manifest_name(t->m, n) : (struct bytes){0};
}

uint32_t tree_parent(const struct tree *t, uint32_t id)
{
	const struct changed_node *changed = node_find(t, id);
	const struct manifest_node *n;

	if (changed && changed->n.parent)
		return changed->n.parent;
	n = is_image(t, id) ? manifest_at(t->m, id - 1) : NULL;
	return n && n->parent < t->count ? n->parent + 1 : 0;
}

/* ---- laying entries over ---- */

/* Room for one more element in an array that doubles at powers of two. */
static int array_grow(void *array_p, uint32_t n, size_t size)
{
	void **array = array_p;
	void *bigger;

	if (n & (n - 1))
		return 0;
	bigger = realloc(*array, (n ? n * 2 : 1) * size);
	if (!bigger)
		return -ENOMEM;
	*array = bigger;
	return 0;
}

static int node_add(struct tree *t, const struct tree_node *n, struct bytes name,
		    struct changed_node **out)
{
	int r = array_grow(&t->nodes, t->nnodes, sizeof(*t->nodes));

	if (!r)
		r = map_put(&t->node_by_id, n->id, t->nnodes);
	if (r)
		return r;
	*out = &t->nodes[t->nnodes++];
	**out = (struct changed_node){.n = *n, .name = name};
	return 0;
}

/* The changeable form of any node: an image's is copied out first. */
static int node_edit(struct tree *t, uint32_t id, struct changed_node **out)
{
	struct tree_node n;
	int r;

	*out = node_find(t, id);
	if (*out)
		return 0;
	r = image_node(t, id, &n);
	return r ? r : node_add(t, &n, (struct bytes){0}, out);
}

static int dir_edit(struct tree *t, uint32_t id, struct changed_dir **out)
{
	int r;

	*out = dir_find(t, id);
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
 * files in it count no more.  One level at a time down first children; depth is
 * bounded by the manifest. */
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

/* Make `name` of `dir` mean `id` (0: nothing); what it meant goes. */
static int name_set(struct tree *t, uint32_t dir_id, struct bytes name, uint32_t id,
		    uint32_t path_id)
{
	struct changed_dir *dir;
	struct tree_node old = {0};
	uint32_t old_id = 0;
	uint32_t pos;
	uint32_t i;
	bool found;
	int r;

	r = tree_child(t, dir_id, (const char *)name.at, name.len, &old_id);
	if (r && r != VIEW_NOENT)
		return r;
	if (r == VIEW_NOENT)
		old_id = 0;
	if (old_id == id && id)
		return 0;
	if (old_id) {
		r = tree_node(t, old_id, &old);
		if (!r)
			r = links_lost(t, old_id);
		if (r)
			return r;
	}
	r = dir_edit(t, dir_id, &dir);
	if (r)
		return r;
	if (old_id && S_ISDIR(old.mode))
		dir->nlink--;
	if (id && S_ISDIR(node_find(t, id)->n.mode))
		dir->nlink++;
	i = name_slot(dir, (const char *)name.at, name.len, &found);
	if (!found) {
		const struct manifest_node *image;
		uint32_t cookie = TREE_OVERLAY + path_id;

		r = image_dir(t, dir_id, dir, &image);
		if (!r && image &&
		    !manifest_find(t->m, image, (const char *)name.at, name.len, &pos))
			cookie = pos + 2;
		else if (!id)
			return r; /* hiding what is not there */
		if (!r)
			r = array_grow(&dir->names, dir->n, sizeof(*dir->names));
		if (r)
			return r;
		memmove(&dir->names[i + 1], &dir->names[i], (dir->n - i) * sizeof(*dir->names));
		dir->names[i] = (struct changed_name){.name = name, .cookie = cookie};
		dir->n++;
	} else if (dir->names[i].cookie > TREE_OVERLAY + path_id) {
		/* Several rows lead here: the lowest path stands for the name. */
		dir->names[i].cookie = TREE_OVERLAY + path_id;
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

static void attr_set(struct tree_node *n, const struct entry *e)
{
	if (e->flags & ENTRY_MODE_SET)
		n->mode = (uint16_t)((n->mode & S_IFMT) | e->mode);
	if (e->flags & ENTRY_OWNER_SET) {
		n->uid = e->uid;
		n->gid = e->gid;
	}
	if (time_before(n->ctime, time_of(e->changed_ns)))
		n->ctime = time_of(e->changed_ns);
	n->entry = e;
}

/* The node that an entry puts: mode and owner as it says, else the usual ones. */
static int node_of_entry(const struct entry *e, uint32_t parent, struct tree_node *n,
			 char **rendered, template_lookup *lookup, void *ctx, int64_t keys_ns)
{
	int64_t mtime = e->kind == ENTRY_FILE ? e->mtime_ns : e->changed_ns;
	size_t len;
	int r;

	*rendered = NULL;
	*n = (struct tree_node){.id = TREE_NODE_OVERLAY + e->id, .parent = parent, .nlink = 1};
	switch (e->kind) {
	case ENTRY_FILE:
		n->mode = S_IFREG | 0644;
		n->source = e->flags & ENTRY_SECRET ? TREE_SECRET : TREE_OBJECT;
		n->size = e->size;
		break;
	case ENTRY_TEMPLATE:
		r = template_render(e->body, lookup, ctx, rendered, &len, NULL);
		if (r)
			return r;
		n->mode = S_IFREG | 0644;
		n->source = TREE_TEXT;
		n->size = len;
		n->text = (struct bytes){(uint8_t *)*rendered, len};
		if (mtime < keys_ns)
			mtime = keys_ns;
		break;
	case ENTRY_LINK:
		n->mode = S_IFLNK | 0777;
		n->size = e->body.len;
		n->text = e->body;
		break;
	default:
		n->mode = S_IFDIR | 0755;
		n->nlink = 2;
		n->size = 4096;
		break;
	}
	n->mtime = time_of(mtime);
	n->ctime = time_of(mtime > e->changed_ns ? mtime : e->changed_ns);
	attr_set(n, e);
	return 0;
}

/* A new node for the entry, under the name unless that is empty (detached). */
static int entry_put(struct tree *t, const struct entry *e, uint32_t dir, struct bytes name,
		     template_lookup *lookup, void *ctx, int64_t keys_ns)
{
	struct changed_node *changed;
	struct tree_node n;
	char *rendered;
	int r;

	r = node_of_entry(e, name.len ? dir : 0, &n, &rendered, lookup, ctx, keys_ns);
	if (r)
		return r == -EINVAL ? VIEW_NOENT : r;
	r = node_add(t, &n, name, &changed);
	if (r) {
		free(rendered);
		return r;
	}
	changed->rendered = rendered;
	return name.len ? name_set(t, dir, name, n.id, e->path_id) : 0;
}

static int entry_opaque(struct tree *t, const struct entry *e, uint32_t old)
{
	struct changed_node *node;
	struct changed_dir *dir;
	struct view_dirent entry;
	struct tree_node n;
	uint64_t cookie = 2;
	int32_t subdirs = 0;
	int r;

	while (!(r = tree_next(t, old, cookie, &entry)) && entry.cookie < TREE_OVERLAY) {
		cookie = entry.cookie;
		r = links_lost(t, entry.node);
		if (r)
			return r;
	}
	if (r < 0)
		return r;
	r = dir_touch(t, old, e->changed_ns);
	if (!r)
		r = dir_edit(t, old, &dir);
	if (!r)
		r = tree_node(t, old, &n);
	if (!r)
		r = node_edit(t, old, &node);
	if (r)
		return r;
	/* All subdirectories go: of the image's own count and of what was added. */
	subdirs = (int32_t)n.nlink - 2;
	dir->nlink -= subdirs;
	dir->n = 0;
	dir->opaque = true;
	attr_set(&node->n, e);
	return 0;
}

static int entry_attr(struct tree *t, const struct entry *e, uint32_t dir, struct bytes name,
		      uint32_t old)
{
	struct changed_node *node;
	struct tree_node n;
	int r = tree_node(t, old, &n);

	if (r)
		return r;
	if (!S_ISDIR(n.mode) && is_image(t, old) && n.nlink > 1) {
		/* Only this name of the file changes: it leaves its group. */
		n.id = TREE_NODE_OVERLAY + e->id;
		n.nlink = 1;
		n.parent = dir;
		attr_set(&n, e);
		r = node_add(t, &n, name, &node);
		return r ? r : name_set(t, dir, name, n.id, e->path_id);
	}
	r = node_edit(t, old, &node);
	if (!r)
		attr_set(&node->n, e);
	return r;
}

/* A row that is no more: its node goes on for those who hold it. */
static int entry_retired(struct tree *t, const struct entry *e, uint32_t dir,
			 template_lookup *lookup, void *ctx, int64_t keys_ns)
{
	int r = dir ? dir_touch(t, dir, e->retired_ns) : 0;

	if (r || e->kind == ENTRY_WHITEOUT || e->kind == ENTRY_ATTR)
		return r;
	return entry_put(t, e, 0, (struct bytes){0}, lookup, ctx, keys_ns);
}

int tree_apply(struct tree *t, const struct entry *e, uint64_t pin, template_lookup *lookup,
	       void *ctx, int64_t keys_ns)
{
	const char *slash = strrchr(e->path, '/');
	const char *last = slash ? slash + 1 : e->path;
	struct bytes name = {(const uint8_t *)last, strlen(last)};
	cleanup(freep) char *above = NULL;
	uint32_t dir = VIEW_ROOT;
	uint32_t old = 0;
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
	if (!entry_in_force(e, pin))
		return entry_retired(t, e, way ? 0 : dir, lookup, ctx, keys_ns);
	if (way)
		return way;
	if (!name.len) {
		old = VIEW_ROOT;
	} else {
		r = tree_child(t, dir, last, name.len, &old);
		if (r && r != VIEW_NOENT)
			return r;
		if (r == VIEW_NOENT)
			old = 0;
	}
	r = old ? tree_node(t, old, &n) : 0;
	if (r)
		return r;
	switch (e->kind) {
	case ENTRY_PARENT:
		if (old)
			return 0;
		break;
	case ENTRY_ATTR:
		return old ? entry_attr(t, e, dir, name, old) : VIEW_NOENT;
	case ENTRY_WHITEOUT:
		r = name_set(t, dir, name, 0, e->path_id);
		return r ? r : dir_touch(t, dir, e->changed_ns);
	case ENTRY_DIR:
		if (old && S_ISDIR(n.mode))
			return entry_attr(t, e, dir, name, old);
		break;
	case ENTRY_OPAQUE:
		if (old && S_ISDIR(n.mode))
			return entry_opaque(t, e, old);
		break;
	}
	r = entry_put(t, e, dir, name, lookup, ctx, keys_ns);
	return r ? r : dir_touch(t, dir, e->changed_ns);
}

static int extra_cmp(const void *a, const void *b, void *ctx)
{
	const struct changed_dir *dir = ctx;
	uint32_t x = dir->names[*(const uint32_t *)a].cookie;
	uint32_t y = dir->names[*(const uint32_t *)b].cookie;

	return (x > y) - (x < y);
}

int tree_freeze(struct tree *t)
{
	for (uint32_t d = 0; d < t->ndirs; d++) {
		struct changed_dir *dir = &t->dirs[d];

		dir->extra = malloc((dir->n + 1) * sizeof(*dir->extra));
		if (!dir->extra)
			return -ENOMEM;
		for (uint32_t i = 0; i < dir->n; i++)
			if (dir->names[i].id &&
			    (dir->opaque || dir->names[i].cookie >= TREE_OVERLAY))
				dir->extra[dir->nextra++] = i;
		qsort_r(dir->extra, dir->nextra, sizeof(*dir->extra), extra_cmp, dir);
	}
	return 0;
}

uint32_t tree_touched(const struct tree *t, uint32_t *cursor)
{
	uint32_t i = *cursor;

	if (i < t->nnodes) {
		++*cursor;
		return t->nodes[i].n.id;
	}
	i -= t->nnodes;
	if (i < t->ndirs) {
		++*cursor;
		return t->dirs[i].id;
	}
	for (i -= t->ndirs; i < t->fewer_links.size; i++) {
		++*cursor;
		if (t->fewer_links.slots[i].key)
			return t->fewer_links.slots[i].key;
	}
	return 0;
}

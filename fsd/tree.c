/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/tree_nodes.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "common/clock.h"

enum { TREE_LINKS_MAX = 40 };

int tree_new(struct version *version, int64_t keys_ns, struct tree **out)
{
	struct tree *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->version = version_ref(version);
	t->m = version_manifest(version);
	t->count = manifest_count(t->m);
	t->keys_ns = keys_ns;
	*out = t;
	return 0;
}

void tree_free(struct tree *t)
{
	if (!t)
		return;
	for (uint32_t i = 0; i < t->nrendered; i++)
		free(t->rendered[i].text);
	free(t->rendered);
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

struct changed_node *tree_node_find(const struct tree *t, uint32_t id)
{
	uint32_t lo = 0;
	uint32_t hi = t->nnodes;

	if (!t->frozen) {
		uint32_t *i = map_get(&t->node_by_id, id);

		return i ? &t->nodes[*i] : NULL;
	}
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (t->nodes[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < t->nnodes && t->nodes[lo].id == id ? &t->nodes[lo] : NULL;
}

struct changed_dir *tree_dir_find(const struct tree *t, uint32_t id)
{
	uint32_t lo = 0;
	uint32_t hi = t->ndirs;

	if (!t->frozen) {
		uint32_t *i = map_get(&t->dir_by_id, id);

		return i ? &t->dirs[*i] : NULL;
	}
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (t->dirs[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < t->ndirs && t->dirs[lo].id == id ? &t->dirs[lo] : NULL;
}

static struct view_time time_of(int64_t ns)
{
	int64_t sec = ns / NS_PER_SEC - (ns % NS_PER_SEC < 0);

	return (struct view_time){sec, (uint32_t)((ns % NS_PER_SEC + NS_PER_SEC) % NS_PER_SEC)};
}

static int image_node(const struct tree *t, uint32_t id, struct tree_node *out)
{
	struct manifest_node n;
	int r = version_node(t->version, id - 1, &n);

	if (r)
		return r;
	if (n.link >= t->count || n.parent >= t->count)
		return -EUCLEAN;
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

/* What an entry put, but for mode and owner. */
static void entry_node(const struct tree *t, const struct changed_node *c, struct tree_node *out)
{
	const struct entry *e = c->entry;
	int64_t mtime = e->changed_ns;

	*out = (struct tree_node){.nlink = 1, .parent = c->parent};
	switch (c->mode & S_IFMT) {
	case S_IFDIR:
		out->nlink = 2;
		out->size = 4096;
		break;
	case S_IFLNK:
		out->text = e->body;
		out->size = e->body.len;
		break;
	default:
		if (e->kind == ENTRY_FILE) {
			out->source = e->flags & ENTRY_SECRET ? TREE_SECRET : TREE_OBJECT;
			out->size = e->size;
			mtime = e->mtime_ns;
			break;
		}
		out->source = TREE_TEXT;
		out->text = e->body;
		if (c->rendered) {
			out->text = tree_rendered(t, c);
			if (mtime < t->keys_ns)
				mtime = t->keys_ns;
		}
		out->size = out->text.len;
		break;
	}
	out->mtime = out->ctime = time_of(mtime);
	if (time_before(out->ctime, time_of(e->changed_ns)))
		out->ctime = time_of(e->changed_ns);
}

static int changed_attr(const struct tree *t, uint32_t id, struct tree_node *out)
{
	const struct changed_node *changed = tree_node_find(t, id);
	int r = 0;

	if (changed && changed->entry) {
		entry_node(t, changed, out);
		out->id = id;
	} else if (is_image(t, id)) {
		r = image_node(t, id, out);
	} else if (is_alone(t, id)) {
		r = image_node(t, id - TREE_NODE_ALONE, out);
		if (!r && S_ISDIR(out->mode))
			return VIEW_STALE;
		out->id = id;
		out->nlink = 1;
	} else {
		return VIEW_STALE;
	}
	if (r || !changed)
		return r;
	out->entry = changed->entry;
	out->attr = changed->attr;
	if (changed->flags & NODE_MODE)
		out->mode = changed->mode;
	if (changed->flags & NODE_OWNER) {
		out->uid = changed->uid;
		out->gid = changed->gid;
	}
	if (changed->attr && time_before(out->ctime, time_of(changed->attr->changed_ns)))
		out->ctime = time_of(changed->attr->changed_ns);
	return 0;
}

int tree_node(const struct tree *t, uint32_t id, struct tree_node *out)
{
	const struct changed_dir *dir;
	uint32_t *fewer;
	int r = changed_attr(t, id, out);

	if (r)
		return r;
	if (S_ISDIR(out->mode)) {
		dir = tree_dir_find(t, id);
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

static int name_cmp(const char *a, const char *name, size_t len)
{
	size_t a_len = strlen(a);
	int c = memcmp(a, name, a_len < len ? a_len : len);

	return c ? c : (a_len > len) - (a_len < len);
}

uint32_t tree_name_slot(const struct changed_dir *dir, const char *name, size_t len, bool *found)
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

/* Number of the node that the image has at `pos`: names of one file share it.  A directory
 * has one name: by a second one a walk down would come to it again. */
static int image_id(const struct tree *t, uint32_t pos, uint32_t *id)
{
	const struct manifest_node *n = manifest_at(t->m, pos);
	const struct manifest_node *first;

	if (!n)
		return -EUCLEAN;
	if (n->link != pos) {
		first = manifest_at(t->m, n->link);
		if (!first || S_ISDIR(first->mode))
			return -EUCLEAN;
	}
	*id = n->link + 1;
	return 0;
}

static int dir_check(const struct tree *t, uint32_t id)
{
	const struct changed_node *changed;

	if (is_image(t, id))
		return 0; /* image_dir() tells */
	changed = tree_node_find(t, id);
	if (changed && changed->entry)
		return S_ISDIR(changed->mode) ? 0 : VIEW_NOTDIR;
	return is_alone(t, id) ? VIEW_NOTDIR : VIEW_STALE;
}

int tree_child(const struct tree *t, uint32_t dir_id, const char *name, size_t len, uint32_t *id)
{
	const struct changed_dir *dir = tree_dir_find(t, dir_id);
	const struct manifest_node *image;
	uint32_t pos;
	bool found;
	int r;

	if (dir) {
		uint32_t i = tree_name_slot(dir, name, len, &found);

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
	const struct changed_dir *dir = tree_dir_find(t, dir_id);
	const struct changed_name *name;
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
		uint32_t pos;
		uint32_t end;

		r = manifest_children(t->m, dir_id - 1, &pos, &end);
		if (r)
			return r;
		/* A position's cookie is its number plus two. */
		if (cookie >= 2 && cookie - 1 > pos)
			pos = (uint32_t)(cookie - 1 > end ? end : cookie - 1);
		for (; pos < end; pos++) {
			const struct manifest_node *n = manifest_at(t->m, pos);
			struct bytes own;
			bool found = false;
			uint32_t i = 0;
			uint32_t id;

			if (!n || n->parent != dir_id - 1 || image_id(t, pos, &id))
				return -EUCLEAN;
			own = manifest_name(t->m, n);
			if (!own.len)
				return -EUCLEAN;
			if (dir)
				i = tree_name_slot(dir, (const char *)own.at, own.len, &found);
			if (found && !dir->names[i].id)
				continue;
			*out = (struct view_dirent){
				.cookie = (uint64_t)pos + 2,
				.node = found ? dir->names[i].id : id,
				.name_len = (uint8_t)own.len,
				.name = (const char *)own.at,
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
	name = &dir->names[dir->extra[lo]];
	*out = (struct view_dirent){
		.cookie = name->cookie,
		.node = name->id,
		.name_len = (uint8_t)strlen(name->name),
		.name = name->name,
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

/* The image's node of that number. */
static const struct manifest_node *image_of(const struct tree *t, uint32_t id)
{
	if (is_alone(t, id))
		id -= TREE_NODE_ALONE;
	return id > 1 && is_image(t, id) ? manifest_at(t->m, id - 1) : NULL;
}

struct bytes tree_name(const struct tree *t, uint32_t id)
{
	const struct changed_node *changed = tree_node_find(t, id);
	const struct manifest_node *n;

	if (changed && changed->entry) {
		const char *slash = strrchr(changed->entry->path, '/');
		const char *name = slash ? slash + 1 : changed->entry->path;

		return (struct bytes){(const uint8_t *)name, changed->parent ? strlen(name) : 0};
	}
	n = image_of(t, id);
	return n ? manifest_name(t->m, n) : (struct bytes){0};
}

uint32_t tree_parent(const struct tree *t, uint32_t id)
{
	const struct changed_node *changed = tree_node_find(t, id);
	const struct manifest_node *n;

	if (changed && changed->entry)
		return changed->parent;
	n = image_of(t, id);
	return n && n->parent < t->count ? n->parent + 1 : 0;
}

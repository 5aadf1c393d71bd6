/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A manifest in the making: a tree in memory, found by (directory, name) in a hash
 * table, that is put into breadth-first order when it is written.
 */
#include "fsd/manifest_format.h"

#include <errno.h>
#include <limits.h>

#define NONE UINT32_MAX

/* A growing run of bytes. */
struct pool {
	uint8_t *data;
	size_t len;
	size_t size;
};

static int pool_add(struct pool *p, const void *data, size_t len, size_t *at)
{
	if (p->size - p->len < len) {
		size_t size = p->size ? p->size * 2 : 65536;
		uint8_t *bigger;

		while (size - p->len < len)
			size *= 2;
		bigger = realloc(p->data, size);
		if (!bigger)
			return -ENOMEM;
		p->data = bigger;
		p->size = size;
	}
	*at = p->len;
	if (len)
		memcpy(p->data + p->len, data, len);
	p->len += len;
	return 0;
}

struct build_node {
	struct manifest_node n; /* name, data (target) and xattr are offsets into pools */
	struct hash hash;
	uint32_t rdev[2];
	uint32_t parent;
	uint32_t first; /* children, newest first */
	uint32_t next;
	uint32_t prev; /* NONE: its parent's `first` leads here */
	uint32_t nchildren;
	uint32_t group; /* hard links: the builder index that leads the group; NONE: alone */
	uint32_t chain; /* hash chain */
	uint32_t pos;
};

struct manifest_builder {
	struct build_node *nodes;
	uint32_t n;
	uint32_t room;
	uint32_t *buckets; /* by (parent, name) */
	uint32_t nbuckets; /* a power of two */
	struct pool strings;
	struct pool xattrs;
};

static uint32_t name_hash(uint32_t dir, const char *name, size_t len)
{
	uint32_t h = 2166136261u ^ dir * 2654435761u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)name[i]) * 16777619u;
	return h ^ h >> 15;
}

static int builder_rehash(struct manifest_builder *b, uint32_t nbuckets)
{
	uint32_t *buckets = malloc(nbuckets * sizeof(*buckets));

	if (!buckets)
		return -ENOMEM;
	memset(buckets, 0xff, nbuckets * sizeof(*buckets));
	for (uint32_t i = 1; i < b->n; i++) {
		struct build_node *node = &b->nodes[i];
		uint32_t *slot;

		if (node->parent == NONE)
			continue;
		slot = &buckets[name_hash(node->parent, (char *)b->strings.data + node->n.name,
					  node->n.name_len) &
				(nbuckets - 1)];
		node->chain = *slot;
		*slot = i;
	}
	free(b->buckets);
	b->buckets = buckets;
	b->nbuckets = nbuckets;
	return 0;
}

int manifest_builder_new(struct manifest_builder **out)
{
	cleanup(manifest_builder_freep) struct manifest_builder *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->room = 1024;
	b->nodes = calloc(b->room, sizeof(*b->nodes));
	if (!b->nodes || builder_rehash(b, 4096))
		return -ENOMEM;
	b->nodes[0] = (struct build_node){
		.n = {.mode = S_IFDIR | 0755},
		.first = NONE,
		.next = NONE,
		.prev = NONE,
		.group = NONE,
		.chain = NONE,
	};
	b->n = 1;
	*out = take(&b);
	return 0;
}

void manifest_builder_free(struct manifest_builder *b)
{
	if (!b)
		return;
	free(b->nodes);
	free(b->buckets);
	free(b->strings.data);
	free(b->xattrs.data);
	free(b);
}

int manifest_builder_find(const struct manifest_builder *b, uint32_t dir, const char *name,
			  size_t len, uint32_t *index)
{
	uint32_t i = b->buckets[name_hash(dir, name, len) & (b->nbuckets - 1)];

	for (; i != NONE; i = b->nodes[i].chain) {
		const struct build_node *node = &b->nodes[i];

		if (node->parent == dir && node->n.name_len == len &&
		    !memcmp(b->strings.data + node->n.name, name, len)) {
			*index = i;
			return 0;
		}
	}
	return MANIFEST_NOENT;
}

static void builder_unhash(struct manifest_builder *b, uint32_t index)
{
	struct build_node *node = &b->nodes[index];
	uint32_t *p = &b->buckets[name_hash(node->parent, (char *)b->strings.data + node->n.name,
					    node->n.name_len) &
				  (b->nbuckets - 1)];

	while (*p != index)
		p = &b->nodes[*p].chain;
	*p = node->chain;
}

/* Drop all below `index`, without recursion: depth is the origin's choice. */
static void builder_clear(struct manifest_builder *b, uint32_t index)
{
	uint32_t at = index;

	for (;;) {
		struct build_node *node = &b->nodes[at];
		uint32_t child = node->first;

		if (child != NONE) {
			node->first = b->nodes[child].next;
			node->nchildren--;
			builder_unhash(b, child);
			/* `next` now leads back up. */
			b->nodes[child].next = at;
			at = child;
			continue;
		}
		if (at == index)
			return;
		at = node->next;
		node->next = NONE;
		node->parent = NONE; /* unlinked for good: not written */
	}
}

int manifest_builder_remove(struct manifest_builder *b, uint32_t index)
{
	struct build_node *node = &b->nodes[index];

	if (!index || index >= b->n || node->parent == NONE)
		return -EINVAL;
	builder_clear(b, index);
	builder_unhash(b, index);
	if (node->prev == NONE)
		b->nodes[node->parent].first = node->next;
	else
		b->nodes[node->prev].next = node->next;
	if (node->next != NONE)
		b->nodes[node->next].prev = node->prev;
	b->nodes[node->parent].nchildren--;
	node->parent = NONE;
	return 0;
}

void manifest_builder_prune(struct manifest_builder *b, uint32_t dir,
			    bool (*keep)(void *ctx, uint32_t index), void *ctx)
{
	uint32_t at = b->nodes[dir].first;
	uint32_t up = dir;

	/* Without recursion: a kept directory is entered, its parent leads back. */
	for (;;) {
		uint32_t next;
		bool kept;

		if (at == NONE) {
			if (up == dir)
				return;
			at = b->nodes[up].next;
			up = b->nodes[up].parent;
			continue;
		}
		kept = keep(ctx, at);
		if (kept && S_ISDIR(b->nodes[at].n.mode)) {
			up = at;
			at = b->nodes[at].first;
			continue;
		}
		next = b->nodes[at].next;
		if (!kept)
			manifest_builder_remove(b, at);
		at = next;
	}
}

uint32_t manifest_builder_mode(const struct manifest_builder *b, uint32_t index)
{
	return b->nodes[index].n.mode;
}

static int builder_attr(struct manifest_builder *b, struct build_node *node,
			const struct manifest_attr *attr)
{
	size_t at;
	int r;

	node->n.mode = (uint16_t)attr->mode;
	node->n.uid = attr->uid;
	node->n.gid = attr->gid;
	node->n.size = S_ISLNK(attr->mode)   ? attr->target.len
		       : S_ISREG(attr->mode) ? attr->size
					     : 0;
	node->n.mtime_sec = attr->mtime_sec;
	node->n.mtime_nsec = attr->mtime_nsec;
	node->hash = attr->hash;
	node->rdev[0] = attr->rdev_major;
	node->rdev[1] = attr->rdev_minor;
	if (S_ISLNK(attr->mode)) {
		r = pool_add(&b->strings, attr->target.at, attr->target.len, &at);
		if (r)
			return r;
		node->n.data = (uint32_t)at;
	}
	node->n.xattr = 0;
	if (attr->xattrs.len) {
		uint8_t head[4];
		struct writer w = writer_of(head, sizeof(head));
		size_t body;

		writer_be32(&w, (uint32_t)attr->xattrs.len);
		r = pool_add(&b->xattrs, head, sizeof(head), &at);
		if (!r)
			r = pool_add(&b->xattrs, attr->xattrs.at, attr->xattrs.len, &body);
		if (r)
			return r;
		node->n.xattr = (uint32_t)at + 1;
	}
	/* Offsets are 32 bits wide. */
	return b->strings.len > UINT32_MAX || b->xattrs.len > UINT32_MAX ? -EFBIG : 0;
}

void manifest_builder_set(struct manifest_builder *b, uint32_t index,
			  const struct manifest_attr *attr)
{
	builder_attr(b, &b->nodes[index], attr);
}

static bool name_ok(const char *name, size_t len)
{
	if (!len || len > 255 || memchr(name, '/', len) || memchr(name, '\0', len))
		return false;
	return !(name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')));
}

/* A fresh node under `dir`, or the old one of that name, emptied of what it was. */
static int builder_place(struct manifest_builder *b, uint32_t dir, const char *name, size_t len,
			 bool is_dir, uint32_t *index)
{
	struct build_node *node;
	uint32_t *slot;
	size_t at;
	int r;

	if (!name_ok(name, len))
		return -EINVAL;
	if (!S_ISDIR(b->nodes[dir].n.mode))
		return -ENOTDIR;
	if (!manifest_builder_find(b, dir, name, len, index)) {
		if (is_dir && S_ISDIR(b->nodes[*index].n.mode))
			return 0;
		/* A new node, lest names that link to the old one change with it. */
		r = manifest_builder_remove(b, *index);
		if (r)
			return r;
	}
	if (b->n == MANIFEST_NODES_MAX)
		return -EFBIG;
	if (b->n == b->room) {
		struct build_node *bigger = realloc(b->nodes, b->room * 2 * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		b->nodes = bigger;
		b->room *= 2;
	}
	if (b->n > b->nbuckets) {
		r = builder_rehash(b, b->nbuckets * 4);
		if (r)
			return r;
	}
	r = pool_add(&b->strings, name, len, &at);
	if (r)
		return r;
	node = &b->nodes[b->n];
	*node = (struct build_node){
		.n = {.name = (uint32_t)at, .name_len = (uint16_t)len},
		.parent = dir,
		.first = NONE,
		.next = b->nodes[dir].first,
		.prev = NONE,
		.group = NONE,
	};
	if (node->next != NONE)
		b->nodes[node->next].prev = b->n;
	b->nodes[dir].first = b->n;
	b->nodes[dir].nchildren++;
	slot = &b->buckets[name_hash(dir, name, len) & (b->nbuckets - 1)];
	node->chain = *slot;
	*slot = b->n;
	*index = b->n++;
	return 0;
}

int manifest_builder_add(struct manifest_builder *b, uint32_t dir, const char *name, size_t len,
			 const struct manifest_attr *attr, uint32_t *index)
{
	int r = builder_place(b, dir, name, len, S_ISDIR(attr->mode), index);

	return r ? r : builder_attr(b, &b->nodes[*index], attr);
}

int manifest_builder_link(struct manifest_builder *b, uint32_t dir, const char *name, size_t len,
			  uint32_t target, uint32_t *index)
{
	int r;

	if (target >= b->n || b->nodes[target].parent == NONE || S_ISDIR(b->nodes[target].n.mode))
		return -EINVAL;
	r = builder_place(b, dir, name, len, false, index);
	if (r)
		return r;
	if (b->nodes[target].parent == NONE) /* the link took the place of its own target */
		return -EINVAL;
	if (b->nodes[target].group == NONE)
		b->nodes[target].group = target;
	b->nodes[*index].group = b->nodes[target].group;
	b->nodes[*index].n.mode = b->nodes[target].n.mode;
	return 0;
}

/* One directory of the builder beside its like in the manifest. */
static uint32_t reuse_dir(struct manifest_builder *b, uint32_t dir, const struct manifest *m,
			  const struct manifest_node *old_dir,
			  bool (*known)(void *ctx, uint32_t pos, struct hash *hash), void *ctx)
{
	uint32_t taken = 0;

	for (uint32_t i = b->nodes[dir].first; i != NONE; i = b->nodes[i].next) {
		struct build_node *node = &b->nodes[i];
		const struct manifest_node *old;
		uint32_t pos;

		if (manifest_find(m, old_dir, (char *)b->strings.data + node->n.name,
				  node->n.name_len, &pos))
			continue;
		old = manifest_at(m, pos);
		if (!old || ((old->mode ^ node->n.mode) & S_IFMT))
			continue;
		if (S_ISDIR(old->mode))
			taken += reuse_dir(b, i, m, old, known, ctx);
		else if (S_ISREG(old->mode) && old->size == node->n.size &&
			 old->mtime_sec == node->n.mtime_sec &&
			 old->mtime_nsec == node->n.mtime_nsec && !hash_known(&node->hash))
			taken += known(ctx, old->link, &node->hash);
	}
	return taken;
}

uint32_t manifest_builder_reuse(struct manifest_builder *b, const struct manifest *m,
				bool (*known)(void *ctx, uint32_t pos, struct hash *hash),
				void *ctx)
{
	const struct manifest_node *root = manifest_at(m, 0);

	return root ? reuse_dir(b, 0, m, root, known, ctx) : 0;
}

static int child_cmp(const void *pa, const void *pb, void *ctx)
{
	const struct manifest_builder *b = ctx;
	const struct manifest_node *x = &b->nodes[*(const uint32_t *)pa].n;
	const struct manifest_node *y = &b->nodes[*(const uint32_t *)pb].n;
	size_t len = x->name_len < y->name_len ? x->name_len : y->name_len;
	int c = memcmp(b->strings.data + x->name, b->strings.data + y->name, len);

	return c ? c : (int)x->name_len - (int)y->name_len;
}

/* Breadth-first: order[pos] is the builder's index. */
static uint32_t builder_order(struct manifest_builder *b, uint32_t *order)
{
	uint32_t n = 1;

	order[0] = 0;
	for (uint32_t pos = 0; pos < n; pos++) {
		struct build_node *dir = &b->nodes[order[pos]];
		uint32_t first = n;

		dir->pos = pos;
		if (!S_ISDIR(dir->n.mode))
			continue;
		for (uint32_t c = dir->first; c != NONE; c = b->nodes[c].next)
			order[n++] = c;
		qsort_r(order + first, n - first, sizeof(*order), child_cmp, b);
		dir->n.data = n > first ? first : 0;
		dir->n.extra = n - first;
	}
	return n;
}

/* Lay the tree out as nodes and hashes. */
static void builder_lay_out(struct manifest_builder *b, const uint32_t *order,
			    struct manifest_parts *p, struct manifest_node *nodes,
			    struct hash *hashes)
{
	for (uint32_t pos = 0; pos < p->nnodes; pos++) {
		struct build_node *from = &b->nodes[order[pos]];
		struct build_node *body = from;
		struct manifest_node *n = &nodes[pos];

		if (from->group != NONE)
			body = &b->nodes[from->group];
		*n = body->n;
		n->name = from->n.name;
		n->name_len = from->n.name_len;
		n->parent = pos ? b->nodes[from->parent].pos : 0;
		n->link = pos;
		n->nlink = 1;
		if (from->group != NONE) {
			/* `first` is free in a leader, which is no directory: the group's
			 * first position so far. */
			if (body->first == NONE)
				body->first = pos;
			n->link = body->first;
			n->nlink = 0;
			nodes[n->link].nlink++;
			if (n->link != pos)
				p->flags |= MANIFEST_HARDLINKS;
		}
		if (S_ISDIR(n->mode)) {
			n->nlink = 2;
			if (pos)
				nodes[n->parent].nlink++;
		} else if (S_ISREG(n->mode)) {
			n->extra = 0;
			if (n->link == pos) {
				n->data = p->nhashes;
				hashes[p->nhashes++] = body->hash;
				p->bytes += n->size;
			} else {
				n->data = nodes[n->link].data;
			}
		} else if (S_ISCHR(n->mode) || S_ISBLK(n->mode)) {
			n->data = body->rdev[0];
			n->extra = body->rdev[1];
		}
	}
	/* Every name of a group tells the group's count. */
	for (uint32_t pos = 0; pos < p->nnodes; pos++)
		nodes[pos].nlink = nodes[nodes[pos].link].nlink;
}

int manifest_builder_write(struct manifest_builder *b, const char *dir, uint32_t version,
			   bool sealed)
{
	cleanup(freep) uint32_t *order = malloc(b->n * sizeof(*order));
	cleanup(freep) struct manifest_node *nodes = calloc(b->n, sizeof(*nodes));
	cleanup(freep) struct hash *hashes = calloc(b->n, sizeof(*hashes));
	struct manifest_parts p = {.version = version, .flags = sealed ? MANIFEST_SEALED : 0};

	if (!order || !nodes || !hashes)
		return -ENOMEM;
	p.nnodes = builder_order(b, order);
	builder_lay_out(b, order, &p, nodes, hashes);
	p.nodes = nodes;
	p.hashes = hashes;
	p.strings = (struct bytes){b->strings.data, b->strings.len};
	p.xattrs = (struct bytes){b->xattrs.data, b->xattrs.len};
	return manifest_parts_write(&p, dir, NULL);
}

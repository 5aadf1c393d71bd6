/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A tree's insides, shared by its reader (tree.c), by what lays entries over it
 * (tree_merge.c) and by what tells two of them apart (changes.c).  Ten thousand hosts
 * have one each: they are kept small, and what an entry or the image tells is not kept
 * twice.
 */
#ifndef FSD_TREE_NODES_H
#define FSD_TREE_NODES_H

#include "fsd/tree.h"

/* Which of a node's attributes are not those of its image file. */
enum { NODE_MODE = 1, NODE_OWNER = 2 };

/* A node that is not as the image has it: one that an entry put, or one of the image
 * with other attributes. */
struct changed_node {
	uint32_t id;
	uint32_t parent; /* of one that was put, or stands alone; 0: detached */
	uint32_t uid;
	uint32_t gid;
	uint16_t mode;		   /* with S_IFMT */
	uint8_t flags;		   /* NODE_* */
	uint32_t rendered;	   /* of a template with keys: index of its text, plus one */
	const struct entry *entry; /* that put it; NULL: the image */
	const struct entry *attr;  /* that changed its attributes last, if any */
};

/* What a template became; few of a tree's nodes have one. */
struct rendered {
	char *text; /* owned */
	uint32_t len;
};

/* A name that is not as the image has it. */
struct changed_name {
	const char *name; /* ended; in an entry's path */
	uint32_t id;	  /* 0: hidden */
	uint32_t cookie;  /* the image's, else TREE_OVERLAY + path id */
};

/* A directory with such names. */
struct changed_dir {
	uint32_t id;
	bool opaque; /* nothing of the image shows */
	int32_t nlink;
	uint32_t n;
	int64_t touched_ns;
	struct changed_name *names; /* sorted */
	uint32_t *extra; /* frozen: indexes of names that the image's order lacks, by cookie */
	uint32_t nextra;
};

/* uint32_t to uint32_t by open addressing; key 0 is free. */
struct map {
	struct map_slot {
		uint32_t key;
		uint32_t value;
	} * slots;
	uint32_t n;
	uint32_t size; /* a power of two, or 0 */
};

struct tree {
	struct version *version;
	const struct manifest *m;
	uint32_t count; /* of image nodes */
	uint32_t nnodes;
	uint32_t ndirs;
	bool frozen;		    /* then both are sorted by id, and the maps are gone */
	int64_t keys_ns;	    /* when the values of templates' keys last changed */
	struct changed_node *nodes; /* arrays that double at powers of two until frozen */
	struct changed_dir *dirs;
	struct rendered *rendered;
	uint32_t nrendered;
	struct map node_by_id;
	struct map dir_by_id;
	struct map fewer_links; /* group's first node -> names hidden or replaced here */
};

static inline uint32_t map_home(const struct map *map, uint32_t key)
{
	return key * 2654435761u & (map->size - 1);
}

static inline uint32_t *map_get(const struct map *map, uint32_t key)
{
	if (!map->n)
		return NULL;
	for (uint32_t i = map_home(map, key); map->slots[i].key; i = (i + 1) & (map->size - 1))
		if (map->slots[i].key == key)
			return &map->slots[i].value;
	return NULL;
}

static inline bool is_image(const struct tree *t, uint32_t id)
{
	return id >= 1 && id <= t->count;
}

/* One name of a hard-linked file of the image that has left its group: its number
 * says which, so that any view answers it. */
static inline bool is_alone(const struct tree *t, uint32_t id)
{
	return id > TREE_NODE_ALONE && id - TREE_NODE_ALONE <= t->count;
}

static inline bool time_before(struct view_time a, struct view_time b)
{
	return a.sec != b.sec ? a.sec < b.sec : a.nsec < b.nsec;
}

/* Empty where the node is no template with keys. */
static inline struct bytes tree_rendered(const struct tree *t, const struct changed_node *n)
{
	const struct rendered *r = n->rendered ? &t->rendered[n->rendered - 1] : NULL;

	return r ? (struct bytes){(const uint8_t *)r->text, r->len} : (struct bytes){0};
}

struct changed_node *tree_node_find(const struct tree *t, uint32_t id); /* NULL: none */
struct changed_dir *tree_dir_find(const struct tree *t, uint32_t id);

/* Index at which `name` is or belongs; *found tells which. */
uint32_t tree_name_slot(const struct changed_dir *dir, const char *name, size_t len, bool *found);

#endif

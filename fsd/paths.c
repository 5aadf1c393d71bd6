/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/paths.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"

/* Texts stand one behind the other in chunks that never move; a place is the chunk's
 * number and the offset in it. */
enum { CHUNK_BITS = 16, CHUNK_SIZE = 1 << CHUNK_BITS };

struct slot {
	uint32_t id; /* 0: free */
	uint32_t place;
};

struct paths {
	char **chunks;
	uint32_t nchunks;
	uint32_t used; /* of the last one */
	struct slot *slots;
	uint32_t n;
	uint32_t size; /* a power of two, or 0 */
};

int paths_new(struct paths **out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
}

void paths_free(struct paths *p)
{
	if (!p)
		return;
	for (uint32_t i = 0; i < p->nchunks; i++)
		free(p->chunks[i]);
	free(p->chunks);
	free(p->slots);
	free(p);
}

/* Where `id` is, or the free slot where it belongs. */
static struct slot *slot_of(struct slot *slots, uint32_t size, uint32_t id)
{
	uint32_t i = id * 2654435761u & (size - 1);

	while (slots[i].id && slots[i].id != id)
		i = (i + 1) & (size - 1);
	return &slots[i];
}

static int slots_grow(struct paths *p)
{
	uint32_t size = p->size ? p->size * 2 : 256;
	struct slot *bigger;

	if (p->n < p->size / 4 * 3)
		return 0;
	bigger = calloc(size, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->size; i++)
		if (p->slots[i].id)
			*slot_of(bigger, size, p->slots[i].id) = p->slots[i];
	free(p->slots);
	p->slots = bigger;
	p->size = size;
	return 0;
}

static int text_add(struct paths *p, struct bytes text, uint32_t *place)
{
	if (!p->nchunks || CHUNK_SIZE - p->used < text.len + 1) {
		char *chunk = malloc(CHUNK_SIZE);

		if (!chunk || p->nchunks == UINT32_MAX >> CHUNK_BITS ||
		    array_grow(&p->chunks, p->nchunks, sizeof(*p->chunks))) {
			free(chunk);
			return -ENOMEM;
		}
		p->chunks[p->nchunks++] = chunk;
		p->used = 0;
	}
	*place = (p->nchunks - 1) << CHUNK_BITS | p->used;
	if (text.len)
		memcpy(p->chunks[p->nchunks - 1] + p->used, text.at, text.len);
	p->chunks[p->nchunks - 1][p->used + text.len] = '\0';
	p->used += (uint32_t)text.len + 1;
	return 0;
}

static int path_read(struct paths *p, struct db *db, uint32_t id, uint32_t *place)
{
	sqlite3_stmt *stmt = db_stmt(db, "SELECT path FROM path WHERE id = ?");
	int r = db_query(db, stmt, "u", id);
	struct bytes text;

	if (r != DB_ROW)
		return r ? r : -EUCLEAN;
	text = db_column_bytes(stmt, 0);
	r = text.len < PATH_MAX ? text_add(p, text, place) : -EUCLEAN;
	sqlite3_reset(stmt);
	return r;
}

int paths_get(struct paths *p, struct db *db, uint32_t id, const char **out)
{
	struct slot *slot;
	uint32_t place;
	int r = id ? slots_grow(p) : -EUCLEAN;

	if (r)
		return r;
	slot = slot_of(p->slots, p->size, id);
	if (!slot->id) {
		r = path_read(p, db, id, &place);
		if (r)
			return r;
		*slot = (struct slot){id, place};
		p->n++;
	}
	*out = p->chunks[slot->place >> CHUNK_BITS] + (slot->place & (CHUNK_SIZE - 1));
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/listing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int by_id_cmp(const void *a, const void *b)
{
	uint32_t x = ((const struct listed *)a)->id;
	uint32_t y = ((const struct listed *)b)->id;

	return (x > y) - (x < y);
}

static int by_name_cmp(const void *a, const void *b, void *ctx)
{
	const struct listed *list = ctx;

	return strcmp(list[*(const uint32_t *)a].name, list[*(const uint32_t *)b].name);
}

struct listed *listing_by_id(const struct listing *l, uint32_t id)
{
	struct listed key = {.id = id};

	return l->n ? bsearch(&key, l->list, l->n, sizeof(key), by_id_cmp) : NULL;
}

const struct listed *listing_by_name(const struct listing *l, const char *name, size_t len)
{
	uint32_t lo = 0;
	uint32_t hi = l->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const struct listed *one = &l->list[l->by_name[mid]];
		int c = strncmp(one->name, name, len);

		if (!c && one->name_len == len)
			return one;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

int listing_add(struct listing *l, const struct listed *one)
{
	if (!(l->n & (l->n - 1))) {
		struct listed *bigger = realloc(l->list, (l->n ? 2 * l->n : 1) * sizeof(*l->list));

		if (!bigger)
			return -ENOMEM;
		l->list = bigger;
	}
	l->list[l->n++] = *one;
	return 0;
}

void listing_fini(struct listing *l)
{
	free(l->list);
	free(l->by_name);
}

void listing_sort(struct listing *l)
{
	if (l->n)
		qsort(l->list, l->n, sizeof(*l->list), by_id_cmp);
}

int listing_index(struct listing *l)
{
	l->by_name = malloc((l->n + 1) * sizeof(*l->by_name));
	if (!l->by_name)
		return -ENOMEM;
	for (uint32_t i = 0; i < l->n; i++)
		l->by_name[i] = i;
	qsort_r(l->by_name, l->n, sizeof(*l->by_name), by_name_cmp, l->list);
	return 0;
}

const struct listed *listing_after(const struct listing *l, uint64_t cookie)
{
	uint32_t lo = 0;
	uint32_t hi = l->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if ((uint64_t)l->list[mid].id + 2 <= cookie)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < l->n ? &l->list[lo] : NULL;
}

static bool listed_same(const struct listed *a, const struct listed *b)
{
	return a->id == b->id && a->plant == b->plant && !strcmp(a->name, b->name);
}

bool listing_moved(const struct listing *a, const struct listing *b)
{
	if (a->n != b->n)
		return true;
	for (uint32_t i = 0; i < a->n; i++)
		if (a->list[i].id != b->list[i].id || strcmp(a->list[i].name, b->list[i].name))
			return true;
	return false;
}

void listing_tell(const struct listing *old, const struct listing *now, uint64_t dir,
		  const struct changes_sink *sink)
{
	bool any = false;
	uint32_t i = 0;
	uint32_t j = 0;

	while (i < old->n || j < now->n) {
		const struct listed *a = i < old->n ? &old->list[i] : NULL;
		const struct listed *b = j < now->n ? &now->list[j] : NULL;

		if (a && b && listed_same(a, b)) {
			i++;
			j++;
			continue;
		}
		any = true;
		if (a && (!b || a->id <= b->id)) {
			sink->name(sink->ctx, dir, a->name, a->name_len);
			i++;
		}
		if (b && (!a || b->id <= a->id)) {
			sink->name(sink->ctx, dir, b->name, b->name_len);
			j++;
		}
	}
	if (any)
		sink->node(sink->ctx, dir, true);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tftp/deadlines.h"

#include <errno.h>
#include <stdlib.h>

int deadlines_init(struct deadlines *ds, unsigned int most)
{
	*ds = (struct deadlines){.heap = calloc(most, sizeof(*ds->heap))};
	return ds->heap ? 0 : -ENOMEM;
}

void deadlines_fini(struct deadlines *ds)
{
	free(ds->heap);
	*ds = (struct deadlines){.heap = NULL};
}

static void put(struct deadlines *ds, unsigned int i, struct deadlines_entry e)
{
	ds->heap[i] = e;
	e.owner->place = i + 1;
	ds->steps++;
}

static void rise(struct deadlines *ds, unsigned int i)
{
	struct deadlines_entry e = ds->heap[i];

	while (i && ds->heap[(i - 1) / 2].at.ns > e.at.ns) {
		put(ds, i, ds->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	put(ds, i, e);
}

static void sink(struct deadlines *ds, unsigned int i)
{
	struct deadlines_entry e = ds->heap[i];

	for (;;) {
		unsigned int child = 2 * i + 1;

		if (child + 1 < ds->n && ds->heap[child + 1].at.ns < ds->heap[child].at.ns)
			child++;
		if (child >= ds->n || ds->heap[child].at.ns >= e.at.ns)
			break;
		put(ds, i, ds->heap[child]);
		i = child;
	}
	put(ds, i, e);
}

void deadlines_set(struct deadlines *ds, struct deadline *d, struct instant at)
{
	d->due = at;
	if (!d->place) {
		ds->heap[ds->n] = (struct deadlines_entry){at, d};
		rise(ds, ds->n++);
	} else if (at.ns < ds->heap[d->place - 1].at.ns) {
		ds->heap[d->place - 1].at = at;
		rise(ds, d->place - 1);
	}
}

void deadlines_clear(struct deadlines *ds, struct deadline *d)
{
	unsigned int i = d->place - 1;
	struct deadlines_entry last;

	if (!d->place)
		return;
	d->place = 0;
	last = ds->heap[--ds->n];
	if (i == ds->n)
		return;
	ds->heap[i] = last;
	rise(ds, i);
	sink(ds, last.owner->place - 1);
}

struct deadline *deadlines_take(struct deadlines *ds, struct instant now)
{
	while (ds->n && ds->heap[0].at.ns <= now.ns) {
		struct deadline *d = ds->heap[0].owner;

		if (d->due.ns <= now.ns) {
			deadlines_clear(ds, d);
			return d;
		}
		ds->heap[0].at = d->due;
		sink(ds, 0);
	}
	return NULL;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dhcp/heap.h"

#include <stdlib.h>

#include "common/array.h"

void lease_heap_fini(struct lease_heap *h)
{
	free(h->at);
	*h = (struct lease_heap){.at = NULL};
}

static bool earlier(struct lease_heap *h, unsigned int a, unsigned int b)
{
	h->steps++;
	return h->at[a]->due.ns < h->at[b]->due.ns;
}

static void swap(struct lease_heap *h, unsigned int a, unsigned int b)
{
	struct lease *lease = h->at[a];

	h->at[a] = h->at[b];
	h->at[b] = lease;
	h->at[a]->place = a;
	h->at[b]->place = b;
}

static void sift_up(struct lease_heap *h, unsigned int i)
{
	while (i && earlier(h, i, (i - 1) / 2)) {
		swap(h, i, (i - 1) / 2);
		i = (i - 1) / 2;
	}
}

static void sift_down(struct lease_heap *h, unsigned int i)
{
	for (;;) {
		unsigned int first = i;

		for (unsigned int child = 2 * i + 1; child < h->n && child <= 2 * i + 2; child++)
			if (earlier(h, child, first))
				first = child;
		if (first == i)
			return;
		swap(h, i, first);
		i = first;
	}
}

int lease_heap_add(struct lease_heap *h, struct lease *lease)
{
	int r = array_grow(&h->at, h->n, sizeof(struct lease *));

	if (r)
		return r;
	lease->place = h->n;
	h->at[h->n] = lease;
	sift_up(h, h->n++);
	return 0;
}

void lease_heap_remove(struct lease_heap *h, struct lease *lease)
{
	unsigned int i = lease->place;

	h->n--;
	if (i == h->n)
		return;
	h->at[i] = h->at[h->n];
	h->at[i]->place = i;
	lease_heap_move(h, h->at[i]);
}

void lease_heap_move(struct lease_heap *h, struct lease *lease)
{
	sift_up(h, lease->place);
	sift_down(h, lease->place);
}

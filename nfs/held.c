/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nfs/held.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "nfs/worker.h"

/* The supervisor, too, hears of it again: it may have been busy. */
#define AGAIN_NS NS_PER_SEC

int held_add(struct worker *worker, struct held *held, uint32_t address, struct bytes call,
	     bool cut)
{
	unsigned int same = 0;
	uint8_t *copy;

	for (const struct held *h = worker->held; h; h = h->next)
		same += h->address == address;
	if (same >= HELD_MAX_PER_ADDRESS || worker->nheld >= HELD_MAX)
		return -EBUSY;
	copy = malloc(call.len ? call.len : 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, call.at, call.len);
	held->call = (struct bytes){copy, call.len};
	held->cut = cut;
	held->address = address;
	held->since_ns = worker->nfs.now_ns;
	held->until_ns = worker->nfs.now_ns + HELD_SECS * NS_PER_SEC;
	held->again_ns = worker->nfs.now_ns + AGAIN_NS;
	held->prev = NULL;
	held->next = worker->held;
	if (held->next)
		held->next->prev = held;
	worker->held = held;
	worker->nheld++;
	return 0;
}

void held_answered(struct worker *worker, const struct held *held)
{
	tally_turn(&worker->nfs.tally, instant_now().ns - held->since_ns);
}

void held_remove(struct worker *worker, struct held *held)
{
	if (held->prev)
		held->prev->next = held->next;
	else
		worker->held = held->next;
	if (held->next)
		held->next->prev = held->prev;
	worker->nheld--;
	free((uint8_t *)held->call.at);
	held->call = (struct bytes){0};
}

void held_run(struct worker *worker)
{
	uint64_t generation = exports_generation(worker->nfs.exports);
	int64_t now = worker->nfs.now_ns;
	bool moved = generation != worker->held_seen;
	struct held *next;

	worker->held_seen = generation;
	for (struct held *h = worker->held; h; h = next) {
		next = h->next;
		if (!moved && now < h->again_ns)
			continue;
		h->again_ns = now + AGAIN_NS;
		worker->nfs.may_hold = now < h->until_ns;
		h->again(worker, h);
	}
	worker->nfs.may_hold = true;
}

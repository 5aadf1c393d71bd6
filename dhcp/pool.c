/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dhcp/pool.h"

#include "dhcp/heap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Whose address may go to another machine when it is over.  A registered machine
 * that is off for a while comes back to its own; MACs can be made up. */
enum line {
	LINE_NONE, /* nobody's, or not of the range */
	LINE_HOSTS,
	LINE_STRANGERS,
	LINE_OFFERS, /* to strangers */
	LINES
};

struct pool {
	const struct dhcp_subnet *subnet;
	uint32_t base; /* the lowest address of its ranges */
	uint32_t size; /* to the highest */
	uint64_t *blocked;
	uint64_t *reserved;
	uint64_t *leased;
	uint64_t *reserving; /* the reserved ones of the inventory that comes */
	unsigned int nfree;
	struct lease_heap lines[LINES];
	struct log_limit said; /* that it is full */
};

struct pools {
	struct leases *leases; /* borrowed */
	struct pool *list;     /* by network */
	unsigned int n;
	unsigned int keep;
};

static bool bit_get(const uint64_t *bits, uint32_t i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

static void bit_set(uint64_t *bits, uint32_t i, bool on)
{
	uint64_t bit = UINT64_C(1) << (i % 64);

	bits[i / 64] = on ? bits[i / 64] | bit : bits[i / 64] & ~bit;
}

static size_t pool_words(const struct pool *p)
{
	return (p->size + 63) / 64;
}

static bool pool_has(const struct pool *p, uint32_t address)
{
	return p->size && address >= p->base && address - p->base < p->size;
}

static bool pool_is_free(const struct pool *p, uint32_t i)
{
	return !bit_get(p->blocked, i) && !bit_get(p->reserved, i) && !bit_get(p->leased, i);
}

static void pool_count(struct pool *p)
{
	p->nfree = 0;
	for (size_t w = 0; w < pool_words(p); w++)
		p->nfree += (unsigned int)__builtin_popcountll(
			~(p->blocked[w] | p->reserved[w] | p->leased[w]));
}

static void pool_mark(struct pool *p, uint64_t *bits, uint32_t address, bool on)
{
	uint32_t i = address - p->base;
	bool was;

	if (!pool_has(p, address))
		return;
	was = pool_is_free(p, i);
	bit_set(bits, i, on);
	p->nfree += (unsigned int)pool_is_free(p, i) - (unsigned int)was;
}

static void block_range(struct pool *p, uint32_t first, uint32_t last, bool on)
{
	if (!p->size)
		return;
	if (first < p->base)
		first = p->base;
	if (last > p->base + (p->size - 1))
		last = p->base + (p->size - 1);
	for (uint64_t a = first; a <= last; a++)
		bit_set(p->blocked, (uint32_t)a - p->base, on);
}

static int pool_init(struct pool *p, const struct dhcp_config *config, const struct dhcp_subnet *s)
{
	uint32_t low = UINT32_MAX;
	uint32_t high = 0;

	p->subnet = s;
	for (unsigned int i = 0; i < s->nranges; i++) {
		low = s->ranges[i].first < low ? s->ranges[i].first : low;
		high = s->ranges[i].last > high ? s->ranges[i].last : high;
	}
	if (!s->nranges)
		return 0;
	p->base = low;
	p->size = high - low + 1;
	p->blocked = malloc(pool_words(p) * 8);
	p->reserved = calloc(pool_words(p), 8);
	p->leased = calloc(pool_words(p), 8);
	p->reserving = calloc(pool_words(p), 8);
	if (!p->blocked || !p->reserved || !p->leased || !p->reserving)
		return -ENOMEM;
	memset(p->blocked, 0xff, pool_words(p) * 8);
	for (unsigned int i = 0; i < s->nranges; i++)
		block_range(p, s->ranges[i].first, s->ranges[i].last, false);
	for (unsigned int i = 0; i < s->nexcluded; i++)
		block_range(p, s->excluded[i].first, s->excluded[i].last, true);
	/* What other machines are known to have; a name server may be anywhere. */
	block_range(p, s->network, s->network, true);
	block_range(p, s->network | ~s->mask, s->network | ~s->mask, true);
	for (unsigned int i = 0; i < s->nrouters; i++)
		block_range(p, s->routers[i], s->routers[i], true);
	for (unsigned int i = 0; i < s->ndns; i++)
		block_range(p, s->dns[i], s->dns[i], true);
	for (unsigned int i = 0; i < s->nntp; i++)
		block_range(p, s->ntp[i], s->ntp[i], true);
	if (s->next_server)
		block_range(p, s->next_server, s->next_server, true);
	for (unsigned int i = 0; i < config->ninterfaces; i++)
		block_range(p, config->interfaces[i].address, config->interfaces[i].address, true);
	return 0;
}

static struct pool *pools_find(const struct pools *ps, uint32_t address)
{
	unsigned int lo = 0;
	unsigned int hi = ps->n;

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;

		if (dhcp_subnet_has(ps->list[mid].subnet, address))
			return &ps->list[mid];
		if (ps->list[mid].subnet->network < address)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static enum line line_of(const struct pool *p, const struct lease *lease)
{
	if (!lease->state || !pool_has(p, lease->address) ||
	    bit_get(p->blocked, lease->address - p->base) ||
	    bit_get(p->reserved, lease->address - p->base))
		return LINE_NONE;
	if (lease->host)
		return LINE_HOSTS;
	return lease->state == LEASE_OFFERED ? LINE_OFFERS : LINE_STRANGERS;
}

static void pool_put(struct pool *p, struct lease *lease, enum line line)
{
	struct instant due = lease_over_at(lease);

	if (lease->line == line) {
		if (line != LINE_NONE && due.ns != lease->due.ns) {
			lease->due = due;
			lease_heap_move(&p->lines[line], lease);
		}
		return;
	}
	if (lease->line != LINE_NONE)
		lease_heap_remove(&p->lines[lease->line], lease);
	lease->line = LINE_NONE;
	lease->due = due;
	/* Out of memory: it stays its tenant's. */
	if (line != LINE_NONE && !lease_heap_add(&p->lines[line], lease))
		lease->line = line;
}

void pools_moved(struct pools *ps, struct lease *lease)
{
	struct pool *p = pools_find(ps, lease->address);

	if (p)
		pool_put(p, lease, line_of(p, lease));
}

static void mark_leased(void *ctx, struct lease *lease)
{
	struct pool *p = pools_find(ctx, lease->address);

	if (!p)
		return;
	pool_mark(p, p->leased, lease->address, true);
	pool_put(p, lease, line_of(p, lease));
}

static int by_network(const void *a, const void *b)
{
	uint32_t x = ((const struct pool *)a)->subnet->network;
	uint32_t y = ((const struct pool *)b)->subnet->network;

	return (x > y) - (x < y);
}

int pools_new(const struct dhcp_config *config, struct leases *leases, struct pools **out)
{
	cleanup(pools_freep) struct pools *ps = calloc(1, sizeof(*ps));
	int r;

	if (!ps)
		return -ENOMEM;
	ps->leases = leases;
	ps->list = calloc(config->nsubnets + 1, sizeof(*ps->list));
	if (!ps->list)
		return -ENOMEM;
	for (; ps->n < config->nsubnets; ps->n++) {
		r = pool_init(&ps->list[ps->n], config, &config->subnets[ps->n]);
		if (r) {
			ps->n++;
			return r;
		}
		pool_count(&ps->list[ps->n]);
	}
	qsort(ps->list, ps->n, sizeof(*ps->list), by_network);
	leases_each(leases, mark_leased, ps);
	*out = take(&ps);
	return 0;
}

void pools_free(struct pools *ps)
{
	if (!ps)
		return;
	for (unsigned int i = 0; ps->list && i < ps->n; i++) {
		free(ps->list[i].blocked);
		free(ps->list[i].reserved);
		free(ps->list[i].leased);
		free(ps->list[i].reserving);
		for (unsigned int line = 0; line < LINES; line++)
			lease_heap_fini(&ps->list[i].lines[line]);
	}
	free(ps->list);
	free(ps);
}

/* The leases at addresses whose reservation came or went change lines. */
static void pool_reserve_changes(struct pools *ps, struct pool *p)
{
	uint64_t *was = p->reserved;

	p->reserved = p->reserving;
	p->reserving = was;
	for (size_t w = 0; w < pool_words(p); w++)
		for (uint64_t moved = was[w] ^ p->reserved[w]; moved; moved &= moved - 1) {
			uint32_t i = (uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(moved);
			struct lease *lease = leases_by_address(ps->leases, p->base + i);

			if (lease)
				pool_put(p, lease, line_of(p, lease));
		}
	pool_count(p);
}

void pools_reserve(struct pools *ps, const struct inventory *inv)
{
	for (unsigned int i = 0; i < ps->n; i++)
		if (ps->list[i].size)
			memset(ps->list[i].reserving, 0, pool_words(&ps->list[i]) * 8);
	for (unsigned int i = 0; i < inventory_count(inv); i++) {
		const struct host *host = inventory_at(inv, i);
		struct pool *p = host->address ? pools_find(ps, host->address) : NULL;

		if (p && pool_has(p, host->address))
			bit_set(p->reserving, host->address - p->base, true);
	}
	for (unsigned int i = 0; i < ps->n; i++)
		if (ps->list[i].size)
			pool_reserve_changes(ps, &ps->list[i]);
}

const struct dhcp_subnet *pools_subnet(const struct pools *ps, uint32_t address)
{
	const struct pool *p = pools_find(ps, address);

	return p ? p->subnet : NULL;
}

bool pools_offers(const struct pools *ps, uint32_t address)
{
	const struct pool *p = pools_find(ps, address);

	return p && pool_has(p, address) && !bit_get(p->blocked, address - p->base) &&
	       !bit_get(p->reserved, address - p->base);
}

static uint32_t pool_start(const struct pool *p, const struct mac *mac)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (unsigned int i = 0; i < sizeof(mac->octet); i++)
		h = (h ^ mac->octet[i]) * UINT64_C(0x100000001b3);
	h ^= h >> 32;
	return (uint32_t)(h % p->size);
}

/* The first free bit at or after `start`, round the end. */
static uint32_t pool_scan(const struct pool *p, uint32_t start)
{
	size_t words = pool_words(p);
	size_t w = start / 64;
	uint64_t mask = ~UINT64_C(0) << (start % 64);

	/* One round, and the head of the first word again. */
	for (size_t i = 0; i <= words; i++) {
		uint64_t free_bits = ~(p->blocked[w] | p->reserved[w] | p->leased[w]) & mask;

		if (free_bits)
			return p->base + (uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(free_bits);
		mask = ~UINT64_C(0);
		w = w + 1 == words ? 0 : w + 1;
	}
	return 0;
}

/* Who of a line is over first; NULL: nobody is in it. */
static struct lease *line_first(struct lease_heap *heap)
{
	struct lease *top;

	while ((top = lease_heap_top(heap))) {
		struct instant over = lease_over_at(top);

		/* A sign of life moves it later without a word. */
		if (over.ns == top->due.ns)
			return top;
		top->due = over;
		lease_heap_move(heap, top);
	}
	return NULL;
}

/* The address whose tenant has been gone for longest. */
static uint32_t pool_win_back(struct pool *p, bool registered, struct instant now)
{
	const struct lease *best = NULL;

	for (unsigned int line = registered ? LINE_HOSTS : LINE_STRANGERS; line < LINES; line++) {
		const struct lease *lease = line_first(&p->lines[line]);

		if (lease && (!best || lease->due.ns < best->due.ns))
			best = lease;
	}
	return best && best->due.ns <= now.ns ? best->address : 0;
}

/* A stranger's offer that a registered machine may have instead. */
static uint32_t pool_take_over(struct pool *p)
{
	const struct lease *oldest = line_first(&p->lines[LINE_OFFERS]);

	return oldest ? oldest->address : 0;
}

/* At most a quarter. */
static unsigned int pool_kept(const struct pools *ps, const struct pool *p)
{
	return ps->keep < p->size / 4 ? ps->keep : p->size / 4;
}

uint32_t pools_choose(struct pools *ps, const struct dhcp_subnet *subnet, const struct mac *mac,
		      bool registered, struct instant now)
{
	struct pool *p = pools_find(ps, subnet->network);
	uint32_t address = 0;

	if (!p || !p->size)
		return 0;
	if (p->nfree > (registered ? 0 : pool_kept(ps, p)))
		address = pool_scan(p, pool_start(p, mac));
	if (!address)
		address = pool_win_back(p, registered, now);
	if (!address && registered)
		address = pool_take_over(p);
	return address;
}

void pools_keep(struct pools *ps, unsigned int addresses)
{
	ps->keep = addresses;
}

struct lease *pools_assign(struct pools *ps, uint32_t address, const struct mac *mac)
{
	struct lease *lease = lease_assign(ps->leases, address, mac);
	struct pool *p = pools_find(ps, address);

	if (lease && p) {
		pool_mark(p, p->leased, address, true);
		pool_put(p, lease, line_of(p, lease));
	}
	return lease;
}

void pools_forget(struct pools *ps, struct lease *lease)
{
	struct pool *p = pools_find(ps, lease->address);

	if (p) {
		pool_mark(p, p->leased, lease->address, false);
		pool_put(p, lease, LINE_NONE);
	}
	lease_forget(ps->leases, lease);
}

bool pools_say_full(struct pools *ps, const struct dhcp_subnet *subnet, struct instant now)
{
	struct pool *p = pools_find(ps, subnet->network);

	return p && log_allow(&p->said, now.ns, 1, 600000);
}

uint64_t pools_steps(const struct pools *ps)
{
	uint64_t steps = 0;

	for (unsigned int i = 0; i < ps->n; i++)
		for (unsigned int line = 0; line < LINES; line++)
			steps += ps->list[i].lines[line].steps;
	return steps;
}

unsigned int pools_kept(const struct pools *ps)
{
	return ps->keep;
}

unsigned int pools_free_count(const struct pools *ps, const struct dhcp_subnet *subnet)
{
	const struct pool *p = pools_find(ps, subnet->network);

	return p ? p->nfree : 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dhcp/lease.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LEASE_ALIVE_NS (3600 * NS_PER_SEC)
#define LEASE_ALIVE_STORE_NS (300 * NS_PER_SEC)

struct leases {
	struct db *db; /* borrowed */
	unsigned int n;
	unsigned int nbuckets; /* a power of two */
	struct lease **by_address;
	struct lease **by_mac;
	struct lease *dirty;
	struct lease *offer_oldest;
	struct lease *offer_newest;
};

static uint32_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= UINT64_C(0xff51afd7ed558ccd);
	x ^= x >> 33;
	return (uint32_t)x;
}

static uint64_t mac_number(const struct mac *mac)
{
	uint64_t x = 0;

	memcpy(&x, mac, sizeof(*mac));
	return x;
}

static struct lease **address_bucket(const struct leases *l, uint32_t address)
{
	return &l->by_address[mix(address) & (l->nbuckets - 1)];
}

static struct lease **mac_bucket(const struct leases *l, const struct mac *mac)
{
	return &l->by_mac[mix(mac_number(mac)) & (l->nbuckets - 1)];
}

static int leases_grow(struct leases *l)
{
	struct lease **old = l->by_address;
	unsigned int nold = l->nbuckets;
	struct lease **by_address = calloc(nold * 2, sizeof(*by_address));
	struct lease **by_mac = calloc(nold * 2, sizeof(*by_mac));

	if (!by_address || !by_mac) {
		free(by_address);
		free(by_mac);
		return -ENOMEM;
	}
	free(l->by_mac);
	l->by_address = by_address;
	l->by_mac = by_mac;
	l->nbuckets = nold * 2;
	for (unsigned int i = 0; i < nold; i++)
		for (struct lease *lease = old[i]; lease;) {
			struct lease *next = lease->next_by_address;
			struct lease **a = address_bucket(l, lease->address);
			struct lease **m = mac_bucket(l, &lease->mac);

			lease->next_by_address = *a;
			*a = lease;
			lease->next_by_mac = *m;
			*m = lease;
			lease = next;
		}
	free(old);
	return 0;
}

struct lease *leases_by_address(const struct leases *l, uint32_t address)
{
	struct lease *lease = *address_bucket(l, address);

	while (lease && lease->address != address)
		lease = lease->next_by_address;
	return lease;
}

static struct lease *mac_match(struct lease *lease, const struct mac *mac)
{
	/* One without a state only waits for its row to go. */
	while (lease && (!mac_equal(&lease->mac, mac) || !lease->state))
		lease = lease->next_by_mac;
	return lease;
}

struct lease *leases_by_mac(const struct leases *l, const struct mac *mac)
{
	return mac_match(*mac_bucket(l, mac), mac);
}

struct lease *leases_next(const struct lease *lease)
{
	return mac_match(lease->next_by_mac, &lease->mac);
}

void leases_each(const struct leases *l, void (*each)(void *ctx, struct lease *lease), void *ctx)
{
	for (unsigned int i = 0; i < l->nbuckets; i++)
		for (struct lease *lease = l->by_address[i]; lease; lease = lease->next_by_address)
			if (lease->state)
				each(ctx, lease);
}

static void mac_unlink(struct leases *l, struct lease *lease)
{
	struct lease **p = mac_bucket(l, &lease->mac);

	while (*p != lease)
		p = &(*p)->next_by_mac;
	*p = lease->next_by_mac;
}

static void offer_unlink(struct leases *l, struct lease *lease)
{
	if (lease->state != LEASE_OFFERED)
		return;
	*(lease->older ? &lease->older->newer : &l->offer_oldest) = lease->newer;
	*(lease->newer ? &lease->newer->older : &l->offer_newest) = lease->older;
	lease->older = lease->newer = NULL;
}

static void lease_destroy(struct leases *l, struct lease *lease)
{
	struct lease **p = address_bucket(l, lease->address);

	while (*p != lease)
		p = &(*p)->next_by_address;
	*p = lease->next_by_address;
	mac_unlink(l, lease);
	l->n--;
	free(lease);
}

struct lease *lease_assign(struct leases *l, uint32_t address, const struct mac *mac)
{
	struct lease *lease = leases_by_address(l, address);
	struct lease **bucket;

	if (!lease) {
		if (l->n >= l->nbuckets && leases_grow(l) && l->n >= 64 * (size_t)l->nbuckets)
			return NULL;
		lease = calloc(1, sizeof(*lease));
		if (!lease)
			return NULL;
		lease->address = address;
		bucket = address_bucket(l, address);
		lease->next_by_address = *bucket;
		*bucket = lease;
		l->n++;
	} else {
		offer_unlink(l, lease);
		mac_unlink(l, lease);
	}
	lease->mac = *mac;
	bucket = mac_bucket(l, mac);
	lease->next_by_mac = *bucket;
	*bucket = lease;
	lease->host = 0;
	lease->probing = false;
	lease->state = LEASE_RELEASED;
	lease->started = 0;
	lease->expires = lease->held = lease->alive = (struct instant){INT64_MIN};
	lease->alive_stored = INT64_MIN;
	lease->id_len = 0;
	lease->hostname[0] = '\0';
	return lease;
}

void lease_changed(struct leases *l, struct lease *lease)
{
	if (lease->dirty)
		return;
	lease->dirty = true;
	lease->next_dirty = l->dirty;
	l->dirty = lease;
}

static void rewrite(void *ctx, struct lease *lease)
{
	if (lease->stored)
		lease_changed(ctx, lease);
}

void leases_rewrite(struct leases *l)
{
	leases_each(l, rewrite, l);
}

void lease_forget(struct leases *l, struct lease *lease)
{
	offer_unlink(l, lease);
	lease->state = 0;
	lease->expires = lease->held = lease->alive = (struct instant){INT64_MIN};
	if (lease->stored || lease->dirty)
		lease_changed(l, lease);
	else
		lease_destroy(l, lease);
}

void lease_offer(struct leases *l, struct lease *lease, struct instant until)
{
	offer_unlink(l, lease);
	lease->state = LEASE_OFFERED;
	lease->expires = lease->held = until;
	lease->older = l->offer_newest;
	lease->newer = NULL;
	*(l->offer_newest ? &l->offer_newest->newer : &l->offer_oldest) = lease;
	l->offer_newest = lease;
}

void lease_bind(struct leases *l, struct lease *lease, struct instant until, int64_t wall_ns)
{
	offer_unlink(l, lease);
	if (lease->state != LEASE_BOUND || !lease->started)
		lease->started = wall_ns;
	lease->state = LEASE_BOUND;
	lease->expires = until;
	lease_changed(l, lease);
}

void lease_decline(struct leases *l, struct lease *lease, struct instant until)
{
	offer_unlink(l, lease);
	lease->state = LEASE_DECLINED;
	lease->expires = until;
	lease->held = lease->alive = (struct instant){INT64_MIN};
	lease_changed(l, lease);
}

void lease_release(struct leases *l, struct lease *lease, struct instant now)
{
	lease->state = LEASE_RELEASED;
	lease->expires = lease->held = now;
	lease_changed(l, lease);
}

struct lease *leases_oldest_offer(const struct leases *l)
{
	return l->offer_oldest;
}

void lease_alive(struct leases *l, struct lease *lease, struct instant at)
{
	lease->alive = at;
	if (lease->alive_stored == INT64_MIN || at.ns - lease->alive_stored > LEASE_ALIVE_STORE_NS)
		lease_changed(l, lease);
}

struct instant lease_over_at(const struct lease *lease)
{
	struct instant at = lease->state == LEASE_RELEASED ? lease->held : lease->expires;

	if (lease->held.ns > at.ns)
		at = lease->held;
	if (lease->alive.ns != INT64_MIN && lease->alive.ns + LEASE_ALIVE_NS > at.ns)
		at.ns = lease->alive.ns + LEASE_ALIVE_NS;
	return at;
}

bool lease_is_over(const struct lease *lease, struct instant now)
{
	return lease_over_at(lease).ns <= now.ns;
}

/* ---- rows ---- */

/* base + (x - from); 0, long ago, where that is no number. */
static int64_t shift(int64_t x, int64_t from, int64_t base)
{
	int64_t distance;
	int64_t sum;

	if (__builtin_sub_overflow(x, from, &distance) ||
	    __builtin_add_overflow(base, distance, &sum))
		return 0;
	return sum;
}

struct instant instant_as_of(int64_t wall_ns, struct dhcp_now now)
{
	int64_t at = shift(wall_ns, now.wall_ns, now.mono.ns);

	/* So that it can be counted from. */
	if (at < INT64_MIN / 2)
		at = INT64_MIN / 2;
	return (struct instant){at > INT64_MAX / 2 ? INT64_MAX / 2 : at};
}

static int64_t wall_of(struct instant at, struct dhcp_now now)
{
	return shift(at.ns, now.mono.ns, now.wall_ns);
}

static int leases_read(struct leases *l, struct dhcp_now now)
{
	sqlite3_stmt *stmt =
		db_stmt(l->db, "SELECT address, mac, host, state, started, expires, last_alive,"
			       " client_id, hostname FROM lease");
	int r;

	for (r = db_query(l->db, stmt, ""); r == DB_ROW; r = db_next(l->db, stmt)) {
		struct bytes id = db_column_bytes(stmt, 7);
		int64_t state = sqlite3_column_int64(stmt, 3);
		struct lease *lease;
		struct mac mac;

		if (db_column_mac(stmt, 1, &mac) || state < LEASE_OFFERED || state > LEASE_DECLINED)
			return -EUCLEAN;
		lease = lease_assign(l, (uint32_t)sqlite3_column_int64(stmt, 0), &mac);
		if (!lease)
			return -ENOMEM;
		lease->host = (uint32_t)sqlite3_column_int64(stmt, 2);
		/* Offers are not kept; an older program's become a memory. */
		lease->state = state == LEASE_OFFERED ? LEASE_RELEASED : (enum lease_state)state;
		lease->started = sqlite3_column_int64(stmt, 4);
		lease->expires = instant_as_of(sqlite3_column_int64(stmt, 5), now);
		if (sqlite3_column_type(stmt, 6) != SQLITE_NULL) {
			lease->alive = instant_as_of(sqlite3_column_int64(stmt, 6), now);
			/* The wall clock may have been set back since. */
			if (lease->alive.ns > now.mono.ns)
				lease->alive = now.mono;
			lease->alive_stored = lease->alive.ns;
		}
		lease->id_len = (uint8_t)(id.len > LEASE_ID_MAX ? LEASE_ID_MAX : id.len);
		if (lease->id_len)
			memcpy(lease->client_id, id.at, lease->id_len);
		db_column_text(stmt, 8, lease->hostname, sizeof(lease->hostname));
		lease->stored = true;
	}
	return r;
}

int leases_load(struct db *db, struct dhcp_now now, struct leases **out)
{
	cleanup(leases_freep) struct leases *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->db = db;
	l->nbuckets = 1024;
	l->by_address = calloc(l->nbuckets, sizeof(*l->by_address));
	l->by_mac = calloc(l->nbuckets, sizeof(*l->by_mac));
	if (!l->by_address || !l->by_mac)
		return -ENOMEM;
	r = leases_read(l, now);
	if (r)
		return r;
	*out = take(&l);
	return 0;
}

void leases_free(struct leases *l)
{
	if (!l)
		return;
	for (unsigned int i = 0; l->by_address && i < l->nbuckets; i++)
		while (l->by_address[i]) {
			struct lease *lease = l->by_address[i];

			l->by_address[i] = lease->next_by_address;
			free(lease);
		}
	free(l->by_address);
	free(l->by_mac);
	free(l);
}

bool leases_dirty(const struct leases *l)
{
	return l->dirty;
}

static int lease_write(struct leases *l, const struct lease *lease, struct dhcp_now now)
{
	const struct bytes mac = mac_bytes(&lease->mac);
	const struct bytes id = {lease->id_len ? lease->client_id : NULL, lease->id_len};
	sqlite3_stmt *stmt;
	int r;

	/* An offer that took over somebody's record is no longer his. */
	if (!lease->state || lease->state == LEASE_OFFERED)
		return db_run(l->db, "DELETE FROM lease WHERE address = ?", "u", lease->address);
	stmt = db_stmt(l->db, "INSERT OR REPLACE INTO lease (address, mac, host, state, started,"
			      " expires, client_id, hostname, last_alive)"
			      " VALUES (?, ?, nullif(?, 0), ?, ?, ?, ?, nullif(?, ''), ?)");
	r = db_query(l->db, stmt, lease->alive.ns == INT64_MIN ? "ubuuiibsn" : "ubuuiibsi",
		     lease->address, mac, lease->host, (uint32_t)lease->state, lease->started,
		     wall_of(lease->expires, now), id, lease->hostname, wall_of(lease->alive, now));
	return r;
}

int leases_write(struct leases *l, struct dhcp_now now)
{
	int r = 0;

	for (struct lease *lease = l->dirty; lease && !r; lease = lease->next_dirty)
		r = lease_write(l, lease, now);
	return r;
}

void leases_written(struct leases *l)
{
	while (l->dirty) {
		struct lease *lease = l->dirty;

		l->dirty = lease->next_dirty;
		lease->dirty = false;
		lease->stored = lease->state && lease->state != LEASE_OFFERED;
		if (lease->stored && lease->alive.ns != INT64_MIN)
			lease->alive_stored = lease->alive.ns;
		if (!lease->state)
			lease_destroy(l, lease);
	}
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Open boots are few and in no one's order, so they are read first and sorted by MAC;
 * each lease then finds those of its machine.
 */
#include "common/directory.h"
#include "common/array.h"
#include "common/log.h"
#include "common/schema.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- addresses ---- */

struct open_boots {
	struct open_boot *list; /* by MAC, the newest first */
	unsigned int n;
};

struct tenants {
	struct tenant *list; /* by address */
	unsigned int n;
	struct open_boots boots;
};

static int open_boot_cmp(const void *a, const void *b)
{
	const struct open_boot *x = a;
	const struct open_boot *y = b;
	int order = memcmp(&x->mac, &y->mac, sizeof(x->mac));

	return order ? order : (x->boot.id < y->boot.id) - (x->boot.id > y->boot.id);
}

static int open_boots_load(struct db *db, struct open_boots *b)
{
	sqlite3_stmt *stmt = db_stmt(db, "SELECT mac, coalesce(host, 0), mounted IS NOT NULL, id,"
					 " version, change, mode FROM boot INDEXED BY boot_open"
					 " WHERE ended IS NULL");
	int r;

	for (r = db_query(db, stmt, ""); r == DB_ROW; r = db_next(db, stmt)) {
		struct open_boot *one;
		struct mac mac;

		if (db_column_mac(stmt, 0, &mac))
			continue;
		if (array_grow(&b->list, b->n, sizeof(*one)))
			return -ENOMEM;
		one = &b->list[b->n++];
		one->mac = mac;
		one->host = (uint32_t)sqlite3_column_int64(stmt, 1);
		one->mounted = sqlite3_column_int(stmt, 2) != 0;
		one->boot.id = (uint32_t)sqlite3_column_int64(stmt, 3);
		one->boot.version = (uint32_t)sqlite3_column_int64(stmt, 4);
		one->boot.change = (uint64_t)sqlite3_column_int64(stmt, 5);
		one->boot.mode = root_mode_parse((const char *)sqlite3_column_text(stmt, 6));
	}
	if (!r && b->n)
		qsort(b->list, b->n, sizeof(*b->list), open_boot_cmp);
	return r;
}

static void tenant_find_boots(struct tenant *t, const struct open_boots *b)
{
	unsigned int lo = 0;
	unsigned int hi = b->n;

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;

		if (memcmp(&b->list[mid].mac, &t->mac, sizeof(t->mac)) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == b->n || !mac_equal(&b->list[lo].mac, &t->mac))
		return;
	t->boot = t->runs = b->list[lo].boot;
	if (b->list[lo].host)
		t->host = b->list[lo].host;
	for (; lo < b->n && mac_equal(&b->list[lo].mac, &t->mac); lo++)
		if (b->list[lo].mounted) {
			t->runs = b->list[lo].boot;
			t->mounted = t->runs.id;
			return;
		}
}

int tenants_load(struct db *db, struct tenants **out)
{
	/* An open boot holds its address though the lease ran out: kernels that boot
	 * from NFS never renew. */
	sqlite3_stmt *stmt = db_stmt(db, "SELECT address, mac, host FROM lease WHERE state = 2"
					 " ORDER BY address");
	cleanup(tenants_freep) struct tenants *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	r = open_boots_load(db, &t->boots);
	if (r)
		return r;
	for (r = db_query(db, stmt, ""); r == DB_ROW; r = db_next(db, stmt)) {
		struct tenant *one =
			array_grow(&t->list, t->n, sizeof(*one)) ? NULL : &t->list[t->n++];

		if (!one)
			return -ENOMEM;
		*one = (struct tenant){
			.address = (uint32_t)sqlite3_column_int64(stmt, 0),
			.host = (uint32_t)sqlite3_column_int64(stmt, 2),
		};
		db_column_mac(stmt, 1, &one->mac);
		tenant_find_boots(one, &t->boots);
	}
	if (r)
		return r;
	*out = take(&t);
	return 0;
}

void tenants_free(struct tenants *t)
{
	if (!t)
		return;
	free(t->boots.list);
	free(t->list);
	free(t);
}

/* The place of an address, or where it would be. */
static unsigned int tenants_place(const struct tenants *t, uint32_t address)
{
	unsigned int lo = 0;
	unsigned int hi = t->n;

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;

		if (t->list[mid].address < address)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct tenant *tenants_by_address(const struct tenants *t, uint32_t address)
{
	unsigned int at = tenants_place(t, address);

	return at < t->n && t->list[at].address == address ? &t->list[at] : NULL;
}

/* Without an open boot: the next one is meant. */
static int tenants_put(struct tenants *t, const struct tenant *one)
{
	unsigned int at = tenants_place(t, one->address);

	if (at == t->n || t->list[at].address != one->address) {
		if (array_grow(&t->list, t->n, sizeof(*one)))
			return -ENOMEM;
		memmove(&t->list[at + 1], &t->list[at], (t->n - at) * sizeof(*one));
		t->n++;
	}
	t->list[at] = *one;
	return 0;
}

const struct tenant *tenants_at(const struct tenants *t, unsigned int i)
{
	return i < t->n ? &t->list[i] : NULL;
}

const struct open_boot *tenants_boot_at(const struct tenants *t, unsigned int i)
{
	return i < t->boots.n ? &t->boots.list[i] : NULL;
}

/* ---- directory ---- */

enum { SEEN_NOTHING = -1 }; /* as db_data_version() has it where it cannot tell */

struct directory {
	struct db *rootstock;
	struct db *leases; /* NULL until dhcp has made it */
	char *state_dir;
	int64_t rootstock_seen;
	int64_t leases_seen;
	bool rootstock_current;
	bool leases_current;
	struct inventory *inventory;
	struct tenants *tenants;
	struct tenant assumed; /* address 0: nobody */
	bool complained;
};

static void directory_complain(struct directory *d, struct db *db, const char *what)
{
	if (!d->complained)
		log_error("%s: cannot be read, serving the last state: %s", what, db_error(db));
	d->complained = true;
}

static bool directory_poll_rootstock(struct directory *d)
{
	/* Read before loading: a commit in between is then seen next time. */
	int64_t seen = db_data_version(d->rootstock);
	struct inventory *inv;

	if (seen >= 0 && seen == d->rootstock_seen)
		return false;
	d->rootstock_current = !inventory_load(d->rootstock, &inv);
	if (!d->rootstock_current) {
		d->rootstock_seen = SEEN_NOTHING;
		directory_complain(d, d->rootstock, "rootstock.db");
		return false;
	}
	d->rootstock_seen = seen;
	d->complained = false;
	inventory_free(d->inventory);
	d->inventory = inv;
	return true;
}

static bool directory_poll_leases(struct directory *d)
{
	cleanup(tenants_freep) struct tenants *t = NULL;
	int64_t seen;
	int r = 0;

	if (!d->leases)
		r = db_open(d->state_dir, &schema_leases, DB_READ, &d->leases, NULL);
	if (r) {
		d->leases_current = r == -ENOENT;
		return false;
	}
	seen = db_data_version(d->leases);
	if (seen >= 0 && seen == d->leases_seen)
		return false;
	r = tenants_load(d->leases, &t);
	if (!r && d->assumed.address)
		r = tenants_put(t, &d->assumed);
	d->leases_current = !r;
	if (r) {
		d->leases_seen = SEEN_NOTHING;
		directory_complain(d, d->leases, "leases.db");
		return false;
	}
	d->leases_seen = seen;
	d->complained = false;
	tenants_free(d->tenants);
	d->tenants = take(&t);
	return true;
}

bool directory_poll(struct directory *d)
{
	bool moved = directory_poll_rootstock(d);

	return directory_poll_leases(d) || moved;
}

bool directory_current(const struct directory *d)
{
	return d->rootstock_current && d->leases_current;
}

int directory_open(const char *state_dir, struct directory **out, struct why *why)
{
	cleanup(directory_closep) struct directory *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	d->rootstock_seen = d->leases_seen = SEEN_NOTHING;
	d->state_dir = strdup(state_dir);
	d->tenants = calloc(1, sizeof(*d->tenants));
	if (!d->state_dir || !d->tenants)
		return -ENOMEM;
	r = db_open(state_dir, &schema_rootstock, DB_READ, &d->rootstock, why);
	if (r)
		return r;
	directory_poll(d);
	if (!d->inventory)
		return why_set(why, -EIO, "%s/rootstock.db: %s", state_dir, db_error(d->rootstock));
	*out = take(&d);
	return 0;
}

void directory_close(struct directory *d)
{
	if (!d)
		return;
	inventory_free(d->inventory);
	tenants_free(d->tenants);
	db_close(d->rootstock);
	db_close(d->leases);
	free(d->state_dir);
	free(d);
}

int directory_assume(struct directory *d, uint32_t address, const struct mac *mac)
{
	const struct host *host = inventory_by_mac(d->inventory, mac);

	d->assumed = (struct tenant){.address = address, .mac = *mac, .host = host ? host->id : 0};
	return tenants_put(d->tenants, &d->assumed);
}

const struct inventory *directory_inventory(const struct directory *d)
{
	return d->inventory;
}

const struct tenants *directory_tenants(const struct directory *d)
{
	return d->tenants;
}

int directory_who(const struct directory *d, uint32_t address, const struct host **host,
		  uint32_t *version, uint64_t *change)
{
	const struct tenant *t = tenants_by_address(d->tenants, address);
	const struct host *h = t ? inventory_by_mac(d->inventory, &t->mac)
				 : inventory_by_address(d->inventory, address);

	if (!h)
		return -ENOENT;
	if (h->pending)
		return -EACCES;
	*host = h;
	*version = t && t->boot.version ? t->boot.version : h->version;
	*change = t && t->boot.id ? t->boot.change : UINT64_MAX;
	return 0;
}

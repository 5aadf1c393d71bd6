/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Three index arrays over one table of hosts, each sorted by its key; at ten
 * thousand hosts a lookup is fourteen comparisons.
 */
#include "common/inventory.h"
#include "common/arena.h"
#include "common/array.h"
#include "common/schema.h"
#include "common/setting.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *arena_text(struct arena *a, sqlite3_stmt *stmt, int column)
{
	const char *text = (const char *)sqlite3_column_text(stmt, column);

	return arena_copy(a, text, text ? strlen(text) : 0);
}

struct value {
	uint32_t kind;
	uint32_t owner;
	const char *key;
	const char *value;
};

struct mac_index {
	struct mac mac;
	uint32_t host; /* index into hosts */
};

struct inventory {
	struct arena arena;
	struct host *hosts; /* by id */
	unsigned int nhosts;
	uint32_t *by_name; /* indexes into hosts */
	uint32_t *by_address;
	unsigned int naddresses;
	struct mac_index *by_mac;
	unsigned int nmacs;
	struct value *settings; /* by kind, owner, key */
	unsigned int nsettings;
	struct image_version *versions; /* by id */
	unsigned int nversions;
	uint32_t default_image;
};

static int load_versions(struct db *db, struct inventory *inv)
{
	sqlite3_stmt *stmt = db_stmt(
		db, "SELECT v.id, v.image, v.number, i.name, i.active = v.id, v.sealed IS NOT NULL"
		    " FROM version v JOIN image i ON i.id = v.image ORDER BY v.id");
	int r;

	for (r = db_query(db, stmt, ""); r == DB_ROW; r = db_next(db, stmt)) {
		struct image_version *v =
			array_grow(&inv->versions, inv->nversions, sizeof(*inv->versions))
				? NULL
				: &inv->versions[inv->nversions++];

		if (!v)
			return -ENOMEM;
		*v = (struct image_version){
			.id = (uint32_t)sqlite3_column_int64(stmt, 0),
			.image = (uint32_t)sqlite3_column_int64(stmt, 1),
			.number = (uint32_t)sqlite3_column_int64(stmt, 2),
			.image_name = arena_text(&inv->arena, stmt, 3),
			.active = sqlite3_column_int(stmt, 4),
			.sealed = sqlite3_column_int(stmt, 5),
		};
		if (!v->image_name)
			return -ENOMEM;
	}
	if (r)
		return r;
	stmt = db_stmt(db, "SELECT min(id) FROM image WHERE active IS NOT NULL");
	r = db_query(db, stmt, "");
	if (r == DB_ROW) {
		inv->default_image = (uint32_t)sqlite3_column_int64(stmt, 0);
		sqlite3_reset(stmt);
		r = 0;
	}
	return r;
}

static uint32_t active_version(const struct inventory *inv, uint32_t image)
{
	for (unsigned int i = 0; i < inv->nversions; i++)
		if (inv->versions[i].image == image && inv->versions[i].active)
			return inv->versions[i].id;
	return 0;
}

static int load_hosts(struct db *db, struct inventory *inv)
{
	/* A host's image: its own, else its strongest group's, else the default. */
	sqlite3_stmt *stmt = db_stmt(
		db, "SELECT h.id, h.name, coalesce(h.image, (SELECT g.image FROM host_group m"
		    " JOIN grp g ON g.id = m.grp WHERE m.host = h.id AND g.image IS NOT NULL"
		    " ORDER BY m.position DESC LIMIT 1)), h.version, h.address, h.pending,"
		    " h.changed FROM host h ORDER BY h.id");
	int r;

	for (r = db_query(db, stmt, ""); r == DB_ROW; r = db_next(db, stmt)) {
		struct host *h = array_grow(&inv->hosts, inv->nhosts, sizeof(*inv->hosts))
					 ? NULL
					 : &inv->hosts[inv->nhosts++];

		if (!h)
			return -ENOMEM;
		*h = (struct host){
			.id = (uint32_t)sqlite3_column_int64(stmt, 0),
			.name = arena_text(&inv->arena, stmt, 1),
			.image = (uint32_t)sqlite3_column_int64(stmt, 2),
			.version = (uint32_t)sqlite3_column_int64(stmt, 3),
			.address = (uint32_t)sqlite3_column_int64(stmt, 4),
			.pending = sqlite3_column_int(stmt, 5),
			.changed = sqlite3_column_int64(stmt, 6),
		};
		if (!h->name)
			return -ENOMEM;
		if (!h->image)
			h->image = inv->default_image;
		if (!h->version)
			h->version = active_version(inv, h->image);
	}
	return r;
}

static struct host *host_slot(const struct inventory *inv, uint32_t id)
{
	unsigned int lo = 0;
	unsigned int hi = inv->nhosts;

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;

		if (inv->hosts[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < inv->nhosts && inv->hosts[lo].id == id ? &inv->hosts[lo] : NULL;
}

static int load_macs(struct db *db, struct inventory *inv)
{
	sqlite3_stmt *stmt = db_stmt(db, "SELECT host, mac FROM host_mac ORDER BY host, mac");
	struct host *h = NULL;
	struct mac *run = NULL;
	int r;

	for (r = db_query(db, stmt, ""); r == DB_ROW; r = db_next(db, stmt)) {
		uint32_t id = (uint32_t)sqlite3_column_int64(stmt, 0);
		struct mac_index *index;
		struct mac mac;

		if (!h || h->id != id) {
			h = host_slot(inv, id);
			run = NULL;
		}
		if (!h || db_column_mac(stmt, 1, &mac))
			return -EUCLEAN;
		/* Rows of one host follow each other, and so does its run: the arena
		 * gives 16 bytes a MAC, so copy the run when it grows. */
		struct mac *grown = arena_take(&inv->arena, (h->nmacs + 1) * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		if (run)
			memcpy(grown, run, h->nmacs * sizeof(*grown));
		grown[h->nmacs] = mac;
		run = grown;
		h->macs = grown;
		h->nmacs++;
		index = array_grow(&inv->by_mac, inv->nmacs, sizeof(*index))
				? NULL
				: &inv->by_mac[inv->nmacs++];
		if (!index)
			return -ENOMEM;
		*index = (struct mac_index){grown[h->nmacs - 1], (uint32_t)(h - inv->hosts)};
	}
	return r;
}

static int load_groups(struct db *db, struct inventory *inv)
{
	sqlite3_stmt *stmt =
		db_stmt(db, "SELECT host, grp FROM host_group ORDER BY host, position");
	int r;

	for (r = db_query(db, stmt, ""); r == DB_ROW; r = db_next(db, stmt)) {
		struct host *h = host_slot(inv, (uint32_t)sqlite3_column_int64(stmt, 0));
		uint32_t *grown;

		if (!h)
			return -EUCLEAN;
		grown = arena_take(&inv->arena, (h->ngroups + 1) * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		if (h->ngroups)
			memcpy(grown, h->groups, h->ngroups * sizeof(*grown));
		grown[h->ngroups++] = (uint32_t)sqlite3_column_int64(stmt, 1);
		h->groups = grown;
	}
	return r;
}

static int load_settings(struct db *db, struct inventory *inv)
{
	sqlite3_stmt *stmt = db_stmt(
		db, "SELECT kind, owner, key, value FROM setting ORDER BY kind, owner, key");
	int r;

	for (r = db_query(db, stmt, ""); r == DB_ROW; r = db_next(db, stmt)) {
		struct value *s = array_grow(&inv->settings, inv->nsettings, sizeof(*inv->settings))
					  ? NULL
					  : &inv->settings[inv->nsettings++];

		if (!s)
			return -ENOMEM;
		*s = (struct value){
			.kind = (uint32_t)sqlite3_column_int64(stmt, 0),
			.owner = (uint32_t)sqlite3_column_int64(stmt, 1),
			.key = arena_text(&inv->arena, stmt, 2),
			.value = arena_text(&inv->arena, stmt, 3),
		};
		if (!s->key || !s->value)
			return -ENOMEM;
	}
	return r;
}

static int by_name_cmp(const void *a, const void *b, void *ctx)
{
	const struct inventory *inv = ctx;

	return strcmp(inv->hosts[*(const uint32_t *)a].name, inv->hosts[*(const uint32_t *)b].name);
}

static int by_address_cmp(const void *a, const void *b, void *ctx)
{
	const struct inventory *inv = ctx;
	uint32_t x = inv->hosts[*(const uint32_t *)a].address;
	uint32_t y = inv->hosts[*(const uint32_t *)b].address;

	return (x > y) - (x < y);
}

static int by_mac_cmp(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct mac));
}

static int build_indexes(struct inventory *inv)
{
	inv->by_name = calloc(inv->nhosts + 1, sizeof(*inv->by_name));
	inv->by_address = calloc(inv->nhosts + 1, sizeof(*inv->by_address));
	if (!inv->by_name || !inv->by_address)
		return -ENOMEM;
	for (unsigned int i = 0; i < inv->nhosts; i++) {
		inv->by_name[i] = i;
		if (inv->hosts[i].address)
			inv->by_address[inv->naddresses++] = i;
	}
	qsort_r(inv->by_name, inv->nhosts, sizeof(*inv->by_name), by_name_cmp, inv);
	qsort_r(inv->by_address, inv->naddresses, sizeof(*inv->by_address), by_address_cmp, inv);
	if (inv->nmacs)
		qsort(inv->by_mac, inv->nmacs, sizeof(*inv->by_mac), by_mac_cmp);
	return 0;
}

int inventory_load(struct db *db, struct inventory **out)
{
	cleanup(inventory_freep) struct inventory *inv = calloc(1, sizeof(*inv));
	bool within = db_in_transaction(db);
	int r;

	if (!inv)
		return -ENOMEM;
	r = within ? 0 : db_exec(db, "BEGIN");
	if (r)
		return r;
	r = load_versions(db, inv);
	if (!r)
		r = load_hosts(db, inv);
	if (!r)
		r = load_macs(db, inv);
	if (!r)
		r = load_groups(db, inv);
	if (!r)
		r = load_settings(db, inv);
	if (!within)
		db_rollback(db);
	if (!r)
		r = build_indexes(inv);
	if (r)
		return r;
	*out = take(&inv);
	return 0;
}

void inventory_free(struct inventory *inv)
{
	if (!inv)
		return;
	arena_fini(&inv->arena);
	free(inv->hosts);
	free(inv->by_name);
	free(inv->by_address);
	free(inv->by_mac);
	free(inv->settings);
	free(inv->versions);
	free(inv);
}

unsigned int inventory_count(const struct inventory *inv)
{
	return inv->nhosts;
}

const struct host *inventory_at(const struct inventory *inv, unsigned int i)
{
	return i < inv->nhosts ? &inv->hosts[inv->by_name[i]] : NULL;
}

const struct host *inventory_by_id(const struct inventory *inv, uint32_t id)
{
	return host_slot(inv, id);
}

const struct host *inventory_by_mac(const struct inventory *inv, const struct mac *mac)
{
	const struct mac_index *found =
		inv->nmacs ? bsearch(mac, inv->by_mac, inv->nmacs, sizeof(*found), by_mac_cmp)
			   : NULL;

	return found ? &inv->hosts[found->host] : NULL;
}

const struct host *inventory_by_name(const struct inventory *inv, const char *name)
{
	unsigned int lo = 0;
	unsigned int hi = inv->nhosts;

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;
		const struct host *h = &inv->hosts[inv->by_name[mid]];
		int c = strcmp(h->name, name);

		if (!c)
			return h;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

const struct host *inventory_by_address(const struct inventory *inv, uint32_t address)
{
	unsigned int lo = 0;
	unsigned int hi = inv->naddresses;

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;
		const struct host *h = &inv->hosts[inv->by_address[mid]];

		if (h->address == address)
			return h;
		if (h->address < address)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static const char *value_find(const struct inventory *inv, uint32_t kind, uint32_t owner,
			      const char *key)
{
	unsigned int lo = 0;
	unsigned int hi = inv->nsettings;

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;
		const struct value *s = &inv->settings[mid];
		int c = s->kind != kind	    ? (s->kind < kind ? -1 : 1)
			: s->owner != owner ? (s->owner < owner ? -1 : 1)
					    : strcmp(s->key, key);

		if (!c)
			return s->value;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

const char *inventory_setting(const struct inventory *inv, const struct host *host, const char *key)
{
	const char *value = host ? value_find(inv, SCOPE_HOST, host->id, key) : NULL;

	for (unsigned int i = host ? host->ngroups : 0; i-- > 0 && !value;)
		value = value_find(inv, SCOPE_GROUP, host->groups[i], key);
	return value ? value : value_find(inv, SCOPE_ALL, 0, key);
}

/* In the order of the setting's words. */
enum root_mode root_mode_parse(const char *word)
{
	unsigned int i;

	return word && !setting_word("mode", word, &i, NULL) ? (enum root_mode)(i + 1)
							     : ROOT_MODE_NONE;
}

const char *root_mode_word(enum root_mode mode)
{
	return mode == ROOT_MODE_NONE ? NULL : setting_find("mode")->words[mode - 1];
}

enum root_mode inventory_mode(const struct inventory *inv, const struct host *host)
{
	const char *word = inventory_setting(inv, host, "mode");

	return word && *word ? root_mode_parse(word) : ROOT_MODE_TMPFS;
}

uint32_t inventory_default_version(const struct inventory *inv)
{
	return active_version(inv, inv->default_image);
}

const struct image_version *inventory_version(const struct inventory *inv, uint32_t version_id)
{
	for (unsigned int i = 0; i < inv->nversions; i++)
		if (inv->versions[i].id == version_id)
			return &inv->versions[i];
	return NULL;
}

const struct image_version *inventory_version_at(const struct inventory *inv, unsigned int i)
{
	return i < inv->nversions ? &inv->versions[i] : NULL;
}

const struct image_version *inventory_version_by_name(const struct inventory *inv, const char *name)
{
	const char *at = strchr(name, '@');
	size_t len = at ? (size_t)(at - name) : strlen(name);
	unsigned long number = 0;

	if (at) {
		char *end;

		number = strtoul(at + 1, &end, 10);
		if (end == at + 1 || *end || at[1] == '-' || at[1] == '+' || !number)
			return NULL;
	}
	for (unsigned int i = 0; i < inv->nversions; i++) {
		const struct image_version *v = &inv->versions[i];

		if (strncmp(v->image_name, name, len) || v->image_name[len])
			continue;
		if (at ? v->number == number : v->active)
			return v;
	}
	return NULL;
}

const struct image_version *inventory_maintenance(const struct inventory *inv,
						  const struct host *host)
{
	const char *name = inventory_setting(inv, host, "maintenance");

	return name ? inventory_version_by_name(inv, name) : NULL;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/inventory.h"
#include "common/schema.h"
#include "common/setting.h"
#include "fsd/identity.h"
#include "fsd/image.h"
#include "fsd/template.h"

/* The number in the one row that a query, which gave `r`, is for.  -ENOENT: none. */
static int row_int(sqlite3_stmt *stmt, int r, int64_t *out)
{
	if (r != DB_ROW)
		return r ? r : -ENOENT;
	*out = sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	return 0;
}

static int db_fail(struct db *db, int r, struct why *why)
{
	return r < 0 ? why_set(why, r, "%s", db_error(db)) : r;
}

static int by_mac(struct db *db, const struct mac *mac, int64_t *id)
{
	sqlite3_stmt *stmt = db_stmt(db, "SELECT host FROM host_mac WHERE mac = ?");

	return row_int(stmt, db_query(db, stmt, "b", mac_bytes(mac)), id);
}

static int by_name(struct db *db, const char *name, int64_t *id)
{
	sqlite3_stmt *stmt = db_stmt(db, "SELECT id FROM host WHERE name = ?");

	return row_int(stmt, db_query(db, stmt, "s", name), id);
}

static const char *name_of(struct db *db, int64_t id, char out[static NAME_MAX_LEN + 1])
{
	sqlite3_stmt *stmt = db_stmt(db, "SELECT name FROM host WHERE id = ?");

	out[0] = '\0';
	if (db_query(db, stmt, "i", id) == DB_ROW)
		db_column_text(stmt, 0, out, NAME_MAX_LEN + 1);
	sqlite3_reset(stmt);
	return out;
}

int host_find(struct db *db, const char *name, uint32_t *id, struct why *why)
{
	struct mac mac;
	int64_t found;
	int r = by_name(db, name, &found);

	if (r == -ENOENT && !mac_parse(name, &mac))
		r = by_mac(db, &mac, &found);
	if (r)
		return r == -ENOENT ? why_set(why, r, "%s: no such host", name)
				    : db_fail(db, r, why);
	*id = (uint32_t)found;
	return 0;
}

int group_find(struct db *db, const char *name, uint32_t *id, struct why *why)
{
	sqlite3_stmt *stmt = db_stmt(db, "SELECT id FROM grp WHERE name = ?");
	int64_t found;
	int r = row_int(stmt, db_query(db, stmt, "s", name), &found);

	if (r)
		return r == -ENOENT ? why_set(why, r, "%s: no such group", name)
				    : db_fail(db, r, why);
	*id = (uint32_t)found;
	return 0;
}

int image_find(struct db *db, const char *name, int64_t *image, int64_t *version, struct why *why)
{
	const char *at = strchr(name, '@');
	char bare[NAME_MAX_LEN + 1];
	sqlite3_stmt *stmt;
	char *end;
	long number;
	int r;

	snprintf(bare, sizeof(bare), "%.*s", at ? (int)(at - name) : (int)strlen(name), name);
	*version = 0;
	stmt = db_stmt(db, "SELECT id FROM image WHERE name = ?");
	r = row_int(stmt, db_query(db, stmt, "s", bare), image);
	if (r == -ENOENT)
		return why_set(why, r, "%s: no such image", bare);
	if (r || !at)
		return db_fail(db, r, why);
	number = strtol(at + 1, &end, 10);
	if (end == at + 1 || *end)
		return why_set(why, -EINVAL, "%s: not NAME@NUMBER", name);
	stmt = db_stmt(db, "SELECT id FROM version WHERE image = ? AND number = ?");
	r = row_int(stmt, db_query(db, stmt, "ii", *image, (int64_t)number), version);
	if (r == -ENOENT)
		return why_set(why, r, "%s: no such version", name);
	return db_fail(db, r, why);
}

/* The image that a key names. */
static int image_named(struct db *db, const char *key, const char *name, int64_t *image,
		       int64_t *version, struct why *why)
{
	struct why one = {""};
	int r = image_find(db, name, image, version, &one);

	return r ? why_set(why, r, "%s=%s", key, why_text(&one, r)) : 0;
}

static int mac_insert(struct db *db, int64_t host, const struct mac *mac, struct why *why)
{
	char name[NAME_MAX_LEN + 1];
	char text[MAC_TEXT];
	int64_t other;
	int r = by_mac(db, mac, &other);

	if (!r && other != host)
		return why_set(why, -EEXIST, "%s: is %s already", mac_format(mac, text),
			       name_of(db, other, name));
	if (!r)
		return 0;
	if (r != -ENOENT)
		return db_fail(db, r, why);
	r = db_run(db, "INSERT INTO host_mac (mac, host) VALUES (?, ?)", "bi", mac_bytes(mac),
		   host);
	return db_fail(db, r, why);
}

static int address_free(struct db *db, int64_t host, uint32_t address, struct why *why)
{
	sqlite3_stmt *stmt = db_stmt(db, "SELECT id FROM host WHERE address = ? AND id <> ?");
	char name[NAME_MAX_LEN + 1];
	char text[IP4_TEXT];
	int64_t other;
	int r = row_int(stmt, db_query(db, stmt, "ui", address, host), &other);

	if (!r)
		return why_set(why, -EEXIST, "%s: is %s's already", ip4_format(address, text),
			       name_of(db, other, name));
	return r == -ENOENT ? 0 : db_fail(db, r, why);
}

static int groups_set(struct db *db, int64_t host, const char *const *names, unsigned int n,
		      struct why *why)
{
	int r = db_run(db, "DELETE FROM host_group WHERE host = ?", "i", host);

	for (unsigned int i = 0; i < n && !r; i++) {
		uint32_t group;

		r = group_find(db, names[i], &group, why);
		if (!r)
			r = db_run(db,
				   "INSERT INTO host_group (host, position, grp) VALUES (?, ?, ?)",
				   "iuu", host, i, group);
		if (r == -EEXIST)
			return why_set(why, r, "%s: named twice", names[i]);
	}
	return db_fail(db, r, why);
}

int host_insert_row(struct db *db, const char *name, uint32_t *id, struct why *why)
{
	int64_t now = wall_now_ns();
	int r = db_run(db, "INSERT INTO host (name, added, changed) VALUES (?, ?, ?)", "sii", name,
		       now, now);

	if (!r)
		*id = (uint32_t)db_last_id(db);
	return db_fail(db, r, why);
}

/* Within the caller's transaction. */
static int host_insert(struct db *db, const struct host_spec *spec, const char *name,
		       const struct identity *identity, int64_t *id, struct why *why)
{
	int64_t now = wall_now_ns();
	int64_t version = 0;
	int64_t image = 0;
	int64_t other;
	int r = 0;

	if (!by_name(db, name, &other))
		return why_set(why, -EEXIST, "%s: there is a host of that name", name);
	if (spec->image)
		r = image_find(db, spec->image, &image, &version, why);
	if (!r && spec->address)
		r = address_free(db, 0, spec->address, why);
	if (r)
		return r;
	r = db_run(db,
		   "INSERT INTO host (name, image, version, address, pending, added, changed)"
		   " VALUES (?, nullif(?, 0), nullif(?, 0), nullif(?, 0), ?, ?, ?)",
		   "siiuuii", name, image, version, spec->address, (uint32_t)spec->pending, now,
		   now);
	if (r)
		return db_fail(db, r, why);
	*id = db_last_id(db);
	r = mac_insert(db, *id, &spec->mac, why);
	if (!r)
		r = groups_set(db, *id, spec->groups, spec->ngroups, why);
	return r ? r : identity_put(db, (uint32_t)*id, identity, why);
}

enum { MADE_NAME = 32 };

/* The card may have gone into another machine, and its name stayed behind. */
static const char *made_name(struct db *db, const struct mac *mac, char out[static MADE_NAME])
{
	const uint8_t *o = mac->octet;
	int64_t other;
	int len = snprintf(out, MADE_NAME, "host-%02x%02x%02x%02x%02x%02x", o[0], o[1], o[2], o[3],
			   o[4], o[5]);

	for (unsigned int n = 2; n < 100 && !by_name(db, out, &other); n++)
		snprintf(out + len, (size_t)(MADE_NAME - len), "-%u", n);
	return out;
}

int host_add(struct db *db, const char *state_dir, const struct host_spec *spec, uint32_t *id,
	     bool *has_keys, struct why *why)
{
	cleanup(identity_freep) struct identity *identity = NULL;
	cleanup(txn_abortp) struct txn *txn = NULL;
	const char *name = spec->name;
	char made[MADE_NAME];
	int64_t other;
	int64_t row = 0;
	int r = 0;

	if (name)
		r = name_check("host", name, true, why);
	else
		name = made_name(db, &spec->mac, made);
	/* Asked again under the lock; here it saves a key. */
	if (!r && !by_mac(db, &spec->mac, &other))
		r = mac_insert(db, 0, &spec->mac, why);
	if (!r)
		r = identity_prepare(state_dir, name, &identity, why);
	if (!r)
		r = db_fail(db, txn_begin(db, &txn), why);
	if (!r)
		r = host_insert(db, spec, name, identity, &row, why);
	if (!r)
		r = db_fail(db, txn_commit(take(&txn)), why);
	if (r)
		return r;
	*id = (uint32_t)row;
	*has_keys = identity_has_keys(identity);
	return 0;
}

int hosts_add(struct db *db, const struct mac *macs, unsigned int n, struct why *why)
{
	cleanup(txn_abortp) struct txn *txn = NULL;
	int r = db_fail(db, txn_begin(db, &txn), why);

	for (unsigned int i = 0; i < n && !r; i++) {
		const struct host_spec spec = {.mac = macs[i]};
		char made[MADE_NAME];
		int64_t id;

		r = host_insert(db, &spec, made_name(db, &macs[i], made), NULL, &id, why);
	}
	return r ? r : db_fail(db, txn_commit(take(&txn)), why);
}

/* Split a list at commas, in place. */
static int list_split(char *list, char **out, unsigned int max, unsigned int *n, struct why *why)
{
	*n = 0;
	for (char *word = strtok_r(list, ",", &list); word; word = strtok_r(NULL, ",", &list)) {
		if (*n == max)
			return why_set(why, -EINVAL, "%s: over %u in a list", word, max);
		out[(*n)++] = word;
	}
	return 0;
}

static int set_macs(struct db *db, int64_t host, char *list, struct why *why)
{
	char *words[HOST_MACS_MAX];
	unsigned int n;
	int r = list_split(list, words, HOST_MACS_MAX, &n, why);

	if (r)
		return r;
	if (!n)
		return why_set(why, -EINVAL, "mac: a host has at least one");
	r = db_run(db, "DELETE FROM host_mac WHERE host = ?", "i", host);
	for (unsigned int i = 0; i < n && !r; i++) {
		struct mac mac;

		if (mac_parse(words[i], &mac))
			return why_set(why, -EINVAL, "mac=%s: not a MAC address", words[i]);
		r = mac_insert(db, host, &mac, why);
	}
	return db_fail(db, r, why);
}

static int set_address(struct db *db, int64_t host, const char *value, struct why *why)
{
	uint32_t address = 0;
	int r = 0;

	if (*value && (ip4_parse(value, &address) || !address))
		return why_set(why, -EINVAL, "address=%s: not an IPv4 address", value);
	if (address)
		r = address_free(db, host, address, why);
	if (!r)
		r = db_run(db, "UPDATE host SET address = nullif(?, 0) WHERE id = ?", "ui", address,
			   host);
	return db_fail(db, r, why);
}

static int set_image(struct db *db, int64_t host, const char *value, struct why *why)
{
	int64_t version = 0;
	int64_t image = 0;
	int r = *value ? image_named(db, "image", value, &image, &version, why) : 0;

	if (!r)
		r = db_run(
			db,
			"UPDATE host SET image = nullif(?, 0), version = nullif(?, 0) WHERE id = ?",
			"iii", image, version, host);
	return db_fail(db, r, why);
}

static int set_name(struct db *db, int64_t host, const char *value, struct why *why)
{
	int64_t other;
	int r = name_check("host", value, true, why);

	if (r)
		return r;
	if (!by_name(db, value, &other) && other != host)
		return why_set(why, -EEXIST, "%s: there is a host of that name", value);
	return db_fail(db, db_run(db, "UPDATE host SET name = ? WHERE id = ?", "si", value, host),
		       why);
}

int setting_check(const char *key, const char *value, struct why *why)
{
	static const char *const reserved[] = {"name",	  "mac",   "macs",  "nm_macs",
					       "address", "group", "image", "version"};

	for (size_t i = 0; i < ARRAY_SIZE(reserved); i++)
		if (!strcmp(key, reserved[i]))
			return why_set(why, -EINVAL, "%s: a reserved name", key);
	if (!template_key_ok(key, strlen(key)))
		return why_set(why, -EINVAL, "%s: not a key (letters, digits, '_', '-', '.')", key);
	if (value && strlen(value) > 4096)
		return why_set(why, -EINVAL, "%s: a value of over 4096 bytes", key);
	return value && *value ? setting_check_value(key, value, why) : 0;
}

static int setting_set_row(struct db *db, enum scope_kind kind, uint32_t owner, const char *key,
			   const char *value, struct why *why)
{
	int64_t version;
	int64_t image;
	int r = setting_check(key, value, why);

	if (!r && value && *value && !strcmp(key, "maintenance"))
		r = image_named(db, key, value, &image, &version, why);
	if (r)
		return r;
	if (value && *value)
		r = db_run(db,
			   "INSERT INTO setting (kind, owner, key, value) VALUES (?, ?, ?, ?)"
			   " ON CONFLICT DO UPDATE SET value = excluded.value",
			   "uuss", (uint32_t)kind, owner, key, value);
	else
		r = db_run(db, "DELETE FROM setting WHERE kind = ? AND owner = ? AND key = ?",
			   "uus", (uint32_t)kind, owner, key);
	return db_fail(db, r, why);
}

static int host_set_row(struct db *db, uint32_t id, const char *key, char *value, struct why *why)
{
	char *words[HOST_GROUPS_MAX];
	unsigned int n;
	int r;

	if (!strcmp(key, "mac"))
		return set_macs(db, id, value, why);
	if (!strcmp(key, "address"))
		return set_address(db, id, value, why);
	if (!strcmp(key, "image"))
		return set_image(db, id, value, why);
	if (!strcmp(key, "name"))
		return set_name(db, id, value, why);
	if (!strcmp(key, "pending")) {
		if (strcmp(value, "yes") && strcmp(value, "no"))
			return why_set(why, -EINVAL, "pending=%s: not one of no, yes", value);
		r = db_run(db, "UPDATE host SET pending = ? WHERE id = ?", "uu", *value == 'y', id);
		return db_fail(db, r, why);
	}
	if (!strcmp(key, "group")) {
		r = list_split(value, words, HOST_GROUPS_MAX, &n, why);
		return r ? r : groups_set(db, id, (const char *const *)words, n, why);
	}
	return setting_set_row(db, SCOPE_HOST, id, key, value, why);
}

int host_approve(struct db *db, uint32_t id, struct why *why)
{
	return db_fail(db,
		       db_run(db, "UPDATE host SET pending = 0, changed = ? WHERE id = ?", "iu",
			      wall_now_ns(), id),
		       why);
}

int group_add(struct db *db, const char *name, struct why *why)
{
	int r = name_check("group", name, false, why);

	if (r)
		return r;
	r = db_run(db, "INSERT INTO grp (name, changed) VALUES (?, ?)", "si", name, wall_now_ns());
	if (r == -EEXIST)
		return why_set(why, r, "%s: there is a group of that name", name);
	return db_fail(db, r, why);
}

static int group_set_row(struct db *db, uint32_t id, const char *key, char *value, struct why *why)
{
	int64_t version = 0;
	int64_t image = 0;
	int r = 0;

	if (strcmp(key, "image"))
		return setting_set_row(db, SCOPE_GROUP, id, key, value, why);
	if (*value)
		r = image_named(db, key, value, &image, &version, why);
	if (!r && version)
		return why_set(why, -EINVAL, "image=%s: a group takes an image, not one version",
			       value);
	if (!r)
		r = db_run(db, "UPDATE grp SET image = nullif(?, 0) WHERE id = ?", "iu", image, id);
	return db_fail(db, r, why);
}

/* ---- what hosts, groups and all have in common ---- */

int scope_set_row(struct db *db, enum scope_kind kind, uint32_t id, const char *key, char *value,
		  struct why *why)
{
	switch (kind) {
	case SCOPE_HOST:
		return host_set_row(db, id, key, value, why);
	case SCOPE_GROUP:
		return group_set_row(db, id, key, value, why);
	default:
		return setting_set_row(db, kind, id, key, value, why);
	}
}

int scope_changed(struct db *db, enum scope_kind kind, uint32_t id)
{
	static const char *const sql[] = {
		[SCOPE_ALL] = "UPDATE host SET changed = ?1 WHERE ?2 = 0",
		[SCOPE_GROUP] = ("UPDATE host SET changed = ?1 WHERE id IN"
				 " (SELECT host FROM host_group WHERE grp = ?2)"),
		[SCOPE_HOST] = "UPDATE host SET changed = ?1 WHERE id = ?2",
	};
	int64_t now = wall_now_ns();
	int r = db_run(db, sql[kind], "iu", now, id);

	if (!r && kind == SCOPE_GROUP)
		r = db_run(db, "UPDATE grp SET changed = ? WHERE id = ?", "iu", now, id);
	return r;
}

static int words_check(char **words, unsigned int n, struct why *why)
{
	for (unsigned int i = 0; i < n; i++)
		if (!strchr(words[i], '='))
			return why_set(why, -EINVAL, "%s: not KEY=VALUE", words[i]);
	return 0;
}

int scope_set(struct db *db, enum scope_kind kind, uint32_t id, char **words, unsigned int n,
	      struct why *why)
{
	cleanup(txn_abortp) struct txn *txn = NULL;
	int r = words_check(words, n, why);

	if (!r)
		r = txn_begin(db, &txn);
	for (unsigned int i = 0; i < n && !r; i++) {
		char *eq = strchr(words[i], '=');

		*eq = '\0';
		r = scope_set_row(db, kind, id, words[i], eq + 1, why);
	}
	if (!r)
		r = scope_changed(db, kind, id);
	if (!r)
		r = txn_commit(take(&txn));
	return db_fail(db, r, why);
}

static int group_check_empty(struct db *db, uint32_t id, struct why *why)
{
	sqlite3_stmt *stmt = db_stmt(db, "SELECT count(*) FROM host_group WHERE grp = ?");
	int64_t n = 0;
	int r = row_int(stmt, db_query(db, stmt, "u", id), &n);

	return !r && n ? why_set(why, -EBUSY, "%lld hosts are in it", (long long)n) : r;
}

int scope_remove_rows(struct db *db, enum scope_kind kind, uint32_t id, struct why *why)
{
	int r = kind == SCOPE_GROUP ? group_check_empty(db, id, why) : 0;

	/* These hang off it by kind and owner, and SQLite does not know of that. */
	if (!r)
		r = db_run(db, "DELETE FROM setting WHERE kind = ? AND owner = ?", "uu",
			   (uint32_t)kind, id);
	if (!r)
		r = db_run(db, "DELETE FROM scope WHERE kind = ? AND owner = ?", "uu",
			   (uint32_t)kind, id);
	if (!r)
		r = db_run(db,
			   kind == SCOPE_GROUP ? "DELETE FROM grp WHERE id = ?"
					       : "DELETE FROM host WHERE id = ?",
			   "u", id);
	return db_fail(db, r, why);
}

int scope_remove(struct db *db, enum scope_kind kind, uint32_t id, struct why *why)
{
	cleanup(txn_abortp) struct txn *txn = NULL;
	int r = txn_begin(db, &txn);

	if (!r)
		r = scope_remove_rows(db, kind, id, why);
	if (!r)
		r = txn_commit(take(&txn));
	return db_fail(db, r, why);
}

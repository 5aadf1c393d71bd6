/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration as the database has it. */
#include "fsd/folder_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/mac.h"

static int pair_add(struct folder *f, struct folder_pair **pairs, unsigned int *n, const char *key,
		    const char *value)
{
	struct folder_pair *pair;

	if (array_grow(pairs, *n, sizeof(**pairs)))
		return -ENOMEM;
	pair = &(*pairs)[*n];
	/* The place of a group among others is that of its line. */
	*pair = (struct folder_pair){.key = arena_copy(&f->arena, key, strlen(key)),
				     .value = arena_copy(&f->arena, value, strlen(value)),
				     .line = *n + 1};
	if (!pair->key || !pair->value)
		return -ENOMEM;
	++*n;
	return 0;
}

static int scope_pair(struct folder *f, struct folder_scope *s, const char *key, const char *value)
{
	return pair_add(f, &s->pairs, &s->npairs, key, value);
}

static struct folder_scope *scope_add(struct folder *f, enum scope_kind kind, uint32_t id,
				      const char *name)
{
	struct folder_scope *s;

	if (array_grow(&f->scopes, f->nscopes, sizeof(*f->scopes)))
		return NULL;
	s = &f->scopes[f->nscopes];
	*s = (struct folder_scope){
		.kind = kind, .id = id, .name = arena_copy(&f->arena, name, strlen(name))};
	if (!s->name)
		return NULL;
	f->nscopes++;
	return s;
}

static int load_images(struct db *db, struct folder *f)
{
	sqlite3_stmt *stmt = db_stmt(db, "SELECT i.name, v.number FROM image i"
					 " JOIN version v ON v.id = i.active ORDER BY i.name");
	int r;

	for (r = db_query(db, stmt, ""); r == DB_ROW; r = db_next(db, stmt)) {
		r = pair_add(f, &f->images, &f->nimages, (const char *)sqlite3_column_text(stmt, 0),
			     (const char *)sqlite3_column_text(stmt, 1));
		if (r)
			break;
	}
	sqlite3_reset(stmt);
	return r;
}

/* Groups, then hosts: kind, id, name, image, address, pending. */
static int load_names(struct db *db, struct folder *f)
{
	sqlite3_stmt *stmt = db_stmt(
		db, "SELECT 1 AS kind, g.id, g.name, i.name, NULL, 0 FROM grp g"
		    " LEFT JOIN image i ON i.id = g.image"
		    " UNION ALL SELECT 2, h.id, h.name, i.name || coalesce('@' || v.number, ''),"
		    " h.address, h.pending FROM host h LEFT JOIN image i ON i.id = h.image"
		    " LEFT JOIN version v ON v.id = h.version ORDER BY kind, 3");
	char text[IP4_TEXT];
	int r;

	if (!scope_add(f, SCOPE_ALL, 0, ""))
		return -ENOMEM;
	for (r = db_query(db, stmt, ""); r == DB_ROW; r = db_next(db, stmt)) {
		const char *image = (const char *)sqlite3_column_text(stmt, 3);
		struct folder_scope *s = scope_add(f, (enum scope_kind)sqlite3_column_int(stmt, 0),
						   (uint32_t)sqlite3_column_int64(stmt, 1),
						   (const char *)sqlite3_column_text(stmt, 2));

		r = s ? 0 : -ENOMEM;
		if (!r && sqlite3_column_int64(stmt, 4))
			r = scope_pair(f, s, "address",
				       ip4_format((uint32_t)sqlite3_column_int64(stmt, 4), text));
		if (!r && image)
			r = scope_pair(f, s, "image", image);
		if (!r && sqlite3_column_int(stmt, 5))
			r = scope_pair(f, s, "pending", "yes");
		if (r)
			break;
	}
	sqlite3_reset(stmt);
	return r;
}

static int load_macs(struct db *db, struct folder *f, struct folder_scope *s)
{
	sqlite3_stmt *stmt = db_stmt(db, "SELECT mac FROM host_mac WHERE host = ? ORDER BY mac");
	int r;

	for (r = db_query(db, stmt, "u", s->id); r == DB_ROW; r = db_next(db, stmt)) {
		char text[MAC_TEXT];
		struct mac mac;

		r = db_column_mac(stmt, 0, &mac);
		if (!r)
			r = scope_pair(f, s, "mac", mac_format(&mac, text));
		if (r)
			break;
	}
	sqlite3_reset(stmt);
	return r;
}

static int load_groups(struct db *db, struct folder *f, struct folder_scope *s)
{
	sqlite3_stmt *stmt = db_stmt(db, "SELECT g.name FROM host_group m JOIN grp g"
					 " ON g.id = m.grp WHERE m.host = ? ORDER BY m.position");
	int r;

	for (r = db_query(db, stmt, "u", s->id); r == DB_ROW; r = db_next(db, stmt)) {
		r = scope_pair(f, s, "group", (const char *)sqlite3_column_text(stmt, 0));
		if (r)
			break;
	}
	sqlite3_reset(stmt);
	return r;
}

static int load_settings(struct db *db, struct folder *f, struct folder_scope *s)
{
	sqlite3_stmt *stmt =
		db_stmt(db, "SELECT key, value FROM setting WHERE kind = ? AND owner = ?");
	int r;

	for (r = db_query(db, stmt, "uu", (uint32_t)s->kind, s->id); r == DB_ROW;
	     r = db_next(db, stmt)) {
		r = scope_pair(f, s, (const char *)sqlite3_column_text(stmt, 0),
			       (const char *)sqlite3_column_text(stmt, 1));
		if (r)
			break;
	}
	sqlite3_reset(stmt);
	return r;
}

static int entry_add(struct folder_scope *s, const struct entry *from)
{
	struct folder_entry *e;

	if (array_grow(&s->entries, s->nentries, sizeof(*s->entries)))
		return -ENOMEM;
	e = &s->entries[s->nentries++];
	*e = (struct folder_entry){
		.path = from->path,
		.kind = from->kind == ENTRY_PARENT_ATTR ? ENTRY_ATTR : (enum entry_kind)from->kind,
		.flags = from->flags &
			 (ENTRY_MODE_SET | ENTRY_OWNER_SET | ENTRY_SECRET | ENTRY_NEXT_BOOT),
		.mode = from->mode,
		.uid = from->uid,
		.gid = from->gid,
		.change = from->change,
	};
	if (from->kind == ENTRY_FILE) {
		e->hash = from->hash;
		e->size = from->size;
	} else if (from->kind == ENTRY_LINK || from->kind == ENTRY_TEMPLATE) {
		e->body = from->body;
	}
	return 0;
}

static int load_entries(struct db *db, struct folder *f, struct folder_scope *s)
{
	struct overlay *ov;
	int r;

	if (array_grow(&f->overlays, f->noverlays, sizeof(struct overlay *)))
		return -ENOMEM;
	r = overlay_load(db, (struct scope){s->kind, s->id}, f->paths, &ov);
	if (r)
		return r;
	f->overlays[f->noverlays++] = ov;
	for (unsigned int i = 0; !r && i < ov->n; i++) {
		const struct entry *e = &ov->entries[i];

		if (e->retired || e->kind == ENTRY_PARENT)
			continue;
		if (!f->secrets && ((e->flags & ENTRY_SECRET) || folder_is_identity(s, e->path)))
			continue;
		r = entry_add(s, e);
	}
	return r;
}

int folder_load(struct db *db, bool secrets, struct folder **out)
{
	cleanup(folder_freep) struct folder *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	f->secrets = secrets;
	r = paths_new(&f->paths);
	if (!r)
		r = load_images(db, f);
	if (!r)
		r = load_names(db, f);
	for (unsigned int i = 0; !r && i < f->nscopes; i++) {
		struct folder_scope *s = &f->scopes[i];

		if (s->kind == SCOPE_HOST)
			r = load_macs(db, f, s);
		if (!r && s->kind == SCOPE_HOST)
			r = load_groups(db, f, s);
		if (!r)
			r = load_settings(db, f, s);
		if (!r)
			r = load_entries(db, f, s);
		if (r)
			break;
		folder_scope_sort(s);
		r = folder_late(s);
	}
	if (r)
		return r;
	*out = take(&f);
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An import: hosts, groups and images.  What differs is worked out and made in one
 * transaction; what takes long, bodies and keys, is made before it. */
#include "fsd/folder_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/inventory.h"
#include "common/log.h"
#include "fsd/host.h"
#include "fsd/identity.h"
#include "fsd/image.h"
#include "fsd/way.h"

#define KEY "etc/ssh/ssh_host_ed25519_key"

static int db_fail(struct importing *im, int r)
{
	return r < 0 ? why_set(im->why, r, "%s", db_error(im->db)) : r;
}

static const char *word(enum scope_kind kind)
{
	return kind == SCOPE_HOST ? "host" : kind == SCOPE_GROUP ? "group" : "all";
}

/* ---- who is who ---- */

struct known_mac {
	const char *mac;
	const struct folder_scope *host;
};

static int known_cmp(const void *a, const void *b)
{
	return strcmp(((const struct known_mac *)a)->mac, ((const struct known_mac *)b)->mac);
}

/* The MACs of hosts whose names are in the folder no more. */
static int known_macs(const struct importing *im, struct known_mac **out, unsigned int *n)
{
	for (unsigned int i = 0; i < im->have->nscopes; i++) {
		const struct folder_scope *s = &im->have->scopes[i];

		if (s->kind != SCOPE_HOST || folder_scope_find(im->want, SCOPE_HOST, s->name))
			continue;
		for (unsigned int k = 0; k < s->npairs && !strcmp(s->pairs[k].key, "mac"); k++) {
			if (array_grow(out, *n, sizeof(**out)))
				return -ENOMEM;
			(*out)[(*n)++] = (struct known_mac){s->pairs[k].value, s};
		}
	}
	if (*n)
		qsort(*out, *n, sizeof(**out), known_cmp);
	return 0;
}

static bool is_taken(const struct importing *im, const struct folder_scope *s)
{
	for (unsigned int i = 0; i < im->want->nscopes; i++)
		if (im->had[i] == s)
			return true;
	return false;
}

/* A host is the one of its name, else, where none has it, the one of a MAC. */
static int match(struct importing *im)
{
	cleanup(freep) struct known_mac *known = NULL;
	unsigned int n = 0;
	int r = known_macs(im, &known, &n);

	for (unsigned int i = 0; !r && i < im->want->nscopes; i++) {
		const struct folder_scope *s = &im->want->scopes[i];

		im->had[i] = folder_scope_find(im->have, s->kind, s->name);
		if (s->kind != SCOPE_HOST)
			continue;
		for (unsigned int k = 0; n && !im->had[i] && k < s->npairs; k++) {
			const struct known_mac key = {.mac = s->pairs[k].value};
			const struct known_mac *found =
				strcmp(s->pairs[k].key, "mac") != 0
					? NULL
					: bsearch(&key, known, n, sizeof(key), known_cmp);

			if (found && !is_taken(im, found->host))
				im->had[i] = found->host;
		}
	}
	for (unsigned int i = 0; !r && i < im->want->nscopes; i++)
		im->ids[i] = im->had[i] ? im->had[i]->id : 0;
	return r;
}

/* What the database says now, in its transaction. */
static int look(struct importing *im)
{
	folder_free(im->have);
	im->have = NULL;
	memset(im->had, 0, im->want->nscopes * sizeof(struct folder_scope *));
	return folder_load(im->db, im->want->secrets, &im->have) ? db_fail(im, -EIO) : match(im);
}

/* ---- images ---- */

static int images_activate(struct importing *im)
{
	for (unsigned int i = 0; i < im->want->nimages; i++) {
		const struct folder_pair *p = &im->want->images[i];
		struct why one = {""};
		char name[128];
		int64_t version;
		int64_t image;
		bool is_active = false;
		int r;

		snprintf(name, sizeof(name), "%s@%s", p->key, p->value);
		for (unsigned int k = 0; k < im->have->nimages; k++)
			is_active |= !strcmp(im->have->images[k].key, p->key) &&
				     !strcmp(im->have->images[k].value, p->value);
		if (is_active)
			continue;
		r = image_find(im->db, name, &image, &version, &one);
		if (!r)
			r = image_activate(im->db, (uint32_t)version, &one);
		if (r)
			return why_set(im->why, r, "%s/images:%u: %s", im->how->dir, p->line,
				       why_text(&one, r));
		fprintf(im->changes, "image activate %s\n", name);
	}
	return 0;
}

/* ---- pairs ---- */

/* All values of a key, with commas between them; NULL: none.  The caller frees *out. */
static int values_of(const struct folder_scope *s, const char *key, char **out, unsigned int *line)
{
	size_t len = 0;

	*out = NULL;
	for (unsigned int i = 0; s && i < s->npairs; i++) {
		const struct folder_pair *p = &s->pairs[i];
		size_t more = strlen(p->value) + 2;
		char *bigger;

		if (strcmp(p->key, key) != 0)
			continue;
		bigger = realloc(*out, len + more);
		if (!bigger) {
			free(*out);
			*out = NULL;
			return -ENOMEM;
		}
		*out = bigger;
		len += (size_t)sprintf(bigger + len, "%s%s", len ? "," : "", p->value);
		*line = p->line;
	}
	return 0;
}

static int key_set(struct importing *im, unsigned int i, const char *key, char *value)
{
	const struct folder_scope *s = &im->want->scopes[i];
	static char none[] = "";
	static char no[] = "no";

	if (!value)
		value = s->kind == SCOPE_HOST && !strcmp(key, "pending") ? no : none;
	return scope_set_row(im->db, s->kind, im->ids[i], key, value, im->why);
}

/* One key, where it differs. */
static int key_apply(struct importing *im, unsigned int i, const char *key, bool *changed)
{
	const struct folder_scope *s = &im->want->scopes[i];
	cleanup(freep) char *want = NULL;
	cleanup(freep) char *have = NULL;
	struct why one = {""};
	struct why *said = im->why;
	unsigned int line = 0;
	unsigned int ignored;
	char *shown;
	int r = values_of(s, key, &want, &line);

	if (!r)
		r = values_of(im->had[i], key, &have, &ignored);
	if (r || (want && have && !strcmp(want, have)))
		return r;
	shown = malloc(want ? 4 * strlen(want) + 1 : 1);
	if (!shown)
		return -ENOMEM;
	log_escape(shown, want ? 4 * strlen(want) + 1 : 1, want, want ? strlen(want) : 0);
	fprintf(im->changes, s->kind == SCOPE_ALL ? "%s%s set %s=%s\n" : "%s set %s %s=%s\n",
		word(s->kind), s->name, key, shown);
	free(shown);
	*changed = true;
	im->why = &one;
	r = key_set(im, i, key, want);
	im->why = said;
	if (!r)
		return 0;
	return line ? folder_line_fail(im->how->dir, s, true, line, r, &one, im->why)
		    : why_set(im->why, r, "%s", why_text(&one, r));
}

/* The keys of both: those of a host's row among them. */
static int pairs_apply(struct importing *im, unsigned int i, bool *changed)
{
	const struct folder_scope *both[] = {&im->want->scopes[i], im->had[i]};
	int r = 0;

	for (unsigned int b = 0; b < 2; b++)
		for (unsigned int k = 0; !r && both[b] && k < both[b]->npairs; k++) {
			const char *key = both[b]->pairs[k].key;
			char *there = NULL;
			unsigned int line;

			if (k && !strcmp(key, both[b]->pairs[k - 1].key))
				continue;
			if (b) /* done, if it is wanted */
				r = values_of(both[0], key, &there, &line);
			if (!r && !there)
				r = key_apply(im, i, key, changed);
			free(there);
		}
	return r;
}

/* Hosts and views that hang on a scope's pairs are other ones now. */
static int scope_touch(struct importing *im, unsigned int i)
{
	return db_fail(im, scope_changed(im->db, im->want->scopes[i].kind, im->ids[i]));
}

/* ---- hosts and groups that come, go and are renamed ---- */

static bool is_other(const struct importing *im, unsigned int i, const char *key)
{
	cleanup(freep) char *want = NULL;
	cleanup(freep) char *have = NULL;
	unsigned int line;

	return values_of(&im->want->scopes[i], key, &want, &line) ||
	       values_of(im->had[i], key, &have, &line) || !want != !have ||
	       (want && strcmp(want, have) != 0);
}

/* Names, MACs and addresses may change hands: who has another one lets go first. */
static int hosts_let_go(struct importing *im)
{
	int r = 0;

	for (unsigned int i = 0; !r && i < im->want->nscopes; i++) {
		const struct folder_scope *s = &im->want->scopes[i];

		if (s->kind != SCOPE_HOST || !im->had[i])
			continue;
		if (strcmp(s->name, im->had[i]->name) != 0)
			r = db_run(im->db, "UPDATE host SET name = '/' || id WHERE id = ?", "u",
				   im->ids[i]);
		if (!r && is_other(im, i, "mac"))
			r = db_run(im->db, "DELETE FROM host_mac WHERE host = ?", "u", im->ids[i]);
		if (!r && is_other(im, i, "address"))
			r = db_run(im->db, "UPDATE host SET address = NULL WHERE id = ?", "u",
				   im->ids[i]);
	}
	return db_fail(im, r);
}

static int removed(struct importing *im, enum scope_kind kind)
{
	int r = 0;

	for (unsigned int i = 0; !r && i < im->have->nscopes; i++) {
		const struct folder_scope *s = &im->have->scopes[i];

		if (s->kind != kind || folder_scope_find(im->want, kind, s->name) ||
		    is_taken(im, s))
			continue;
		fprintf(im->changes, "%s remove %s\n", word(kind), s->name);
		r = scope_remove_rows(im->db, kind, s->id, im->why);
	}
	return r;
}

static int named(struct importing *im, enum scope_kind kind)
{
	int r = 0;

	for (unsigned int i = 0; !r && i < im->want->nscopes; i++) {
		const struct folder_scope *s = &im->want->scopes[i];
		char name[NAME_MAX_LEN + 1];

		if (s->kind != kind || (im->had[i] && !strcmp(im->had[i]->name, s->name)))
			continue;
		snprintf(name, sizeof(name), "%s", s->name);
		if (im->had[i]) {
			fprintf(im->changes, "host set %s name=%s\n", im->had[i]->name, s->name);
			r = scope_set_row(im->db, SCOPE_HOST, im->ids[i], "name", name, im->why);
			if (!r)
				r = scope_touch(im, i);
			continue;
		}
		fprintf(im->changes, "%s add %s\n", word(kind), s->name);
		if (kind == SCOPE_HOST) {
			r = host_insert_row(im->db, name, &im->ids[i], im->why);
		} else {
			r = group_add(im->db, name, im->why);
			im->ids[i] = (uint32_t)db_last_id(im->db);
		}
	}
	return r;
}

/* ---- new hosts' identities ---- */

/* Keys for hosts that are not there yet and get none from the folder. */
static int identities_prepare(struct importing *im)
{
	int r = 0;

	for (unsigned int i = 0; !r && i < im->want->nscopes; i++) {
		const struct folder_scope *s = &im->want->scopes[i];

		if (s->kind != SCOPE_HOST || im->had[i] || folder_entry_find(s, KEY))
			continue;
		r = identity_prepare_within(im->how->state_dir, im->objects, im->secrets, s->name,
					    &im->identities[i], im->why);
		im->how->keyless |= !r && !identity_has_keys(im->identities[i]);
	}
	return r;
}

static int identities_put(struct importing *im)
{
	int r = 0;

	for (unsigned int i = 0; !r && i < im->want->nscopes; i++) {
		const struct folder_scope *s = &im->want->scopes[i];

		if (s->kind != SCOPE_HOST || im->had[i] || im->how->dry)
			continue;
		if (im->identities[i])
			r = identity_put(im->db, im->ids[i], im->identities[i], im->why);
		else if (!folder_entry_find(s, KEY))
			r = why_set(im->why, -EAGAIN, "%s: was removed meanwhile: try again",
				    s->name);
	}
	return r;
}

/* ---- all of it ---- */

static int apply(struct importing *im)
{
	int r = images_activate(im);

	if (!r)
		r = removed(im, SCOPE_HOST);
	if (!r)
		r = hosts_let_go(im);
	if (!r)
		r = named(im, SCOPE_GROUP);
	if (!r)
		r = named(im, SCOPE_HOST);
	for (unsigned int i = 0; !r && i < im->want->nscopes; i++) {
		bool changed = !im->had[i] && im->want->scopes[i].kind != SCOPE_ALL;

		r = pairs_apply(im, i, &changed);
		if (!r && changed)
			r = scope_touch(im, i);
		if (!r)
			r = folder_overlay_apply(im, &im->want->scopes[i], im->had[i], im->ids[i]);
	}
	if (!r)
		r = removed(im, SCOPE_GROUP);
	if (!r)
		r = identities_put(im);
	return r ? r : folder_templates_check(im);
}

/* Before the transaction: the store is held from here on. */
static int prepare(struct importing *im)
{
	int r;

	r = objects_open_held(im->how->state_dir, STORE_OBJECTS, true, &im->objects, im->why);
	if (!r)
		r = objects_open_held(im->how->state_dir, STORE_SECRETS, true, &im->secrets,
				      im->why);
	if (!r)
		r = way_open(im->db, im->how->state_dir, &im->way, im->why);
	if (r || im->how->dry)
		return r;
	r = db_exec(im->db, "BEGIN");
	if (!r)
		r = look(im);
	db_rollback(im->db);
	if (!r)
		r = folder_bodies_put(im);
	return r ? r : identities_prepare(im);
}

static int transact(struct importing *im)
{
	cleanup(txn_abortp) struct txn *txn = NULL;
	int r = db_fail(im, txn_begin(im->db, &txn));

	if (!r)
		r = look(im);
	if (!r)
		r = apply(im);
	if (!r && !im->how->dry)
		r = db_fail(im, txn_commit(take(&txn)));
	return r;
}

static void importing_fini(struct importing *im)
{
	for (unsigned int i = 0; im->identities && i < im->want->nscopes; i++)
		identity_free(im->identities[i]);
	free(im->identities);
	free(im->ids);
	free(im->had);
	folder_free(im->have);
	way_close(im->way);
	objects_close(im->objects);
	objects_close(im->secrets);
}

int folder_apply(struct db *db, const struct folder *want, struct folder_apply *how,
		 struct why *why)
{
	struct importing im = {.db = db, .want = want, .how = how, .why = why};
	size_t len;
	int r;

	how->changes = how->warnings = NULL;
	how->keyless = false;
	im.changes = open_memstream(&how->changes, &len);
	im.warnings = open_memstream(&how->warnings, &len);
	im.had = calloc(want->nscopes + 1, sizeof(*im.had));
	im.ids = calloc(want->nscopes + 1, sizeof(*im.ids));
	im.identities = calloc(want->nscopes + 1, sizeof(*im.identities));
	r = im.changes && im.warnings && im.had && im.ids && im.identities ? 0 : -ENOMEM;
	if (!r)
		r = prepare(&im);
	if (!r)
		r = transact(&im);
	importing_fini(&im);
	if ((im.changes && fclose(im.changes)) || (im.warnings && fclose(im.warnings)))
		r = r ? r : -ENOMEM;
	return r ? why_set(why, r, "%s: %s", how->dir, strerror(-r)) : 0;
}

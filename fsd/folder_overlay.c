/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An import's entries.  A row that is as it should be stays, and with it its number, by
 * which clients hold it; unless it must come after one that is put now. */
#include "fsd/folder_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/inventory.h"
#include "common/log.h"
#include "fsd/folder_text.h"
#include "fsd/keys.h"
#include "fsd/template.h"
#include "fsd/way.h"

/* ---- bodies ---- */

static int body_put(struct importing *im, const struct folder_scope *s,
		    const struct folder_entry *e)
{
	struct objects *store = e->flags & ENTRY_SECRET ? im->secrets : im->objects;
	cleanup(closep) int fd = -1;
	struct hash hash;
	uint64_t size;
	int r;

	if (objects_has(store, &e->hash))
		return 0;
	fd = folder_body(im->how->dir, s, e, im->why);
	if (fd < 0)
		return fd;
	r = objects_put(store, fd, &hash, &size);
	if (!r && (size != e->size || memcmp(&hash, &e->hash, sizeof(hash)) != 0))
		r = why_set(im->why, -EAGAIN, "/%s: its body changed while it was read", e->path);
	return r ? why_set(im->why, r, "/%s: its body: %s", e->path, strerror(-r)) : 0;
}

int folder_bodies_put(struct importing *im)
{
	int r = 0;

	for (unsigned int i = 0; i < im->want->nscopes; i++) {
		const struct folder_scope *s = &im->want->scopes[i];

		for (unsigned int k = 0; !r && k < s->nentries; k++)
			if (s->entries[k].kind == ENTRY_FILE)
				r = body_put(im, s, &s->entries[k]);
	}
	return r;
}

/* ---- rows ---- */

struct laying {
	struct importing *im;
	const struct folder_scope *want;
	const struct folder_scope *have;
	struct scope scope;
	unsigned int *tails;
	/* Change numbers of what was laid so far; UINT64_MAX: put just now, 0: nothing. */
	uint64_t *of_entry;
	uint64_t *of_tail;
};

static void said(struct laying *l, const char *words, const char *path)
{
	char label[128];
	char text[4 * PATH_MAX];

	folder_scope_label(l->want, label, sizeof(label));
	fprintf(l->im->changes, "overlay %s %s /%s\n", words, label,
		log_escape(text, sizeof(text), path, strlen(path)));
}

static bool is_same(const struct folder_entry *a, const struct folder_entry *b)
{
	if (a->kind != b->kind || a->flags != b->flags || a->mode != b->mode || a->uid != b->uid ||
	    a->gid != b->gid)
		return false;
	if (a->kind == ENTRY_FILE)
		return a->size == b->size && !memcmp(&a->hash, &b->hash, sizeof(a->hash));
	return a->body.len == b->body.len &&
	       (!a->body.len || !memcmp(a->body.at, b->body.at, a->body.len));
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* The last change of what was laid before the i-th entry and may meet it. */
static uint64_t laid_before(const struct laying *l, unsigned int i)
{
	const struct folder_scope *s = l->want;
	unsigned int end = folder_cuts(&s->entries[i]) ? folder_below_end(s, i) : i;
	uint64_t change = l->of_tail[l->tails[i]];

	for (int above = folder_above(s, i); above >= 0;
	     above = folder_above(s, (unsigned int)above))
		if (folder_cuts(&s->entries[above]))
			change = later(change, l->of_entry[above]);
	for (unsigned int k = i + 1; k < end; k++)
		change = later(change, l->of_entry[k]);
	return change;
}

static int entry_put(struct laying *l, const struct folder_entry *e, const struct folder_entry *old)
{
	const struct entry_spec spec = {
		.kind = e->kind,
		.flags = e->flags,
		.mode = e->mode,
		.uid = e->uid,
		.gid = e->gid,
		.size = e->size,
		.mtime_ns = e->mtime_ns,
		.body = e->body,
		.hash = e->hash,
	};
	struct importing *im = l->im;
	struct why warning = {""};
	struct why one = {""};
	int r = 0;

	/* Attributes are laid over a row that is there: it must not be there. */
	if (e->kind == ENTRY_ATTR && old)
		r = overlay_reset(im->db, l->scope, old->path, false);
	if (!r)
		r = overlay_change(im->db, l->scope, e->path, &spec, NULL, &one);
	if (r)
		return folder_line_fail(im->how->dir, l->want, false, e->line, r, &one, im->why);
	said(l, e->kind == ENTRY_TEMPLATE ? "put --template" : folder_kind_word(e->kind), e->path);
	r = way_check(im->way, e->path, &one);
	if (r != -EINVAL)
		return r;
	folder_line_fail(im->how->dir, l->want, false, e->line, r, &one, &warning);
	fprintf(im->warnings, "%s\n", warning.text);
	return 0;
}

/* Deepest first, so that no row comes to be a parent and goes again. */
static int entries_reset(struct laying *l)
{
	int r = 0;

	for (unsigned int i = l->have ? l->have->nentries : 0; !r && i-- > 0;) {
		const struct folder_entry *e = &l->have->entries[i];

		if (folder_entry_find(l->want, e->path))
			continue;
		r = overlay_reset(l->im->db, l->scope, e->path, false);
		said(l, "reset", e->path);
	}
	return r ? why_set(l->im->why, r, "%s", db_error(l->im->db)) : 0;
}

static int by_late(const void *a, const void *b, void *ctx)
{
	const struct folder_scope *s = ctx;
	unsigned int i = *(const unsigned int *)a;
	unsigned int k = *(const unsigned int *)b;

	if (s->entries[i].late != s->entries[k].late)
		return s->entries[i].late < s->entries[k].late ? -1 : 1;
	return (i > k) - (i < k);
}

static int entries_lay(struct laying *l)
{
	const struct folder_scope *s = l->want;
	cleanup(freep) unsigned int *order = calloc(s->nentries + 1, sizeof(*order));
	int r = order ? 0 : -ENOMEM;

	for (unsigned int i = 0; !r && i < s->nentries; i++)
		order[i] = i;
	if (!r)
		qsort_r(order, s->nentries, sizeof(*order), by_late, (void *)s);
	for (unsigned int n = 0; !r && n < s->nentries; n++) {
		unsigned int i = order[n];
		const struct folder_entry *e = &s->entries[i];
		const struct folder_entry *old =
			l->have ? folder_entry_find(l->have, e->path) : NULL;
		uint64_t change = UINT64_MAX;

		if (old && is_same(old, e) && old->change > laid_before(l, i))
			change = old->change;
		else
			r = entry_put(l, e, old);
		l->of_entry[i] = change;
		l->of_tail[l->tails[i]] = later(l->of_tail[l->tails[i]], change);
	}
	return r;
}

int folder_overlay_apply(struct importing *im, const struct folder_scope *want,
			 const struct folder_scope *have, uint32_t id)
{
	struct laying l = {.im = im, .want = want, .have = have, .scope = {want->kind, id}};
	int r = folder_tails(want, &l.tails);

	l.of_entry = calloc(want->nentries + 1, sizeof(*l.of_entry));
	l.of_tail = calloc(want->nentries + 1, sizeof(*l.of_tail));
	if (!r && (!l.of_entry || !l.of_tail))
		r = -ENOMEM;
	if (!r)
		r = entries_reset(&l);
	if (!r)
		r = entries_lay(&l);
	free(l.tails);
	free(l.of_entry);
	free(l.of_tail);
	return r;
}

/* ---- templates ---- */

static const char *any_key(void *ctx, const char *key)
{
	(void)ctx;
	(void)key;
	return "";
}

static int template_one(struct importing *im, const struct inventory *inv,
			const struct folder_scope *s, const struct folder_entry *e, uint32_t id)
{
	struct why warning = {""};
	struct why one = {""};
	char *text;
	size_t len;
	int r = template_render(e->body, any_key, NULL, &text, &len, &one);

	if (r)
		return folder_line_fail(im->how->dir, s, false, e->line, r, &one, im->why);
	free(text);
	r = keys_check(inv, (struct scope){s->kind, id}, e->body, &one);
	if (r != -EINVAL)
		return r;
	folder_line_fail(im->how->dir, s, false, e->line, r, &one, &warning);
	fprintf(im->warnings, "%s\n", warning.text);
	return 0;
}

int folder_templates_check(struct importing *im)
{
	cleanup(inventory_freep) struct inventory *inv = NULL;
	int r = inventory_load(im->db, &inv);

	for (unsigned int i = 0; i < im->want->nscopes; i++) {
		const struct folder_scope *s = &im->want->scopes[i];

		for (unsigned int k = 0; !r && k < s->nentries; k++)
			if (s->entries[k].kind == ENTRY_TEMPLATE)
				r = template_one(im, inv, s, &s->entries[k], im->ids[i]);
	}
	return r;
}

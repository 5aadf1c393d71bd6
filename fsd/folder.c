/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/folder_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void folder_free(struct folder *f)
{
	if (!f)
		return;
	for (unsigned int i = 0; i < f->nscopes; i++) {
		free(f->scopes[i].pairs);
		free(f->scopes[i].entries);
	}
	for (unsigned int i = 0; i < f->noverlays; i++)
		overlay_free(f->overlays[i]);
	free(f->overlays);
	free(f->scopes);
	free(f->images);
	paths_free(f->paths);
	arena_fini(&f->arena);
	free(f);
}

int folder_path_cmp(const char *a, const char *b)
{
	unsigned int x;
	unsigned int y;

	while (*a && *a == *b) {
		a++;
		b++;
	}
	x = *a == '/' ? 1 : *a ? (uint8_t)*a + 1U : 0;
	y = *b == '/' ? 1 : *b ? (uint8_t)*b + 1U : 0;
	return (x > y) - (x < y);
}

static bool is_below(const char *path, const char *above)
{
	size_t len = strlen(above);

	return !len ? path[0] != '\0' : !strncmp(path, above, len) && path[len] == '/';
}

/* ---- names ---- */

const char *folder_scope_label(const struct folder_scope *s, char *out, size_t size)
{
	if (s->kind == SCOPE_ALL)
		snprintf(out, size, "all");
	else
		snprintf(out, size, "%s:%s", s->kind == SCOPE_GROUP ? "group" : "host", s->name);
	return out;
}

const char *folder_scope_dir(const struct folder_scope *s, char *out, size_t size)
{
	if (s->kind == SCOPE_ALL)
		snprintf(out, size, "all");
	else
		snprintf(out, size, "%s/%s", s->kind == SCOPE_GROUP ? "groups" : "hosts", s->name);
	return out;
}

const char *folder_pairs_name(enum scope_kind kind)
{
	return kind == SCOPE_ALL ? "settings" : kind == SCOPE_GROUP ? "group" : "host";
}

/* ---- order ---- */

static int scope_cmp(enum scope_kind kind, const char *name, const struct folder_scope *s)
{
	return kind != s->kind ? (kind > s->kind) - (kind < s->kind) : strcmp(name, s->name);
}

struct folder_scope *folder_scope_find(const struct folder *f, enum scope_kind kind,
				       const char *name)
{
	unsigned int lo = 0;
	unsigned int hi = f->nscopes;

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;
		int c = scope_cmp(kind, name, &f->scopes[mid]);

		if (!c)
			return &f->scopes[mid];
		if (c > 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* The first entry that is not before `path`. */
static unsigned int entry_place(const struct folder_scope *s, const char *path)
{
	unsigned int lo = 0;
	unsigned int hi = s->nentries;

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;

		if (folder_path_cmp(s->entries[mid].path, path) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct folder_entry *folder_entry_find(const struct folder_scope *s, const char *path)
{
	unsigned int i = entry_place(s, path);

	return i < s->nentries && !strcmp(s->entries[i].path, path) ? &s->entries[i] : NULL;
}

/* A host's own row comes before its settings, its groups in their order. */
static unsigned int key_rank(const char *key)
{
	static const char *const row[] = {"mac", "address", "image", "group", "pending"};
	unsigned int i = 0;

	while (i < ARRAY_SIZE(row) && strcmp(key, row[i]) != 0)
		i++;
	return i;
}

static int pair_cmp(const void *a, const void *b)
{
	const struct folder_pair *x = a;
	const struct folder_pair *y = b;
	int c = strcmp(x->key, y->key);

	if (!c && !strcmp(x->key, "mac"))
		return strcmp(x->value, y->value);
	return c ? c : (x->line > y->line) - (x->line < y->line);
}

static int row_pair_cmp(const void *a, const void *b)
{
	unsigned int x = key_rank(((const struct folder_pair *)a)->key);
	unsigned int y = key_rank(((const struct folder_pair *)b)->key);

	return x != y ? (x > y) - (x < y) : pair_cmp(a, b);
}

static int entry_cmp(const void *a, const void *b)
{
	const struct folder_entry *x = a;
	const struct folder_entry *y = b;
	int c = folder_path_cmp(x->path, y->path);

	return c ? c : (x->line > y->line) - (x->line < y->line);
}

/* ---- bodies ---- */

bool folder_has_body(const struct folder_entry *e)
{
	return e->kind == ENTRY_FILE || e->kind == ENTRY_TEMPLATE;
}

unsigned int folder_below_end(const struct folder_scope *s, unsigned int i)
{
	unsigned int k = i + 1;

	while (k < s->nentries && is_below(s->entries[k].path, s->entries[i].path))
		k++;
	return k;
}

int folder_above(const struct folder_scope *s, unsigned int i)
{
	char above[4096];
	char *slash;

	snprintf(above, sizeof(above), "%s", s->entries[i].path);
	while ((slash = strrchr(above, '/'))) {
		const struct folder_entry *e;

		*slash = '\0';
		e = folder_entry_find(s, above);
		if (e)
			return (int)(e - s->entries);
	}
	return -1;
}

bool folder_is_identity(const struct folder_scope *s, const char *path)
{
	return s->kind == SCOPE_HOST &&
	       (!strcmp(path, "etc/machine-id") || !strncmp(path, "etc/ssh/ssh_host_", 17));
}

void folder_body_path(const struct folder_scope *s, const struct folder_entry *e, char *out,
		      size_t size)
{
	char dir[128];
	char level[16] = "";

	if (e->body_level)
		snprintf(level, sizeof(level), ".%u", e->body_level);
	snprintf(out, size, "%s/files%s/%s", folder_scope_dir(s, dir, sizeof(dir)), level, e->path);
}

/* From the deepest up: what has bodies below its path has its own a level above them. */
static void body_levels(struct folder_scope *s)
{
	for (unsigned int i = 0; i < s->nentries; i++)
		s->entries[i].body_level = 0;
	for (unsigned int i = s->nentries; i-- > 0;) {
		const struct folder_entry *e = &s->entries[i];
		unsigned int level = e->body_level + folder_has_body(e);
		int above = folder_above(s, i);

		if (above >= 0 && s->entries[above].body_level < level)
			s->entries[above].body_level = level;
	}
}

void folder_scope_sort(struct folder_scope *s)
{
	if (s->npairs)
		qsort(s->pairs, s->npairs, sizeof(*s->pairs),
		      s->kind == SCOPE_HOST ? row_pair_cmp : pair_cmp);
	if (s->nentries)
		qsort(s->entries, s->nentries, sizeof(*s->entries), entry_cmp);
	body_levels(s);
}

/* ---- which comes later ---- */

bool folder_cuts(const struct folder_entry *e)
{
	return e->kind == ENTRY_FILE || e->kind == ENTRY_TEMPLATE || e->kind == ENTRY_LINK ||
	       e->kind == ENTRY_WHITEOUT;
}

/* The last two names of a path. */
static const char *tail(const char *path)
{
	const char *last = strrchr(path, '/');
	const char *at = last;

	while (at && at > path && at[-1] != '/')
		at--;
	return at ? at : path;
}

static int by_tail(const void *a, const void *b, void *ctx)
{
	const struct folder_scope *s = ctx;

	return strcmp(tail(s->entries[*(const unsigned int *)a].path),
		      tail(s->entries[*(const unsigned int *)b].path));
}

int folder_tails(const struct folder_scope *s, unsigned int **out)
{
	unsigned int *sorted = calloc(s->nentries + 1, sizeof(*sorted));
	unsigned int *tails = calloc(s->nentries + 1, sizeof(*tails));
	unsigned int number = 0;

	if (!sorted || !tails) {
		free(sorted);
		free(tails);
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < s->nentries; i++)
		sorted[i] = i;
	qsort_r(sorted, s->nentries, sizeof(*sorted), by_tail, (void *)s);
	for (unsigned int i = 0; i < s->nentries; i++) {
		if (i && by_tail(&sorted[i - 1], &sorted[i], (void *)s))
			number++;
		tails[sorted[i]] = number;
	}
	free(sorted);
	*out = tails;
	return 0;
}

static int by_change(const void *a, const void *b, void *ctx)
{
	const struct folder_scope *s = ctx;
	const struct folder_entry *x = &s->entries[*(const unsigned int *)a];
	const struct folder_entry *y = &s->entries[*(const unsigned int *)b];

	return (x->change > y->change) - (x->change < y->change);
}

/* `e` was put after `before`: what is its `late` at least? */
static void comes_after(struct folder_entry *e, const struct folder_entry *before)
{
	unsigned int late = before->late + (folder_path_cmp(before->path, e->path) > 0);

	if (late > e->late)
		e->late = late;
}

/* What was put before the i-th entry above and below it. */
static void after_line(struct folder_scope *s, unsigned int i)
{
	struct folder_entry *e = &s->entries[i];
	unsigned int end = folder_cuts(e) ? folder_below_end(s, i) : i;

	for (int above = folder_above(s, i); above >= 0;
	     above = folder_above(s, (unsigned int)above))
		if (folder_cuts(&s->entries[above]) && s->entries[above].change < e->change)
			comes_after(e, &s->entries[above]);
	for (unsigned int k = i + 1; k < end; k++)
		if (s->entries[k].change < e->change)
			comes_after(e, &s->entries[k]);
}

/* By how late they are, then by path. */
static int by_late(const struct folder_entry *a, const struct folder_entry *b)
{
	if (a->late != b->late)
		return a->late < b->late ? -1 : 1;
	return folder_path_cmp(a->path, b->path);
}

int folder_late(struct folder_scope *s)
{
	cleanup(freep) unsigned int *tails = NULL;
	cleanup(freep) unsigned int *order = calloc(s->nentries + 1, sizeof(*order));
	/* Of each tail the one that says most of those that follow: the latest so far, and
	 * of these the last by its path; one more than the index, 0 for none. */
	cleanup(freep) unsigned int *latest = calloc(s->nentries + 1, sizeof(*latest));
	int r = order && latest ? folder_tails(s, &tails) : -ENOMEM;

	if (r)
		return r;
	for (unsigned int i = 0; i < s->nentries; i++) {
		order[i] = i;
		s->entries[i].late = 0;
	}
	qsort_r(order, s->nentries, sizeof(*order), by_change, s);
	for (unsigned int n = 0; n < s->nentries; n++) {
		struct folder_entry *e = &s->entries[order[n]];
		unsigned int *at = &latest[tails[order[n]]];

		after_line(s, order[n]);
		if (*at)
			comes_after(e, &s->entries[*at - 1]);
		if (!*at || by_late(&s->entries[*at - 1], e) < 0)
			*at = order[n] + 1;
	}
	return 0;
}

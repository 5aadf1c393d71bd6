/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The views that a process serves: built from the databases when first asked for,
 * shared from then on, and dropped when something that made them moved.
 */
#include "fsd/view_cache.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/inventory.h"
#include "common/log.h"
#include "common/schema.h"
#include "fsd/keys.h"
#include "fsd/profile.h"

/* An overlay that views share. */
struct cached_overlay {
	struct scope scope;
	unsigned int refs; /* guarded by the cache's lock */
	bool stale;	   /* the scope has moved since */
	struct overlay *rows;
	struct views *views;
	struct cached_overlay *next;
};

struct cached_version {
	struct version *version;
	bool sealed_seen;
	struct cached_version *next;
};

enum { VIEW_BUCKETS = 4096 };

struct views {
	pthread_mutex_t lock; /* guards all below but `generation` */
	atomic_uint_fast64_t generation;
	char *state_dir;
	struct db *db;
	int64_t seen;	 /* data_version */
	uint64_t change; /* of the last look */
	struct inventory *inventory;
	struct paths *paths; /* of all overlays */
	struct view *views[VIEW_BUCKETS];
	struct cached_overlay *overlays[VIEW_BUCKETS];
	struct cached_version *versions;
	bool complained;
	struct log_limit no_effect; /* lines; any boot of any host may build a view */
};

struct view *view_ref(struct view *view)
{
	atomic_fetch_add_explicit(&view->refs, 1, memory_order_relaxed);
	return view;
}

static void overlay_drop_locked(struct cached_overlay *ov);

static void view_free_locked(struct view *view)
{
	tree_free(view->tree);
	for (unsigned int i = 0; i < view->noverlays; i++)
		overlay_drop_locked(view->overlays[i]);
	free(view->overlays);
	free(view);
}

void view_unref(struct view *view)
{
	struct views *views;

	if (!view || atomic_fetch_sub_explicit(&view->refs, 1, memory_order_acq_rel) != 1)
		return;
	views = view->noverlays ? view->overlays[0]->views : NULL;
	if (views)
		pthread_mutex_lock(&views->lock);
	view_free_locked(view);
	if (views)
		pthread_mutex_unlock(&views->lock);
}

/* ---- the cache ---- */

static unsigned int bucket_of(uint32_t a, uint32_t b)
{
	return (a * 2654435761u ^ b * 2246822519u) >> 7 & (VIEW_BUCKETS - 1);
}

static void overlay_drop_locked(struct cached_overlay *ov)
{
	struct cached_overlay **p;

	if (--ov->refs)
		return;
	p = &ov->views->overlays[bucket_of(ov->scope.kind, ov->scope.owner)];
	while (*p && *p != ov)
		p = &(*p)->next;
	if (*p)
		*p = ov->next;
	overlay_free(ov->rows);
	free(ov);
}

static int overlay_get_locked(struct views *vs, struct scope scope, struct cached_overlay **out)
{
	struct cached_overlay **bucket = &vs->overlays[bucket_of(scope.kind, scope.owner)];
	struct cached_overlay *ov;
	int r;

	for (ov = *bucket; ov; ov = ov->next)
		if (ov->scope.kind == scope.kind && ov->scope.owner == scope.owner && !ov->stale) {
			ov->refs++;
			*out = ov;
			return 0;
		}
	ov = calloc(1, sizeof(*ov));
	if (!ov)
		return -ENOMEM;
	r = overlay_load(vs->db, scope, vs->paths, &ov->rows);
	if (r) {
		free(ov);
		return r;
	}
	ov->scope = scope;
	ov->refs = 1;
	ov->views = vs;
	ov->next = *bucket;
	*bucket = ov;
	*out = ov;
	return 0;
}

static int version_get_locked(struct views *vs, uint32_t id, struct version **out)
{
	struct cached_version *cached;
	int r;

	for (cached = vs->versions; cached; cached = cached->next)
		if (manifest_version(version_manifest(cached->version)) == id) {
			*out = cached->version;
			return 0;
		}
	cached = calloc(1, sizeof(*cached));
	if (!cached)
		return -ENOMEM;
	r = version_open(vs->state_dir, id, &cached->version, NULL);
	if (r) {
		free(cached);
		return r;
	}
	cached->sealed_seen = manifest_sealed(version_manifest(cached->version));
	cached->next = vs->versions;
	vs->versions = cached;
	*out = cached->version;
	return 0;
}

static int view_overlays_locked(struct views *vs, struct view *view, const struct host *host)
{
	unsigned int n = 2 + host->ngroups;

	view->overlays = calloc(n, sizeof(struct cached_overlay *));
	if (!view->overlays)
		return -ENOMEM;
	for (unsigned int i = 0; i < n; i++) {
		struct scope scope = {SCOPE_ALL, 0};
		int r;

		if (i == n - 1)
			scope = (struct scope){SCOPE_HOST, host->id};
		else if (i)
			scope = (struct scope){SCOPE_GROUP, host->groups[i - 1]};
		r = overlay_get_locked(vs, scope, &view->overlays[i]);
		if (r)
			return r;
		view->noverlays++;
	}
	return 0;
}

/* When the values of a host's keys last changed. */
static int keys_time(struct views *vs, const struct host *host, int64_t *ns)
{
	*ns = host->changed;
	for (unsigned int i = 0; i < host->ngroups; i++) {
		sqlite3_stmt *stmt = db_stmt(vs->db, "SELECT changed FROM grp WHERE id = ?");
		int r = db_query(vs->db, stmt, "u", host->groups[i]);

		if (r < 0)
			return r;
		if (r == DB_ROW && sqlite3_column_int64(stmt, 0) > *ns)
			*ns = sqlite3_column_int64(stmt, 0);
		sqlite3_reset(stmt);
	}
	return 0;
}

static void tell_no_effect_locked(struct views *vs, const struct host *host, const struct entry *e,
				  int code)
{
	char path[256];

	if (!log_allow(&vs->no_effect, instant_now().ns, 50, 10000))
		return;
	log_escape(path, sizeof(path), e->path, strlen(e->path));
	log_about(LOG_LEVEL_WARN, &(struct log_about){.host = host->name},
		  "overlay of %s: /%s has no effect: %s", host->name, path,
		  code == VIEW_LOOP	? "a loop of links above it"
		  : code == VIEW_NOTDIR ? "a file above it is no directory in this version"
					: "its way is not in this version, or a key has no value");
}

/* Somebody who watches a merge, entry by entry. */
struct observer {
	struct view *view;
	const char *path;
	void (*step)(void *ctx, const struct view_step *step);
	void *ctx;
	struct view_step last; /* what the path meant so far */
};

/* What the watched path means now; tell it if the last entry changed that. */
static void observe(struct observer *o, const struct scope *scope, const struct entry *e)
{
	struct view_step now = {.scope = scope, .entry = e};
	struct tree_node n;
	uint32_t id;

	if (!tree_walk(o->view->tree, VIEW_ROOT, o->path, false, &id, NULL) &&
	    !tree_node(o->view->tree, id, &n)) {
		now.node = id;
		now.mode = n.mode;
		now.uid = n.uid;
		now.gid = n.gid;
	}
	if (e && now.node == o->last.node && now.mode == o->last.mode && now.uid == o->last.uid &&
	    now.gid == o->last.gid)
		return;
	o->last = now;
	o->step(o->ctx, &now);
}

static void observe_profile(void *ctx, const struct entry *e)
{
	observe(ctx, NULL, e);
}

static int view_merge_locked(struct views *vs, struct view *view, const struct host *host,
			     struct observer *observer)
{
	struct keys keys;
	int r;

	keys_fill(&keys, vs->inventory, host, view->version);
	r = view_overlays_locked(vs, view, host);
	if (observer)
		observe(observer, NULL, NULL);
	if (!r)
		r = profile_apply(view->tree, keys_lookup, &keys, observer ? observe_profile : NULL,
				  observer);
	for (unsigned int i = 0; !r && i < view->noverlays; i++) {
		const struct overlay *rows = view->overlays[i]->rows;

		for (unsigned int e = 0; !r && e < rows->n; e++) {
			r = tree_apply(view->tree, &rows->entries[e], view->change, keys_lookup,
				       &keys);
			if (r > 0) {
				if (!observer)
					tell_no_effect_locked(vs, host, &rows->entries[e], r);
				r = 0;
			}
			if (observer)
				observe(observer, &view->overlays[i]->scope, &rows->entries[e]);
		}
	}
	return r;
}

static int view_build_locked(struct views *vs, uint32_t host_id, uint32_t version_id,
			     uint64_t change, struct observer *observer, struct view **out)
{
	const struct host *host = host_id ? inventory_by_id(vs->inventory, host_id) : NULL;
	struct version *version;
	struct view *view;
	int r;

	if (host_id && !host)
		return -ENOENT;
	r = version_get_locked(vs, version_id, &version);
	if (r)
		return r;
	view = calloc(1, sizeof(*view));
	if (!view)
		return -ENOMEM;
	view->refs = 1;
	view->host = host_id;
	view->version = version_id;
	view->change = change;
	if (host) {
		view->host_changed = host->changed;
		/* One snapshot for all the scopes. */
		r = db_exec(vs->db, "BEGIN");
		if (observer)
			observer->view = view;
		if (!r)
			r = keys_time(vs, host, &view->keys_ns);
	}
	if (!r)
		r = tree_new(version, view->keys_ns, &view->tree);
	if (!r && host)
		r = view_merge_locked(vs, view, host, observer);
	if (host)
		db_rollback(vs->db);
	if (!r)
		r = tree_freeze(view->tree);
	if (r) {
		view_free_locked(view);
		return r;
	}
	*out = view;
	return 0;
}

/* Each boot pins a change of its own: what earlier boots of the same host saw goes,
 * once nobody looks at it.  Not what later ones see: who shows handles of two boots in turn
 * has both built once. */
static void pins_drop_locked(struct view **bucket, const struct view *fresh)
{
	for (struct view **p = bucket; *p;) {
		struct view *view = *p;

		if (view->host != fresh->host || view->version != fresh->version ||
		    view->change > fresh->change || atomic_load(&view->refs) != 1) {
			p = &view->next;
			continue;
		}
		*p = view->next;
		view_free_locked(view);
	}
}

int views_get(struct views *vs, uint32_t host, uint32_t version, uint64_t change, struct view **out)
{
	struct view **bucket = &vs->views[bucket_of(host, version)];
	struct view *view;
	int r = 0;

	pthread_mutex_lock(&vs->lock);
	for (view = *bucket; view; view = view->next)
		if (view->host == host && view->version == version && view->change == change)
			break;
	if (!view) {
		r = view_build_locked(vs, host, version, change, NULL, &view);
		if (!r) {
			pins_drop_locked(bucket, view);
			view->next = *bucket;
			*bucket = view;
		}
	}
	if (!r)
		*out = view_ref(view);
	pthread_mutex_unlock(&vs->lock);
	return r;
}

int views_explain(struct views *vs, uint32_t host, uint32_t version, const char *path,
		  void (*step)(void *ctx, const struct view_step *step), void *ctx)
{
	struct observer observer = {.path = path, .step = step, .ctx = ctx};
	struct view *view;
	int r;

	pthread_mutex_lock(&vs->lock);
	r = view_build_locked(vs, host, version, UINT64_MAX, &observer, &view);
	if (!r)
		view_free_locked(view);
	pthread_mutex_unlock(&vs->lock);
	return r;
}

/* ---- following the database ---- */

static int scopes_mark_stale(struct views *vs)
{
	sqlite3_stmt *stmt =
		db_stmt(vs->db, "SELECT kind, owner, change FROM scope WHERE change > ?");
	uint64_t last = vs->change;
	int r;

	for (r = db_query(vs->db, stmt, "i", (int64_t)vs->change); r == DB_ROW;
	     r = db_next(vs->db, stmt)) {
		uint32_t kind = (uint32_t)sqlite3_column_int(stmt, 0);
		uint32_t owner = (uint32_t)sqlite3_column_int64(stmt, 1);
		uint64_t change = (uint64_t)sqlite3_column_int64(stmt, 2);

		for (struct cached_overlay *ov = vs->overlays[bucket_of(kind, owner)]; ov;
		     ov = ov->next)
			if (ov->scope.kind == kind && ov->scope.owner == owner &&
			    ov->rows->change != change)
				ov->stale = true;
		if (change > last)
			last = change;
	}
	if (!r)
		vs->change = last;
	return r;
}

static bool view_stale(const struct views *vs, const struct view *view)
{
	const struct host *host = inventory_by_id(vs->inventory, view->host);

	if (!view->host)
		return false;
	if (!host || host->changed != view->host_changed)
		return true;
	for (unsigned int i = 0; i < view->noverlays; i++)
		if (view->overlays[i]->stale)
			return true;
	return false;
}

/* Sealing replaced a manifest: map the new one; old views keep theirs. */
static bool versions_reopen(struct views *vs)
{
	bool any = false;

	for (struct cached_version **p = &vs->versions; *p;) {
		struct cached_version *cached = *p;
		uint32_t id = manifest_version(version_manifest(cached->version));
		const struct image_version *v = inventory_version(vs->inventory, id);

		if (v && (!v->sealed || cached->sealed_seen)) {
			p = &cached->next;
			continue;
		}
		*p = cached->next;
		version_unref(cached->version);
		free(cached);
		any = true;
	}
	return any;
}

static bool view_version_gone(const struct views *vs, const struct view *view)
{
	for (const struct cached_version *c = vs->versions; c; c = c->next)
		if (c->version == tree_version(view->tree))
			return false;
	return true;
}

static bool views_drop_stale(struct views *vs, bool reopened)
{
	bool moved = false;

	for (unsigned int b = 0; b < VIEW_BUCKETS; b++)
		for (struct view **p = &vs->views[b]; *p;) {
			struct view *view = *p;

			if (!view_stale(vs, view) && !(reopened && view_version_gone(vs, view))) {
				p = &view->next;
				continue;
			}
			*p = view->next;
			if (atomic_fetch_sub_explicit(&view->refs, 1, memory_order_acq_rel) == 1)
				view_free_locked(view);
			moved = true;
		}
	return moved;
}

static int views_reload(struct views *vs, bool *moved)
{
	struct inventory *inv;
	int r = inventory_load(vs->db, &inv);

	if (r)
		return r;
	inventory_free(vs->inventory);
	vs->inventory = inv;
	r = scopes_mark_stale(vs);
	if (r)
		return r;
	*moved = views_drop_stale(vs, versions_reopen(vs));
	return 0;
}

bool views_poll(struct views *vs)
{
	bool moved = false;
	int64_t seen;

	pthread_mutex_lock(&vs->lock);
	seen = db_data_version(vs->db);
	if (seen < 0 || seen != vs->seen) {
		int r = views_reload(vs, &moved);

		if (!r)
			vs->seen = seen;
		else if (!vs->complained)
			log_error("rootstock.db: cannot be read, serving the last state: %s",
				  db_error(vs->db));
		vs->complained = r != 0;
	}
	pthread_mutex_unlock(&vs->lock);
	if (moved)
		atomic_fetch_add(&vs->generation, 1);
	return moved;
}

uint64_t views_generation(const struct views *vs)
{
	return atomic_load_explicit(&vs->generation, memory_order_acquire);
}

int views_open(const char *state_dir, struct views **out, struct why *why)
{
	cleanup(views_closep) struct views *vs = calloc(1, sizeof(*vs));
	int r;

	if (!vs)
		return -ENOMEM;
	pthread_mutex_init(&vs->lock, NULL);
	vs->state_dir = strdup(state_dir);
	if (!vs->state_dir)
		return -ENOMEM;
	r = paths_new(&vs->paths);
	if (!r)
		r = db_open(state_dir, &schema_rootstock, DB_READ, &vs->db, why);
	if (r)
		return r;
	vs->seen = db_data_version(vs->db);
	r = inventory_load(vs->db, &vs->inventory);
	if (!r)
		r = scopes_mark_stale(vs);
	if (r)
		return why_set(why, r, "%s/rootstock.db: %s", state_dir, db_error(vs->db));
	*out = take(&vs);
	return 0;
}

void views_close(struct views *vs)
{
	if (!vs)
		return;
	for (unsigned int b = 0; b < VIEW_BUCKETS; b++)
		while (vs->views[b]) {
			struct view *view = vs->views[b];

			vs->views[b] = view->next;
			view_free_locked(view); /* no door holds one any more */
		}
	while (vs->versions) {
		struct cached_version *cached = vs->versions;

		vs->versions = cached->next;
		version_unref(cached->version);
		free(cached);
	}
	inventory_free(vs->inventory);
	paths_free(vs->paths);
	db_close(vs->db);
	pthread_mutex_destroy(&vs->lock);
	free(vs->state_dir);
	free(vs);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/forest.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/db.h"
#include "common/directory.h"
#include "common/inventory.h"
#include "common/log.h"
#include "common/schema.h"
#include "fsd/listing.h"
#include "fsd/view_source.h"

enum { TOP_ROOT = 1, TOP_HOSTS = 2, TOP_IMAGES = 3 };
enum {
	FOREST_AGAIN_MS = 1000,
	PLANT_BUCKETS = 4096,
};

/* Where a view stands, for as long as the forest lives. */
struct plant {
	uint32_t number;
	uint32_t host; /* 0: an image */
	uint32_t version;
	uint64_t change;
	_Atomic(struct view *) view; /* NULL until somebody looks */
	struct view *before;	     /* the poller's: whose changes are told once more */
	struct instant again;
	struct plant *next; /* in its bucket */
};

struct forest {
	struct views *views;
	/* The poller's. */
	struct directory *directory;
	struct db *db;
	bool due; /* a listing that could not be made */
	struct plant *buckets[PLANT_BUCKETS];

	/* Held by doors to read, by the poller to write; before the lock of views. */
	pthread_rwlock_t lock;
	struct plant **plants; /* by number; [0] is NULL */
	uint32_t nplants;
	struct listing hosts;
	struct listing images;
	struct view_time opened;
};

/* ---- views ---- */

static struct plant *plant_find(const struct forest *f, uint32_t host, uint32_t version)
{
	struct plant *p = f->buckets[(host * 31 + version) % PLANT_BUCKETS];

	while (p && (p->host != host || p->version != version))
		p = p->next;
	return p;
}

static int plant_get(struct forest *f, uint32_t host, uint32_t version, struct plant **out)
{
	struct plant **bucket = &f->buckets[(host * 31 + version) % PLANT_BUCKETS];
	struct plant **bigger = f->plants;
	struct plant *p;

	*out = plant_find(f, host, version);
	if (*out)
		return 0;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	*p = (struct plant){.number = f->nplants ? f->nplants : 1,
			    .host = host,
			    .version = version,
			    .change = UINT64_MAX,
			    .next = *bucket};
	pthread_rwlock_wrlock(&f->lock);
	if (!(p->number & (p->number - 1)))
		bigger = realloc(f->plants, 2 * p->number * sizeof(struct plant *));
	if (bigger) {
		f->plants = bigger;
		f->plants[p->number] = p;
		f->nplants = p->number + 1;
	}
	pthread_rwlock_unlock(&f->lock);
	if (!bigger) {
		free(p);
		return -ENOMEM;
	}
	*bucket = p;
	*out = p;
	return 0;
}

/* The view of a number, borrowed while the door is in. */
static int view_of(struct forest *f, uint64_t number, struct plant **plant, struct view **view)
{
	uint32_t i = (uint32_t)(number >> 32);
	struct view *none = NULL;
	struct plant *p;
	int r;

	if (!i || i >= f->nplants)
		return VIEW_STALE;
	p = f->plants[i];
	if (plant)
		*plant = p;
	*view = atomic_load_explicit(&p->view, memory_order_acquire);
	if (*view)
		return 0;
	r = views_get(f->views, p->host, p->version, p->change, view);
	if (r)
		return r;
	if (!atomic_compare_exchange_strong(&p->view, &none, *view)) {
		view_unref(*view);
		*view = none;
	}
	return 0;
}

static uint64_t number_of(const struct plant *p, uint32_t node)
{
	return (uint64_t)p->number << 32 | node;
}

/* ---- listings ---- */

/* A host shows what it runs, not what it would get, while a boot of it is open. */
static void hosts_pin(struct listing *l, const struct inventory *inv, const struct tenants *tenants)
{
	const struct tenant *t;

	for (unsigned int i = 0; (t = tenants_at(tenants, i)); i++) {
		const struct host *host = inventory_by_mac(inv, &t->mac);
		uint32_t id = host ? host->id : t->host;
		struct listed *one = id ? listing_by_id(l, id) : NULL;

		if (!one || !t->runs.version || t->runs.id <= one->boot)
			continue;
		one->boot = t->runs.id;
		one->version = t->runs.version;
		one->change = t->runs.change;
	}
}

static int hosts_list(struct forest *f, struct listing *l)
{
	const struct inventory *inv = directory_inventory(f->directory);
	const struct host *host;

	for (unsigned int i = 0; (host = inventory_at(inv, i)); i++) {
		struct listed one = {
			.id = host->id, .version = host->version, .change = UINT64_MAX};
		int n = snprintf(one.name, sizeof(one.name), "%s", host->name);

		if (host->pending || n <= 0 || n >= (int)sizeof(one.name))
			continue;
		one.name_len = (uint8_t)n;
		if (listing_add(l, &one))
			return -ENOMEM;
	}
	listing_sort(l);
	hosts_pin(l, inv, directory_tenants(f->directory));
	return 0;
}

static int images_list(struct forest *f, struct listing *l)
{
	sqlite3_stmt *stmt = db_stmt(f->db, "SELECT v.id, i.name, v.number FROM version v"
					    " JOIN image i ON i.id = v.image ORDER BY v.id");
	int r;

	for (r = db_query(f->db, stmt, ""); r == DB_ROW; r = db_next(f->db, stmt)) {
		struct listed one = {.id = (uint32_t)sqlite3_column_int64(stmt, 0),
				     .change = UINT64_MAX};
		char name[NAME_MAX_LEN + 1];
		int n;

		db_column_text(stmt, 1, name, sizeof(name));
		n = snprintf(one.name, sizeof(one.name), "%s@%u", name,
			     (uint32_t)sqlite3_column_int64(stmt, 2));
		one.version = one.id;
		one.name_len = (uint8_t)n;
		if (listing_add(l, &one)) {
			sqlite3_reset(stmt);
			return -ENOMEM;
		}
	}
	return r;
}

/* Give each its view's place; those without a version are not shown. */
static int listing_finish(struct forest *f, struct listing *l, bool hosts)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < l->n; i++) {
		struct listed *one = &l->list[i];
		int r;

		if (!one->version)
			continue;
		r = plant_get(f, hosts ? one->id : 0, one->version, &one->plant);
		if (r)
			return r;
		if (n != i)
			l->list[n] = *one;
		n++;
	}
	l->n = n;
	return listing_index(l);
}

static struct view_time time_now(void)
{
	int64_t ns = wall_now_ns();

	return (struct view_time){ns / NS_PER_SEC, (uint32_t)(ns % NS_PER_SEC)};
}

static int listings_make(struct forest *f, struct listing *hosts, struct listing *images)
{
	int r = hosts_list(f, hosts);

	if (!r)
		r = images_list(f, images);
	if (!r)
		r = listing_finish(f, hosts, true);
	if (!r)
		r = listing_finish(f, images, false);
	if (r) {
		listing_fini(hosts);
		listing_fini(images);
		return r;
	}
	hosts->mtime = listing_moved(&f->hosts, hosts) ? time_now() : f->hosts.mtime;
	images->mtime = listing_moved(&f->images, images) ? time_now() : f->images.mtime;
	return 0;
}

/* ---- following the databases ---- */

static int listings_swap(struct forest *f, const struct changes_sink *sink)
{
	struct listing hosts = {0};
	struct listing images = {0};
	struct listing old_hosts;
	struct listing old_images;
	int r = listings_make(f, &hosts, &images);

	if (r)
		return r;
	pthread_rwlock_wrlock(&f->lock);
	old_hosts = f->hosts;
	old_images = f->images;
	f->hosts = hosts;
	f->images = images;
	for (uint32_t i = 0; i < hosts.n; i++)
		hosts.list[i].plant->change = hosts.list[i].change;
	pthread_rwlock_unlock(&f->lock);
	if (sink) {
		listing_tell(&old_hosts, &hosts, TOP_HOSTS, sink);
		listing_tell(&old_images, &images, TOP_IMAGES, sink);
	}
	listing_fini(&old_hosts);
	listing_fini(&old_images);
	return 0;
}

static void views_swap(struct forest *f, const struct changes_sink *sink)
{
	/* A door that got an old view from the cache has put it in its place when this
	 * passes; later ones get the new. */
	pthread_rwlock_wrlock(&f->lock);
	pthread_rwlock_unlock(&f->lock);
	for (uint32_t i = 1; i < f->nplants; i++) {
		struct plant *p = f->plants[i];
		struct view *old = atomic_load_explicit(&p->view, memory_order_acquire);
		struct view *now;

		if (!old || views_get(f->views, p->host, p->version, p->change, &now))
			continue; /* a host that was removed keeps its last view for those inside */
		if (now == old) {
			view_unref(now);
			continue;
		}
		pthread_rwlock_wrlock(&f->lock);
		atomic_store_explicit(&p->view, now, memory_order_release);
		pthread_rwlock_unlock(&f->lock);
		changes_tell(old, now, number_of(p, 0), sink);
		if (p->before) {
			view_unref(old);
			continue;
		}
		p->before = old;
		p->again = instant_add_ms(instant_now(), FOREST_AGAIN_MS);
	}
}

/* An answer from before the swap may lie with a client that has not looked at it when
 * it is told to forget, and does not know the node yet: it hears it a second time. */
static void views_tell_again(struct forest *f, const struct changes_sink *sink)
{
	struct instant now = instant_now();

	for (uint32_t i = 1; i < f->nplants; i++) {
		struct plant *p = f->plants[i];

		if (!p->before || now.ns < p->again.ns)
			continue;
		changes_tell(p->before, atomic_load_explicit(&p->view, memory_order_acquire),
			     number_of(p, 0), sink);
		view_unref(p->before);
		p->before = NULL;
	}
}

void forest_poll(struct forest *f, const struct changes_sink *sink)
{
	/* In this order views know every host that a listing names. */
	bool listed = directory_poll(f->directory) || f->due;
	bool moved = views_poll(f->views);

	if (listed) {
		int r = listings_swap(f, sink);

		if (r && !f->due)
			log_error("hosts and images: cannot be listed, showing the last: %s",
				  strerror(-r));
		f->due = r != 0;
	}
	if (listed || moved)
		views_swap(f, sink);
	views_tell_again(f, sink);
}

int forest_open(const char *state_dir, struct forest **out, struct why *why)
{
	cleanup(forest_closep) struct forest *f = calloc(1, sizeof(*f));
	pthread_rwlockattr_t attr;
	int r;

	if (!f)
		return -ENOMEM;
	pthread_rwlockattr_init(&attr);
	/* The poller waits for the doors that are in, not for a moment without any. */
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&f->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	f->opened = f->hosts.mtime = f->images.mtime = time_now();
	r = directory_open(state_dir, &f->directory, why);
	if (!r)
		r = db_open(state_dir, &schema_rootstock, DB_READ, &f->db, why);
	if (!r)
		r = views_open(state_dir, &f->views, why);
	if (!r)
		r = listings_swap(f, NULL);
	if (r)
		return why_set(why, r, "%s: %s", state_dir, strerror(-r));
	*out = take(&f);
	return 0;
}

void forest_close(struct forest *f)
{
	if (!f)
		return;
	for (uint32_t i = 1; i < f->nplants; i++) {
		view_unref(atomic_load(&f->plants[i]->view));
		view_unref(f->plants[i]->before);
		free(f->plants[i]);
	}
	free(f->plants);
	listing_fini(&f->hosts);
	listing_fini(&f->images);
	views_close(f->views);
	db_close(f->db);
	directory_close(f->directory);
	pthread_rwlock_destroy(&f->lock);
	free(f);
}

/* ---- what doors ask ---- */

void forest_enter(struct forest *f)
{
	pthread_rwlock_rdlock(&f->lock);
}

void forest_leave(struct forest *f)
{
	pthread_rwlock_unlock(&f->lock);
}

static const struct listing *listing_of(const struct forest *f, uint64_t number)
{
	return number == TOP_HOSTS ? &f->hosts : number == TOP_IMAGES ? &f->images : NULL;
}

static int top_attr(const struct forest *f, uint64_t number, struct forest_attr *out)
{
	const struct listing *l = listing_of(f, number);
	struct view_time mtime = l ? l->mtime : f->opened;

	if (number != TOP_ROOT && !l)
		return VIEW_STALE;
	*out = (struct forest_attr){
		.number = number,
		.settled = true,
		.attr = {.mode = S_IFDIR | 0555,
			 .nlink = l ? 2 + l->n : 4,
			 .size = 4096,
			 .mtime = mtime,
			 .ctime = mtime},
	};
	return 0;
}

/* Has somebody read this file, so that what was scanned of it stands?  One that drifted has a
 * record before its hash, and another where its copy has to begin anew. */
static bool file_settled(const struct view *view, uint32_t node)
{
	struct view_source source;
	struct fill_record record;

	if (view_source(view, node, &source) || source.source != TREE_IMAGE)
		return true;
	return version_known(source.version, source.pos, &record) &&
	       (hash_known(&record.hash) || (record.flags & FILL_GONE));
}

int forest_attr(struct forest *f, uint64_t number, struct forest_attr *out)
{
	struct plant *plant;
	struct view *view;
	int r;

	if (!(number >> 32))
		return top_attr(f, number, out);
	r = view_of(f, number, &plant, &view);
	/* Asked first: what is learned in between only makes the attributes newer. */
	out->settled = true;
	if (!r)
		out->settled = file_settled(view, (uint32_t)number);
	if (!r)
		r = view_attr(view, (uint32_t)number, &out->attr);
	if (!r)
		out->number = number_of(plant, out->attr.node);
	return r;
}

static int top_lookup(const struct forest *f, uint64_t dir, const char *name, size_t len,
		      uint64_t *number)
{
	const struct listing *l = listing_of(f, dir);
	const struct listed *one;

	if (dir != TOP_ROOT && !l)
		return VIEW_STALE;
	if (len > 255)
		return VIEW_NAMETOOLONG;
	if (len == 1 && name[0] == '.') {
		*number = dir;
	} else if (len == 2 && !memcmp(name, "..", 2)) {
		*number = TOP_ROOT;
	} else if (l) {
		one = listing_by_name(l, name, len);
		if (!one)
			return VIEW_NOENT;
		*number = number_of(one->plant, VIEW_ROOT);
	} else if (len == 5 && !memcmp(name, "hosts", 5)) {
		*number = TOP_HOSTS;
	} else if (len == 6 && !memcmp(name, "images", 6)) {
		*number = TOP_IMAGES;
	} else {
		return VIEW_NOENT;
	}
	return 0;
}

int forest_lookup(struct forest *f, uint64_t dir, const char *name, size_t len, uint64_t *number)
{
	struct plant *plant;
	struct view *view;
	uint32_t node;
	int r;

	if (!(dir >> 32))
		return top_lookup(f, dir, name, len, number);
	r = view_of(f, dir, &plant, &view);
	if (r)
		return r;
	if (len == 1 && name[0] == '.') {
		*number = dir;
		return 0;
	}
	if (len == 2 && !memcmp(name, "..", 2) && (uint32_t)dir == VIEW_ROOT) {
		*number = plant->host ? TOP_HOSTS : TOP_IMAGES;
		return 0;
	}
	r = view_lookup(view, (uint32_t)dir, name, len, &node);
	if (!r)
		*number = number_of(plant, node);
	return r;
}

static int top_readdir(const struct forest *f, uint64_t dir, uint64_t cookie,
		       struct forest_dirent *out)
{
	static const struct forest_dirent fixed[] = {
		{.cookie = 1, .name_len = 1, .name = "."},
		{.cookie = 2, .number = TOP_ROOT, .name_len = 2, .name = ".."},
		{.cookie = 3, .number = TOP_HOSTS, .name_len = 5, .name = "hosts"},
		{.cookie = 4, .number = TOP_IMAGES, .name_len = 6, .name = "images"},
	};
	const struct listing *l = listing_of(f, dir);
	const struct listed *one;

	if (dir != TOP_ROOT && !l)
		return VIEW_STALE;
	if (cookie < (l ? 2 : ARRAY_SIZE(fixed))) {
		*out = fixed[cookie];
		if (!cookie)
			out->number = dir;
		return 0;
	}
	one = l ? listing_after(l, cookie) : NULL;
	if (!one)
		return VIEW_END;
	*out = (struct forest_dirent){
		.cookie = (uint64_t)one->id + 2,
		.number = number_of(one->plant, VIEW_ROOT),
		.view = true,
		.name_len = one->name_len,
		.name = one->name,
	};
	return 0;
}

int forest_readdir(struct forest *f, uint64_t dir, uint64_t cookie, struct forest_dirent *out)
{
	struct view_dirent entry;
	struct plant *plant;
	struct view *view;
	int r;

	if (!(dir >> 32))
		return top_readdir(f, dir, cookie, out);
	r = view_of(f, dir, &plant, &view);
	if (!r)
		r = view_readdir(view, (uint32_t)dir, cookie, &entry);
	if (r)
		return r;
	*out = (struct forest_dirent){
		.cookie = entry.cookie,
		.number = number_of(plant, entry.node),
		.name_len = entry.name_len,
		.name = entry.name,
	};
	if (cookie == 1 && (uint32_t)dir == VIEW_ROOT)
		out->number = plant->host ? TOP_HOSTS : TOP_IMAGES;
	return 0;
}

int forest_readlink(struct forest *f, uint64_t number, struct bytes *target)
{
	struct view *view;
	int r = view_of(f, number, NULL, &view);

	return r ? r : view_readlink(view, (uint32_t)number, target);
}

int forest_view(struct forest *f, uint64_t number, struct view **view, uint32_t *node)
{
	struct view *borrowed;
	int r = view_of(f, number, NULL, &borrowed);

	if (r)
		return r;
	*view = view_ref(borrowed);
	*node = (uint32_t)number;
	return 0;
}

int forest_stats(struct forest *f, uint64_t number, struct view_stats *out)
{
	struct view *view;
	int r;

	*out = (struct view_stats){0};
	if (!(number >> 32))
		return 0;
	r = view_of(f, number, NULL, &view);
	if (!r)
		view_stats(view, out);
	return r;
}

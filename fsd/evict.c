/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/evict.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "common/array.h"
#include "common/clock.h"
#include "fsd/named.h"
#include "fsd/origin.h"

/* One version's word for an object that it could have again. */
struct claim {
	struct hash hash;
	uint32_t origin; /* index */
	uint32_t pos;
};

/* An unsealed version while its claims are looked at. */
struct claimant {
	struct version *version;
	int origin; /* -1: not there: what it names stays */
};

struct candidate {
	struct hash hash;
	uint64_t bytes;
	bool was_read;
	int64_t at; /* when, else when it was put; ns */
};

struct evicting {
	struct objects *objects;
	const struct origin_door *door;
	struct evicted *out;
	struct hash *kept;
	size_t nkept;
	struct claim *claims;
	size_t nclaims;
	struct claimant *claimants;
	size_t nclaimants;
	struct candidate *candidates;
	size_t ncandidates;
};

static int hash_cmp(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct hash));
}

static int claimant_of(struct evicting *e, const struct named *named)
{
	size_t n = e->nclaimants;
	int r;

	if (n && e->claimants[n - 1].version == named->version)
		return 0;
	r = array_grow(&e->claimants, n, sizeof(*e->claimants));
	if (r)
		return r;
	e->claimants[n] = (struct claimant){version_ref(named->version), -1};
	e->nclaimants++;
	if (named->origin)
		e->claimants[n].origin = origin_open(e->door, named->id, named->origin);
	return 0;
}

static int sort_out(void *ctx, const struct named *named)
{
	struct evicting *e = ctx;
	int r;

	if (named->secret)
		return 0; /* not in this store */
	if (named_for_good(named)) {
		r = array_grow(&e->kept, e->nkept, sizeof(*e->kept));
		if (!r)
			e->kept[e->nkept++] = named->hash;
		return r;
	}
	r = claimant_of(e, named);
	if (!r)
		r = array_grow(&e->claims, e->nclaims, sizeof(*e->claims));
	if (!r)
		e->claims[e->nclaims++] =
			(struct claim){named->hash, (uint32_t)e->nclaimants - 1, named->pos};
	return r;
}

static bool has(const void *list, size_t n, size_t size, const struct hash *hash)
{
	return n && bsearch(hash, list, n, size, hash_cmp);
}

static int garbage_or_candidate(void *ctx, const struct hash *hash, const struct stat *st)
{
	struct evicting *e = ctx;
	int64_t put = st->st_mtim.tv_sec * NS_PER_SEC + st->st_mtim.tv_nsec;
	int64_t used = st->st_atim.tv_sec * NS_PER_SEC + st->st_atim.tv_nsec;
	int r;

	if (has(e->kept, e->nkept, sizeof(*e->kept), hash))
		return 0;
	if (!has(e->claims, e->nclaims, sizeof(*e->claims), hash)) {
		r = objects_drop(e->objects, hash);
		if (!r) {
			e->out->garbage.files++;
			e->out->garbage.bytes += (uint64_t)st->st_blocks * 512;
		}
		return r;
	}
	r = array_grow(&e->candidates, e->ncandidates, sizeof(*e->candidates));
	if (!r)
		e->candidates[e->ncandidates++] = (struct candidate){
			*hash, (uint64_t)st->st_blocks * 512, used > put, used > put ? used : put};
	return r;
}

static int colder(const void *pa, const void *pb)
{
	const struct candidate *a = pa;
	const struct candidate *b = pb;

	if (a->was_read != b->was_read)
		return a->was_read - b->was_read;
	return (a->at > b->at) - (a->at < b->at);
}

/* Does the origin have the very file? */
static bool can_come_again(const struct claimant *by, uint32_t pos)
{
	char path[PATH_MAX];
	struct fill_record record;
	struct stat st;
	int fd;
	int r;

	if (by->origin < 0 || !version_known(by->version, pos, &record) ||
	    manifest_path(version_manifest(by->version), pos, path, sizeof(path)) < 0)
		return false;
	fd = origin_dir_file(by->origin, path);
	if (fd < 0)
		return false;
	r = fstat(fd, &st);
	close(fd);
	return !r && (uint64_t)st.st_size == record.size && st.st_mtim.tv_sec == record.mtime_sec &&
	       (uint32_t)st.st_mtim.tv_nsec == record.mtime_nsec && st.st_mode == record.mode &&
	       st.st_uid == record.uid && st.st_gid == record.gid;
}

static bool all_agree(const struct evicting *e, const struct hash *hash)
{
	const struct claim *c = bsearch(hash, e->claims, e->nclaims, sizeof(*e->claims), hash_cmp);
	const struct claim *end = e->claims + e->nclaims;

	while (c > e->claims && !hash_cmp(&c[-1], hash))
		c--;
	for (; c < end && !hash_cmp(c, hash); c++)
		if (!can_come_again(&e->claimants[c->origin], c->pos))
			return false;
	return true;
}

static int drop_coldest(struct evicting *e, uint64_t bytes)
{
	uint64_t freed = e->out->garbage.bytes;
	int r = 0;

	if (e->ncandidates)
		qsort(e->candidates, e->ncandidates, sizeof(*e->candidates), colder);
	for (size_t i = 0; i < e->ncandidates && freed < bytes && !r; i++) {
		const struct candidate *c = &e->candidates[i];

		if (!c->bytes || !all_agree(e, &c->hash))
			continue;
		r = objects_drop(e->objects, &c->hash);
		if (!r) {
			e->out->files.files++;
			e->out->files.bytes += c->bytes;
			freed += c->bytes;
		}
	}
	return r;
}

static int evict_held(struct evicting *e, struct db *db, const char *state_dir, uint64_t bytes,
		      struct why *why)
{
	int r = named_each(db, state_dir, sort_out, e, why);

	if (r)
		return r;
	if (e->nkept)
		qsort(e->kept, e->nkept, sizeof(*e->kept), hash_cmp);
	if (e->nclaims)
		qsort(e->claims, e->nclaims, sizeof(*e->claims), hash_cmp);
	r = objects_each(e->objects, 0, garbage_or_candidate, e);
	if (!r)
		r = drop_coldest(e, bytes);
	if (e->out->garbage.files || e->out->files.files)
		objects_removed(e->objects);
	return r;
}

int evict(struct db *db, const char *state_dir, const struct origin_door *door, uint64_t bytes,
	  struct evicted *out, struct why *why)
{
	cleanup(objects_closep) struct objects *objects = NULL;
	struct evicting e = {.door = door, .out = out};
	int r;

	*out = (struct evicted){0};
	r = objects_open(state_dir, STORE_OBJECTS, false, &objects, why);
	if (!r)
		r = objects_try_alone(objects);
	if (r)
		return r;
	e.objects = objects;
	r = evict_held(&e, db, state_dir, bytes, why);
	for (size_t i = 0; i < e.nclaimants; i++) {
		version_unref(e.claimants[i].version);
		closep(&e.claimants[i].origin);
	}
	free(e.kept);
	free(e.claims);
	free(e.claimants);
	free(e.candidates);
	return r ? why_set(why, r, "making room in %s/objects: %s", state_dir, strerror(-r)) : 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Hashes are an array by hash index, written once each; the rare drifted and lost
 * files are a sorted list.  A reader of a sealed version touches neither.
 */
#include "fsd/version.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

struct version {
	atomic_uint refs;
	struct manifest *manifest;
	atomic_bool any_odd;	 /* the list has something */
	pthread_rwlock_t lock;	 /* guards all below; not taken for a sealed version */
	struct hash *hashes;	 /* by hash index; NULL when sealed */
	struct fill_record *odd; /* drifted and lost, by position */
	unsigned int nodd;
	struct version_progress progress;
};

/* The journal's word: of a file that was copied, or of one that was lost. */
static void learn_one(void *ctx, const struct fill_record *record)
{
	struct fill_record plain = *record;

	plain.flags &= ~(uint32_t)FILL_UNKEPT;
	if (hash_known(&plain.hash) == !(plain.flags & FILL_GONE))
		version_learn(ctx, &plain);
}

int version_open(const char *state_dir, uint32_t id, struct version **out, struct why *why)
{
	cleanup(version_unrefp) struct version *v = NULL;
	char dir[PATH_MAX];
	uint64_t good;
	int r;

	if (snprintf(dir, sizeof(dir), "%s/manifests", state_dir) >= (int)sizeof(dir))
		return -ENAMETOOLONG;
	v = calloc(1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	v->refs = 1;
	pthread_rwlock_init(&v->lock, NULL);
	r = manifest_open(dir, id, &v->manifest, why);
	if (r)
		return r;
	v->progress.files = manifest_hash_count(v->manifest);
	if (manifest_sealed(v->manifest)) {
		v->progress.copied = v->progress.files;
	} else {
		v->hashes = calloc(v->progress.files + 1, sizeof(*v->hashes));
		if (!v->hashes)
			return -ENOMEM;
		for (uint32_t i = 0; i < v->progress.files; i++) {
			const struct hash *hash = manifest_hash(v->manifest, i);

			if (!hash)
				return why_set(why, -EUCLEAN, "%s/%u: damaged", dir, id);
			v->hashes[i] = *hash;
			v->progress.copied += hash_known(hash);
		}
		r = fill_read(dir, id, learn_one, v, &good);
		if (r)
			return why_set(why, r, "%s/%u.fill: %s", dir, id, strerror(-r));
	}
	*out = take(&v);
	return 0;
}

struct version *version_ref(struct version *v)
{
	atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
	return v;
}

void version_unref(struct version *v)
{
	if (!v || atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) != 1)
		return;
	manifest_close(v->manifest);
	pthread_rwlock_destroy(&v->lock);
	free(v->hashes);
	free(v->odd);
	free(v);
}

const struct manifest *version_manifest(const struct version *v)
{
	return v->manifest;
}

/* The index at which `pos` is or belongs. */
static unsigned int odd_slot(const struct version *v, uint32_t pos)
{
	unsigned int lo = 0;
	unsigned int hi = v->nodd;

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;

		if (v->odd[mid].pos < pos)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void odd_put(struct version *v, const struct fill_record *record)
{
	unsigned int i = odd_slot(v, record->pos);
	struct fill_record *bigger;

	if (i < v->nodd && v->odd[i].pos == record->pos) {
		v->progress.gone += !!(record->flags & FILL_GONE);
		v->progress.gone -= !!(v->odd[i].flags & FILL_GONE);
		v->progress.drifted += !(record->flags & FILL_GONE);
		v->progress.drifted -= !(v->odd[i].flags & FILL_GONE);
		v->odd[i] = *record;
		return;
	}
	bigger = realloc(v->odd, (v->nodd + 1) * sizeof(*bigger));
	if (!bigger)
		return; /* the copier tells it again at the next question */
	memmove(bigger + i + 1, bigger + i, (v->nodd - i) * sizeof(*bigger));
	bigger[i] = *record;
	v->odd = bigger;
	v->nodd++;
	if (record->flags & FILL_GONE)
		v->progress.gone++;
	else
		v->progress.drifted++;
	atomic_store_explicit(&v->any_odd, true, memory_order_release);
}

static void odd_drop(struct version *v, uint32_t pos)
{
	unsigned int i = odd_slot(v, pos);

	if (i == v->nodd || v->odd[i].pos != pos)
		return;
	if (v->odd[i].flags & FILL_GONE)
		v->progress.gone--;
	else
		v->progress.drifted--;
	memmove(&v->odd[i], &v->odd[i + 1], (--v->nodd - i) * sizeof(*v->odd));
}

void version_learn(struct version *v, const struct fill_record *record)
{
	const struct manifest_node *node = manifest_at(v->manifest, record->pos);

	if (!v->hashes || !node || !S_ISREG(node->mode) || node->link != record->pos ||
	    node->data >= v->progress.files)
		return;
	/* What became another thing is gone, never drifted. */
	if ((record->flags & FILL_DRIFT) && (record->mode & ~07777U) != S_IFREG)
		return;
	pthread_rwlock_wrlock(&v->lock);
	if (hash_known(&record->hash)) {
		v->progress.copied += !hash_known(&v->hashes[node->data]);
		v->hashes[node->data] = record->hash;
	} else if (record->flags & FILL_GONE) {
		/* It was copied, the store lost it, and the origin has another by now: it is
		 * one of the lost, no more one of the copied. */
		v->progress.copied -= hash_known(&v->hashes[node->data]);
		v->hashes[node->data] = (struct hash){0};
	}
	if (record->flags)
		odd_put(v, record);
	else
		odd_drop(v, record->pos);
	pthread_rwlock_unlock(&v->lock);
}

void version_forget(struct version *v, uint32_t pos)
{
	const struct manifest_node *node = manifest_at(v->manifest, pos);

	if (!v->hashes || !node || !S_ISREG(node->mode) || node->data >= v->progress.files)
		return;
	pthread_rwlock_wrlock(&v->lock);
	v->progress.copied -= hash_known(&v->hashes[node->data]);
	v->hashes[node->data] = (struct hash){0};
	odd_drop(v, pos);
	pthread_rwlock_unlock(&v->lock);
}

bool version_known(struct version *v, uint32_t pos, struct fill_record *out)
{
	const struct manifest_node *node = manifest_at(v->manifest, pos);
	const struct hash *sealed;
	unsigned int i;
	bool known;

	if (!node || !S_ISREG(node->mode))
		return false;
	*out = (struct fill_record){
		.pos = pos,
		.mode = node->mode,
		.uid = node->uid,
		.gid = node->gid,
		.size = node->size,
		.mtime_sec = node->mtime_sec,
		.mtime_nsec = node->mtime_nsec,
	};
	if (!v->hashes) {
		sealed = manifest_hash(v->manifest, node->data);
		if (!sealed)
			return false;
		out->hash = *sealed;
		out->flags = (node->extra & MANIFEST_GONE ? FILL_GONE : 0) |
			     (node->extra & MANIFEST_DRIFT ? FILL_DRIFT : 0);
		return true;
	}
	if (node->data >= v->progress.files)
		return false;
	pthread_rwlock_rdlock(&v->lock);
	i = odd_slot(v, pos);
	if (i < v->nodd && v->odd[i].pos == pos)
		*out = v->odd[i];
	else
		out->hash = v->hashes[node->data];
	known = hash_known(&out->hash) || out->flags;
	pthread_rwlock_unlock(&v->lock);
	return known;
}

int version_node(struct version *v, uint32_t pos, struct manifest_node *out)
{
	const struct manifest_node *node = manifest_at(v->manifest, pos);
	struct fill_record record;

	if (!node)
		return -EUCLEAN;
	*out = *node;
	if (!atomic_load_explicit(&v->any_odd, memory_order_acquire) || !S_ISREG(node->mode) ||
	    !version_known(v, node->link, &record) || !(record.flags & FILL_DRIFT))
		return 0;
	out->mode = (uint16_t)record.mode;
	out->uid = record.uid;
	out->gid = record.gid;
	out->size = record.size;
	out->mtime_sec = record.mtime_sec;
	out->mtime_nsec = record.mtime_nsec;
	return 0;
}

void version_progress(struct version *v, struct version_progress *out)
{
	pthread_rwlock_rdlock(&v->lock);
	*out = v->progress;
	pthread_rwlock_unlock(&v->lock);
}

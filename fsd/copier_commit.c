/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/copier_parts.h"

#include <errno.h>
#include <time.h>

enum {
	COPIER_BATCH = 192,   /* copies that share a sync */
	COPIER_BATCH_MS = 200 /* or this much later */
};

/* The journal's word for what was kept, or for what was given out and was not (`notes`).
 * The batch may be of several versions: one write for each. */
static int journal(struct copier *c, struct job *batch, bool notes, bool failed)
{
	struct fill_record records[COPIER_BATCH];
	int r = 0;

	c->batches++;
	for (struct job *first = batch; first && !r; first = first->next) {
		struct source *s = first->source;
		unsigned int n = 0;

		if (s->batch == c->batches)
			continue;
		s->batch = c->batches;
		for (struct job *job = first; job; job = job->next) {
			bool unkept = job->note || (failed && job->wanted);

			if (job->source != s || unkept != notes ||
			    (notes && !hash_known(&job->copy.record.hash)))
				continue;
			records[n] = job->copy.record;
			records[n++].flags |= notes ? FILL_UNKEPT : 0;
		}
		if (n)
			r = source_journal(s, records, n);
		if (n && !r)
			r = fill_sync(s->journal);
	}
	return r;
}

static bool any(const struct job *batch, bool note)
{
	while (batch && batch->note != note)
		batch = batch->next;
	return batch;
}

/* Make a batch durable: bytes, names, then the journal's word for them. */
static int commit_held(struct copier *c, struct job *batch)
{
	struct hash hashes[COPIER_BATCH];
	unsigned int named = 0;
	int64_t before = wall_now_ns();
	int r;

	r = objects_mark(c->objects);
	if (!r)
		r = objects_sync_data(c->objects);
	for (struct job *job = batch; job && !r; job = job->next) {
		if (job->note)
			continue;
		if (job->copy.draft.name[0])
			r = objects_commit(c->objects, &job->copy.draft, &job->copy.record.hash);
		/* All, those too that got their names in a try before. */
		if (hash_known(&job->copy.record.hash))
			hashes[named++] = job->copy.record.hash;
	}
	if (!r && named)
		r = objects_sync_names(c->objects, hashes, named);
	/* What we named before this batch was durable before it. */
	if (!r)
		objects_synced(c->objects, before);
	return r ? r : journal(c, batch, false, false);
}

static int commit_kept(struct copier *c, struct job *batch)
{
	for (bool again = true;; again = false) {
		int r = objects_hold(c->objects, false);

		if (r)
			return r;
		r = commit_held(c, batch);
		objects_release(c->objects);
		/* Names, directories and journals need some room, too. */
		if ((r != -ENOSPC && r != -EDQUOT) || !again || !room_make(c, r, 0, true))
			return r;
	}
}

static int commit_batch(struct copier *c, struct job *batch)
{
	int r = any(batch, false) ? commit_kept(c, batch) : 0;

	/* What somebody has and the store has not is never to be another, for the next copier
	 * too.  Where not even this has room, this one remembers it. */
	if (r || any(batch, true))
		journal(c, batch, true, r != 0);
	return r;
}

void *copier_committing(void *arg)
{
	struct copier *c = arg;
	struct timespec until;
	struct job *batch;
	struct job *job;
	int r;

	pthread_mutex_lock(&c->lock);
	for (;;) {
		while (!c->stop && !c->ncopied)
			pthread_cond_wait(&c->copied_some, &c->lock);
		if (!c->ncopied)
			break; /* stopping, and nothing left */
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += COPIER_BATCH_MS * NS_PER_MS;
		until.tv_sec += until.tv_nsec / NS_PER_SEC;
		until.tv_nsec %= NS_PER_SEC;
		while (!c->stop && c->ncopied < COPIER_BATCH &&
		       pthread_cond_timedwait(&c->copied_some, &c->lock, &until) != ETIMEDOUT)
			;
		batch = c->copied.first;
		/* Cut the batch off behind its last member. */
		job = batch;
		for (unsigned int n = 1; n < COPIER_BATCH && job->next; n++)
			job = job->next;
		c->copied.first = job->next;
		job->next = NULL;
		for (job = batch; job; job = job->next)
			c->ncopied--;
		pthread_mutex_unlock(&c->lock);
		r = commit_batch(c, batch);
		pthread_mutex_lock(&c->lock);
		while (batch) {
			job = batch;
			batch = job->next;
			job->r = r;
			queue_push(&c->durable, job);
		}
		copier_wake(c);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/copier_parts.h"

#include <errno.h>
#include <string.h>

enum {
	COPY_TRIES = 8,
	HANGS_MS = 2000 /* for a mebibyte, or a small file */
};

static bool is_full(int r)
{
	return r == -ENOSPC || r == -EDQUOT;
}

static bool job_is_wanted(struct copier *c, const struct job *job)
{
	bool wanted;

	pthread_mutex_lock(&c->lock);
	wanted = job->wanted;
	pthread_mutex_unlock(&c->lock);
	return wanted;
}

/* ---- a large file ---- */

/* One of so many that are in flight at once; else it waits on the ground. */
static bool slot_take(struct copier *c, struct job *job)
{
	bool has;

	pthread_mutex_lock(&c->lock);
	if (!job->slot && c->nflights < COPIER_FLIGHTS) {
		job->slot = true;
		c->nflights++;
	}
	has = job->slot;
	pthread_mutex_unlock(&c->lock);
	return has;
}

/* Somebody has read of another state a moment ago. */
static bool other_was_seen(struct copier *c, struct job *job)
{
	bool other;

	pthread_mutex_lock(&c->lock);
	other = job->seen && job->seen != job->stamp && job->seen_until.ns > instant_now().ns;
	pthread_mutex_unlock(&c->lock);
	return other;
}

/* From now on the loop answers of it. */
static void flight_publish(struct copier *c, struct job *job, struct flight *f)
{
	pthread_mutex_lock(&c->lock);
	job->flight = f;
	if (job->waiters && !job->unkept)
		job_news_locked(c, job);
	pthread_mutex_unlock(&c->lock);
}

struct next {
	bool stop;
	bool others; /* that somebody waits for */
	bool asked;
	uint64_t extent; /* when asked: not there, and wanted for longest */
};

/* It comes from there, however long the turn is. */
static void moved_locked(struct copying *t)
{
	t->since = t->at->moved = t->copier->moved = instant_now();
	if (t->at->hangs) {
		t->at->hangs = false;
		pthread_cond_broadcast(&t->copier->work);
	}
}

static struct next look(struct copying *t, struct job *job)
{
	struct copier *c = t->copier;
	struct next next = {0};

	pthread_mutex_lock(&c->lock);
	moved_locked(t);
	next.stop = c->stop;
	next.others = c->wanted.first != NULL;
	for (const struct waiter *w = job->waiters; w && !next.asked; w = w->next)
		next.asked = w->ask.len != COPIER_WHOLE &&
			     !extents_have(job->flight->extents, w->ask.offset, w->ask.len,
					   &next.extent);
	pthread_mutex_unlock(&c->lock);
	return next;
}

/* The store is full: what the first of those who wait asked for, into memory. */
static int window_copy(struct copier *c, struct job *job, struct copy_from *from)
{
	uint64_t size = (uint64_t)from->state.st_size;
	uint64_t offset = size;
	struct flight *f;
	uint64_t missing;
	uint64_t len = 0;
	int r;

	pthread_mutex_lock(&c->lock);
	if (job->waiters) {
		offset = job->waiters->ask.offset;
		len = job->waiters->ask.len;
	}
	pthread_mutex_unlock(&c->lock);
	if (len > COPIER_UNKEPT * EXTENT_SIZE)
		len = COPIER_UNKEPT * EXTENT_SIZE;
	r = flight_new(from, c->objects, false, &job->source->no_clone, &f);
	while (!r && !extents_have(f->extents, offset, len, &missing))
		r = flight_copy(f, missing);
	if (r)
		flight_free(c->objects, f);
	else
		flight_publish(c, job, f);
	return r;
}

/* Nothing more of it may be given out.  Returns false where something was: then the job is
 * broken, and its flight stays to say so. */
static bool flight_withdraw(struct copier *c, struct job *job)
{
	struct flight *f = job->flight;

	pthread_mutex_lock(&c->lock);
	job->broken = f->announced || (job->seen && job->seen_until.ns > instant_now().ns);
	pthread_mutex_unlock(&c->lock);
	if (job->broken)
		extents_break(f->extents);
	else
		job_land(c, job);
	return !job->broken;
}

/* Every extent is in. */
static void flight_finish(struct copier *c, struct job *job, const struct hash *hash)
{
	struct flight *f = job->flight;
	struct fill_record before;
	bool had = source_had(job->source, job->pos, &before);

	/* What this version gave out under a hash it goes on to give, or nothing. */
	if (had && memcmp(&before.hash, hash, sizeof(*hash))) {
		if (flight_withdraw(c, job))
			job->copy.record.flags = FILL_GONE;
		return;
	}
	if (!had)
		before = job->copy.record;
	before.hash = *hash;
	/* Who has the extents knows the hash by himself. */
	source_note(job->source, &before);
	job->noted = true;
	extents_complete(f->extents, hash);
	pthread_mutex_lock(&c->lock);
	job->copy.record = before;
	job->copy.read_fd = take_fd(&f->read_fd);
	closep(&f->draft.fd);
	f->draft.fd = -1;
	job->copy.draft = f->draft;
	f->draft.name[0] = '\0';
	pthread_mutex_unlock(&c->lock);
	job_land(c, job);
}

/* The file is of another state than its flight.  Returns 0 where it is copied anew. */
static int flight_changed(struct copier *c, struct job *job)
{
	if (!flight_withdraw(c, job))
		return -ESTALE;
	return ++job->restarts < COPY_TRIES ? 0 : -EBUSY;
}

/* ---- any file ---- */

static bool same_file(const struct fill_record *a, const struct fill_record *b)
{
	return a->size == b->size && a->mtime_sec == b->mtime_sec && a->mtime_nsec == b->mtime_nsec;
}

/* It was given out before, and the store lost it: it is the same, attributes and all, or
 * it is gone. */
static void job_compare(struct copier *c, struct job *job, const struct fill_record *before)
{
	struct copy *copy = &job->copy;

	if (!memcmp(&copy->record.hash, &before->hash, sizeof(before->hash))) {
		copy->record = *before;
		return;
	}
	copy->record.flags = FILL_GONE;
	copy->record.hash = (struct hash){0};
	closep(&copy->read_fd);
	copy->read_fd = -1;
	objects_discard(c->objects, &copy->draft);
}

/* What it takes in the store, where its holes are holes. */
static uint64_t bytes_of(const struct copy_from *from)
{
	uint64_t bytes = (uint64_t)from->state.st_blocks * 512;

	return bytes < (uint64_t)from->state.st_size ? bytes : (uint64_t)from->state.st_size;
}

enum { GROUNDED = 1 };

/* One state of the file, copied whole where it is small; a large one only begun, where it
 * may start. */
static int job_begin_once(struct copier *c, struct job *job)
{
	struct source *s = job->source;
	struct fill_record before;
	struct copy_from from;
	struct flight *f;
	bool had;
	int r;

	r = copy_open(s->origin, version_manifest(s->version), job->pos, s->strict, &from,
		      &job->copy);
	if (r || (job->copy.record.flags & FILL_GONE))
		return r;
	had = source_had(s, job->pos, &before);
	job->stamp = copy_stamp(&from);
	if (other_was_seen(c, job)) {
		copy_close(&from);
		job->broken = true;
		return -ESTALE;
	}
	if (job->copy.record.size <= EXTENTS_LEAST) {
		r = copy_whole(&from, c->objects, job->unkept, &s->no_clone, &job->copy);
		copy_close(&from);
		if (!r && had)
			job_compare(c, job, &before);
		return r;
	}
	/* A fill that tries it in vain would do so for ever. */
	if (!job_is_wanted(c, job) && room_lacks(c, bytes_of(&from))) {
		copy_close(&from);
		return -EFBIG;
	}
	/* One that is wanted would drive all the others out, in vain. */
	job->unkept |= room_never(c, bytes_of(&from));
	/* Its first bytes go out long before all of it can be compared. */
	if (had && !same_file(&job->copy.record, &before)) {
		copy_close(&from);
		job->copy.record.flags = FILL_GONE;
		return 0;
	}
	if (had) {
		job->copy.record = before;
		job->copy.record.hash = (struct hash){0};
	}
	if (!slot_take(c, job)) {
		copy_close(&from);
		return GROUNDED;
	}
	if (job->unkept) {
		r = window_copy(c, job, &from);
	} else {
		r = flight_new(&from, c->objects, true, &s->no_clone, &f);
		if (!r)
			flight_publish(c, job, f);
	}
	if (r)
		job_land(c, job);
	return r;
}

static int job_begin(struct copier *c, struct job *job)
{
	for (int i = 0; i < COPY_TRIES; i++) {
		bool wanted = job_is_wanted(c, job);
		int r = job_begin_once(c, job);

		if (is_full(r) && room_make(c, r, job->copy.record.size, wanted))
			continue;
		if (is_full(r) && wanted && !job->unkept)
			job->unkept = true;
		else if (r != -EBUSY)
			return r;
	}
	return -EBUSY;
}

/* What is to be done about an extent that could not be copied.  Returns 0 to go on. */
static int flight_failed(struct copier *c, struct job *job, int r)
{
	if (r == -EBUSY)
		return flight_changed(c, job);
	if (is_full(r) && room_make(c, r, job->copy.record.size, job_is_wanted(c, job)))
		return 0; /* the same extent again */
	/* Who has bytes of it asks again and names their state. */
	job_land(c, job);
	if (!is_full(r) || !job_is_wanted(c, job))
		return r;
	job->unkept = true;
	return 0;
}

enum turn { TURN_DONE, TURN_MORE, TURN_GROUNDED };

/* A turn for the job: small files are done then, of a large one there are extents more, one
 * where others wait for theirs, and it is to go on after those. */
static enum turn job_turn(struct copying *t, struct job *job)
{
	struct copier *c = t->copier;

	for (;;) {
		struct hash hash;
		struct next next;

		if (!job->flight) {
			job->r = job_begin(c, job);
			if (job->r == GROUNDED) {
				job->r = 0;
				return TURN_GROUNDED;
			}
			if (job->r || !job->flight || job->unkept)
				return TURN_DONE;
		}
		next = look(t, job);
		if (next.stop)
			return TURN_MORE;
		job->r = next.asked ? flight_copy(job->flight, next.extent)
				    : flight_advance(job->flight, &hash);
		if (job->r == FLIGHT_IN) {
			job->r = 0;
			flight_finish(c, job, &hash);
			return TURN_DONE;
		}
		if (job->r) {
			job->r = flight_failed(c, job, job->r);
			if (job->r)
				return TURN_DONE;
		} else {
			pthread_mutex_lock(&c->lock);
			if (job->waiters)
				job_news_locked(c, job);
			pthread_mutex_unlock(&c->lock);
		}
		if (next.others)
			return TURN_MORE;
	}
}

/* Where the job goes from here. */
static void job_turned_locked(struct copier *c, struct job *job, enum turn turn)
{
	if (turn == TURN_DONE) {
		if (job->copy.read_fd >= 0) {
			job->open = true;
			c->nopen++;
		}
		queue_push(&c->done, job);
		copier_wake(c);
		return;
	}
	/* Another may have landed since it looked. */
	if (turn == TURN_GROUNDED && c->nflights >= COPIER_FLIGHTS)
		queue_push(&c->grounded, job);
	else if (job->wanted)
		queue_push(&c->wanted, job);
	else
		queue_push_front(&c->fill, job);
	pthread_cond_signal(&c->work);
}

static struct job *work_take_locked(struct copier *c)
{
	struct job *job = NULL;

	if (c->nopen < COPIER_OPEN)
		job = queue_take_locked(&c->wanted);
	if (!job && c->nopen < COPIER_OPEN)
		job = queue_take_locked(&c->fill);
	return job;
}

static void *copying_main(void *arg)
{
	struct copying *t = arg;
	struct copier *c = t->copier;
	struct job *job;

	pthread_mutex_lock(&c->lock);
	for (;;) {
		enum turn turn;

		job = NULL;
		while (!c->stop && !(job = work_take_locked(c)))
			pthread_cond_wait(&c->work, &c->lock);
		if (c->stop)
			break;
		t->at = job->source;
		t->since = instant_now();
		pthread_mutex_unlock(&c->lock);
		turn = job_turn(t, job);
		pthread_mutex_lock(&c->lock);
		moved_locked(t);
		t->at = NULL;
		job_turned_locked(c, job, turn);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

int copying_start(struct copier *c)
{
	struct copying *t = &c->threads[c->nthreads];
	int r;

	*t = (struct copying){.copier = c};
	r = -pthread_create(&t->thread, NULL, copying_main, t);
	c->nthreads += !r;
	return r;
}

void copying_tend(struct copier *c, struct instant now)
{
	bool all = true;

	pthread_mutex_lock(&c->lock);
	for (unsigned int i = 0; i < c->nthreads; i++) {
		struct copying *t = &c->threads[i];

		if (t->at && now.ns - t->since.ns > HANGS_MS * NS_PER_MS)
			t->at->hangs = true;
		else
			all = false;
	}
	c->all_hang = all;
	pthread_mutex_unlock(&c->lock);
	if (all && c->nthreads < COPIER_THREADS_MOST)
		copying_start(c); /* else at the next look */
}

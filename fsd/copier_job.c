/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/copier_parts.h"

#include <errno.h>
#include <stdlib.h>

enum {
	COPIER_ORIGIN_SECS = 10, /* how long a miss waits for an origin to come back */
	COPIER_RETRY_MS = 500,
	COPIER_BROKEN_SECS = 10,
	COPIER_SEEN_SECS = 10
};

void queue_push(struct queue *q, struct job *job)
{
	job->next = NULL;
	if (!q->first)
		q->last = &q->first;
	*q->last = job;
	q->last = &job->next;
}

void queue_push_front(struct queue *q, struct job *job)
{
	job->next = q->first;
	if (!q->first)
		q->last = &job->next;
	q->first = job;
}

struct job *queue_pop(struct queue *q)
{
	struct job *job = q->first;

	if (job)
		q->first = job->next;
	return job;
}

struct job *queue_take_locked(struct queue *q)
{
	for (struct job **p = &q->first; *p; p = &(*p)->next) {
		struct job *job = *p;

		if (job->source->hangs)
			continue;
		*p = job->next;
		if (q->last == &job->next)
			q->last = p;
		return job;
	}
	return NULL;
}

static bool queue_remove(struct queue *q, struct job *job)
{
	for (struct job **p = &q->first; *p; p = &(*p)->next)
		if (*p == job) {
			*p = job->next;
			if (q->last == &job->next)
				q->last = p;
			return true;
		}
	return false;
}

struct job **job_slot(struct source *s, uint32_t pos)
{
	struct job **p = &s->jobs[pos * 2654435761u >> 24];

	while (*p && (*p)->pos != pos)
		p = &(*p)->chain;
	return p;
}

void job_want(struct copier *c, struct job *job)
{
	pthread_mutex_lock(&c->lock);
	job->wanted = true;
	if (queue_remove(&c->fill, job)) {
		queue_push(&c->wanted, job);
		pthread_cond_signal(&c->work);
	}
	pthread_mutex_unlock(&c->lock);
}

/* Its bytes are let go, and who asks for the file now is another job's. */
static void job_let_go(struct copier *c, struct job *job)
{
	struct job **p = job_slot(job->source, job->pos);

	if (*p == job)
		*p = job->chain;
	closep(&job->copy.read_fd);
	job->copy.read_fd = -1;
	pthread_mutex_lock(&c->lock);
	if (job->open) {
		job->open = false;
		c->nopen--;
		pthread_cond_signal(&c->work);
	}
	pthread_mutex_unlock(&c->lock);
}

void job_free(struct copier *c, struct job *job)
{
	job_let_go(c, job);
	job->source->under_way--;
	objects_discard(c->objects, &job->copy.draft);
	job_land(c, job);
	while (job->waiters) {
		struct waiter *w = job->waiters;

		job->waiters = w->next;
		free(w);
	}
	free(job);
}

struct job *job_new(struct copier *c, struct source *s, uint32_t pos, bool wanted)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return NULL;
	*job = (struct job){.source = s,
			    .pos = pos,
			    .wanted = wanted,
			    .since = instant_now(),
			    .copy = {.draft.fd = -1, .read_fd = -1}};
	*job_slot(s, pos) = job;
	s->under_way++;
	if (s->look && s->origin < 0) {
		/* In vain until that is done; then jobs_again() is told. */
		job->state = JOB_LATER;
		job->not_before = instant_add_ms(job->since, COPIER_RETRY_MS);
		return job;
	}
	pthread_mutex_lock(&c->lock);
	queue_push(wanted ? &c->wanted : &c->fill, job);
	pthread_cond_signal(&c->work);
	pthread_mutex_unlock(&c->lock);
	return job;
}

void job_seen_locked(struct job *job)
{
	job->flight->announced = true;
	job->seen = job->flight->stamp;
	job->seen_until = instant_add_ms(instant_now(), COPIER_SEEN_SECS * 1000);
}

void job_note(struct job *job)
{
	if (!job->noted && hash_known(&job->copy.record.hash))
		source_note(job->source, &job->copy.record);
	job->noted = true;
}

/* The first that somebody waits for, else the first of the fill's. */
static struct job *grounded_pop(struct queue *q)
{
	struct job *job = q->first;

	while (job && !job->wanted)
		job = job->next;
	if (!job)
		return queue_pop(q);
	queue_remove(q, job);
	return job;
}

void job_land(struct copier *c, struct job *job)
{
	struct flight *f;

	pthread_mutex_lock(&c->lock);
	f = job->flight;
	job->flight = NULL;
	/* Who has its descriptors reads on by himself until now. */
	if (f && f->announced)
		job->seen_until = instant_add_ms(instant_now(), COPIER_SEEN_SECS * 1000);
	if (job->slot) {
		struct job *next = grounded_pop(&c->grounded);

		job->slot = false;
		c->nflights--;
		if (next)
			queue_push(next->wanted ? &c->wanted : &c->fill, next);
		pthread_cond_signal(&c->work);
	}
	pthread_mutex_unlock(&c->lock);
	flight_free(c->objects, f);
}

/* Nothing is under way; who has read of it is not forgotten yet. */
static void job_leave(struct copier *c, struct job *job)
{
	if (!job->seen || job->seen_until.ns <= instant_now().ns) {
		job_free(c, job);
		return;
	}
	job->state = JOB_SEEN;
	job->not_before = job->seen_until;
}

void job_renew(struct copier *c, struct job *job)
{
	job->state = JOB_UNDER_WAY;
	job->since = instant_now();
	job->r = 0;
	job->restarts = 0;
	job->unkept = false;
	pthread_mutex_lock(&c->lock);
	job->wanted = true;
	queue_push(&c->wanted, job);
	pthread_cond_signal(&c->work);
	pthread_mutex_unlock(&c->lock);
}

void job_news_locked(struct copier *c, struct job *job)
{
	if (job->has_news)
		return;
	job->has_news = true;
	job->news = c->news;
	c->news = job;
	copier_wake(c);
}

static bool job_retry(struct copier *c, struct job *job, struct instant now)
{
	bool patient = now.ns - job->since.ns < COPIER_ORIGIN_SECS * NS_PER_SEC;

	if (job->r == -ENODEV || !job->source->there)
		source_look(c, job->source);
	if (!job->wanted)
		source_pause(job->source);
	if (!job->wanted || !patient)
		return false;
	job->state = JOB_LATER;
	job->not_before = instant_add_ms(now, COPIER_RETRY_MS);
	return true;
}

/* Part of a large file is in memory, for those who asked for it. */
static void job_window(struct copier *c, struct job *job)
{
	source_pause(job->source);
	if (job->flight)
		job_answer_some(c, job);
	job_land(c, job);
	pthread_mutex_lock(&c->lock);
	if (job->waiters) {
		queue_push(&c->wanted, job);
		pthread_cond_signal(&c->work);
		job = NULL;
	}
	pthread_mutex_unlock(&c->lock);
	if (job)
		job_leave(c, job);
}

/* It changed, and somebody may have bytes of what it was.  Whoever reads on is told so;
 * who comes when they have given up gets all of the new state. */
static void job_break(struct copier *c, struct job *job)
{
	source_tell_broken(job->source, job->pos);
	job_answer(c, job, -ESTALE);
	job_land(c, job);
	job->state = JOB_BROKEN;
	job->not_before = instant_add_ms(instant_now(), COPIER_BROKEN_SECS * 1000);
}

static void job_failed(struct copier *c, struct job *job)
{
	if (job_retry(c, job, instant_now()))
		return; /* jobs_again() puts it back: a sleep would hold a thread */
	c->counts.failed++;
	/* Of the fill's, one stands for all until a pass goes well. */
	if (job->wanted || (job->source->there && !job->source->told_bad && job->r != -ENOSPC &&
			    job->r != -EDQUOT)) {
		source_tell_bad(job->source, job->pos, job->r);
		job->source->told_bad = true;
	}
	job_answer(c, job, -EIO);
	job_leave(c, job);
}

void job_copied(struct copier *c, struct job *job)
{
	bool gone = job->copy.record.flags & FILL_GONE;

	if (job->broken) {
		job_break(c, job);
		return;
	}
	if (job->r) {
		job_failed(c, job);
		return;
	}
	if (job->unkept && !gone && job->copy.read_fd < 0) {
		job_window(c, job);
		return;
	}
	source_tell_odd(job->source, &job->copy.record);
	job->state = JOB_COPIED;
	if (job->waiters && !gone)
		job_note(job);
	job_answer(c, job, gone ? -EIO : 0);
	if (!gone && !job->copy.draft.name[0]) {
		/* The store is full: these bytes are for those who wait alone. */
		source_pause(job->source);
		if (!hash_known(&job->copy.record.hash)) {
			job_free(c, job);
			return;
		}
		source_remember(job->source, &job->copy.record);
		job->note = true;
		job_let_go(c, job);
	}
	pthread_mutex_lock(&c->lock);
	queue_push(&c->copied, job);
	c->ncopied++;
	pthread_cond_signal(&c->copied_some);
	pthread_mutex_unlock(&c->lock);
}

void job_kept(struct copier *c, struct job *job)
{
	if (job->note) {
		job_free(c, job);
		return;
	}
	if (job->r) {
		source_tell_kept(job->source, job->r);
		source_pause(job->source);
		/* Who waited for it has its bytes. */
		if (job->wanted && hash_known(&job->copy.record.hash))
			source_remember(job->source, &job->copy.record);
	} else {
		if (job->copy.record.flags & FILL_GONE) {
			c->counts.failed++;
		} else {
			c->counts.kept++;
			c->counts.bytes += job->copy.record.size;
		}
		version_learn(job->source->version, &job->copy.record);
		job->source->told_kept = false;
	}
	job_free(c, job);
}

void jobs_give_up(struct copier *c, struct source *s, struct instant before)
{
	unsigned int n = 0;
	bool stuck;

	pthread_mutex_lock(&c->lock);
	/* A disk of ours that is slow is no reason. */
	stuck = (s->hangs && s->moved.ns < before.ns) || (c->all_hang && c->moved.ns < before.ns);
	pthread_mutex_unlock(&c->lock);
	for (int b = 0; b < JOB_BUCKETS && stuck; b++)
		for (struct job *job = s->jobs[b]; job; job = job->chain)
			n += job_give_up(c, job, before);
	if (n || !stuck)
		source_tell_stuck(s, n);
}

void jobs_again(struct copier *c, struct source *s, struct instant now)
{
	struct job *next;

	for (int b = 0; b < JOB_BUCKETS; b++)
		for (struct job *job = s->jobs[b]; job; job = next) {
			next = job->chain;
			if (job->state == JOB_UNDER_WAY || job->state == JOB_COPIED ||
			    job->not_before.ns > now.ns)
				continue;
			if (job->state != JOB_LATER) {
				job_free(c, job);
				continue;
			}
			job->state = JOB_UNDER_WAY;
			pthread_mutex_lock(&c->lock);
			queue_push(&c->wanted, job);
			pthread_cond_signal(&c->work);
			pthread_mutex_unlock(&c->lock);
		}
}

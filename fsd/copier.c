/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/copier.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/schema.h"
#include "fsd/copy.h"
#include "fsd/origin.h"
#include "fsd/version.h"

enum {
	COPIER_THREADS = 2,
	COPIER_AGAIN_SECS = 30,
	COPIER_CLIENTS = 1024,	 /* a thread of nfs each, and commands */
	COPIER_FILL_AHEAD = 512, /* files of the fill under way at once: some batches */
	COPIER_BATCH = 192,	 /* copies that share a sync */
	COPIER_BATCH_MS = 200,	 /* or this much later */
	COPIER_POLL_MS = 250,	 /* looking for new versions */
	COPIER_ORIGIN_SECS = 10, /* how long a miss waits for an origin to come back */
	COPIER_PAUSE_SECS = 10,	 /* of a fill that met a full store or a bad file */
	COPIER_RETRY_MS = 500
};

struct waiter {
	struct client *client;
	uint64_t id;
	struct waiter *next;
};

/* Under way: in a queue or with a thread.  The main loop's word alone. */
enum job_state { JOB_UNDER_WAY, JOB_LATER, JOB_COPIED };

/* One file on its way.  Owned by the main loop but for the thread that runs it. */
struct job {
	struct source *source;
	uint32_t pos;
	enum job_state state;
	bool wanted; /* somebody waits: goes before the fill; under the lock */
	struct waiter *waiters;
	struct instant since;
	struct instant not_before; /* of the next try */
	int r;
	struct copy copy;
	struct job *next;  /* in a queue */
	struct job *chain; /* in the source's table */
};

enum { JOB_BUCKETS = 256 };

/* A version that is not sealed, and its origin. */
struct source {
	uint32_t id;
	struct version *version;
	char *path;
	atomic_int origin; /* -1: was never there; the number stays for good, see
			    * source_origin() */
	bool there;	   /* the origin, at the last look */
	bool strict;
	bool removed;	/* its row is gone: let go when nothing is under way */
	bool listed;	/* at this look at the database */
	bool told_gone; /* each said once, until it is good again */
	bool told_kept;
	bool told_bad;
	int journal;
	struct instant fill_again; /* no fill before */
	uint32_t cursor;	   /* of the fill */
	uint32_t under_way;	   /* jobs, the fill's and others */
	uint64_t batch;		   /* the committer's: the last one with a file of it */
	struct job *jobs[JOB_BUCKETS];
	struct source *next;
};

struct client {
	struct loop_source io;
	struct copier *copier;
	struct client *next;
};

struct queue {
	struct job *first;
	struct job **last;
};

struct copier {
	struct copier_config config;
	char manifests[PATH_MAX];
	struct objects *objects;
	struct db *db;
	int64_t db_seen;
	struct instant db_again;
	struct loop *loop;
	struct loop_source listener;
	struct loop_source woken;
	struct loop_timer poll;
	struct client *clients;
	unsigned int nclients;
	struct source *sources;
	int wake_fd;

	pthread_t threads[COPIER_THREADS];
	pthread_t committer;
	unsigned int nthreads;
	bool has_committer;
	uint64_t batches; /* the committer's */
	pthread_t self;	  /* of copier_start() */

	pthread_mutex_t lock; /* guards the queues and `stop` */
	pthread_cond_t work;
	pthread_cond_t copied_some;
	struct queue wanted;
	struct queue fill;
	struct queue done;   /* copied, not answered yet */
	struct queue copied; /* answered, not durable yet */
	struct queue durable;
	unsigned int ncopied;
	bool stop;
};

static void queue_push(struct queue *q, struct job *job)
{
	job->next = NULL;
	if (!q->first)
		q->last = &q->first;
	*q->last = job;
	q->last = &job->next;
}

static struct job *queue_pop(struct queue *q)
{
	struct job *job = q->first;

	if (job)
		q->first = job->next;
	return job;
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

/* ---- threads ---- */

static void wake(struct copier *c)
{
	const uint64_t one = 1;

	if (write(c->wake_fd, &one, sizeof(one)) < 0)
		return; /* full: it is awake */
}

static void *copy_thread(void *arg)
{
	struct copier *c = arg;
	struct job *job;
	bool wanted;

	pthread_mutex_lock(&c->lock);
	for (;;) {
		while (!c->stop && !c->wanted.first && !c->fill.first)
			pthread_cond_wait(&c->work, &c->lock);
		if (c->stop)
			break;
		job = queue_pop(&c->wanted);
		if (!job)
			job = queue_pop(&c->fill);
		wanted = job->wanted;
		pthread_mutex_unlock(&c->lock);
		job->r = copy_file(job->source->origin, version_manifest(job->source->version),
				   job->pos, job->source->strict, wanted, c->objects, &job->copy);
		pthread_mutex_lock(&c->lock);
		queue_push(&c->done, job);
		wake(c);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* Make a batch durable: bytes, names, then the journal's word for them. */
static int commit_held(struct copier *c, struct job *batch)
{
	struct fill_record records[COPIER_BATCH];
	struct hash hashes[COPIER_BATCH];
	unsigned int named = 0;
	int r;

	r = objects_sync_data(c->objects);
	for (struct job *job = batch; job && !r; job = job->next) {
		if (!job->copy.draft.name[0])
			continue;
		r = objects_commit(c->objects, &job->copy.draft, &job->copy.record.hash);
		hashes[named++] = job->copy.record.hash;
	}
	if (!r && named)
		r = objects_sync_names(c->objects, hashes, named);
	/* The batch may be of several versions: one write for each. */
	c->batches++;
	for (struct job *first = batch; first && !r; first = first->next) {
		struct source *s = first->source;
		unsigned int n = 0;

		if (s->batch == c->batches)
			continue;
		s->batch = c->batches;
		for (struct job *job = first; job; job = job->next)
			if (job->source == s)
				records[n++] = job->copy.record;
		r = fill_append(s->journal, records, n);
	}
	return r;
}

static int commit_batch(struct copier *c, struct job *batch)
{
	int r = objects_hold(c->objects, false);

	if (r)
		return r;
	r = commit_held(c, batch);
	objects_release(c->objects);
	return r;
}

static void *commit_thread(void *arg)
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
		wake(c);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* ---- jobs ---- */

static struct job **job_slot(struct source *s, uint32_t pos)
{
	struct job **p = &s->jobs[pos * 2654435761u >> 24];

	while (*p && (*p)->pos != pos)
		p = &(*p)->chain;
	return p;
}

static void job_free(struct copier *c, struct job *job)
{
	struct job **p = job_slot(job->source, job->pos);

	if (*p == job) {
		*p = job->chain;
		job->source->under_way--;
	}
	closep(&job->copy.read_fd);
	objects_discard(c->objects, &job->copy.draft);
	while (job->waiters) {
		struct waiter *w = job->waiters;

		job->waiters = w->next;
		free(w);
	}
	free(job);
}

static struct job *job_new(struct copier *c, struct source *s, uint32_t pos, bool wanted)
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
	pthread_mutex_lock(&c->lock);
	queue_push(wanted ? &c->wanted : &c->fill, job);
	pthread_cond_signal(&c->work);
	pthread_mutex_unlock(&c->lock);
	return job;
}

/* ---- answering ---- */

/* A client that does not take its answers is cut off: it asks again. */
static void client_close(struct client *client)
{
	struct copier *c = client->copier;
	int fd = client->io.fd;

	loop_remove(&client->io);
	close(fd);
	for (struct source *s = c->sources; s; s = s->next)
		for (int b = 0; b < JOB_BUCKETS; b++)
			for (struct job *job = s->jobs[b]; job; job = job->chain)
				for (struct waiter **w = &job->waiters; *w;) {
					struct waiter *gone = *w;

					if (gone->client != client) {
						w = &gone->next;
						continue;
					}
					*w = gone->next;
					free(gone);
				}
	for (struct client **p = &c->clients; *p; p = &(*p)->next)
		if (*p == client) {
			*p = client->next;
			break;
		}
	c->nclients--;
	free(client);
}

static int reply_send(struct client *client, uint64_t id, int status,
		      const struct fill_record *record, int fd)
{
	struct copier_reply reply = {.id = id, .status = status, .record = *record};
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {&reply, sizeof(reply)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (!status) {
		struct cmsghdr *h;

		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		h = CMSG_FIRSTHDR(&msg);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	}
	return sendmsg(client->io.fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

static void job_answer(struct job *job, int status)
{
	while (job->waiters) {
		struct waiter *w = job->waiters;
		struct client *client = w->client;

		job->waiters = w->next;
		if (reply_send(client, w->id, status, &job->copy.record, job->copy.read_fd))
			client_close(client); /* takes its other waiters along */
		free(w);
	}
}

static void tell_odd(struct source *s, const struct fill_record *record)
{
	char path[PATH_MAX];
	char text[512];

	if (!record->flags ||
	    manifest_path(version_manifest(s->version), record->pos, path, sizeof(path)) < 0)
		return;
	log_escape(text, sizeof(text), path, strlen(path));
	if (record->flags & FILL_GONE)
		log_warn("version %u: /%s: gone from %s or not as scanned: reading it is an error",
			 s->id, text, s->path);
	else
		log_warn("version %u: /%s: changed in %s since it was added: taken as it is now",
			 s->id, text, s->path);
}

static void tell_sealed(struct copier *c, uint32_t version, const struct hash *digest)
{
	if (c->config.sealed)
		c->config.sealed(c->config.ctx, version, digest);
}

/* ---- sources ---- */

/* Open the origin, again when it went.  Threads may be reading below the old one: the
 * new one takes over its number, so that theirs never means another directory. */
static void source_origin(struct source *s)
{
	int fd = origin_dir_open(s->path);
	int err = fd < 0 ? -fd : 0;

	if (!err && !origin_dir_is(fd, version_manifest(s->version)))
		err = ENODEV;
	if (!err && s->origin < 0)
		s->origin = take_fd(&fd);
	else if (!err && dup3(fd, s->origin, O_CLOEXEC) < 0)
		err = errno;
	closep(&fd);
	s->there = !err;
	if (err && !s->told_gone)
		log_error("version %u: its origin %s is not there: %s; files not yet copied wait",
			  s->id, s->path,
			  err == ENODEV ? "nothing of the image is in it" : strerror(err));
	else if (!err && s->told_gone)
		log_info("version %u: its origin %s is back", s->id, s->path);
	s->told_gone = err != 0;
}

static void source_free(struct copier *c, struct source *s)
{
	for (struct source **p = &c->sources; *p; p = &(*p)->next)
		if (*p == s) {
			*p = s->next;
			break;
		}
	if (s->origin >= 0)
		close(s->origin);
	closep(&s->journal);
	version_unref(s->version);
	free(s->path);
	free(s);
}

static struct source *source_find(struct copier *c, uint32_t id)
{
	struct source *s = c->sources;

	while (s && s->id != id)
		s = s->next;
	return s;
}

static void nothing(void *ctx, const struct fill_record *record)
{
	(void)ctx;
	(void)record;
}

static int source_new(struct copier *c, uint32_t id, const char *path, bool strict)
{
	struct source *s = calloc(1, sizeof(*s));
	struct why why = {""};
	uint64_t good;
	int r;

	if (!s)
		return -ENOMEM;
	s->id = id;
	s->origin = s->journal = -1;
	s->strict = strict;
	s->path = strdup(path);
	r = s->path ? version_open(c->config.state_dir, id, &s->version, &why) : -ENOMEM;
	if (!r)
		r = fill_read(c->manifests, id, nothing, NULL, &good);
	if (!r) {
		s->journal = fill_open(c->manifests, id, good);
		if (s->journal < 0)
			r = s->journal;
	}
	if (r) {
		log_error("version %u: cannot be filled: %s", id, why_text(&why, r));
		source_free(c, s);
		return r;
	}
	source_origin(s);
	s->next = c->sources;
	c->sources = s;
	return 0;
}

/* Versions that are not sealed, as the database has them now. */
static void sources_poll(struct copier *c)
{
	int64_t seen = db_data_version(c->db);
	sqlite3_stmt *stmt;
	int r;

	/* Looked at again now and then all the same: one that could not be opened, or a
	 * seal that the database was not told, is no change of it. */
	if (seen == c->db_seen && instant_now().ns < c->db_again.ns)
		return;
	c->db_again = instant_add_ms(instant_now(), COPIER_AGAIN_SECS * 1000);
	for (struct source *s = c->sources; s; s = s->next)
		s->listed = false;
	stmt = db_stmt(c->db, "SELECT id, origin, strict FROM version WHERE sealed IS NULL"
			      " AND origin_kind = 'dir'");
	for (r = db_query(c->db, stmt, ""); r == DB_ROW; r = db_next(c->db, stmt)) {
		uint32_t id = (uint32_t)sqlite3_column_int64(stmt, 0);
		struct source *s = source_find(c, id);
		char path[PATH_MAX];

		db_column_text(stmt, 1, path, sizeof(path));
		if (!s && !source_new(c, id, path, sqlite3_column_int(stmt, 2)))
			s = source_find(c, id);
		if (s)
			s->listed = true;
	}
	if (r)
		return;
	c->db_seen = seen;
	for (struct source *s = c->sources; s; s = s->next)
		s->removed = !s->listed;
}

/* Something of the fill went wrong: it need not go wrong a thousand times a second. */
static void source_pause(struct source *s)
{
	s->fill_again = instant_add_ms(instant_now(), COPIER_PAUSE_SECS * 1000);
}

/* Keep the threads busy with what nobody has asked for yet. */
static void source_fill(struct copier *c, struct source *s)
{
	const struct manifest *m = version_manifest(s->version);
	uint32_t count = manifest_count(m);

	if (s->removed || !s->there || instant_now().ns < s->fill_again.ns)
		return;
	if (c->config.asked_only)
		return;
	while (s->cursor < count && s->under_way < COPIER_FILL_AHEAD) {
		const struct manifest_node *n = manifest_at(m, s->cursor);
		struct fill_record record;

		if (n && S_ISREG(n->mode) && n->link == s->cursor &&
		    !version_known(s->version, s->cursor, &record) && !*job_slot(s, s->cursor) &&
		    !job_new(c, s, s->cursor, false))
			return;
		s->cursor++;
	}
}

static void seal_fix(void *ctx, uint32_t pos, struct manifest_node *node)
{
	struct source *s = ctx;
	struct fill_record record;

	(void)pos;
	if (!S_ISREG(node->mode) || !version_known(s->version, node->link, &record))
		return;
	if (record.flags & FILL_GONE)
		node->extra |= MANIFEST_GONE;
	if (!(record.flags & FILL_DRIFT))
		return;
	node->extra |= MANIFEST_DRIFT;
	node->mode = (uint16_t)record.mode;
	node->uid = record.uid;
	node->gid = record.gid;
	node->size = record.size;
	node->mtime_sec = record.mtime_sec;
	node->mtime_nsec = record.mtime_nsec;
}

static int source_seal(struct copier *c, struct source *s)
{
	const struct manifest *m = version_manifest(s->version);
	cleanup(freep) struct hash *hashes = calloc(manifest_hash_count(m) + 1, sizeof(*hashes));
	struct version_progress p;
	struct hash digest;
	uint32_t lost = 0;
	int r;

	if (!hashes)
		return -ENOMEM;
	for (uint32_t pos = 0; pos < manifest_count(m); pos++) {
		const struct manifest_node *n = manifest_at(m, pos);
		struct fill_record record;

		if (!n)
			return -EUCLEAN;
		if (!S_ISREG(n->mode) || n->link != pos || !version_known(s->version, pos, &record))
			continue;
		hashes[n->data] = record.hash;
		if (hash_known(&record.hash) && !objects_has(c->objects, &record.hash)) {
			version_forget(s->version, pos);
			lost++;
		}
	}
	if (lost) {
		log_error("version %u: %u files that were copied are not in the store: again",
			  s->id, lost);
		return -EAGAIN;
	}
	r = manifest_seal(m, c->manifests, hashes, seal_fix, s, &digest);
	if (r)
		return r;
	version_progress(s->version, &p);
	log_info("version %u: sealed: %u files, %u of them changed since they were added, %u lost",
		 s->id, p.files, p.drifted, p.gone);
	tell_sealed(c, s->id, &digest);
	return 0;
}

/* All in: seal it and let it go. */
static void source_finish(struct copier *c, struct source *s)
{
	struct version_progress p;
	const struct manifest *m = version_manifest(s->version);
	int r = 0;

	if (s->removed && !s->under_way) {
		source_free(c, s);
		return;
	}
	if (s->under_way || s->cursor < manifest_count(m))
		return;
	version_progress(s->version, &p);
	if (p.copied + p.gone < p.files) {
		s->cursor = 0; /* some could not be read or kept: again, after a pause */
		return;
	}
	/* Sealed already, but the database does not know: it is told again. */
	if (manifest_sealed(m))
		tell_sealed(c, s->id, manifest_digest(m));
	else
		r = source_seal(c, s);
	if (r) {
		if (r != -EAGAIN && !s->told_kept) {
			log_error("version %u: cannot be sealed: %s", s->id, strerror(-r));
			s->told_kept = true;
		}
		s->cursor = 0;
		if (r != -EAGAIN)
			source_pause(s);
		return;
	}
	fill_remove(c->manifests, s->id);
	source_free(c, s);
}

/* ---- the main loop ---- */

static void tell_kept(struct source *s, int err)
{
	if (!s->told_kept)
		log_error("version %u: copies cannot be kept: %s; what is not in the store is read "
			  "from %s each time",
			  s->id, strerror(-err), s->path);
	s->told_kept = true;
}

static void tell_bad(struct source *s, uint32_t pos, int err)
{
	char path[PATH_MAX];
	char text[512];

	if (manifest_path(version_manifest(s->version), pos, path, sizeof(path)) < 0)
		path[0] = '\0';
	log_escape(text, sizeof(text), path, strlen(path));
	log_error("version %u: /%s cannot be copied from %s: %s", s->id, text, s->path,
		  strerror(-err));
}

static bool job_retry(struct job *job, struct instant now)
{
	bool patient = now.ns - job->since.ns < COPIER_ORIGIN_SECS * NS_PER_SEC;

	if (job->r == -ENODEV || !job->source->there)
		source_origin(job->source);
	if (job->r == -ENOSPC || job->r == -EDQUOT)
		tell_kept(job->source, job->r);
	if (!job->wanted)
		source_pause(job->source);
	if (!job->wanted || !patient)
		return false;
	job->state = JOB_LATER;
	job->not_before = instant_add_ms(now, COPIER_RETRY_MS);
	return true;
}

/* A copy is there, or failed. */
static void job_copied(struct copier *c, struct job *job)
{
	struct instant now = instant_now();

	if (job->r) {
		if (job_retry(job, now))
			return; /* jobs_again() puts it back: a sleep would hold a thread */
		/* Of the fill's, one stands for all until a pass goes well. */
		if (job->wanted || (job->source->there && !job->source->told_bad &&
				    job->r != -ENOSPC && job->r != -EDQUOT)) {
			tell_bad(job->source, job->pos, job->r);
			job->source->told_bad = true;
		}
		job_answer(job, -EIO);
		job_free(c, job);
		return;
	}
	tell_odd(job->source, &job->copy.record);
	job->state = JOB_COPIED;
	if (job->copy.read_fd >= 0 && !job->copy.draft.name[0]) {
		/* The store is full: these bytes are for those who wait alone. */
		tell_kept(job->source, -ENOSPC);
		source_pause(job->source);
		job_answer(job, 0);
		job_free(c, job);
		return;
	}
	job_answer(job, job->copy.record.flags & FILL_GONE ? -EIO : 0);
	pthread_mutex_lock(&c->lock);
	queue_push(&c->copied, job);
	c->ncopied++;
	pthread_cond_signal(&c->copied_some);
	pthread_mutex_unlock(&c->lock);
}

static void copier_turn(struct copier *c)
{
	struct source *next;
	struct queue done;
	struct queue durable;
	struct job *job;

	pthread_mutex_lock(&c->lock);
	done = c->done;
	durable = c->durable;
	c->done.first = c->durable.first = NULL;
	pthread_mutex_unlock(&c->lock);
	while ((job = queue_pop(&done)))
		job_copied(c, job);
	while ((job = queue_pop(&durable))) {
		if (job->r) {
			tell_kept(job->source, job->r);
			source_pause(job->source);
		} else {
			version_learn(job->source->version, &job->copy.record);
			job->source->told_kept = false;
		}
		job_free(c, job);
	}
	for (struct source *s = c->sources; s; s = next) {
		next = s->next;
		source_fill(c, s);
		source_finish(c, s);
	}
}

static void on_woken(struct loop_source *source, uint32_t events)
{
	struct copier *c = (struct copier *)((char *)source - offsetof(struct copier, woken));
	uint64_t n;

	(void)events;
	if (read(source->fd, &n, sizeof(n)) == sizeof(n))
		copier_turn(c);
	pthread_mutex_lock(&c->lock);
	if (c->stop)
		loop_stop(c->loop);
	pthread_mutex_unlock(&c->lock);
}

/* Jobs that waited for their origin go into the queue again. */
static void jobs_again(struct copier *c, struct source *s, struct instant now)
{
	for (int b = 0; b < JOB_BUCKETS; b++)
		for (struct job *job = s->jobs[b]; job; job = job->chain) {
			if (job->state != JOB_LATER || job->not_before.ns > now.ns)
				continue;
			job->state = JOB_UNDER_WAY;
			pthread_mutex_lock(&c->lock);
			queue_push(&c->wanted, job);
			pthread_cond_signal(&c->work);
			pthread_mutex_unlock(&c->lock);
		}
}

static void on_poll(struct loop_timer *timer, struct instant now)
{
	struct copier *c = (struct copier *)((char *)timer - offsetof(struct copier, poll));

	sources_poll(c);
	for (struct source *s = c->sources; s; s = s->next) {
		if (!s->there)
			source_origin(s);
		jobs_again(c, s, now);
	}
	copier_turn(c);
	loop_timer_set(c->loop, timer, instant_add_ms(now, COPIER_POLL_MS));
}

/* The version was sealed since whoever asks mapped its manifest.  The record carries
 * all attributes as they were sealed: drift that the other has not heard of is in
 * them. */
static int ask_sealed(struct copier *c, struct client *client, const struct copier_ask *ask)
{
	cleanup(version_unrefp) struct version *v = NULL;
	cleanup(closep) int fd = -1;
	struct fill_record record = {.pos = ask->pos};

	if (!version_open(c->config.state_dir, ask->version, &v, NULL) &&
	    manifest_sealed(version_manifest(v)) && version_known(v, ask->pos, &record) &&
	    !(record.flags & FILL_GONE)) {
		record.flags |= FILL_DRIFT;
		fd = objects_get(c->objects, &record.hash);
	}
	return reply_send(client, ask->id, fd < 0 ? -EIO : 0, &record, fd);
}

/* Somebody wants a file now. */
static int ask_take(struct copier *c, struct client *client, const struct copier_ask *ask)
{
	struct source *s = source_find(c, ask->version);
	struct fill_record record = {.pos = ask->pos};
	const struct manifest_node *n;
	struct waiter *w;
	struct job *job;

	if (!s) {
		sources_poll(c);
		s = source_find(c, ask->version);
	}
	if (!s)
		return ask_sealed(c, client, ask);
	n = manifest_at(version_manifest(s->version), ask->pos);
	if (!n || !S_ISREG(n->mode) || n->link != ask->pos)
		return reply_send(client, ask->id, -EINVAL, &record, -1);
	job = *job_slot(s, ask->pos);
	if (!job && version_known(s->version, ask->pos, &record)) {
		cleanup(closep) int fd = -1;

		if (record.flags & FILL_GONE)
			return reply_send(client, ask->id, -EIO, &record, -1);
		fd = objects_get(c->objects, &record.hash);
		if (fd >= 0)
			return reply_send(client, ask->id, 0, &record, fd);
	}
	if (job && job->state == JOB_COPIED)
		return reply_send(client, ask->id, job->copy.read_fd < 0 ? -EIO : 0,
				  &job->copy.record, job->copy.read_fd);
	if (!job)
		job = job_new(c, s, ask->pos, true);
	w = job ? malloc(sizeof(*w)) : NULL;
	if (!w)
		return reply_send(client, ask->id, -ENOMEM, &record, -1);
	*w = (struct waiter){client, ask->id, job->waiters};
	job->waiters = w;
	if (!job->wanted) {
		pthread_mutex_lock(&c->lock);
		job->wanted = true;
		if (queue_remove(&c->fill, job)) {
			queue_push(&c->wanted, job);
			pthread_cond_signal(&c->work);
		}
		pthread_mutex_unlock(&c->lock);
	}
	return 0;
}

static void on_client(struct loop_source *source, uint32_t events)
{
	struct client *client = (struct client *)((char *)source - offsetof(struct client, io));
	struct copier_ask ask;
	ssize_t n;

	(void)events;
	for (int i = 0; i < 64; i++) {
		n = recv(source->fd, &ask, sizeof(ask), MSG_DONTWAIT | MSG_TRUNC);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n != sizeof(ask) || ask.magic != COPIER_MAGIC ||
		    ask_take(client->copier, client, &ask)) {
			client_close(client);
			return;
		}
	}
}

static void on_listener(struct loop_source *source, uint32_t events)
{
	struct copier *c = (struct copier *)((char *)source - offsetof(struct copier, listener));
	int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *client;

	(void)events;
	if (fd < 0)
		return;
	client = c->nclients < COPIER_CLIENTS ? calloc(1, sizeof(*client)) : NULL;
	if (!client) {
		close(fd);
		return;
	}
	client->copier = c;
	client->io.ready = on_client;
	if (loop_add(c->loop, &client->io, fd, EPOLLIN)) {
		close(fd);
		free(client);
		return;
	}
	client->next = c->clients;
	c->clients = client;
	c->nclients++;
}

static void copier_fini(struct copier *c)
{
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_cond_broadcast(&c->work);
	pthread_cond_broadcast(&c->copied_some);
	pthread_mutex_unlock(&c->lock);
	for (unsigned int i = 0; i < c->nthreads; i++)
		pthread_join(c->threads[i], NULL);
	if (c->has_committer)
		pthread_join(c->committer, NULL);
	while (c->clients)
		client_close(c->clients);
	while (c->sources) {
		struct source *s = c->sources;

		for (int b = 0; b < JOB_BUCKETS; b++)
			while (s->jobs[b])
				job_free(c, s->jobs[b]);
		source_free(c, s);
	}
	loop_remove(&c->listener);
	loop_remove(&c->woken);
	loop_free(c->loop);
	db_close(c->db);
	objects_close(c->objects);
	closep(&c->wake_fd);
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->work);
	pthread_cond_destroy(&c->copied_some);
	free(c);
}

static int copier_init(const struct copier_config *config, struct copier **out, struct why *why)
{
	struct copier *c = calloc(1, sizeof(*c));
	pthread_condattr_t monotonic;
	char path[PATH_MAX];
	int r;

	if (!c)
		return -ENOMEM;
	c->config = *config;
	c->db_seen = -2;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->work, NULL);
	/* A step of the wall clock must not hold a batch up. */
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&c->copied_some, &monotonic);
	pthread_condattr_destroy(&monotonic);
	c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = c->wake_fd < 0 ? -errno : 0;
	snprintf(c->manifests, sizeof(c->manifests), "%s/manifests", config->state_dir);
	snprintf(path, sizeof(path), "%s/objects", config->state_dir);
	if (!r)
		r = objects_open(path, true, 0750, &c->objects, why);
	if (!r) {
		objects_clean(c->objects);
		r = db_open(config->state_dir, &schema_rootstock, DB_READ, &c->db, why);
	}
	if (!r)
		r = loop_new(&c->loop);
	c->listener.ready = on_listener;
	c->woken.ready = on_woken;
	c->poll.due = on_poll;
	if (!r)
		r = loop_add(c->loop, &c->listener, config->listen_fd, EPOLLIN);
	if (!r)
		r = loop_add(c->loop, &c->woken, c->wake_fd, EPOLLIN);
	for (int i = 0; i < COPIER_THREADS && !r; i++) {
		r = -pthread_create(&c->threads[i], NULL, copy_thread, c);
		c->nthreads += !r;
	}
	if (!r) {
		r = -pthread_create(&c->committer, NULL, commit_thread, c);
		c->has_committer = !r;
	}
	if (r) {
		copier_fini(c);
		return r;
	}
	loop_timer_set(c->loop, &c->poll, instant_now());
	*out = c;
	return 0;
}

int copier_listen(const char *state_dir, int *listen_fd, int *lock_fd, struct why *why)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	cleanup(closep) int lock = -1;
	cleanup(closep) int fd = -1;
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%s/copier.lock", state_dir);
	lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (lock < 0)
		return why_set(why, -errno, "%s: %m", path);
	if (flock(lock, LOCK_EX | LOCK_NB))
		return why_set(why, errno == EWOULDBLOCK ? -EBUSY : -errno,
			       "%s: held by another rootstock", path);
	if (snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/" COPIER_SOCKET, state_dir) >=
	    (int)sizeof(addr.sun_path))
		return why_set(why, -ENAMETOOLONG, "%s: too long for a socket's path", state_dir);
	if (unlink(addr.sun_path) && errno != ENOENT)
		return why_set(why, -errno, "%s: %m", addr.sun_path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) ||
	    chmod(addr.sun_path, 0660) || listen(fd, COPIER_CLIENTS))
		return why_set(why, -errno, "%s: %m", addr.sun_path);
	/* The group of the state directory is the services'. */
	if (geteuid() == 0 && (stat(state_dir, &st) || chown(addr.sun_path, (uid_t)-1, st.st_gid)))
		return why_set(why, -errno, "%s: %m", addr.sun_path);
	*listen_fd = take_fd(&fd);
	*lock_fd = take_fd(&lock);
	return 0;
}

/* A descriptor for each copy that is under way. */
static void files_allow(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files))
		return;
	files.rlim_cur = files.rlim_max < 4096 ? files.rlim_max : 4096;
	setrlimit(RLIMIT_NOFILE, &files);
}

int copier_child(const struct copier_config *config)
{
	struct why why = {""};
	struct copier *c;
	int r;

	/* Threads must not take the signals that the loop waits for. */
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	files_allow();
	r = copier_init(config, &c, &why);
	if (r) {
		log_error("cannot start: %s", why_text(&why, r));
		return 1;
	}
	r = loop_run(c->loop, true);
	copier_fini(c);
	return r ? 1 : 0;
}

static void *copier_thread(void *arg)
{
	struct copier *c = arg;

	loop_run(c->loop, false);
	return NULL;
}

int copier_start(const struct copier_config *config, struct copier **out, struct why *why)
{
	struct copier *c;
	int r = copier_init(config, &c, why);

	if (r)
		return r;
	r = -pthread_create(&c->self, NULL, copier_thread, c);
	if (r) {
		copier_fini(c);
		return r;
	}
	*out = c;
	return 0;
}

void copier_stop(struct copier *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_mutex_unlock(&c->lock);
	wake(c);
	pthread_join(c->self, NULL);
	copier_fini(c);
}

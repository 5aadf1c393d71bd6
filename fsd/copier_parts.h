/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the copier's files share, and nobody else includes.
 *
 *	copier.c         its life, its loop's turn
 *	copier_client.c  who asks, and the answers
 *	copier_job.c     one file on its way: queues, what comes of it
 *	copier_thread.c  the copying threads: which file, which extent
 *	copier_commit.c  the thread that makes copies durable, many at a time
 *	copier_room.c    what is done about a full store
 *	copier_mend.c    a thread that mends what was found damaged when it was asked for
 *	copier_source.c  versions that are not sealed: fill, seal
 *	copier_origin.c  threads that look for their origins
 *
 * All of it is the main loop's, one thread, but for the queues (under `lock`) and for a
 * job that a thread took out of one: that is the thread's until it puts it into the next.
 * While a large file is with a thread, the loop answers of it what is there: what both
 * look at, the waiters and the flight, is under the lock too.
 */
#ifndef FSD_COPIER_PARTS_H
#define FSD_COPIER_PARTS_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#include "common/clock.h"
#include "common/container.h"
#include "common/db.h"
#include "common/log.h"
#include "common/loop.h"
#include "fsd/copier.h"
#include "fsd/flight.h"
#include "fsd/verify.h"
#include "fsd/version.h"

enum {
	COPIER_THREADS = 2,
	COPIER_THREADS_MOST = 16, /* where origins hang, each with a thread or two */
	COPIER_UNKEPT = 64,	  /* extents of a file in memory at once, where the store is full */
	COPIER_CLIENTS = 1024,	  /* a thread of nfs each, and commands, */
	COPIER_CLIENTS_EACH = 256, /* but of one service no more than this */
	CLIENT_WAITERS = 65536,	   /* of one client; who asks for more is none of ours */
	COPIER_FLIGHTS = 64,	   /* large files at once, of four descriptors each */
	COPIER_OPEN = 384,	   /* copies that are open until they are durable */
	JOB_BUCKETS = 256
};

struct waiter {
	struct client *client;
	struct copier_ask ask;
	struct instant since;
	struct waiter *next;
};

/* Under way: in a queue or with a thread.  Seen: nothing is under way, but somebody has read
 * of it a moment ago.  Broken: it changed when somebody had read of it, and is left alone
 * for a while.  The main loop's word alone. */
enum job_state { JOB_UNDER_WAY, JOB_LATER, JOB_COPIED, JOB_SEEN, JOB_BROKEN };

/* One file on its way.  Owned by the main loop but for the thread that runs it. */
struct job {
	struct source *source;
	uint32_t pos;
	enum job_state state;
	bool wanted;		/* somebody waits: goes before the fill; under the lock */
	struct waiter *waiters; /* the longest first; under the lock, */
	struct waiter *last;	/* as this is */
	struct instant since;
	struct instant not_before; /* of the next try */
	int r;
	struct copy copy;
	uint64_t stamp;	       /* of the state that is copied; 0: not known yet */
	struct flight *flight; /* of a large file; under the lock */
	/* The state of which somebody has read a part, without its hash, and until when what
	 * is read must be of no other; 0: nobody has.  It outlives flights; under the lock. */
	uint64_t seen;
	struct instant seen_until;
	bool slot; /* it is one of COPIER_FLIGHTS; under the lock */
	bool open; /* it is one of COPIER_OPEN; under the lock */
	unsigned int restarts;
	bool unkept; /* a large file, and the store is full */
	bool note;   /* a small one that is not kept: the journal shall know it alone */
	bool noted;  /* the journal knows that it was given out */
	bool broken; /* see JOB_BROKEN */
	bool has_news;
	struct job *next;  /* in a queue */
	struct job *news;  /* in the copier's */
	struct job *chain; /* in the source's table */
};

/* A version that is not sealed, and its origin. */
struct source {
	uint32_t id;
	struct version *version;
	char *path;
	atomic_bool no_clone; /* its file system does not share blocks with the store's */
	atomic_int origin;    /* -1: was never there; the number stays for good, see
			       * source_looked() */
	struct look *look;    /* under way, or NULL */
	bool there;	      /* the origin, at the last look */
	bool hangs;	      /* a thread waits for it, and no other is to; under the lock */
	struct instant moved; /* a thread had something from it; under the lock */
	bool strict;
	bool removed;	/* its row is gone: let go when nothing is under way */
	bool listed;	/* at this look at the database */
	bool told_gone; /* each said once, until it is good again */
	bool told_kept;
	bool told_bad;
	bool told_stuck;
	struct log_limit bad; /* lines; a client may read the same file again and again */
	int journal;
	pthread_mutex_t journal_lock; /* for one who writes at a time; taken with no other */
	struct instant fill_again;    /* no fill before */
	uint32_t *hot;		      /* files that earlier boots read, in their order */
	uint32_t nhot;
	uint32_t hot_at;
	pthread_mutex_t had_lock; /* guards `had`; the loop alone changes it */
	struct fill_record *had; /* files that were given out, and the store has not; by position */
	size_t nhad;
	uint32_t cursor;    /* of the fill, behind those */
	uint32_t under_way; /* jobs, the fill's and others */
	uint64_t batch;	    /* the committer's: the last one with a file of it */
	struct job *jobs[JOB_BUCKETS];
	struct source *next;
};

enum room_state { ROOM_ENOUGH, ROOM_FULL, ROOM_QUOTA };

struct client {
	struct loop_source io;
	struct copier *copier;
	uid_t uid;
	unsigned int waiting; /* for jobs and mends */
	bool bad;	      /* to be closed */
	struct client *next;
};

struct queue {
	struct job *first;
	struct job **last;
};

/* A copying thread.  What it is at is under the lock. */
struct copying {
	struct copier *copier;
	pthread_t thread;
	struct source *at;    /* whose file it has a turn for; NULL: none */
	struct instant since; /* of what it copies now, an extent or a small file */
};

struct copier {
	struct copier_config config;
	char manifests[PATH_MAX];
	struct objects *objects;
	struct verifier *verifier; /* NULL: not ours to do */
	struct db *db;
	int64_t db_seen;
	bool db_broken; /* and said so */
	struct instant db_again;
	struct loop *loop;
	struct loop_source listener;
	struct loop_source woken;
	struct loop_timer poll;
	struct control *control;
	struct {
		uint64_t asks;
		uint64_t kept;
		uint64_t bytes; /* of those */
		uint64_t failed;
	} counts;
	struct client *clients;
	unsigned int nclients;
	struct source *sources;
	int wake_fd;

	struct copying threads[COPIER_THREADS_MOST];
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
	struct queue grounded; /* large files that wait for others to land */
	unsigned int nflights;
	unsigned int nopen;
	struct instant moved; /* a thread had something from anywhere */
	bool all_hang;	      /* each thread waits for an origin; under the lock, as this is */
	struct job *news;     /* large files with more extents than their waiters know */
	struct queue done;    /* copied, not answered yet */
	struct queue copied;  /* answered, not durable yet */
	struct queue durable;
	unsigned int ncopied;
	bool stop;
	struct mend *mends; /* the main loop's, but for the one that is under way */

	atomic_int full; /* enum room_state */
	bool told_full;
	struct instant full_look;
	pthread_mutex_t room_lock; /* guards what is below; taken with no other held */
	atomic_ullong room_made;   /* how often */
	struct instant room_again; /* no try before */
	struct instant garbage_again;
};

/* ---- copier.c ---- */

/* From any thread: the loop has something in a queue, or is to stop. */
void copier_wake(struct copier *c);

/* ---- copier_client.c ---- */

void copier_on_listener(struct loop_source *source, uint32_t events);
void client_close(struct client *client); /* with all its waiters */

/* Tell everybody who waits for the job: its copy, or the negative errno `status`. */
void job_answer(struct copier *c, struct job *job, int status);
/* Tell those who wait for extents that are there. */
void job_answer_some(struct copier *c, struct job *job);
/* Tell those who have waited since before `before` that it is in vain.  Returns how many. */
unsigned int job_give_up(struct copier *c, struct job *job, struct instant before);

/* What there is of a file whose version was sealed; `mend`: where it is damaged or lost, it
 * is mended first.  Returns other than 0 when the client is to be closed. */
int ask_sealed(struct copier *c, struct client *client, const struct copier_ask *ask, bool mend);

/* ---- copier_mend.c ---- */

/* Have an object that was found damaged or absent mended, then answer.  Returns 0 or a
 * negative errno: not now, or in vain a moment ago. */
int mend_ask(struct copier *c, struct client *client, const struct copier_ask *ask,
	     const struct hash *hash);
/* The loop's turn: answers where one is done, begins the next. */
void mends_turn(struct copier *c);
void mends_leave(struct copier *c, const struct client *client);
/* As job_give_up(): an origin that hangs holds the mending up. */
void mends_give_up(struct copier *c, struct instant before);
void mends_fini(struct copier *c);

/* ---- copier_job.c ---- */

void queue_push(struct queue *q, struct job *job);
void queue_push_front(struct queue *q, struct job *job);
struct job *queue_pop(struct queue *q); /* NULL: empty */
/* The first whose origin does not hang, or NULL.  `lock` is held. */
struct job *queue_take_locked(struct queue *q);

/* Where the source's job for `pos` is, or would be. */
struct job **job_slot(struct source *s, uint32_t pos);
struct job *job_new(struct copier *c, struct source *s, uint32_t pos, bool wanted);
void job_free(struct copier *c, struct job *job);
/* Somebody waits for it: it goes before the fill. */
void job_want(struct copier *c, struct job *job);
/* A copy is there, or failed. */
void job_copied(struct copier *c, struct job *job);
/* Its batch is durable, or failed. */
void job_kept(struct copier *c, struct job *job);
/* Jobs that waited for their origin go into the queue again. */
void jobs_again(struct copier *c, struct source *s, struct instant now);
/* Where nothing has come since before `before`, nobody waits for longer. */
void jobs_give_up(struct copier *c, struct source *s, struct instant before);
/* Somebody wants a file that was seen: from the beginning. */
void job_renew(struct copier *c, struct job *job);
/* The flight is over, if there was one: another may start. */
void job_land(struct copier *c, struct job *job);
/* Somebody gets all of it before it is durable. */
void job_note(struct job *job);
/* Somebody gets a part of its flight, or may go on to read it.  `lock` is held. */
void job_seen_locked(struct job *job);
/* The loop tells the waiters of a large file what is there.  `lock` is held. */
void job_news_locked(struct copier *c, struct job *job);

/* ---- copier_thread.c ---- */

/* One more.  Returns 0 or a negative errno. */
int copying_start(struct copier *c);
/* Now and then: where each thread waits for an origin that hangs, one more begins. */
void copying_tend(struct copier *c, struct instant now);

/* ---- copier_commit.c ---- */

void *copier_committing(void *copier); /* a thread */

/* ---- copier_room.c ---- */

/* A thread met `err`, ENOSPC or EDQUOT, with a copy of `bytes`, for which somebody waits
 * (`wanted`) or not.  Returns true when it may try again. */
bool room_make(struct copier *c, int err, uint64_t bytes, bool wanted);
/* Is the store too small for a file of so many bytes, though it is far from full?  And
 * were it empty? */
bool room_lacks(struct copier *c, uint64_t bytes);
bool room_never(struct copier *c, uint64_t bytes);
/* Say that the store is full, look whether it is still. */
void room_poll(struct copier *c, struct instant now);

/* ---- copier_source.c ---- */

/* Versions that are not sealed, as the database has them now. */
void sources_poll(struct copier *c);
struct source *source_find(struct copier *c, uint32_t version);
/* Were the bytes at `pos` given out before?  Then the file is never to be another, though
 * the store may have lost it.  From the source's threads too. */
bool source_had(struct source *s, uint32_t pos, struct fill_record *out);
int source_remember(struct source *s, const struct fill_record *record);
/* Bytes with this hash are about to be given out, and are not durable yet: another copier,
 * should this one be killed, gives out these or none. */
void source_note(struct source *s, const struct fill_record *record);
/* Write to the journal, from any thread.  Not durable yet. */
int source_journal(struct source *s, const struct fill_record *records, unsigned int n);
/* Keep the threads busy with what nobody has asked for yet. */
void source_fill(struct copier *c, struct source *s);
/* Something of the fill went wrong: it need not go wrong a thousand times a second. */
void source_pause(struct source *s);
/* Where all is in, seal it and let it go; `s` may be gone on return. */
void source_finish(struct copier *c, struct source *s);
void source_free(struct copier *c, struct source *s);
/* To the log: it drifted or is gone; copies cannot be kept; a file changed under its
 * readers; it cannot be copied. */
void source_tell_odd(struct source *s, const struct fill_record *record);
void source_tell_kept(struct source *s, int err);
void source_tell_broken(struct source *s, uint32_t pos);
void source_tell_bad(struct source *s, uint32_t pos, int err);
void source_tell_stuck(struct source *s, bool stuck); /* nothing comes from its origin */

/* ---- copier_origin.c ---- */

struct look;

/* Begin to look for the origin, again when it went; what comes of it is source_looked()'s. */
void source_look(struct copier *c, struct source *s);
/* The loop's turn: where the look is done, what it found is the source's. */
void source_looked(struct copier *c, struct source *s);
void look_leave(struct look *look); /* nobody waits for it; NULL is fine */

#endif

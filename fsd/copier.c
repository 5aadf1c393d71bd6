/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/copier_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/log.h"
#include "common/pulse.h"
#include "common/schema.h"

enum {
	COPIER_POLL_MS = 250, /* looking for new versions */
	COPIER_PATIENCE_MS = 60000
};

void copier_wake(struct copier *c)
{
	const uint64_t one = 1;

	if (write(c->wake_fd, &one, sizeof(one)) < 0)
		return; /* full: it is awake */
}

static void copier_turn(struct copier *c)
{
	struct source *next;
	struct queue done;
	struct queue durable;
	struct job *job;

	pthread_mutex_lock(&c->lock);
	/* All news before what is done, and may be freed. */
	while ((job = c->news)) {
		c->news = job->news;
		job->has_news = false;
		pthread_mutex_unlock(&c->lock);
		job_answer_some(c, job);
		pthread_mutex_lock(&c->lock);
	}
	done = c->done;
	durable = c->durable;
	c->done.first = c->durable.first = NULL;
	pthread_mutex_unlock(&c->lock);
	while ((job = queue_pop(&done)))
		job_copied(c, job);
	while ((job = queue_pop(&durable)))
		job_kept(c, job);
	mends_turn(c);
	for (struct source *s = c->sources; s; s = next) {
		next = s->next;
		source_looked(c, s);
		source_fill(c, s);
		source_finish(c, s);
	}
}

static void on_woken(struct loop_source *source, uint32_t events)
{
	struct copier *c = container(source, struct copier, woken);
	uint64_t n;

	(void)events;
	if (read(source->fd, &n, sizeof(n)) == sizeof(n))
		copier_turn(c);
	pthread_mutex_lock(&c->lock);
	if (c->stop)
		loop_stop(c->loop);
	pthread_mutex_unlock(&c->lock);
}

static void on_poll(struct loop_timer *timer, struct instant now)
{
	struct copier *c = container(timer, struct copier, poll);
	struct instant before = instant_add_ms(now, -(int64_t)c->config.patience_ms);

	room_poll(c, now);
	copying_tend(c, now);
	sources_poll(c);
	for (struct source *s = c->sources; s; s = s->next) {
		if (!s->there)
			source_look(c, s);
		jobs_again(c, s, now);
		jobs_give_up(c, s, before);
	}
	mends_give_up(c, before);
	copier_turn(c);
	loop_timer_set(c->loop, timer, instant_add_ms(now, COPIER_POLL_MS));
}

static void copier_stats(void *ctx, struct stats *stats)
{
	const struct copier *c = ctx;
	unsigned int versions = 0;
	unsigned int jobs = 0;

	for (const struct source *s = c->sources; s; s = s->next) {
		versions++;
		jobs += s->under_way;
	}
	stats_gauge(stats, "rootstock_copier_versions", "Image versions that are not sealed yet.",
		    versions);
	stats_gauge(stats, "rootstock_copier_files_active", "Files on their way into the store.",
		    jobs);
	stats_gauge(stats, "rootstock_copier_store_full",
		    "1 while the store has no room for what is copied.",
		    atomic_load(&c->full) != 0);
	stats_counter(stats, "rootstock_copier_asks_total", "Files asked for that were not there.",
		      c->counts.asks);
	stats_counter(stats, "rootstock_copier_files_total", "Files copied into the store.",
		      c->counts.kept);
	stats_counter(stats, "rootstock_copier_bytes_total", "Their bytes.", c->counts.bytes);
	stats_counter(stats, "rootstock_copier_failures_total", "Files that could not be copied.",
		      c->counts.failed);
}

static void copier_fini(struct copier *c)
{
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_cond_broadcast(&c->work);
	pthread_cond_broadcast(&c->copied_some);
	pthread_mutex_unlock(&c->lock);
	verifier_stop(c->verifier);
	for (unsigned int i = 0; i < c->nthreads; i++)
		pthread_join(c->threads[i].thread, NULL);
	if (c->has_committer)
		pthread_join(c->committer, NULL);
	while (c->clients)
		client_close(c->clients);
	mends_fini(c);
	/* What the committer has noted is in no table. */
	for (struct job *job; (job = queue_pop(&c->durable));)
		job_free(c, job);
	while (c->sources) {
		struct source *s = c->sources;

		for (int b = 0; b < JOB_BUCKETS; b++)
			while (s->jobs[b])
				job_free(c, s->jobs[b]);
		source_free(c, s);
	}
	control_free(c->control);
	loop_remove(&c->listener);
	loop_remove(&c->woken);
	loop_free(c->loop);
	db_close(c->db);
	objects_close(c->objects);
	closep(&c->wake_fd);
	pthread_mutex_destroy(&c->lock);
	pthread_mutex_destroy(&c->room_lock);
	pthread_cond_destroy(&c->work);
	pthread_cond_destroy(&c->copied_some);
	free(c);
}

static int copier_init(const struct copier_config *config, struct copier **out, struct why *why)
{
	struct copier *c = calloc(1, sizeof(*c));
	pthread_condattr_t monotonic;
	int r;

	if (!c)
		return -ENOMEM;
	c->config = *config;
	if (!c->config.patience_ms)
		c->config.patience_ms = COPIER_PATIENCE_MS;
	c->db_seen = -2;
	pthread_mutex_init(&c->lock, NULL);
	pthread_mutex_init(&c->room_lock, NULL);
	pthread_cond_init(&c->work, NULL);
	/* A step of the wall clock must not hold a batch up. */
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&c->copied_some, &monotonic);
	pthread_condattr_destroy(&monotonic);
	c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = c->wake_fd < 0 ? -errno : 0;
	snprintf(c->manifests, sizeof(c->manifests), "%s/manifests", config->state_dir);
	if (!r)
		r = objects_open(config->state_dir, STORE_OBJECTS, true, &c->objects, why);
	if (!r) {
		objects_clean(c->objects);
		r = db_open(config->state_dir, &schema_rootstock, DB_READ, &c->db, why);
	}
	if (!r)
		r = loop_new(&c->loop);
	c->listener.ready = copier_on_listener;
	c->woken.ready = on_woken;
	c->poll.due = on_poll;
	if (!r)
		r = loop_add(c->loop, &c->listener, config->listen_fd, EPOLLIN);
	if (!r)
		r = loop_add(c->loop, &c->woken, c->wake_fd, EPOLLIN);
	if (!r)
		r = control_new(c->loop,
				&(struct control_config){
					.door = config->control, .stats = copier_stats, .ctx = c},
				&c->control);
	for (int i = 0; i < COPIER_THREADS && !r; i++)
		r = copying_start(c);
	if (!r) {
		r = -pthread_create(&c->committer, NULL, copier_committing, c);
		c->has_committer = !r;
	}
	if (!r && !config->asked_only)
		r = verifier_start(config->state_dir, STORE_OBJECTS, config->door, &c->verifier);
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
	struct pulse pulse;
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
	pulse_begin(&pulse, c->loop, config->event_fd);
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
	copier_wake(c);
	pthread_join(c->self, NULL);
	copier_fini(c);
}

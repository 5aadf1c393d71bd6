/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Looking for the origin of a version.  A directory on a dead server may never be opened,
 * nor say what is in it: so each look has a thread, and the loop goes on.
 *
 *	loop: source_look() --> thread: open, is anything of the image in it? --wakes--> loop:
 *	source_looked()
 *
 * A thread cannot be made to end.  It has all that it needs for itself, and who is last,
 * it or the loop, lets that go: so neither the source nor the copier waits for it.
 */
#include "fsd/copier_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "common/log.h"
#include "fsd/origin.h"

struct look {
	atomic_uint ends; /* of thread and loop: who comes second frees it */
	atomic_bool done;
	const struct origin_door *door;
	struct version *version;
	uint32_t id;
	int wake_fd; /* the copier's, duplicated */
	int fd;	     /* the origin, or -1: */
	int err;
	char path[];
};

static void look_free(struct look *l)
{
	version_unref(l->version);
	closep(&l->wake_fd);
	closep(&l->fd);
	free(l);
}

void look_leave(struct look *l)
{
	if (l && atomic_fetch_add(&l->ends, 1))
		look_free(l);
}

static void *look_main(void *arg)
{
	const uint64_t one = 1;
	struct look *l = arg;
	int fd = origin_open(l->door, l->id, l->path);

	l->err = fd < 0 ? -fd : 0;
	if (!l->err && !origin_dir_is(fd, version_manifest(l->version))) {
		l->err = ENODEV;
		closep(&fd);
	}
	l->fd = l->err ? -1 : fd;
	atomic_store(&l->done, true);
	if (write(l->wake_fd, &one, sizeof(one)) < 0)
		errno = 0; /* full: it is awake */
	look_leave(l);
	return NULL;
}

static int look_new(const struct copier *c, const struct source *s, struct look **out)
{
	size_t size = strlen(s->path) + 1;
	struct look *l = calloc(1, sizeof(*l) + size);
	pthread_attr_t detached;
	pthread_t thread;
	int r = 0;

	if (!l)
		return -ENOMEM;
	memcpy(l->path, s->path, size);
	l->door = c->config.door;
	l->version = version_ref(s->version);
	l->id = s->id;
	l->fd = -1;
	l->wake_fd = fcntl(c->wake_fd, F_DUPFD_CLOEXEC, 0);
	if (l->wake_fd < 0)
		r = -errno;
	if (!r) {
		pthread_attr_init(&detached);
		pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
		r = -pthread_create(&thread, &detached, look_main, l);
		pthread_attr_destroy(&detached);
	}
	if (r) {
		look_free(l);
		return r;
	}
	*out = l;
	return 0;
}

static void found(struct source *s, int err)
{
	s->there = !err;
	if (err && !s->told_gone)
		log_error("version %u: its origin %s is not there: %s; files not yet copied wait",
			  s->id, s->path,
			  err == ENODEV ? "nothing of the image is in it" : strerror(err));
	else if (!err && s->told_gone)
		log_info("version %u: its origin %s is back", s->id, s->path);
	s->told_gone = err != 0;
}

void source_look(struct copier *c, struct source *s)
{
	int r;

	if (s->look)
		return;
	r = look_new(c, s, &s->look);
	if (r)
		found(s, -r);
}

/* Jobs that came before it are not to wait for their next try. */
static void jobs_hurry(struct copier *c, struct source *s)
{
	struct instant now = instant_now();

	for (int b = 0; b < JOB_BUCKETS; b++)
		for (struct job *job = s->jobs[b]; job; job = job->chain)
			if (job->state == JOB_LATER)
				job->not_before = now;
	jobs_again(c, s, now);
}

/* Threads may be reading below the old one: the new one takes over its number, so that
 * theirs never means another directory. */
void source_looked(struct copier *c, struct source *s)
{
	struct look *l = s->look;
	int err;

	if (!l || !atomic_load(&l->done))
		return;
	s->look = NULL;
	err = l->err;
	if (!err && s->origin < 0)
		s->origin = take_fd(&l->fd);
	else if (!err && dup3(l->fd, s->origin, O_CLOEXEC) < 0)
		err = errno;
	look_leave(l);
	found(s, err);
	if (!err)
		jobs_hurry(c, s);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/copier_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/sandbox.h"

/* `before` is who waits before it, NULL: nobody. */
static void waiter_unlink(struct job *job, struct waiter *before, struct waiter *w)
{
	if (before)
		before->next = w->next;
	else
		job->waiters = w->next;
	if (job->last == w)
		job->last = before;
}

static void waiters_drop(struct job *job, const struct client *client)
{
	struct waiter *before = NULL;
	struct waiter *next;

	for (struct waiter *w = job->waiters; w; w = next) {
		next = w->next;
		if (w->client != client) {
			before = w;
			continue;
		}
		waiter_unlink(job, before, w);
		free(w);
	}
}

/* A client that does not take its answers is cut off: it asks again. */
void client_close(struct client *client)
{
	struct copier *c = client->copier;
	int fd = client->io.fd;

	loop_remove(&client->io);
	close(fd);
	mends_leave(c, client);
	pthread_mutex_lock(&c->lock);
	for (struct source *s = c->sources; s; s = s->next)
		for (int b = 0; b < JOB_BUCKETS; b++)
			for (struct job *job = s->jobs[b]; job; job = job->chain)
				waiters_drop(job, client);
	pthread_mutex_unlock(&c->lock);
	for (struct client **p = &c->clients; *p; p = &(*p)->next)
		if (*p == client) {
			*p = client->next;
			break;
		}
	c->nclients--;
	free(client);
}

static int reply_send(struct client *client, const struct copier_reply *reply, const int *fds,
		      unsigned int nfds)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} control = {0};
	struct iovec iov = {(void *)(uintptr_t)reply, sizeof(*reply)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (nfds) {
		struct cmsghdr *h;

		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		h = CMSG_FIRSTHDR(&msg);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(h), fds, nfds * sizeof(int));
	}
	return sendmsg(client->io.fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* `status` and, when it is 0, all of the file in `fd`. */
static int reply_whole(struct client *client, const struct copier_ask *ask, int status,
		       uint64_t stamp, const struct fill_record *record, int fd)
{
	const struct copier_reply reply = {
		.id = ask->id, .status = status, .stamp = stamp, .record = *record};

	return reply_send(client, &reply, &fd, status ? 0 : 1);
}

/* Of one state are bytes out already, the copy is of another. */
static bool other_state(const struct copier_ask *ask, uint64_t stamp)
{
	return ask->stamp && stamp && ask->stamp != stamp;
}

static int reply_job(struct job *job, struct client *client, const struct copier_ask *ask,
		     int status)
{
	if (!status && job->copy.read_fd < 0)
		status = -EIO;
	if (!status && other_state(ask, job->stamp))
		status = -ESTALE;
	return reply_whole(client, ask, status, job->stamp, &job->copy.record, job->copy.read_fd);
}

void job_answer(struct copier *c, struct job *job, int status)
{
	for (;;) {
		struct waiter *w;

		pthread_mutex_lock(&c->lock);
		w = job->waiters;
		if (w)
			waiter_unlink(job, NULL, w);
		pthread_mutex_unlock(&c->lock);
		if (!w)
			break;
		w->client->waiting--;
		if (reply_job(job, w->client, &w->ask, status))
			client_close(w->client); /* takes its other waiters along */
		free(w);
	}
}

/* What can be said to this one now?  1: nothing. */
static int some_status(const struct job *job, const struct copier_ask *ask)
{
	const struct flight *f = job->flight;
	uint64_t size = job->copy.record.size;
	uint64_t missing;

	if (other_state(ask, f->stamp))
		return -ESTALE;
	if (extents_have(f->extents, ask->offset, ask->len, &missing) &&
	    (ask->len != COPIER_WHOLE || job->unkept))
		return 0;
	/* More at once than may be in memory. */
	if (job->unkept && ask->offset < size &&
	    (ask->len < size - ask->offset ? ask->len : size - ask->offset) >
		    COPIER_UNKEPT * EXTENT_SIZE)
		return -EIO;
	return 1;
}

static int reply_some(const struct job *job, struct client *client, const struct copier_ask *ask,
		      int status)
{
	const struct flight *f = job->flight;
	const struct copier_reply reply = {.id = ask->id,
					   .status = status,
					   .flight = f->id,
					   .stamp = f->stamp,
					   .record = job->copy.record};
	const int fds[] = {f->read_fd, extents_fd(f->extents)};

	return reply_send(client, &reply, fds, status || ask->flight == f->id ? 0 : 2);
}

static void close_bad(struct copier *c)
{
	struct client *next;

	for (struct client *client = c->clients; client; client = next) {
		next = client->next;
		if (client->bad)
			client_close(client);
	}
}

void job_answer_some(struct copier *c, struct job *job)
{
	struct waiter *before = NULL;
	struct waiter *next;
	bool bad = false;

	/* The thread may take the flight away but under the lock. */
	pthread_mutex_lock(&c->lock);
	for (struct waiter *w = job->waiters; job->flight && w; w = next) {
		int status = some_status(job, &w->ask);

		next = w->next;
		if (status > 0) {
			before = w;
			continue;
		}
		waiter_unlink(job, before, w);
		if (!status)
			job_seen_locked(job);
		w->client->waiting--;
		if (reply_some(job, w->client, &w->ask, status))
			bad = w->client->bad = true;
		free(w);
	}
	pthread_mutex_unlock(&c->lock);
	if (bad)
		close_bad(c);
}

/* The job may be with a thread: of it nothing but its waiters is looked at. */
unsigned int job_give_up(struct copier *c, struct job *job, struct instant before)
{
	const struct fill_record record = {.pos = job->pos};
	struct waiter *next;
	unsigned int n = 0;
	bool bad = false;

	pthread_mutex_lock(&c->lock);
	/* The longest first. */
	for (struct waiter *w = job->waiters; w && w->since.ns < before.ns; w = next) {
		next = w->next;
		waiter_unlink(job, NULL, w);
		w->client->waiting--;
		if (reply_whole(w->client, &w->ask, -EIO, 0, &record, -1))
			bad = w->client->bad = true;
		free(w);
		n++;
	}
	pthread_mutex_unlock(&c->lock);
	if (bad)
		close_bad(c);
	return n;
}

/* The version was sealed since whoever asks mapped its manifest.  The record carries
 * all attributes as they were sealed: drift that the other has not heard of is in
 * them. */
int ask_sealed(struct copier *c, struct client *client, const struct copier_ask *ask, bool mend)
{
	cleanup(version_unrefp) struct version *v = NULL;
	cleanup(closep) int fd = -1;
	struct fill_record record = {.pos = ask->pos};

	if (!version_open(c->config.state_dir, ask->version, &v, NULL) &&
	    manifest_sealed(version_manifest(v)) && version_known(v, ask->pos, &record) &&
	    !(record.flags & FILL_GONE)) {
		record.flags |= FILL_DRIFT;
		fd = objects_get(c->objects, &record.hash, (int64_t)record.size);
		if (mend && (fd == -ENOENT || fd == -EBADMSG) &&
		    !mend_ask(c, client, ask, &record.hash))
			return 0;
	}
	return reply_whole(client, ask, fd < 0 ? -EIO : 0, 0, &record, fd);
}

/* Let the client wait for the job. */
static int ask_wait(struct copier *c, struct client *client, const struct copier_ask *ask,
		    struct job *job)
{
	const struct fill_record record = {.pos = ask->pos};
	struct waiter *w;

	if (client->waiting >= CLIENT_WAITERS)
		return -EBUSY;
	w = job ? malloc(sizeof(*w)) : NULL;
	if (!w)
		return reply_whole(client, ask, -ENOMEM, 0, &record, -1);
	*w = (struct waiter){client, *ask, instant_now(), NULL};
	client->waiting++;
	pthread_mutex_lock(&c->lock);
	if (job->last)
		job->last->next = w;
	else
		job->waiters = w;
	job->last = w;
	if (job->flight)
		job_news_locked(c, job); /* it may be there already */
	pthread_mutex_unlock(&c->lock);
	if (!job->wanted)
		job_want(c, job);
	return 0;
}

/* Somebody wants a file now, or some of it. */
static int ask_take(struct copier *c, struct client *client, const struct copier_ask *ask)
{
	struct source *s = source_find(c, ask->version);
	struct fill_record record = {.pos = ask->pos};
	const struct manifest_node *n;
	struct job *job;

	if (!ask->version)
		return reply_whole(client, ask, -EINVAL, 0, &record, -1);
	c->counts.asks++;
	if (!s) {
		sources_poll(c);
		s = source_find(c, ask->version);
	}
	if (!s)
		return ask_sealed(c, client, ask, true);
	n = manifest_at(version_manifest(s->version), ask->pos);
	if (!n || !S_ISREG(n->mode) || n->link != ask->pos)
		return reply_whole(client, ask, -EINVAL, 0, &record, -1);
	job = *job_slot(s, ask->pos);
	if (!job && version_known(s->version, ask->pos, &record)) {
		cleanup(closep) int fd = -1;

		if (record.flags & FILL_GONE)
			return reply_whole(client, ask, -EIO, 0, &record, -1);
		fd = objects_get(c->objects, &record.hash, (int64_t)record.size);
		if (fd >= 0)
			return reply_whole(client, ask, 0, 0, &record, fd);
	}
	if (job && job->state == JOB_COPIED) {
		if (!(job->copy.record.flags & FILL_GONE))
			job_note(job);
		return reply_job(job, client, ask, 0);
	}
	if (job && job->state == JOB_SEEN)
		job_renew(c, job);
	if (job && job->state == JOB_BROKEN)
		return reply_whole(client, ask, -ESTALE, 0, &record, -1);
	return ask_wait(c, client, ask, job ? job : job_new(c, s, ask->pos, true));
}

static void on_client(struct loop_source *source, uint32_t events)
{
	struct client *client = container(source, struct client, io);
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

int copier_clients(uid_t clients[static 2], struct why *why)
{
	struct sandbox tftp;
	struct sandbox nfs;
	int r = sandbox_identity(SANDBOX_TFTP, &tftp, why);

	if (!r)
		r = sandbox_identity(SANDBOX_NFS, &nfs, why);
	if (r)
		return r;
	clients[0] = tftp.uid;
	clients[1] = nfs.uid;
	return 0;
}

/* A service that was taken over must not keep the others out, nor dhcp read images. */
static bool may_ask(const struct copier *c, int fd, uid_t *uid)
{
	struct ucred who;
	socklen_t len = sizeof(who);
	unsigned int n = 0;

	if (c->nclients == COPIER_CLIENTS || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len))
		return false;
	*uid = who.uid;
	if (!who.uid || who.uid == geteuid())
		return true;
	if (who.uid != c->config.clients[0] && who.uid != c->config.clients[1])
		return false;
	for (const struct client *client = c->clients; client; client = client->next)
		n += client->uid == who.uid;
	return n < COPIER_CLIENTS_EACH;
}

void copier_on_listener(struct loop_source *source, uint32_t events)
{
	struct copier *c = container(source, struct copier, listener);
	int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *client;
	uid_t uid;

	(void)events;
	if (fd < 0)
		return;
	client = may_ask(c, fd, &uid) ? calloc(1, sizeof(*client)) : NULL;
	if (!client) {
		close(fd);
		return;
	}
	client->copier = c;
	client->uid = uid;
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

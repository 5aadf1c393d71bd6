/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/copier_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* A client that does not take its answers is cut off: it asks again. */
void client_close(struct client *client)
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

void job_answer(struct job *job, int status)
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
		fd = objects_get(c->objects, &record.hash, (int64_t)record.size);
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
		fd = objects_get(c->objects, &record.hash, (int64_t)record.size);
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
	if (!job->wanted)
		job_want(c, job);
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

void copier_on_listener(struct loop_source *source, uint32_t events)
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

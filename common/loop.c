/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/loop.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>

enum { LOOP_BATCH = 64 };

struct loop {
	int epoll_fd;
	bool stop;
	struct loop_timer *timers; /* unsorted: a handful */
	uint64_t turn;
	struct epoll_event batch[LOOP_BATCH];
	int batch_len;
	int batch_at;
};

int loop_new(struct loop **out)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return -ENOMEM;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0) {
		int r = -errno;

		free(loop);
		return r;
	}
	*out = loop;
	return 0;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	close(loop->epoll_fd);
	free(loop);
}

int loop_add(struct loop *loop, struct loop_source *source, int fd, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = source};

	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &ev))
		return -errno;
	source->fd = fd;
	source->loop = loop;
	return 0;
}

int loop_change(struct loop_source *source, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = source};

	return epoll_ctl(source->loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &ev) ? -errno : 0;
}

void loop_remove(struct loop_source *source)
{
	struct loop *loop = source->loop;

	if (!loop)
		return;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	for (int i = loop->batch_at; i < loop->batch_len; i++)
		if (loop->batch[i].data.ptr == source)
			loop->batch[i].data.ptr = NULL;
	source->loop = NULL;
	source->fd = -1;
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, struct instant at)
{
	timer->at = at;
	timer->turn = loop->turn;
	if (timer->loop)
		return;
	timer->loop = loop;
	timer->next = loop->timers;
	loop->timers = timer;
}

void loop_timer_clear(struct loop_timer *timer)
{
	if (!timer->loop)
		return;
	for (struct loop_timer **p = &timer->loop->timers; *p; p = &(*p)->next)
		if (*p == timer) {
			*p = timer->next;
			break;
		}
	timer->loop = NULL;
}

/* Of those that were set before turn `before`. */
static struct loop_timer *loop_earliest(struct loop *loop, uint64_t before)
{
	struct loop_timer *first = NULL;

	for (struct loop_timer *t = loop->timers; t; t = t->next)
		if (t->turn < before && (!first || t->at.ns < first->at.ns))
			first = t;
	return first;
}

/* Milliseconds for epoll_wait, rounded up so that a timer is due on waking. */
static int loop_patience(struct loop *loop)
{
	struct loop_timer *first = loop_earliest(loop, UINT64_MAX);
	int64_t ms;

	if (!first || first->at.ns == INT64_MAX)
		return -1;
	ms = (first->at.ns - instant_now().ns + NS_PER_MS - 1) / NS_PER_MS;
	if (ms <= 0)
		return 0;
	return ms > 60000 ? 60000 : (int)ms;
}

static void loop_fire(struct loop *loop)
{
	struct instant now = instant_now();
	struct loop_timer *t;

	loop->turn++;
	while ((t = loop_earliest(loop, loop->turn)) && t->at.ns <= now.ns && !loop->stop) {
		loop_timer_clear(t);
		t->due(t, now);
	}
}

static void loop_on_signal(struct loop_source *source, uint32_t events)
{
	struct signalfd_siginfo info;

	(void)events;
	if (read(source->fd, &info, sizeof(info)) == sizeof(info))
		loop_stop(source->loop);
}

int loop_run(struct loop *loop, bool signals)
{
	struct loop_source on_signal = {.ready = loop_on_signal, .fd = -1};
	cleanup(closep) int signal_fd = -1;
	int r = 0;

	if (signals) {
		sigset_t set;

		sigemptyset(&set);
		sigaddset(&set, SIGTERM);
		sigaddset(&set, SIGINT);
		sigprocmask(SIG_BLOCK, &set, NULL);
		signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
		if (signal_fd < 0)
			return -errno;
		r = loop_add(loop, &on_signal, signal_fd, EPOLLIN);
		if (r)
			return r;
	}
	loop->stop = false;
	while (!loop->stop) {
		loop->batch_len =
			epoll_wait(loop->epoll_fd, loop->batch, LOOP_BATCH, loop_patience(loop));
		if (loop->batch_len < 0) {
			if (errno == EINTR)
				continue;
			r = -errno;
			break;
		}
		for (loop->batch_at = 0; loop->batch_at < loop->batch_len && !loop->stop;) {
			struct epoll_event *ev = &loop->batch[loop->batch_at++];
			struct loop_source *source = ev->data.ptr;

			if (source)
				source->ready(source, ev->events);
		}
		loop->batch_len = 0;
		loop_fire(loop);
	}
	loop_remove(&on_signal);
	return r;
}

void loop_stop(struct loop *loop)
{
	loop->stop = true;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nfs/worker.h"

#include <errno.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/container.h"
#include "nfs/conn.h"
#include "nfs/udp.h"

enum { EVENTS = 128, ACCEPTS = 16, SWEEP_MS = 1000 };

bool worker_count(struct worker_shared *shared, uint32_t address, int change)
{
	uint8_t hash[crypto_shorthash_BYTES];
	_Atomic uint16_t *bucket;
	uint16_t i;

	crypto_shorthash(hash, (const uint8_t *)&address, sizeof(address), shared->seed);
	memcpy(&i, hash, sizeof(i));
	bucket = &shared->per_address[i];
	if (change < 0) {
		atomic_fetch_sub(bucket, 1);
		atomic_fetch_sub(&shared->connections, 1);
		return true;
	}
	if (atomic_fetch_add(bucket, 1) >= shared->config->max_per_address) {
		atomic_fetch_sub(bucket, 1);
		return false;
	}
	if (atomic_fetch_add(&shared->connections, 1) >= shared->config->max_connections) {
		atomic_fetch_sub(&shared->connections, 1);
		atomic_fetch_sub(bucket, 1);
		return false;
	}
	return true;
}

void worker_wake(struct worker *worker)
{
	uint64_t one = 1;

	/* A full counter wakes as well. */
	if (write(worker->wake_fd, &one, sizeof(one)) < 0)
		return;
}

void worker_give(struct worker *worker, struct conn *conn)
{
	pthread_mutex_lock(&worker->inbox_lock);
	conn_set_next_waiting(conn, worker->inbox);
	worker->inbox = conn;
	pthread_mutex_unlock(&worker->inbox_lock);
	worker_wake(worker);
}

/* Hand a connection to the worker with the fewest. */
static void place(struct worker *self, struct conn *conn)
{
	struct worker_shared *shared = self->shared;
	struct worker *best = self;

	for (unsigned int i = 0; i < shared->nworkers; i++)
		if (atomic_load_explicit(&shared->workers[i]->load, memory_order_relaxed) <
		    atomic_load_explicit(&best->load, memory_order_relaxed))
			best = shared->workers[i];
	atomic_fetch_add(&best->load, 1);
	if (best == self) {
		conn_adopt(self, conn);
		return;
	}
	worker_give(best, conn);
}

/* Out of descriptors: take the waiting one with the reserve and hang up, so that
 * the listener does not stay ready for ever and the client knows at once. */
static void hang_up(struct worker *worker, int listen_fd)
{
	int fd;

	close(worker->reserve_fd);
	fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	worker->reserve_fd = eventfd(0, EFD_CLOEXEC);
}

static void tell_full(struct worker *worker, const char *what)
{
	if (log_allow(&worker->full_limit, worker->nfs.now_ns, 3, 10000))
		log_warn("connection refused: %s", what);
}

static void accept_ready(struct worker *worker, struct source *source, uint32_t events)
{
	struct listener *listener = container(source, struct listener, source);

	(void)events;
	for (unsigned int i = 0; i < ACCEPTS; i++) {
		struct conn *conn;
		int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
			tell_full(worker, "out of descriptors");
			hang_up(worker, listener->fd);
			continue;
		}
		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0)
			return;
		if (conn_new(fd, listener->programs, &conn))
			continue;
		if (!worker_count(worker->shared, conn_address(conn), 1)) {
			tell_full(worker, "too many, in all or from one address");
			conn_discard(conn);
			continue;
		}
		place(worker, conn);
	}
}

static void wake_ready(struct worker *worker, struct source *source, uint32_t events)
{
	struct conn *conn;
	uint64_t n;

	(void)source;
	(void)events;
	if (read(worker->wake_fd, &n, sizeof(n)) < 0)
		return;
	pthread_mutex_lock(&worker->inbox_lock);
	conn = worker->inbox;
	worker->inbox = NULL;
	pthread_mutex_unlock(&worker->inbox_lock);
	while (conn) {
		struct conn *next = conn_next_waiting(conn);

		conn_adopt(worker, conn);
		conn = next;
	}
}

static void contents_ready(struct worker *worker, struct source *source, uint32_t events)
{
	(void)source;
	(void)events;
	contents_dispatch(worker->nfs.contents);
}

static int watch(struct worker *worker, int fd, struct source *source, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = source};

	return epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

static int watch_listener(struct worker *worker, int fd, bool udp, uint8_t programs)
{
	struct listener *listener = &worker->listeners[worker->nlisteners];

	if (fd < 0)
		return 0;
	worker->nlisteners++;
	*listener = (struct listener){
		.source.ready = udp ? udp_ready : accept_ready,
		.fd = fd,
		.programs = programs,
	};
	return watch(worker, fd, &listener->source, EPOLLIN | EPOLLEXCLUSIVE);
}

int worker_new(struct worker_shared *shared, struct worker **out, struct why *why)
{
	const struct nfs_config *config = shared->config;
	const struct nfs_fds *fds = &config->fds;
	cleanup(worker_freep) struct worker *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	w->epoll_fd = w->wake_fd = w->reserve_fd = -1;
	w->shared = shared;
	w->runnable_tail = &w->runnable;
	pthread_mutex_init(&w->inbox_lock, NULL);
	w->nfs = (struct nfs){
		.config = config,
		.views = shared->views,
		.exports = shared->exports,
		.mounts = shared->mounts,
		.key = shared->key,
		.may_hold = true,
		.now_ns = instant_now().ns,
	};
	nfs_refresh(&w->nfs);
	err = contents_new(config->state_dir, config->max_open, &w->nfs.contents, why);
	if (!err)
		err = udp_new(&w->udp);
	if (err)
		return err;
	w->out = malloc(WORKER_OUT_SIZE);
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->reserve_fd = eventfd(0, EFD_CLOEXEC);
	if (!w->out)
		return -ENOMEM;
	if (w->epoll_fd < 0 || w->wake_fd < 0 || w->reserve_fd < 0)
		return why_set(why, -errno, "nfs worker: %s", strerror(errno));
	w->wake.ready = wake_ready;
	w->content.ready = contents_ready;
	err = watch(w, w->wake_fd, &w->wake, EPOLLIN);
	if (!err)
		err = watch(w, contents_fd(w->nfs.contents), &w->content, EPOLLIN);
	if (!err)
		err = watch_listener(w, fds->tcp, false, RPC_NFS);
	if (!err)
		err = watch_listener(w, fds->udp, true, RPC_NFS);
	if (!err)
		err = watch_listener(w, fds->portmap_tcp, false, RPC_PORTMAP);
	if (!err)
		err = watch_listener(w, fds->portmap_udp, true, RPC_PORTMAP);
	if (err)
		return why_set(why, err, "nfs worker: %s", strerror(-err));
	*out = take(&w);
	return 0;
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	while (w->inbox) {
		struct conn *conn = w->inbox;

		w->inbox = conn_next_waiting(conn);
		conn_discard(conn);
	}
	while (w->conns)
		conn_close(w, w->conns);
	w->runnable = NULL;
	conn_graves_free(w, true);
	conn_buffers_free(w);
	udp_free(w, w->udp);
	contents_free(w->nfs.contents);
	roster_unref(w->nfs.roster);
	closep(&w->epoll_fd);
	closep(&w->wake_fd);
	closep(&w->reserve_fd);
	pthread_mutex_destroy(&w->inbox_lock);
	free(w->out);
	free(w);
}

/* One turn for each connection that had input left; those that still have come
 * again after the next look at the sockets. */
static void run_runnable(struct worker *w)
{
	struct conn *conn = w->runnable;

	w->runnable = NULL;
	w->runnable_tail = &w->runnable;
	while (conn) {
		struct conn *next = conn_next_waiting(conn);

		conn_run(w, conn);
		conn = next;
	}
}

static void sweep(struct worker *w)
{
	struct conn *conn = w->conns;

	while (conn) {
		struct conn *next = conn_next(conn);

		conn_sweep(w, conn);
		conn = next;
	}
	w->sweep_ns = w->nfs.now_ns + SWEEP_MS * NS_PER_MS;
}

void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct epoll_event events[EVENTS];

	while (!atomic_load_explicit(&w->shared->stop, memory_order_acquire)) {
		int timeout = w->runnable ? 0 : w->held ? HELD_POLL_MS : w->conns ? SWEEP_MS : -1;
		int n;

		atomic_store_explicit(&w->turn_ns, 0, memory_order_relaxed);
		n = epoll_wait(w->epoll_fd, events, EVENTS, timeout);
		if (n < 0 && errno != EINTR) {
			log_error("epoll: %s", strerror(errno));
			abort(); /* the supervisor starts us afresh */
		}
		w->nfs.now_ns = instant_now().ns;
		atomic_store_explicit(&w->turn_ns, w->nfs.now_ns, memory_order_relaxed);
		nfs_refresh(&w->nfs);
		for (int i = 0; i < n; i++) {
			struct source *source = events[i].data.ptr;

			source->ready(w, source, events[i].events);
		}
		if (w->held)
			held_run(w);
		if (w->runnable)
			run_runnable(w);
		if (w->nfs.now_ns >= w->sweep_ns)
			sweep(w);
		conn_graves_free(w, false);
	}
	return NULL;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nfs/child.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "common/container.h"
#include "common/log.h"
#include "common/pulse.h"
#include "nfs/play.h"
#include "nfs/rpcbind.h"
#include "nfs/worker.h"

#define TURN_MAX_NS (20 * NS_PER_SEC) /* of a worker that does not hang */

enum { POLL_MS = 100, BACKLOG = 1024, UDP_BUFFER = 4 << 20, SPARE_FDS = 64 };

void nfs_fds_close(struct nfs_fds *fds)
{
	closep(&fds->tcp);
	closep(&fds->udp);
	closep(&fds->portmap_tcp);
	closep(&fds->portmap_udp);
	*fds = NFS_FDS_NONE;
}

/* `shared`: with one of ours that has it, too. */
static int listen_one(uint32_t address, uint16_t port, int type, bool shared, int *out,
		      struct why *why)
{
	const struct sockaddr_in sin = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(address),
	};
	const char *proto = type == SOCK_STREAM ? "TCP" : "UDP";
	cleanup(closep) int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int size = UDP_BUFFER;
	int on = 1;

	if (fd < 0)
		return why_set(why, -errno, "port %u: %s", port, strerror(errno));
	if (type == SOCK_STREAM) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		/* Those that are accepted inherit these. */
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	} else {
		setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
		if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
			setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
		if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
			setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	}
	if (shared)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)&sin, sizeof(sin)) ||
	    (type == SOCK_STREAM && listen(fd, BACKLOG))) {
		int err = errno;

		if (err == EADDRINUSE)
			return why_set(why, -err,
				       "port %u: in use (%s; who has it: ss -lnp 'sport = :%u')",
				       port,
				       port == NFS_PORTMAP_PORT
					       ? "not by an rpcbind that takes registrations"
					       : "another NFS server?",
				       port);
		return why_set(why, -err, "port %u, %s: %s", port, proto, strerror(err));
	}
	*out = take_fd(&fd);
	return 0;
}

/* Our own port mapper, or a place in the one that is there. */
static int listen_portmap(uint32_t address, uint16_t port, bool shared, struct nfs_fds *fds,
			  struct why *why)
{
	struct why in_use = {0};
	int err = listen_one(address, NFS_PORTMAP_PORT, SOCK_STREAM, shared, &fds->portmap_tcp,
			     &in_use);

	if (!err)
		err = listen_one(address, NFS_PORTMAP_PORT, SOCK_DGRAM, shared, &fds->portmap_udp,
				 &in_use);
	if (!err)
		return 0;
	closep(&fds->portmap_tcp);
	fds->portmap_tcp = -1;
	if (err != -EADDRINUSE || rpcbind_register(address, port))
		return why_set(why, err, "%s", in_use.text);
	fds->registered = true;
	return 0;
}

void nfs_unregister(const struct nfs_fds *fds)
{
	if (fds->registered)
		rpcbind_unregister();
}

static int listen_all(uint32_t address, uint16_t port, bool shared, struct nfs_fds *out,
		      struct why *why)
{
	struct nfs_fds fds = NFS_FDS_NONE;
	int err;

	if (!port)
		port = NFS_PORT;
	err = listen_one(address, port, SOCK_STREAM, shared, &fds.tcp, why);
	if (!err)
		err = listen_one(address, port, SOCK_DGRAM, shared, &fds.udp, why);
	if (!err)
		err = listen_portmap(address, port, shared, &fds, why);
	if (err) {
		nfs_fds_close(&fds);
		return err;
	}
	*out = fds;
	return 0;
}

/* May somebody else of ours have the port too?  Only while one replaces the other: two
 * servers on one port would share its packets. */
static void share_ports(const struct nfs_fds *fds, int on)
{
	const int all[] = {fds->tcp, fds->udp, fds->portmap_tcp, fds->portmap_udp};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i] >= 0)
			setsockopt(all[i], SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
}

int nfs_listen(const struct nfs_fds *old, uint32_t address, uint16_t port, struct nfs_fds *out,
	       struct why *why)
{
	int r;

	share_ports(old, 1);
	r = listen_all(address, port, old->tcp >= 0, out, why);
	share_ports(old, 0);
	if (!r)
		share_ports(out, 0);
	return r;
}

void nfs_replace(struct nfs_fds *old, const struct nfs_fds *by)
{
	/* The new registration has taken the old one's place. */
	if (!by->registered)
		nfs_unregister(old);
	nfs_fds_close(old);
	*old = *by;
}

static unsigned int or_default(unsigned int value, unsigned int standard)
{
	return value ? value : standard;
}

/* Defaults, and what the process's descriptors allow. */
static void config_complete(struct nfs_config *c)
{
	struct rlimit files = {0};
	struct sockaddr_in sin = {0};
	socklen_t len = sizeof(sin);
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned int room = 1024;

	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
		room = files.rlim_cur > 1 << 20 ? 1 << 20 : (unsigned int)files.rlim_cur;
	}
	room = room > 2 * SPARE_FDS ? room - SPARE_FDS : SPARE_FDS;
	c->workers = or_default(c->workers, cores > 0 ? (unsigned int)cores : 1);
	c->max_connections = or_default(c->max_connections, 8192);
	if (c->max_connections > room / 2)
		c->max_connections = room / 2;
	c->max_open = or_default(c->max_open, 1024);
	if (c->max_open > room / 2 / c->workers)
		c->max_open = room / 2 / c->workers;
	if (c->max_open < 16)
		c->max_open = 16;
	c->max_per_address = or_default(c->max_per_address, 64);
	c->record_secs = or_default(c->record_secs, 30);
	if (!c->port && c->fds.tcp >= 0 && !getsockname(c->fds.tcp, (struct sockaddr *)&sin, &len))
		c->port = ntohs(sin.sin_port);
}

/* The main thread's: the databases, and who asks how it goes. */
struct watch {
	struct worker_shared *shared;
	struct loop *loop;
	struct loop_timer poll;
	struct control *control;
	struct plays *plays;
	struct pulse pulse;
};

static void on_poll(struct loop_timer *timer, struct instant now)
{
	struct watch *w = container(timer, struct watch, poll);

	exports_poll(w->shared->exports);
	views_poll(w->shared->views);
	loop_timer_set(w->loop, timer, instant_add_ms(now, POLL_MS));
}

static void tallies_stats(const struct worker_shared *shared, struct stats *stats)
{
	cleanup(freep) const struct tally **tallies = calloc(shared->nworkers, sizeof(*tallies));

	if (!tallies)
		return;
	for (unsigned int i = 0; i < shared->nworkers; i++)
		tallies[i] = &shared->workers[i]->nfs.tally;
	tally_stats(tallies, shared->nworkers, stats);
}

static void watch_stats(void *ctx, struct stats *stats)
{
	const struct watch *w = ctx;
	const struct nfs_fds *fds = &w->shared->config->fds;
	uint64_t calls = 0;

	for (unsigned int i = 0; i < w->shared->nworkers; i++)
		calls += atomic_load_explicit(&w->shared->workers[i]->nfs.calls,
					      memory_order_relaxed);
	stats_gauge(stats, "rootstock_nfs_connections", "TCP connections to NFS and port mapper.",
		    atomic_load(&w->shared->connections));
	stats_gauge(stats, "rootstock_nfs_connections_max", "How many there may be.",
		    w->shared->config->max_connections);
	stats_counter(stats, "rootstock_nfs_calls_total",
		      "Calls to NFS, MOUNT and port mapper, by TCP and UDP.", calls);
	tallies_stats(w->shared, stats);
	stats_counter(stats, "rootstock_nfs_datagrams_dropped_total",
		      "Datagrams for which the sockets had no room.",
		      socket_drops(fds->udp) + socket_drops(fds->portmap_udp));
}

static void watch_connect(void *ctx, struct asker *asker, struct bytes args)
{
	const struct watch *w = ctx;

	plays_connect(w->plays, asker, args);
}

/* Do the workers turn?  Who waits for work does. */
static bool workers_turn(void *ctx, struct instant now)
{
	const struct worker_shared *shared = ctx;

	for (unsigned int i = 0; i < shared->nworkers; i++) {
		int64_t began =
			atomic_load_explicit(&shared->workers[i]->turn_ns, memory_order_relaxed);

		if (began && now.ns - began > TURN_MAX_NS)
			return false;
	}
	return true;
}

/* Returns when a signal says so. */
static int watch_databases(struct worker_shared *shared)
{
	struct watch w = {.shared = shared, .poll.due = on_poll};
	static const struct control_verb verbs[] = {{"connect", watch_connect}, {0}};
	const struct control_config control = {
		.door = shared->config->control, .stats = watch_stats, .verbs = verbs, .ctx = &w};
	int r = loop_new(&w.loop);

	if (!r)
		r = plays_new(w.loop, shared, &w.plays);
	if (!r)
		r = control_new(w.loop, &control, &w.control);
	if (!r) {
		loop_timer_set(w.loop, &w.poll, instant_add_ms(instant_now(), POLL_MS));
		pulse_begin(&w.pulse, w.loop, shared->config->event_fd);
		pulse_while(&w.pulse, workers_turn, shared);
		r = loop_run(w.loop, true);
	}
	control_free(w.control);
	plays_free(w.plays);
	loop_free(w.loop);
	return r;
}

static int serve(struct worker_shared *shared, struct why *why)
{
	unsigned int n = shared->config->workers;
	cleanup(freep) pthread_t *threads = calloc(n, sizeof(*threads));
	unsigned int running = 0;
	int err = 0;

	shared->workers = calloc(n, sizeof(*shared->workers));
	if (!threads || !shared->workers)
		return -ENOMEM;
	/* All of them before the first runs: they hand connections to each other. */
	while (!err && shared->nworkers < n) {
		err = worker_new(shared, &shared->workers[shared->nworkers], why);
		if (!err)
			shared->nworkers++;
	}
	while (!err && running < n) {
		err = -pthread_create(&threads[running], NULL, worker_main,
				      shared->workers[running]);
		if (!err)
			running++;
	}
	if (!err) {
		log_info("NFS on port %u, %u workers", shared->config->port, n);
		err = watch_databases(shared);
	}
	atomic_store(&shared->stop, true);
	for (unsigned int i = 0; i < running; i++)
		worker_wake(shared->workers[i]);
	for (unsigned int i = 0; i < running; i++)
		pthread_join(threads[i], NULL);
	for (unsigned int i = 0; i < shared->nworkers; i++)
		worker_free(shared->workers[i]);
	free(shared->workers);
	return err;
}

int nfs_child(const struct nfs_config *given)
{
	struct nfs_config config = *given;
	cleanup(freep) struct worker_shared *shared = calloc(1, sizeof(*shared));
	cleanup(exports_closep) struct exports *exports = NULL;
	cleanup(mounts_freep) struct mounts *mounts = NULL;
	cleanup(views_closep) struct views *views = NULL;
	struct why why = {0};
	sigset_t signals;
	int err;

	signal(SIGPIPE, SIG_IGN); /* sendfile has no MSG_NOSIGNAL */
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	/* For the threads to come: the loop of this one waits for them. */
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	if (!shared || sodium_init() < 0) {
		log_error("cannot start: %s", strerror(errno));
		return 1;
	}
	config_complete(&config);
	err = handle_key_read(config.state_dir, &shared->key, &why);
	if (!err)
		err = views_open(config.state_dir, &views, &why);
	if (!err)
		err = exports_open(config.state_dir, &config, &exports, &why);
	if (!err)
		err = mounts_new(config.event_fd, &mounts);
	if (!err) {
		shared->config = &config;
		shared->views = views;
		shared->exports = exports;
		shared->mounts = mounts;
		randombytes_buf(shared->seed, sizeof(shared->seed));
		err = serve(shared, &why);
	}
	if (err) {
		log_error("cannot serve: %s", why_text(&why, err));
		return 1;
	}
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nfs/play.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/container.h"
#include "nfs/conn.h"

enum { PLAYS = 8, PLAY_SECS = 120, PLAY_OPEN_FILES = 16 };

struct play {
	struct loop_source io; /* the control connection */
	struct loop_timer end;
	struct plays *plays;
	struct play *next;
	struct nfs_config config;
	struct caller_route route;
	struct worker_shared shared;
	struct worker *worker;
	pthread_t thread;
	bool runs;
};

/* What is asked for. */
struct wish {
	struct caller_route route;
	struct mac mac;
	uint8_t programs;
	bool udp;
};

struct plays {
	struct loop *loop;
	const struct worker_shared *shared;
	struct play *list;
	unsigned int n;
};

static void play_free(struct play *p)
{
	int fd = p->io.fd;

	atomic_store(&p->shared.stop, true);
	if (p->runs) {
		worker_wake(p->worker);
		pthread_join(p->thread, NULL);
	}
	worker_free(p->worker);
	nfs_fds_close(&p->config.fds);
	mounts_free(p->shared.mounts);
	exports_close(p->shared.exports);
	loop_timer_clear(&p->end);
	loop_remove(&p->io);
	for (struct play **at = &p->plays->list; *at; at = &(*at)->next)
		if (*at == p) {
			*at = p->next;
			p->plays->n--;
			break;
		}
	closep(&fd);
	free(p);
}

/* The asker has hung up; there is nothing else that he could say. */
static void on_asker(struct loop_source *source, uint32_t events)
{
	(void)events;
	play_free(container(source, struct play, io));
}

static void on_end(struct loop_timer *timer, struct instant now)
{
	(void)now;
	play_free(container(timer, struct play, end));
}

/* A worker like the others, but for what is told and to whom.  Takes `fd` where it is of
 * datagrams. */
static int play_init(struct play *p, const struct worker_shared *like, const struct wish *wish,
		     int *fd, struct why *why)
{
	int r;

	p->config = *like->config;
	p->config.event_fd = -1;
	p->config.fds = NFS_FDS_NONE;
	p->config.max_open = PLAY_OPEN_FILES;
	p->route = wish->route;
	p->shared.played = &p->route;
	if (wish->udp)
		*(wish->programs == RPC_NFS ? &p->config.fds.udp : &p->config.fds.portmap_udp) =
			take_fd(fd);
	p->shared.config = &p->config;
	p->shared.views = like->views;
	p->shared.key = like->key;
	memcpy(p->shared.seed, like->seed, sizeof(p->shared.seed));
	p->shared.workers = &p->worker;
	p->shared.nworkers = 1;
	r = exports_open(p->config.state_dir, &p->config, &p->shared.exports, why);
	if (!r)
		r = exports_assume(p->shared.exports, wish->route.address, &wish->mac);
	if (!r)
		r = mounts_new_dry(p->io.fd, &p->shared.mounts);
	if (!r)
		r = worker_new(&p->shared, &p->worker, why);
	if (!r)
		p->worker->nfs.may_hold = false; /* nobody would be registered meanwhile */
	return r;
}

static int play_stream(struct play *p, int stream, uint8_t programs)
{
	struct conn *conn;
	int r = conn_new_as(stream, programs, &p->route, &conn);

	if (r)
		return r;
	worker_count(&p->shared, p->route.address, 1);
	atomic_fetch_add(&p->worker->load, 1);
	worker_give(p->worker, conn);
	return 0;
}

/* (A filter of system calls has to let threads be made, as for the other workers.) */
static int play_run(struct play *p)
{
	int r = -pthread_create(&p->thread, NULL, worker_main, p->worker);

	p->runs = !r;
	return r;
}

/* One end of a pair: of a stream, or of datagrams. */
static bool is_pair(int fd, bool *datagrams)
{
	int type = 0;
	int domain = 0;
	socklen_t len = sizeof(type);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) ||
	    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) || domain != AF_UNIX)
		return false;
	*datagrams = type == SOCK_DGRAM;
	return (type == SOCK_STREAM || *datagrams) && !fcntl(fd, F_SETFL, O_NONBLOCK);
}

/* "FROM PORT MAC TO nfs|portmap" */
static bool parse(struct bytes args, struct wish *out)
{
	char text[128];
	char from[20];
	char mac[20];
	char to[20];
	char what[20];
	char rest;

	if (!args.len || args.len >= sizeof(text))
		return false;
	memcpy(text, args.at, args.len);
	text[args.len] = '\0';
	if (sscanf(text, "%19s %5hu %19s %19s %19s%c", from, &out->route.port, mac, to, what,
		   &rest) != 5)
		return false;
	out->programs = !strcmp(what, "nfs") ? RPC_NFS : !strcmp(what, "portmap") ? RPC_PORTMAP : 0;
	return out->programs && !ip4_parse(from, &out->route.address) &&
	       !ip4_parse(to, &out->route.local) && !mac_parse(mac, &out->mac);
}

void plays_connect(struct plays *plays, struct asker *asker, struct bytes args)
{
	cleanup(closep) int pair = asker_given(asker);
	struct why why = {""};
	struct wish wish;
	struct play *p;
	int r = 0;

	if (!parse(args, &wish) || !is_pair(pair, &wish.udp))
		r = why_set(&why, -EINVAL,
			    "not: connect ADDRESS PORT MAC ADDRESS nfs|portmap, and a socket");
	else if (plays->n == PLAYS)
		r = why_set(&why, -EBUSY, "too many are playing clients now");
	p = r ? NULL : calloc(1, sizeof(*p));
	if (!p) {
		asker_fail(asker, r ? r : -ENOMEM, &why);
		return;
	}
	p->plays = plays;
	p->io = (struct loop_source){.ready = on_asker, .fd = asker_take(asker)};
	p->end.due = on_end;
	p->next = plays->list;
	plays->list = p;
	plays->n++;
	/* A reason that the asker does not take must hold nobody up. */
	fcntl(p->io.fd, F_SETFL, O_NONBLOCK);
	/* Who asks has perhaps changed something just now. */
	views_poll(plays->shared->views);
	r = play_init(p, plays->shared, &wish, &pair, &why);
	if (!r && !wish.udp)
		r = play_stream(p, take_fd(&pair), wish.programs);
	if (!r)
		r = play_run(p);
	if (!r)
		r = control_end(p->io.fd); /* begun */
	if (!r)
		r = loop_add(plays->loop, &p->io, p->io.fd, EPOLLIN | EPOLLRDHUP);
	if (r) {
		control_fail(p->io.fd, r, why_text(&why, r));
		play_free(p);
		return;
	}
	loop_timer_set(plays->loop, &p->end,
		       instant_add_ms(instant_now(), PLAY_SECS * INT64_C(1000)));
}

int plays_new(struct loop *loop, const struct worker_shared *shared, struct plays **out)
{
	struct plays *plays = calloc(1, sizeof(*plays));

	if (!plays)
		return -ENOMEM;
	plays->loop = loop;
	plays->shared = shared;
	*out = plays;
	return 0;
}

void plays_free(struct plays *plays)
{
	if (!plays)
		return;
	while (plays->list)
		play_free(plays->list);
	free(plays);
}

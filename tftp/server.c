/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tftp/server.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "common/container.h"
#include "tftp/session.h"

enum { SESSIONS = 2048, PER_ADDRESS = 64, RECEIVE_BUFFER = 4 << 20 };

/* Longer than the tree takes to know that nobody is registered.  A client that still wants
 * the file then asks again. */
enum { HOLD_MS = 30000 };

int tftp_listen(uint32_t address, uint16_t port, const char *ifname, int *out, struct why *why)
{
	const struct sockaddr_in sin = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(address),
	};
	cleanup(closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	char text[IP4_TEXT];
	int on = 1;
	int size = RECEIVE_BUFFER;

	if (fd < 0)
		return why_set(why, -errno, "tftp socket: %s", strerror(errno));
	if (ifname && *ifname &&
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, ifname, (socklen_t)strlen(ifname) + 1))
		return why_set(why, -errno, "%s: %s", ifname, strerror(errno));
	if (!address && setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)))
		return why_set(why, -errno, "tftp socket: %s", strerror(errno));
	/* A thousand machines that are switched on at once; FORCE needs privilege. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (bind(fd, (const struct sockaddr *)&sin, sizeof(sin)))
		return why_set(why, -errno, "tftp port %u%s%s: %s", port, address ? " of " : "",
			       address ? ip4_format(address, text) : "",
			       errno == EADDRINUSE ? "in use by another server" : strerror(errno));
	*out = take_fd(&fd);
	return 0;
}

/* ---- turns ---- */

static void timer_set(struct tftp_server *server)
{
	if (!TAILQ_EMPTY(&server->run) || server->untidy)
		loop_timer_set(server->loop, &server->timer, (struct instant){0});
	else if (server->deadlines.n)
		loop_timer_set(server->loop, &server->timer, deadlines_next(&server->deadlines));
	else
		loop_timer_clear(&server->timer);
}

void server_due(struct session *s, struct instant at)
{
	deadlines_set(&s->server->deadlines, &s->deadline, at);
	/* The tree may answer when no packet is there to set it. */
	timer_set(s->server);
}

void server_run(struct session *s)
{
	if (s->in_run)
		return;
	s->in_run = true;
	TAILQ_INSERT_TAIL(&s->server->run, s, of_run);
	timer_set(s->server);
}

static void run_remove(struct session *s)
{
	if (s->in_run)
		TAILQ_REMOVE(&s->server->run, s, of_run);
	s->in_run = false;
}

/* After the sockets that were ready: what is due, and then one send for all who have
 * something to send. */
static void on_timer(struct loop_timer *timer, struct instant now)
{
	struct tftp_server *server = container(timer, struct tftp_server, timer);
	struct deadline *due;
	struct session *last;
	struct session *s;

	server->now = now;
	while ((due = deadlines_take(&server->deadlines, now)))
		session_time((struct session *)due, now);
	/* Those that queue again have their next turn after the sockets. */
	last = TAILQ_LAST(&server->run, session_queue);
	while ((s = TAILQ_FIRST(&server->run))) {
		bool was_last = s == last;

		run_remove(s);
		session_run(s, now);
		if (was_last)
			break;
	}
	outbox_flush(&server->outbox);
	if (server->untidy)
		ports_tidy(server);
	server->untidy = false;
	timer_set(server);
}

/* ---- sessions ---- */

/* By a multiplier of this process's own: nobody picks ports that share a chain. */
static unsigned int hash_of(const struct tftp_server *server, uint64_t key)
{
	return (unsigned int)(key * server->hash_key >> 52) % SESSION_HASH;
}

static struct session_list *of_peer(struct tftp_server *server, const struct sockaddr_in *peer)
{
	return &server->by_peer[hash_of(server,
					(uint64_t)peer->sin_addr.s_addr << 16 | peer->sin_port)];
}

static struct session_list *of_address(struct tftp_server *server, const struct sockaddr_in *peer)
{
	return &server->by_address[hash_of(server, peer->sin_addr.s_addr)];
}

static bool is_from(const struct session *s, const struct sockaddr_in *peer)
{
	return s->peer.sin_addr.s_addr == peer->sin_addr.s_addr;
}

/* A peer has one session at most: its next request ends the last. */
static struct session *session_find(struct tftp_server *server, const struct sockaddr_in *peer)
{
	struct session *s;

	LIST_FOREACH (s, of_peer(server, peer), of_peer)
		if (s->peer.sin_port == peer->sin_port && is_from(s, peer))
			break;
	return s;
}

static void session_add(struct tftp_server *server, struct session *s)
{
	LIST_INSERT_HEAD(of_peer(server, &s->peer), s, of_peer);
	LIST_INSERT_HEAD(of_address(server, &s->peer), s, of_address);
	TAILQ_INSERT_TAIL(&server->opening, s, of_opening);
	s->in_opening = true;
	s->port->sessions++;
	server->nsessions++;
}

void server_acknowledged(struct session *s)
{
	if (s->in_opening)
		TAILQ_REMOVE(&s->server->opening, s, of_opening);
	s->in_opening = false;
}

void server_forget(struct session *s)
{
	struct tftp_server *server = s->server;

	LIST_REMOVE(s, of_peer);
	LIST_REMOVE(s, of_address);
	server_acknowledged(s);
	run_remove(s);
	deadlines_clear(&server->deadlines, &s->deadline);
	server->nsessions--;
	if (!--s->port->sessions)
		server->untidy = true;
	session_free(s);
}

/* ---- packets ---- */

static bool address_is_full(struct tftp_server *server, const struct sockaddr_in *peer)
{
	unsigned int n = 0;
	struct session *s;

	LIST_FOREACH (s, of_address(server, peer), of_address)
		n += is_from(s, peer);
	return n >= server->config.per_address;
}

/* The oldest request of `peer`'s address that nobody has acknowledged, or NULL. */
static struct session *oldest_of_address(struct tftp_server *server, const struct sockaddr_in *peer)
{
	struct session *oldest = NULL;
	struct session *s;

	LIST_FOREACH (s, of_address(server, peer), of_address)
		if (is_from(s, peer) && s->in_opening)
			oldest = s; /* the newest come first */
	return oldest;
}

/* All places are taken, or all of an address: the oldest request that nobody has
 * acknowledged gives way.  Sources can be made up, and a flood of them must only
 * displace itself. */
static void make_room(struct session *oldest)
{
	if (oldest)
		server_forget(oldest);
}

static bool has_room(struct tftp_server *server, const struct sockaddr_in *peer)
{
	const char *what = NULL;
	char address[IP4_TEXT];

	if (server->nsessions >= server->config.sessions)
		make_room(TAILQ_FIRST(&server->opening));
	if (address_is_full(server, peer))
		make_room(oldest_of_address(server, peer));
	if (server->nsessions >= server->config.sessions)
		what = "all transfers are taken";
	else if (address_is_full(server, peer))
		what = "this address has too many transfers";
	if (what && log_allow(&server->troubles, instant_now().ns, 5, 1000))
		log_about(LOG_LEVEL_WARN,
			  &(struct log_about){.address = ntohl(peer->sin_addr.s_addr)},
			  "tftp %s: request dropped: %s (%u under way)",
			  ip4_format(ntohl(peer->sin_addr.s_addr), address), what,
			  server->nsessions);
	return !what;
}

/* The same machine asks from the same port again: a repeat, or (another name, or
 * its transfer is under way) a new start. */
static bool is_repeat(const struct session *s, const struct tftp_request *req)
{
	return s->request.name_len == req->name_len &&
	       !memcmp(s->request.name, req->name, req->name_len) && s->request.op == req->op &&
	       (s->state == SESSION_ASKING || s->transfer.opening);
}

static void open_session(struct listener *listener, const struct sockaddr_in *peer, uint32_t local,
			 const struct tftp_request *req, struct instant now)
{
	struct tftp_server *server = listener->server;
	struct session *s = session_find(server, peer);
	char address[IP4_TEXT];
	struct port *port;
	int r;

	if (s && is_repeat(s, req)) {
		session_repeat(s, now);
		return;
	}
	if (s)
		server_forget(s);
	if (!has_room(server, peer))
		return;
	r = port_choose(server, listener, local, &port);
	s = r ? NULL : calloc(1, sizeof(*s));
	if (!s) { /* out of descriptors, ports or memory: the client asks again */
		if (log_allow(&server->troubles, now.ns, 5, 1000))
			log_error("tftp %s: request dropped: %s (%u transfers under way)",
				  ip4_format(ntohl(peer->sin_addr.s_addr), address),
				  strerror(r ? -r : ENOMEM), server->nsessions);
		return;
	}
	s->server = server;
	s->port = port;
	s->peer = *peer;
	s->local = local;
	s->request = *req;
	memcpy(s->name, req->name, req->name_len);
	s->request.name = s->name;
	session_add(server, s);
	server_due(s, now);
	session_start(s, now);
}

static void on_request(struct listener *listener, const struct sockaddr_in *peer, uint32_t local,
		       const struct bytes *in, struct instant now)
{
	int fd = listener->port.source.fd;
	uint32_t from = listener->config->address ? listener->config->address : local;
	char address[IP4_TEXT];
	char name[4 * 120];
	struct tftp_request req;
	int r = tftp_request_parse(in, &req);

	if (r == -ENOTSUP) {
		session_send_error(fd, from, peer, TFTP_ILLEGAL, "only octet and netascii");
		return;
	}
	if (r || !peer->sin_port) /* no request at all: say nothing to it */
		return;
	if (req.op == TFTP_WRQ) {
		session_send_error(fd, from, peer, TFTP_ACCESS, "read-only");
		if (log_allow(&listener->server->refusals, now.ns, 20, 200))
			log_about(LOG_LEVEL_WARN,
				  &(struct log_about){.address = ntohl(peer->sin_addr.s_addr)},
				  "tftp %s: %s refused: write request",
				  ip4_format(ntohl(peer->sin_addr.s_addr), address),
				  log_escape(name, sizeof(name), req.name, req.name_len));
		return;
	}
	if (req.name_len >= TFTP_NAME_MAX) {
		session_send_error(fd, from, peer, TFTP_ACCESS, "name too long");
		return;
	}
	open_session(listener, peer, from, &req, now);
}

static void on_closed_port(struct tftp_server *server, const struct sockaddr_in *peer)
{
	struct session *s = session_find(server, peer);

	if (s)
		session_unreachable(s, instant_now());
}

static void on_listener_ready(struct loop_source *source, uint32_t events)
{
	struct listener *listener = container(source, struct listener, port.source);
	struct tftp_server *server = listener->server;
	struct port_batch *b = &server->batch;
	struct instant now = instant_now();
	int n;

	if (events & EPOLLERR)
		port_errors(source->fd, server, on_closed_port);
	n = port_receive(b, source->fd);
	for (int i = 0; i < n; i++) {
		struct bytes in = {b->data[i], b->m[i].msg_len};
		struct session *s = session_find(server, &b->peer[i]);

		/* In single-port mode packets of transfers come here too. */
		if (s && s->port == &listener->port && in.len >= 2 && in.at[1] != TFTP_RRQ &&
		    in.at[1] != TFTP_WRQ)
			session_packet(s, &in, now);
		else
			on_request(listener, &b->peer[i], port_batch_local(b, i), &in, now);
	}
	timer_set(server);
}

/* RFC 1350, 4: a packet from elsewhere is answered with an error, and an error with
 * nothing. */
static void on_foreign(int fd, const struct sockaddr_in *peer, const struct bytes *in)
{
	struct tftp_packet p;

	if (!tftp_packet_parse(in, &p) && p.op != TFTP_ERROR)
		session_send_error(fd, 0, peer, TFTP_UNKNOWN_ID, "unknown transfer id");
}

void server_on_port(struct loop_source *source, uint32_t events)
{
	struct port *port = container(source, struct port, source);
	struct tftp_server *server = port->listener->server;
	struct port_batch *b = &server->batch;
	struct instant now = instant_now();
	int n;

	if (events & EPOLLERR)
		port_errors(source->fd, server, on_closed_port);
	n = port_receive(b, source->fd);
	for (int i = 0; i < n; i++) {
		struct bytes in = {b->data[i], b->m[i].msg_len};
		struct session *s = session_find(server, &b->peer[i]);

		if (s && s->port == port)
			session_packet(s, &in, now);
		else
			on_foreign(source->fd, &b->peer[i], &in);
	}
	timer_set(server);
}

/* ---- life ---- */

int tftp_server_new(struct loop *loop, struct tftp_tree *tree,
		    const struct tftp_server_config *config, struct tftp_server **out)
{
	cleanup(tftp_server_freep) struct tftp_server *server = calloc(1, sizeof(*server));
	int on = 1;
	int r;

	if (!server)
		return -ENOMEM;
	server->loop = loop;
	server->tree = tree;
	server->config = *config;
	if (getrandom(&server->hash_key, sizeof(server->hash_key), 0) < 0)
		return -errno;
	server->hash_key |= 1;
	TAILQ_INIT(&server->run);
	TAILQ_INIT(&server->opening);
	port_batch_init(&server->batch);
	outbox_init(&server->outbox, session_left);
	server->timer.due = on_timer;
	if (!server->config.sessions)
		server->config.sessions = SESSIONS;
	if (!server->config.per_address)
		server->config.per_address = PER_ADDRESS;
	if (!server->config.hold_ms)
		server->config.hold_ms = HOLD_MS;
	if (server->config.port_last < server->config.port_first ||
	    config->nlisten > TFTP_LISTENERS)
		return -EINVAL;
	if (getrandom(&server->random, sizeof(server->random), 0) < 0)
		return -errno;
	r = deadlines_init(&server->deadlines, server->config.sessions);
	if (r)
		return r;
	for (unsigned int i = 0; i < config->nlisten; i++) {
		struct listener *l = &server->listeners[i];

		l->server = server;
		l->config = &server->config.listen[i];
		l->port.listener = l;
		l->port.local = l->config->address;
		l->port.source.ready = on_listener_ready;
		if (config->single_port)
			setsockopt(l->config->fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
		r = loop_add(loop, &l->port.source, l->config->fd, EPOLLIN);
		if (r)
			return r;
	}
	*out = take(&server);
	return 0;
}

void tftp_server_free(struct tftp_server *server)
{
	if (!server)
		return;
	for (unsigned int i = 0; i < SESSION_HASH; i++)
		while (!LIST_EMPTY(&server->by_peer[i]))
			server_forget(LIST_FIRST(&server->by_peer[i]));
	ports_tidy(server);
	for (unsigned int i = 0; i < TFTP_LISTENERS; i++)
		loop_remove(&server->listeners[i].port.source);
	loop_timer_clear(&server->timer);
	deadlines_fini(&server->deadlines);
	free(server);
}

unsigned int tftp_server_sessions(const struct tftp_server *server)
{
	return server->nsessions;
}

const struct tftp_counts *tftp_server_counts(const struct tftp_server *server)
{
	return &server->counts;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tftp/server.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "tftp/session.h"

enum {
	SESSIONS = 2048,
	PER_ADDRESS = 64,
	BATCH = 32,
	PACKET_MAX = 2048,
	PORT_TRIES = 64,
	RECEIVE_BUFFER = 4 << 20
};

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
	if (setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)))
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

/* ---- deadlines: a binary heap; a deadline that moves later sinks when it is
 * its turn ---- */

static void heap_put(struct tftp_server *server, unsigned int i, struct session *s)
{
	server->heap[i] = s;
	s->heap_at = i + 1;
}

static void heap_up(struct tftp_server *server, unsigned int i)
{
	struct session *s = server->heap[i];

	while (i && server->heap[(i - 1) / 2]->due.ns > s->due.ns) {
		heap_put(server, i, server->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_put(server, i, s);
}

static void heap_down(struct tftp_server *server, unsigned int i)
{
	struct session *s = server->heap[i];

	for (;;) {
		unsigned int child = 2 * i + 1;

		if (child + 1 < server->nheap &&
		    server->heap[child + 1]->due.ns < server->heap[child]->due.ns)
			child++;
		if (child >= server->nheap || server->heap[child]->due.ns >= s->due.ns)
			break;
		heap_put(server, i, server->heap[child]);
		i = child;
	}
	heap_put(server, i, s);
}

static void heap_remove(struct tftp_server *server, struct session *s)
{
	unsigned int i = s->heap_at - 1;
	struct session *last;

	if (!s->heap_at)
		return;
	s->heap_at = 0;
	last = server->heap[--server->nheap];
	if (last == s)
		return;
	heap_put(server, i, last);
	heap_up(server, i);
	heap_down(server, last->heap_at - 1);
}

static void timer_set(struct tftp_server *server)
{
	if (server->run_first)
		loop_timer_set(server->loop, &server->timer, instant_now());
	else if (server->nheap)
		loop_timer_set(server->loop, &server->timer, server->heap[0]->due);
	else
		loop_timer_clear(&server->timer);
}

void server_due(struct session *s, struct instant at)
{
	struct tftp_server *server = s->server;

	s->due = at;
	if (!s->heap_at)
		heap_put(server, server->nheap++, s);
	heap_up(server, s->heap_at - 1);
	heap_down(server, s->heap_at - 1);
	/* The tree may answer when no packet is there to set it. */
	timer_set(server);
}

/* ---- sessions ---- */

static unsigned int hash_of(int fd, const struct sockaddr_in *peer)
{
	uint64_t key = (uint64_t)peer->sin_addr.s_addr << 32 | (uint64_t)peer->sin_port << 16 |
		       (uint16_t)fd;

	return (unsigned int)(key * UINT64_C(0x9e3779b97f4a7c15) >> 52) % SESSION_HASH;
}

static struct session *session_find(struct tftp_server *server, int fd,
				    const struct sockaddr_in *peer)
{
	struct session *s = server->hash[hash_of(fd, peer)];

	while (s && (s->fd != fd || s->peer.sin_port != peer->sin_port ||
		     s->peer.sin_addr.s_addr != peer->sin_addr.s_addr))
		s = s->hash_next;
	return s;
}

void server_run(struct session *s)
{
	struct tftp_server *server = s->server;

	if (s->in_run)
		return;
	s->in_run = true;
	s->run_next = NULL;
	*server->run_end = s;
	server->run_end = &s->run_next;
	timer_set(server);
}

static void run_remove(struct session *s)
{
	struct tftp_server *server = s->server;
	struct session **p = &server->run_first;

	if (!s->in_run)
		return;
	while (*p != s)
		p = &(*p)->run_next;
	*p = s->run_next;
	if (server->run_end == &s->run_next)
		server->run_end = p;
	s->in_run = false;
}

void server_forget(struct session *s)
{
	struct tftp_server *server = s->server;
	struct session **p = &server->hash[hash_of(s->fd, &s->peer)];

	while (*p != s)
		p = &(*p)->hash_next;
	*p = s->hash_next;
	heap_remove(server, s);
	run_remove(s);
	server->all[s->all_at] = server->all[--server->nsessions];
	server->all[s->all_at]->all_at = s->all_at;
	session_free(s);
}

static void on_timer(struct loop_timer *timer, struct instant now)
{
	struct tftp_server *server =
		(struct tftp_server *)((char *)timer - offsetof(struct tftp_server, timer));
	/* Those that queue again have their next turn after the sockets. */
	struct session *last = server->run_first
				       ? (struct session *)((char *)server->run_end -
							    offsetof(struct session, run_next))
				       : NULL;

	while (server->run_first) {
		struct session *s = server->run_first;
		bool was_last = s == last;

		run_remove(s);
		session_run(s, now);
		if (was_last)
			break;
	}
	while (server->nheap && server->heap[0]->due.ns <= now.ns) {
		struct session *s = server->heap[0];

		heap_remove(server, s);
		session_time(s, now);
	}
	timer_set(server);
}

/* ---- packets ---- */

static int bind_transfer(struct tftp_server *server, int fd, uint32_t address)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
	uint16_t first = server->config.port_first;
	uint32_t n = (uint32_t)(server->config.port_last - first) + 1;

	if (!first)
		return bind(fd, (struct sockaddr *)&sin, sizeof(sin)) ? -errno : 0;
	/* A port that was not used lately: an old client's repeats go astray. */
	for (unsigned int i = 0; i < PORT_TRIES || i < n; i++) {
		server->random = server->random * 1664525 + 1013904223;
		sin.sin_port = htons(
			(uint16_t)(first + (i < PORT_TRIES ? (server->random >> 8) % n : i % n)));
		if (!bind(fd, (struct sockaddr *)&sin, sizeof(sin)))
			return 0;
		if (errno != EADDRINUSE && errno != EACCES)
			return -errno;
	}
	return -EADDRINUSE;
}

static void on_session_ready(struct loop_source *source, uint32_t events);

static int own_socket(struct session *s, const struct listener *listener)
{
	cleanup(closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	const char *ifname = listener->config->ifname;
	int on = 1;
	int r;

	if (fd < 0)
		return -errno;
	if (*ifname) /* may be denied: then the route decides */
		setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, ifname, (socklen_t)strlen(ifname) + 1);
	setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
	r = bind_transfer(s->server, fd, s->local);
	if (r)
		return r;
	s->source.ready = on_session_ready;
	r = loop_add(s->server->loop, &s->source, fd, EPOLLIN);
	if (r)
		return r;
	s->fd = take_fd(&fd);
	return 0;
}

static bool address_is_full(const struct tftp_server *server, const struct sockaddr_in *peer)
{
	unsigned int most = server->config.per_address;
	unsigned int n = 0;

	for (unsigned int i = 0; server->nsessions >= most && i < server->nsessions; i++)
		n += server->all[i]->peer.sin_addr.s_addr == peer->sin_addr.s_addr;
	return n >= most;
}

/* All places are taken, or (`peer`) all of an address: the oldest request that nobody
 * has acknowledged gives way.  Sources can be made up, and a flood of them must only
 * displace itself. */
static void make_room(struct tftp_server *server, const struct sockaddr_in *peer)
{
	struct session *oldest = NULL;

	for (unsigned int i = 0; i < server->nsessions; i++) {
		struct session *s = server->all[i];

		if (peer && peer->sin_addr.s_addr != s->peer.sin_addr.s_addr)
			continue;
		if ((s->state == SESSION_ASKING || s->transfer.opening) &&
		    (!oldest || s->started.ns < oldest->started.ns))
			oldest = s;
	}
	if (oldest)
		server_forget(oldest);
}

static bool has_room(struct tftp_server *server, const struct sockaddr_in *peer)
{
	const char *what = NULL;
	char address[IP4_TEXT];

	if (server->nsessions >= server->config.sessions)
		make_room(server, NULL);
	if (address_is_full(server, peer))
		make_room(server, peer);
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
static struct session *session_of_peer(struct tftp_server *server, const struct sockaddr_in *peer)
{
	for (unsigned int i = 0; i < server->nsessions; i++) {
		struct session *s = server->all[i];

		if (s->peer.sin_port == peer->sin_port &&
		    s->peer.sin_addr.s_addr == peer->sin_addr.s_addr)
			return s;
	}
	return NULL;
}

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
	struct session *s = session_of_peer(server, peer);
	char address[IP4_TEXT];
	unsigned int h;
	int r = 0;

	if (s && is_repeat(s, req)) {
		session_repeat(s, now);
		return;
	}
	if (s)
		server_forget(s);
	if (!has_room(server, peer))
		return;
	s = calloc(1, sizeof(*s));
	if (!s)
		return;
	s->server = server;
	s->peer = *peer;
	s->local = local;
	s->fd = listener->source.fd;
	s->source.fd = -1;
	s->request = *req;
	memcpy(s->name, req->name, req->name_len);
	s->request.name = s->name;
	if (!server->config.single_port)
		r = own_socket(s, listener);
	if (r) { /* out of descriptors or ports: the client asks again */
		if (log_allow(&server->troubles, now.ns, 5, 1000))
			log_error("tftp %s: request dropped: socket: %s (%u transfers under way)",
				  ip4_format(ntohl(peer->sin_addr.s_addr), address), strerror(-r),
				  server->nsessions);
		free(s);
		return;
	}
	h = hash_of(s->fd, peer);
	s->hash_next = server->hash[h];
	server->hash[h] = s;
	s->all_at = server->nsessions;
	server->all[server->nsessions++] = s;
	server_due(s, now);
	session_start(s, now);
}

static void on_request(struct listener *listener, const struct sockaddr_in *peer, uint32_t local,
		       const struct bytes *in, struct instant now)
{
	int fd = listener->source.fd;
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

/* The address that the packet was sent to, as one that we may answer from: the
 * interface's own where it was a broadcast. */
static uint32_t local_of(struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			return ntohl(info.ipi_spec_dst.s_addr);
		}
	return 0;
}

struct batch {
	struct mmsghdr m[BATCH];
	struct iovec iov[BATCH];
	struct sockaddr_in peer[BATCH];
	_Alignas(struct cmsghdr) char control[BATCH][CMSG_SPACE(sizeof(struct in_pktinfo))];
	uint8_t data[BATCH][PACKET_MAX];
};

/* Returns how many came, or -1. */
static int receive(int fd, struct batch *b, unsigned int n)
{
	ssize_t r;
	for (unsigned int i = 0; i < n; i++) {
		b->iov[i] = (struct iovec){b->data[i], PACKET_MAX};
		b->m[i].msg_hdr = (struct msghdr){
			.msg_name = &b->peer[i],
			.msg_namelen = sizeof(b->peer[i]),
			.msg_iov = &b->iov[i],
			.msg_iovlen = 1,
			.msg_control = b->control[i],
			.msg_controllen = sizeof(b->control[i]),
		};
	}
	if (n > 1)
		return recvmmsg(fd, b->m, n, MSG_DONTWAIT, NULL);
	r = recvmsg(fd, &b->m[0].msg_hdr, MSG_DONTWAIT);
	b->m[0].msg_len = r < 0 ? 0 : (unsigned int)r;
	return r < 0 ? -1 : 1;
}

static void on_listener_ready(struct loop_source *source, uint32_t events)
{
	struct listener *listener = (struct listener *)source;
	struct tftp_server *server = listener->server;
	struct instant now = instant_now();
	struct batch b;
	int n = receive(source->fd, &b, BATCH);

	(void)events;
	for (int i = 0; i < n; i++) {
		struct bytes in = {b.data[i], b.m[i].msg_len};
		struct session *s = session_find(server, source->fd, &b.peer[i]);

		/* In single-port mode packets of transfers come here too. */
		if (s && in.len >= 2 && in.at[1] != TFTP_RRQ && in.at[1] != TFTP_WRQ)
			session_packet(s, &in, now);
		else
			on_request(listener, &b.peer[i], local_of(&b.m[i].msg_hdr), &in, now);
	}
	timer_set(server);
}

/* Was it a closed port?  Drains the socket's errors. */
static bool drain_errors(int fd)
{
	bool refused = false;

	for (;;) {
		_Alignas(struct cmsghdr) char control[512];
		char data[64];
		struct iovec iov = {data, sizeof(data)};
		struct msghdr m = {.msg_iov = &iov,
				   .msg_iovlen = 1,
				   .msg_control = control,
				   .msg_controllen = sizeof(control)};

		if (recvmsg(fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
			return refused;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
			struct sock_extended_err err;

			if (c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_RECVERR)
				continue;
			memcpy(&err, CMSG_DATA(c), sizeof(err));
			refused |=
				err.ee_origin == SO_EE_ORIGIN_ICMP && err.ee_errno == ECONNREFUSED;
		}
	}
}

/* RFC 1350, 4: a packet from elsewhere is answered with an error, and an error with
 * nothing. */
static void on_foreign(int fd, const struct sockaddr_in *peer, const struct bytes *in)
{
	struct tftp_packet p;

	if (!tftp_packet_parse(in, &p) && p.op != TFTP_ERROR)
		session_send_error(fd, 0, peer, TFTP_UNKNOWN_ID, "unknown transfer id");
}

static void on_session_ready(struct loop_source *source, uint32_t events)
{
	struct session *s = (struct session *)source;
	struct tftp_server *server = s->server;

	struct instant now = instant_now();
	struct batch b;
	int fd = source->fd;

	if ((events & EPOLLERR) && drain_errors(fd)) {
		session_unreachable(s, now);
		timer_set(server);
		return;
	}
	/* One at a time: a client waits for the answer to its ACK. */
	if (receive(fd, &b, 1) == 1) {
		struct bytes in = {b.data[0], b.m[0].msg_len};

		if (session_find(server, fd, &b.peer[0]) == s)
			session_packet(s, &in, now);
		else
			on_foreign(fd, &b.peer[0], &in);
	}
	timer_set(server);
}

/* ---- life ---- */

int tftp_server_new(struct loop *loop, struct tftp_tree *tree,
		    const struct tftp_server_config *config, struct tftp_server **out)
{
	cleanup(tftp_server_freep) struct tftp_server *server = calloc(1, sizeof(*server));
	int r;

	if (!server)
		return -ENOMEM;
	server->loop = loop;
	server->tree = tree;
	server->config = *config;
	server->run_end = &server->run_first;
	server->timer.due = on_timer;
	if (!server->config.sessions)
		server->config.sessions = SESSIONS;
	if (!server->config.per_address)
		server->config.per_address = PER_ADDRESS;
	if (server->config.port_last < server->config.port_first ||
	    config->nlisten > TFTP_LISTENERS)
		return -EINVAL;
	if (getrandom(&server->random, sizeof(server->random), 0) < 0)
		return -errno;
	server->heap = calloc(server->config.sessions, sizeof(struct session *));
	server->all = calloc(server->config.sessions, sizeof(struct session *));
	if (!server->heap || !server->all)
		return -ENOMEM;
	for (unsigned int i = 0; i < config->nlisten; i++) {
		struct listener *l = &server->listeners[i];

		l->server = server;
		l->config = &server->config.listen[i];
		l->source.ready = on_listener_ready;
		r = loop_add(loop, &l->source, l->config->fd, EPOLLIN);
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
		while (server->hash[i])
			server_forget(server->hash[i]);
	for (unsigned int i = 0; i < TFTP_LISTENERS; i++)
		loop_remove(&server->listeners[i].source);
	loop_timer_clear(&server->timer);
	free(server->heap);
	free(server->all);
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

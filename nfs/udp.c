/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Calls by datagram: a batch in by recvmmsg, their replies out by sendmmsg, each
 * from the address that was asked.
 *
 * All workers read the same sockets.  A caller's identity and view are remembered
 * in a small table by address; two that fall on one place take turns there.
 */
#include "nfs/udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "common/container.h"
#include "nfs/conn.h"
#include "nfs/record.h"
#include "nfs/reply.h"
#include "nfs/worker.h"

enum {
	UDP_PEERS = 256, /* callers remembered */
	UDP_BATCH = 16,
	UDP_BATCHES = 4, /* a wake-up: then the others have their turn */
	UDP_PARKED_MAX = 1024,
	UDP_REPLY_ROOM = RPC_REPLY_MAX + DATA_MAX_UDP + 4
};

/* Where a datagram came from and on which of our addresses. */
struct udp_route {
	struct sockaddr_in peer;
	struct in_addr local;
	int fd;
	uint8_t programs;
};

struct udp_parked {
	struct content_wait wait;
	struct rpc_parked read;
	struct udp_route route;
	struct worker *worker;
	struct udp_parked *prev;
	struct udp_parked *next;
};

struct udp_held {
	struct held held;
	struct udp_route route;
	struct udp_held *next; /* of this worker's, by datagram */
};

union udp_control {
	struct cmsghdr align;
	uint8_t bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
};

struct udp {
	struct caller peers[UDP_PEERS];
	struct udp_parked *parked;
	unsigned int nparked;
	struct udp_held *held;
	/* one batch in */
	struct mmsghdr in[UDP_BATCH];
	struct iovec in_iov[UDP_BATCH];
	struct sockaddr_in in_peer[UDP_BATCH];
	union udp_control in_control[UDP_BATCH];
	uint8_t in_data[UDP_BATCH][RECORD_MAX];
	/* and out */
	unsigned int nout;
	struct mmsghdr out[UDP_BATCH];
	struct iovec out_iov[UDP_BATCH];
	struct udp_route out_route[UDP_BATCH];
	union udp_control out_control[UDP_BATCH];
};

int udp_new(struct udp **out)
{
	struct udp *udp = calloc(1, sizeof(*udp));

	if (!udp)
		return -ENOMEM;
	*out = udp;
	return 0;
}

static void udp_parked_unlink(struct udp *udp, struct udp_parked *p)
{
	if (p->prev)
		p->prev->next = p->next;
	else
		udp->parked = p->next;
	if (p->next)
		p->next->prev = p->prev;
	udp->nparked--;
}

static void udp_held_free(struct worker *worker, struct udp_held *held)
{
	struct udp_held **at = &worker->udp->held;

	while (*at != held)
		at = &(*at)->next;
	*at = held->next;
	held_remove(worker, &held->held);
	free(held);
}

void udp_free(struct worker *worker, struct udp *udp)
{
	if (!udp)
		return;
	while (udp->parked) {
		struct udp_parked *p = udp->parked;

		contents_cancel(worker->nfs.contents, &p->wait);
		udp_parked_unlink(udp, p);
		view_unref(p->read.view);
		free(p);
	}
	while (udp->held)
		udp_held_free(worker, udp->held);
	for (unsigned int i = 0; i < UDP_PEERS; i++)
		caller_fini(&udp->peers[i]);
	free(udp);
}

static struct caller *udp_caller(struct udp *udp, const struct udp_route *route)
{
	uint32_t address = ntohl(route->peer.sin_addr.s_addr);
	uint16_t port = ntohs(route->peer.sin_port);
	uint32_t hash = address * 0x9e3779b1;
	struct caller *c = &udp->peers[(hash ^ hash >> 16) & (UDP_PEERS - 1)];

	if (c->address != address) {
		caller_fini(c);
		*c = (struct caller){.address = address};
	}
	if (c->port != port)
		c->roster_seen = 0; /* whether the port will do is known from there */
	c->port = port;
	c->local = ntohl(route->local.s_addr);
	c->programs = route->programs;
	return c;
}

static struct in_addr asked_address(struct msghdr *msg)
{
	struct in_pktinfo info = {0};

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c))
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)
			memcpy(&info, CMSG_DATA(c), sizeof(info));
	return info.ipi_spec_dst; /* of a broadcast: the interface's own */
}

/* From whom and to which address.  Who is played sends by a pair of sockets, which tell
 * neither. */
static struct udp_route udp_route_of(const struct worker *worker, const struct listener *listener,
				     struct msghdr *msg)
{
	const struct caller_route *played = worker->shared->played;
	struct udp_route route = {.fd = listener->fd, .programs = listener->programs};

	if (played) {
		route.peer.sin_addr.s_addr = htonl(played->address);
		route.peer.sin_port = htons(played->port);
		route.local.s_addr = htonl(played->local);
	} else {
		memcpy(&route.peer, msg->msg_name, sizeof(route.peer));
		route.local = asked_address(msg);
	}
	return route;
}

static void udp_flush(struct worker *worker)
{
	struct udp *udp = worker->udp;
	unsigned int done = 0;

	for (unsigned int i = 0; i < udp->nout; i++) {
		struct udp_route *route = &udp->out_route[i];
		struct in_pktinfo info = {.ipi_spec_dst = route->local};
		struct msghdr *msg = &udp->out[i].msg_hdr;
		struct cmsghdr *cmsg;

		if (worker->shared->played) {
			*msg = (struct msghdr){.msg_iov = &udp->out_iov[i], .msg_iovlen = 1};
			continue;
		}
		*msg = (struct msghdr){
			.msg_name = &route->peer,
			.msg_namelen = sizeof(route->peer),
			.msg_iov = &udp->out_iov[i],
			.msg_iovlen = 1,
			.msg_control = udp->out_control[i].bytes,
			.msg_controllen = sizeof(udp->out_control[i].bytes),
		};
		memset(&udp->out_control[i], 0, sizeof(udp->out_control[i]));
		cmsg = CMSG_FIRSTHDR(msg);
		cmsg->cmsg_level = IPPROTO_IP;
		cmsg->cmsg_type = IP_PKTINFO;
		cmsg->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(cmsg), &info, sizeof(info));
	}
	while (done < udp->nout) {
		/* A batch is from one socket.  What cannot leave is lost, as datagrams
		 * are; the client asks again. */
		int n = sendmmsg(udp->out_route[done].fd, udp->out + done, udp->nout - done,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		done += n > 0 ? (unsigned int)n : 1;
	}
	udp->nout = 0;
	worker->out_len = 0;
}

static struct reply udp_begin(struct worker *worker)
{
	if (worker->udp->nout == UDP_BATCH || worker->out_len + UDP_REPLY_ROOM > WORKER_OUT_SIZE)
		udp_flush(worker);
	return (struct reply){
		.w = writer_of(worker->out + worker->out_len, WORKER_OUT_SIZE - worker->out_len),
	};
}

static void udp_commit(struct worker *worker, const struct udp_route *route, struct reply *reply)
{
	struct udp *udp = worker->udp;
	uint32_t len;

	if (reply->body && reply_copy_body(worker, reply))
		return; /* shorter than it said: no answer is better than a wrong one */
	len = (uint32_t)writer_len(&reply->w);
	udp->out_route[udp->nout] = *route;
	udp->out_iov[udp->nout] = (struct iovec){worker->out + worker->out_len, len};
	udp->nout++;
	worker->out_len += (len + 7) & ~7U;
}

static void udp_parked_done(struct content_wait *wait, int r, struct content *content)
{
	struct udp_parked *p = container(wait, struct udp_parked, wait);
	struct worker *worker = p->worker;
	struct reply reply = udp_begin(worker);

	udp_parked_unlink(worker->udp, p);
	rpc_resume(&worker->nfs, udp_caller(worker->udp, &p->route), &p->read, r, content, &reply);
	udp_commit(worker, &p->route, &reply);
	udp_flush(worker);
	tally_turn(&worker->nfs.tally, instant_now().ns - p->read.since_ns);
	free(p);
}

static void udp_park(struct worker *worker, const struct udp_route *route, struct caller *caller,
		     struct reply *reply)
{
	struct udp *udp = worker->udp;
	struct content *content = NULL;
	struct udp_parked *p = udp->nparked < UDP_PARKED_MAX ? calloc(1, sizeof(*p)) : NULL;
	int r;

	if (!p) {
		view_unref(reply->parked.view);
		return;
	}
	p->wait.done = udp_parked_done;
	p->read = reply->parked;
	p->route = *route;
	p->worker = worker;
	r = contents_open_at(worker->nfs.contents, p->read.view, p->read.node, p->read.offset,
			     p->read.count, &content, &p->wait);
	if (r == CONTENT_WAIT) {
		p->next = udp->parked;
		if (p->next)
			p->next->prev = p;
		udp->parked = p;
		udp->nparked++;
		return;
	}
	*reply = udp_begin(worker);
	rpc_resume(&worker->nfs, caller, &p->read, r, content, reply);
	udp_commit(worker, route, reply);
	free(p);
}

static void udp_held_again(struct worker *worker, struct held *base)
{
	struct udp_held *held = container(base, struct udp_held, held);
	struct caller *caller = udp_caller(worker->udp, &held->route);
	struct reply reply = udp_begin(worker);
	enum rpc_verdict verdict = rpc_answer(&worker->nfs, caller, base->call, base->cut, &reply);

	if (verdict == RPC_HOLD)
		return;
	if (verdict == RPC_SEND) {
		udp_commit(worker, &held->route, &reply);
		udp_flush(worker);
	}
	held_answered(worker, base);
	udp_held_free(worker, held);
}

static void udp_hold(struct worker *worker, const struct udp_route *route, struct caller *caller,
		     struct bytes call)
{
	struct udp *udp = worker->udp;
	struct udp_held *held;
	struct reply reply;

	/* A client that hears nothing sends the same again. */
	for (held = udp->held; held; held = held->next)
		if (held->held.address == caller->address && held->held.call.len == call.len &&
		    !memcmp(held->held.call.at, call.at, call.len))
			return;
	held = calloc(1, sizeof(*held));
	if (held) {
		held->held.again = udp_held_again;
		held->route = *route;
	}
	if (held && !held_add(worker, &held->held, caller->address, call, false)) {
		held->next = udp->held;
		udp->held = held;
		return;
	}
	free(held);
	worker->nfs.may_hold = false;
	reply = udp_begin(worker);
	if (rpc_answer(&worker->nfs, caller, call, false, &reply) == RPC_SEND)
		udp_commit(worker, route, &reply);
	worker->nfs.may_hold = true;
}

static void udp_call(struct worker *worker, const struct udp_route *route, struct bytes call,
		     bool cut)
{
	struct caller *caller = udp_caller(worker->udp, route);
	struct reply reply = udp_begin(worker);

	switch (rpc_answer(&worker->nfs, caller, call, cut, &reply)) {
	case RPC_SEND:
		udp_commit(worker, route, &reply);
		break;
	case RPC_PARK:
		udp_park(worker, route, caller, &reply);
		break;
	case RPC_HOLD:
		udp_hold(worker, route, caller, call);
		break;
	case RPC_DROP:
	case RPC_CLOSE:
		break;
	}
}

void udp_ready(struct worker *worker, struct source *source, uint32_t events)
{
	struct listener *listener = container(source, struct listener, source);
	struct udp *udp = worker->udp;

	(void)events;
	for (unsigned int batch = 0; batch < UDP_BATCHES; batch++) {
		int n;

		for (unsigned int i = 0; i < UDP_BATCH; i++) {
			udp->in_iov[i] = (struct iovec){udp->in_data[i], sizeof(udp->in_data[i])};
			udp->in[i].msg_hdr = (struct msghdr){
				.msg_name = &udp->in_peer[i],
				.msg_namelen = sizeof(udp->in_peer[i]),
				.msg_iov = &udp->in_iov[i],
				.msg_iovlen = 1,
				.msg_control = &udp->in_control[i],
				.msg_controllen = sizeof(udp->in_control[i]),
			};
		}
		n = recvmmsg(listener->fd, udp->in, UDP_BATCH, MSG_DONTWAIT, NULL);
		for (int i = 0; i < n; i++) {
			struct msghdr *msg = &udp->in[i].msg_hdr;
			const struct udp_route route = udp_route_of(worker, listener, msg);
			const struct bytes call = {udp->in_data[i], udp->in[i].msg_len};
			bool cut = msg->msg_flags & MSG_TRUNC;

			if (!route.peer.sin_port || (cut && !rpc_is_write(call)))
				continue;
			udp_call(worker, &route, call, cut);
		}
		udp_flush(worker);
		if (worker->nfs.tally.n)
			tally_turn(&worker->nfs.tally, instant_now().ns - worker->nfs.now_ns);
		if (n < UDP_BATCH)
			break;
	}
}

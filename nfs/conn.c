/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One TCP connection: calls in, replies out.
 *
 *	recv --> record_next --> rpc_answer --> worker->out --> one send
 *	                                   \--> large READ: header with MSG_MORE, sendfile
 *
 * A turn takes one buffer of input, or less when the connection has had its
 * share; what is left waits in the buffer for the next turn, so that a greedy
 * client cannot starve the others.  Nothing is read while output is waiting for
 * the client: what it costs us is bounded by one turn.  An idle connection has
 * no buffer at all.
 */
#include "nfs/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/container.h"
#include "nfs/outq.h"
#include "nfs/record.h"
#include "nfs/reply.h"
#include "nfs/worker.h"

enum {
	IN_SIZE = 64 << 10, /* one recv */
	TURN_CALLS = 512,
	TURN_BYTES = 2 << 20,
	/* Below this a READ's data is copied behind its header and leaves with the
	 * other replies; from here on sendfile is cheaper (HACKING.md, Measuring). */
	SENDFILE_MIN = 32 << 10,
	/* A connection without a call; Linux drops its own idle ones after five minutes. */
	IDLE_SECS = 400,
	PARKED_MAX = 64, /* calls that wait for bytes, a connection */
	FLUSH_AT = 256 << 10
};

_Static_assert((int)TURN_CALLS <= (int)TALLY_TURN, "a turn's calls are all counted");
_Static_assert(FLUSH_AT + 4 + RPC_REPLY_MAX + SENDFILE_MIN + 4 <= WORKER_OUT_SIZE,
	       "there is always room for one more reply");

/* An input buffer, lent to a connection for as long as bytes lie in it. */
struct inbuf {
	struct inbuf *next;
	uint32_t at;
	uint32_t len; /* from `at` on */
	uint8_t data[IN_SIZE];
};

struct conn {
	struct source source;
	int fd;
	bool dead;
	bool queued; /* in worker->runnable */
	bool broken; /* to be closed at its next turn */
	uint32_t events;
	struct caller caller;
	struct record record;
	struct inbuf *in;
	struct outq out; /* what the client was not ready for */
	struct parked *parked;
	unsigned int nparked;
	struct conn_held *held; /* one at most, and no other call meanwhile */
	uint64_t calls;
	int64_t active_ns;  /* the last call, or progress in output */
	int64_t partial_ns; /* since when a record is incomplete; 0 */
	struct worker *worker;
	struct conn *prev;
	struct conn *next;
	struct conn *next_waiting;
};

/* A READ that waits for the copier. */
struct parked {
	struct content_wait wait;
	struct rpc_parked read;
	struct conn *conn;
	struct parked *prev;
	struct parked *next;
};

/* A MNT that waits for its machine to be registered. */
struct conn_held {
	struct held held;
	struct conn *conn;
};

static void conn_ready(struct worker *worker, struct source *source, uint32_t events);

struct conn *conn_next(struct conn *conn)
{
	return conn->next;
}

uint32_t conn_address(const struct conn *conn)
{
	return conn->caller.address;
}

struct conn *conn_next_waiting(struct conn *conn)
{
	return conn->next_waiting;
}

void conn_set_next_waiting(struct conn *conn, struct conn *next)
{
	conn->next_waiting = next;
}

int conn_new(int fd, uint8_t programs, struct conn **out)
{
	struct sockaddr_in peer = {0};
	struct sockaddr_in local = {0};
	socklen_t len = sizeof(peer);
	struct caller_route route;

	if (getpeername(fd, (struct sockaddr *)&peer, &len)) {
		close(fd); /* gone already */
		return -ENOTCONN;
	}
	len = sizeof(local);
	getsockname(fd, (struct sockaddr *)&local, &len);
	route.address = ntohl(peer.sin_addr.s_addr);
	route.port = ntohs(peer.sin_port);
	route.local = ntohl(local.sin_addr.s_addr);
	return conn_new_as(fd, programs, &route, out);
}

int conn_new_as(int fd, uint8_t programs, const struct caller_route *route, struct conn **out)
{
	struct conn *conn = calloc(1, sizeof(*conn));

	if (!conn) {
		close(fd);
		return -ENOMEM;
	}
	conn->source.ready = conn_ready;
	conn->fd = fd;
	conn->caller.address = route->address;
	conn->caller.port = route->port;
	conn->caller.local = route->local;
	conn->caller.tcp = true;
	conn->caller.programs = programs;
	*out = conn;
	return 0;
}

void conn_discard(struct conn *conn)
{
	close(conn->fd);
	free(conn);
}

void conn_adopt(struct worker *worker, struct conn *conn)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &conn->source};

	conn->worker = worker;
	conn->active_ns = worker->nfs.now_ns;
	conn->next = worker->conns;
	if (conn->next)
		conn->next->prev = conn;
	worker->conns = conn;
	conn->events = EPOLLIN;
	if (epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, conn->fd, &ev))
		conn_close(worker, conn);
}

static struct inbuf *inbuf_take(struct worker *worker)
{
	struct inbuf *in = worker->spare;

	if (in) {
		worker->spare = in->next;
		worker->nspare--;
	} else {
		in = malloc(sizeof(*in));
		if (!in)
			return NULL;
	}
	in->at = in->len = 0;
	return in;
}

static void inbuf_give(struct worker *worker, struct inbuf *in)
{
	if (worker->nspare >= 16) {
		free(in);
		return;
	}
	in->next = worker->spare;
	worker->spare = in;
	worker->nspare++;
}

void conn_buffers_free(struct worker *worker)
{
	while (worker->spare) {
		struct inbuf *in = worker->spare;

		worker->spare = in->next;
		free(in);
	}
}

static void parked_unlink(struct parked *p)
{
	if (p->prev)
		p->prev->next = p->next;
	else
		p->conn->parked = p->next;
	if (p->next)
		p->next->prev = p->prev;
	p->conn->nparked--;
}

static void conn_held_free(struct worker *worker, struct conn *conn)
{
	held_remove(worker, &conn->held->held);
	free(take(&conn->held));
}

void conn_close(struct worker *worker, struct conn *conn)
{
	if (conn->dead)
		return;
	conn->dead = true;
	close(conn->fd);
	while (conn->parked) {
		struct parked *p = conn->parked;

		contents_cancel(worker->nfs.contents, &p->wait);
		parked_unlink(p);
		view_unref(p->read.view);
		free(p);
	}
	if (conn->held)
		conn_held_free(worker, conn);
	outq_fini(&conn->out);
	if (conn->in)
		inbuf_give(worker, take(&conn->in));
	record_fini(&conn->record);
	caller_fini(&conn->caller);
	if (conn->prev)
		conn->prev->next = conn->next;
	else
		worker->conns = conn->next;
	if (conn->next)
		conn->next->prev = conn->prev;
	worker_count(worker->shared, conn->caller.address, -1);
	atomic_fetch_sub(&worker->load, 1);
	/* Events of this round may still point here, and so may `runnable`. */
	conn->next = worker->graves;
	worker->graves = conn;
}

void conn_graves_free(struct worker *worker, bool all)
{
	struct conn **at = &worker->graves;

	while (*at) {
		struct conn *conn = *at;

		if (conn->queued && !all) { /* still in `runnable`: next round */
			at = &conn->next;
			continue;
		}
		*at = conn->next;
		free(conn);
	}
}

static void conn_events(struct conn *conn, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = &conn->source};

	if (conn->events == events)
		return;
	conn->events = events;
	epoll_ctl(conn->worker->epoll_fd, EPOLL_CTL_MOD, conn->fd, &ev);
}

static bool conn_may_read(const struct conn *conn)
{
	return outq_empty(&conn->out) && !conn->held && conn->nparked < PARKED_MAX;
}

static void conn_queue(struct worker *worker, struct conn *conn)
{
	if (conn->queued)
		return;
	conn->queued = true;
	conn->next_waiting = NULL;
	*worker->runnable_tail = conn;
	worker->runnable_tail = &conn->next_waiting;
}

/* Set what is waited for, and come back for input that is here already. */
static void conn_settle(struct worker *worker, struct conn *conn)
{
	bool may_read;

	if (conn->dead)
		return;
	may_read = conn_may_read(conn);
	/* With input in the buffer the socket's own can wait. */
	conn_events(conn, (outq_empty(&conn->out) ? 0 : EPOLLOUT) |
				  (may_read && !conn->in ? EPOLLIN : 0U));
	if (may_read && conn->in)
		conn_queue(worker, conn);
}

/* Send what the batch has gathered; what the client does not take is queued. */
static int conn_flush(struct worker *worker, struct conn *conn, bool more)
{
	ssize_t n = 0;
	uint32_t len = worker->out_len;

	if (!len)
		return 0;
	worker->out_len = 0;
	if (outq_empty(&conn->out))
		n = send_bytes(conn->fd, worker->out, len, more);
	if (n < 0)
		return (int)n;
	if (n < (ssize_t)len)
		return outq_bytes(&conn->out, worker->out + n, len - (size_t)n);
	return 0;
}

static struct reply reply_begin(struct worker *worker)
{
	return (struct reply){
		.w = writer_of(worker->out + worker->out_len + 4,
			       WORKER_OUT_SIZE - worker->out_len - 4),
	};
}

/* Put a finished reply into the batch, its record mark before it. */
static int reply_commit(struct worker *worker, struct conn *conn, struct reply *reply)
{
	static const uint8_t zeros[4];
	struct writer mark = writer_of(worker->out + worker->out_len, 4);
	uint32_t padding = reply_padding(reply);
	uint64_t offset = reply->body_offset;
	size_t len = reply->body_len;
	ssize_t n = 0;
	int err;

	if (reply->body && len >= SENDFILE_MIN)
		reply_check_body(worker, reply);
	if (!reply->body || len < SENDFILE_MIN) {
		err = reply->body ? reply_copy_body(worker, reply) : 0;
		if (err)
			return err;
		writer_be32(&mark, RECORD_LAST | (uint32_t)writer_len(&reply->w));
		worker->out_len += 4 + (uint32_t)writer_len(&reply->w);
		return 0;
	}
	writer_be32(&mark, RECORD_LAST | (uint32_t)(writer_len(&reply->w) + len + padding));
	worker->out_len += 4 + (uint32_t)writer_len(&reply->w);
	err = conn_flush(worker, conn, true);
	if (!err && outq_empty(&conn->out))
		n = send_content(conn->fd, reply->body, offset, len, false);
	if (err || n < 0) {
		content_unref(take(&reply->body));
		return err ? err : reply_body_failed(worker, (int)n);
	}
	if ((size_t)n == len) {
		content_unref(take(&reply->body));
		memcpy(worker->out, zeros, padding); /* leaves with the next reply */
		worker->out_len = padding;
		return 0;
	}
	err = outq_content(&conn->out, take(&reply->body), offset + (uint64_t)n, len - (size_t)n);
	if (!err && padding)
		err = outq_bytes(&conn->out, zeros, padding);
	return err;
}

static void parked_done(struct content_wait *wait, int r, struct content *content)
{
	struct parked *p = container(wait, struct parked, wait);
	struct conn *conn = p->conn;
	struct worker *worker = conn->worker;
	struct reply reply = reply_begin(worker);
	int64_t since_ns = p->read.since_ns;
	int err = 0;

	parked_unlink(p);
	rpc_resume(&worker->nfs, &conn->caller, &p->read, r, content, &reply);
	free(p);
	conn->active_ns = worker->nfs.now_ns;
	if (conn->broken)
		content_unref(take(&reply.body));
	else
		err = reply_commit(worker, conn, &reply);
	if (!err)
		err = conn_flush(worker, conn, false);
	tally_turn(&worker->nfs.tally, instant_now().ns - since_ns);
	worker->out_len = 0;
	if (err) {
		/* Closing cancels other waits, of which the one who calls us may hold
		 * the next: so not from in here. */
		conn->broken = true;
		conn_queue(worker, conn);
		return;
	}
	conn_settle(worker, conn);
}

/* Returns 0 when it waits or was answered at once, or a negative errno. */
static int conn_park(struct worker *worker, struct conn *conn, struct reply *reply)
{
	struct parked *p = calloc(1, sizeof(*p));
	struct content *content = NULL;
	int r;

	if (!p) {
		view_unref(reply->parked.view);
		return -ENOMEM;
	}
	p->wait.done = parked_done;
	p->read = reply->parked;
	p->conn = conn;
	r = contents_open_at(worker->nfs.contents, p->read.view, p->read.node, p->read.offset,
			     p->read.count, &content, &p->wait);
	if (r == CONTENT_WAIT) {
		p->next = conn->parked;
		if (p->next)
			p->next->prev = p;
		conn->parked = p;
		conn->nparked++;
		return 0;
	}
	*reply = reply_begin(worker);
	rpc_resume(&worker->nfs, &conn->caller, &p->read, r, content, reply);
	free(p);
	return reply_commit(worker, conn, reply);
}

/* Ask the held call again. */
static void conn_held_again(struct worker *worker, struct held *held)
{
	struct conn *conn = container(held, struct conn_held, held)->conn;
	struct reply reply = reply_begin(worker);
	int err;

	switch (rpc_answer(&worker->nfs, &conn->caller, held->call, held->cut, &reply)) {
	case RPC_HOLD:
		return;
	case RPC_SEND:
		err = reply_commit(worker, conn, &reply);
		if (!err)
			err = conn_flush(worker, conn, false);
		break;
	default: /* a MNT gets an answer */
		err = -EBADMSG;
		break;
	}
	worker->out_len = 0;
	conn->active_ns = worker->nfs.now_ns;
	held_answered(worker, held);
	conn_held_free(worker, conn);
	if (err)
		conn_close(worker, conn);
	else
		conn_settle(worker, conn);
}

/* Returns 0 when it is held or was answered at once, or a negative errno. */
static int conn_hold(struct worker *worker, struct conn *conn, struct bytes call, bool cut)
{
	struct conn_held *held = calloc(1, sizeof(*held));
	struct reply reply = reply_begin(worker);
	enum rpc_verdict verdict;

	if (held) {
		held->held.again = conn_held_again;
		held->conn = conn;
	}
	if (held && !held_add(worker, &held->held, conn->caller.address, call, cut)) {
		conn->held = held;
		return 0;
	}
	free(held);
	worker->nfs.may_hold = false;
	verdict = rpc_answer(&worker->nfs, &conn->caller, call, cut, &reply);
	worker->nfs.may_hold = true;
	return verdict == RPC_SEND ? reply_commit(worker, conn, &reply) : -EBADMSG;
}

/* Answer what lies in conn->in, up to a turn's share. */
static int conn_answer(struct worker *worker, struct conn *conn)
{
	struct inbuf *in = conn->in;
	struct bytes bytes = {in->data + in->at, in->len};
	struct record_call call;
	uint64_t bytes_out = 0;
	int err = 0;

	for (unsigned int calls = 0; calls < TURN_CALLS && bytes_out < TURN_BYTES; calls++) {
		struct reply reply;

		if (!conn_may_read(conn))
			break;
		if (worker->out_len > FLUSH_AT) {
			err = conn_flush(worker, conn, false);
			if (err || !outq_empty(&conn->out))
				break;
		}
		err = record_next(&conn->record, &bytes, &call);
		if (err)
			break;
		reply = reply_begin(worker);
		switch (rpc_answer(&worker->nfs, &conn->caller, call.bytes, call.cut, &reply)) {
		case RPC_SEND:
			bytes_out += writer_len(&reply.w) + reply.body_len;
			err = reply_commit(worker, conn, &reply);
			break;
		case RPC_PARK:
			err = conn_park(worker, conn, &reply);
			break;
		case RPC_HOLD:
			err = conn_hold(worker, conn, call.bytes, call.cut);
			break;
		case RPC_DROP:
			break;
		case RPC_CLOSE:
			err = -EBADMSG;
			break;
		}
		conn->calls++;
		conn->active_ns = worker->nfs.now_ns;
		conn->partial_ns = 0;
		if (err)
			break;
	}
	in->at = (uint32_t)(bytes.at - in->data);
	in->len = (uint32_t)bytes.len;
	if (err == RECORD_MORE)
		err = 0;
	if (record_partial(&conn->record) && !conn->partial_ns)
		conn->partial_ns = worker->nfs.now_ns;
	/* Replies to good calls before a bad one still leave. */
	if (conn_flush(worker, conn, false) && !err)
		err = -EPIPE;
	if (worker->nfs.tally.n)
		tally_turn(&worker->nfs.tally, instant_now().ns - worker->nfs.now_ns);
	return err;
}

void conn_run(struct worker *worker, struct conn *conn)
{
	int err;

	conn->queued = false;
	if (conn->broken)
		conn_close(worker, conn);
	if (conn->dead || !conn_may_read(conn))
		return;
	if (!conn->in) {
		ssize_t n;

		conn->in = inbuf_take(worker);
		if (!conn->in)
			return; /* no memory: level-triggered, so again soon */
		n = recv(conn->fd, conn->in->data, sizeof(conn->in->data), MSG_DONTWAIT);
		if (n <= 0) {
			err = n < 0 ? errno : 0;
			inbuf_give(worker, take(&conn->in));
			if (err != EAGAIN && err != EINTR)
				conn_close(worker, conn);
			return;
		}
		conn->in->len = (uint32_t)n;
	}
	err = conn_answer(worker, conn);
	worker->out_len = 0;
	if (err) {
		conn_close(worker, conn);
		return;
	}
	if (!conn->in->len)
		inbuf_give(worker, take(&conn->in));
	conn_settle(worker, conn);
}

static void conn_ready(struct worker *worker, struct source *source, uint32_t events)
{
	struct conn *conn = container(source, struct conn, source);

	if (conn->dead || conn->broken)
		return;
	if (events & (EPOLLERR | EPOLLHUP)) {
		conn_close(worker, conn);
		return;
	}
	if (events & EPOLLOUT) {
		ssize_t n = outq_drain(&conn->out, conn->fd);

		if (n < 0) {
			reply_body_failed(worker, (int)n);
			conn_close(worker, conn);
			return;
		}
		if (n)
			conn->active_ns = worker->nfs.now_ns;
		conn_settle(worker, conn);
	}
	if (events & EPOLLIN && !conn->queued)
		conn_run(worker, conn);
}

void conn_sweep(struct worker *worker, struct conn *conn)
{
	int64_t now = worker->nfs.now_ns;
	int64_t idle = IDLE_SECS * NS_PER_SEC;
	int64_t slow = worker->nfs.config->record_secs * NS_PER_SEC;

	/* A client calls at once, or never. */
	if (!conn->calls && idle > 2 * slow)
		idle = 2 * slow;
	if ((conn->partial_ns && now - conn->partial_ns > slow) ||
	    (!conn->nparked && now - conn->active_ns > idle)) {
		conn_close(worker, conn);
		return;
	}
	/* Let go of a view that was replaced: the next call takes the new one. */
	if (conn->caller.view && conn->caller.view_seen != views_generation(worker->nfs.views))
		caller_forget(&conn->caller);
}

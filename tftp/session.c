/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tftp/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/container.h"
#include "common/event.h"

enum {
	HOLD_POLL_MS = 50,
	TELL_AGAIN_MS = 5000, /* the supervisor may have been busy */
	STARVED_POLL_MS = 10, /* bytes that the copier has not written yet */
	STARVED_MOST = 3000,
	FETCH_SECS = 60,
	FULL_MS = 2, /* the socket took no more */
};

/* ---- sending ---- */

static void send_small(int fd, uint32_t local, const struct sockaddr_in *peer, const void *data,
		       size_t len)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct in_pktinfo))];
	struct iovec iov = {(void *)(uintptr_t)data, len};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	outbox_aim(&m, local, peer, control);
	sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL); /* lost is lost: UDP */
}

void session_send_error(int fd, uint32_t local, const struct sockaddr_in *peer, enum tftp_code code,
			const char *text)
{
	uint8_t buf[TFTP_SMALL_MAX];
	size_t len = tftp_error_build(buf, sizeof(buf), code, text);

	if (!len)
		len = tftp_error_build(buf, sizeof(buf), code, "refused");
	send_small(fd, local, peer, buf, len);
}

/* Where the socket is bound to no address, each send says where it comes from. */
static uint32_t from_address(const struct session *s)
{
	return s->port->local ? 0 : s->local;
}

/* Fewer than `want` bytes is an end that came too early: the file shrank. */
static int read_whole(struct tftp_file *file, uint8_t *buf, size_t want, uint64_t at)
{
	size_t got = 0;

	while (got < want) {
		ssize_t r = tftp_file_pread(file, buf + got, want - got, at + got);

		if (r < 0)
			return (int)r;
		if (!r)
			return -EIO;
		got += (size_t)r;
	}
	return 0;
}

/* Put some of the blocks that are to leave into the outbox.  Returns 0 or a negative
 * errno of reading them. */
static int put_blocks(struct session *s)
{
	struct outbox *o = &s->server->outbox;
	const struct tftp_transfer *t = &s->transfer;
	struct outbox_blocks b = {
		.session = s,
		.peer = &s->peer,
		.from = from_address(s),
		.first = s->next,
		.size = t->blksize,
		.segment = s->segment,
		.heard = tftp_transfer_heard(t),
	};
	uint64_t left = s->last - s->next + 1;
	unsigned int most = OUTBOX_SEGMENTED / (t->blksize + TFTP_HEADER);
	uint8_t *room;
	size_t len;
	int r;

	most = most > OUTBOX_BLOCKS ? OUTBOX_BLOCKS : most ? most : 1;
	b.n = left < most ? (unsigned int)left : most;
	b.last_size = tftp_block_len(t, s->next + b.n - 1);
	len = (size_t)(b.n - 1) * b.size + b.last_size;
	room = outbox_room(o, s->port->source.fd, b.n, len);
	r = read_whole(s->file, room, len, tftp_block_offset(t, s->next));
	if (!r)
		outbox_add(o, &b);
	return r;
}

/* ---- ending ---- */

static const char *stage_word(enum tftp_stage stage)
{
	static const char *const word[] = {
		[TFTP_STAGE_LOADER] = "loader", [TFTP_STAGE_MODULE] = "module",
		[TFTP_STAGE_MENU] = "menu",	[TFTP_STAGE_KERNEL] = "kernel",
		[TFTP_STAGE_INITRD] = "initrd", [TFTP_STAGE_FILE] = "file",
	};

	return word[stage];
}

static const char *who_text(const struct session *s, char out[static MAC_TEXT])
{
	return s->answer.has_mac ? mac_format(&s->answer.mac, out) : "unknown";
}

static const char *name_text(const struct session *s, char *out, size_t size)
{
	return log_escape(out, size, s->request.name, s->request.name_len);
}

static enum event_step step_of(enum tftp_stage stage)
{
	static const enum event_step step[] = {
		[TFTP_STAGE_LOADER] = STEP_LOADER, [TFTP_STAGE_MODULE] = STEP_MODULE,
		[TFTP_STAGE_MENU] = STEP_MENU,	   [TFTP_STAGE_KERNEL] = STEP_KERNEL,
		[TFTP_STAGE_INITRD] = STEP_INITRD, [TFTP_STAGE_FILE] = STEP_FILE,
	};

	return step[stage];
}

/* `why` (NULL: none) stands behind the name, which gives way to it. */
static void tell(struct session *s, uint32_t kind, uint64_t bytes, const char *why,
		 struct instant now)
{
	uint64_t again = s->transfer.retransmits;
	struct event event = {
		.kind = kind,
		.host = s->answer.host,
		.address = ntohl(s->peer.sin_addr.s_addr),
		.ms = (uint32_t)((now.ns - s->started.ns) / NS_PER_MS),
		.bytes = bytes,
		.at = wall_now_ns(),
		.step = (uint16_t)step_of(s->answer.stage),
		.again = again > UINT16_MAX ? UINT16_MAX : (uint16_t)again,
		.mac = s->answer.mac,
	};
	size_t left = sizeof(event.text);

	if (why)
		left -= strnlen(why, left - 40) + 2;
	name_text(s, event.text, left);
	if (why) {
		size_t len = strlen(event.text);

		snprintf(event.text + len, sizeof(event.text) - len, ": %s", why);
	}
	event_send(s->server->config.event_fd, &event);
}

/* What did not come to its end, of a machine that is known: sources can be made up, and
 * lines must not be without end. */
static void tell_trouble(struct session *s, uint32_t kind, uint64_t bytes, const char *why,
			 struct instant now)
{
	if ((s->answer.host || s->answer.has_mac) && log_allow(&s->server->told, now.ns, 2000, 5))
		tell(s, kind, bytes, why, now);
}

static uint32_t peer_address(const struct session *s)
{
	return ntohl(s->peer.sin_addr.s_addr);
}

static struct log_about about(const struct session *s)
{
	return (struct log_about){
		.mac = s->answer.mac, .address = peer_address(s), .host = s->answer.host_name};
}

/* A line a file is what a boot is told by.  A client that asks for ever gets one a second,
 * so that nobody drowns the others', and all of them a hundred. */
static bool may_tell_finished(struct session *s, struct instant now)
{
	struct tftp_server *server = s->server;
	uint32_t slot = (peer_address(s) * UINT32_C(2654435761)) >> 22;

	return log_allow(&server->finished_by[slot % TELLERS], now.ns, 64, 1000) &&
	       log_allow(&server->finished, now.ns, 20000, 10);
}

static void end_finished(struct session *s, struct instant now)
{
	const struct tftp_transfer *t = &s->transfer;
	struct log_about subject = about(s);
	char name[4 * 120];
	char mac[MAC_TEXT];
	char address[IP4_TEXT];

	s->server->counts.sent++;
	s->server->counts.again += t->retransmits;
	s->server->counts.bytes += t->size;
	if (may_tell_finished(s, now))
		log_about(LOG_LEVEL_INFO, &subject,
			  "%s stage=%s %s file=%s bytes=%llu blk=%u win=%u retx=%llu ms=%lld",
			  who_text(s, mac), stage_word(s->answer.stage),
			  ip4_format(peer_address(s), address), name_text(s, name, sizeof(name)),
			  (unsigned long long)t->size, t->blksize, t->window,
			  (unsigned long long)t->retransmits,
			  (long long)((now.ns - s->started.ns) / NS_PER_MS));
	tell(s, s->answer.stage == TFTP_STAGE_LOADER ? EVENT_LOADER : EVENT_FILE, t->size, NULL,
	     now);
	server_forget(s);
}

static void end_refused(struct session *s, enum tftp_code code, const char *why, bool expected)
{
	struct log_about subject = about(s);
	char name[4 * 120];
	char address[IP4_TEXT];
	struct instant now = instant_now();

	session_send_error(s->port->source.fd, from_address(s), &s->peer, code, why);
	s->server->counts.refused++;
	tell_trouble(s, expected ? EVENT_ABSENT : EVENT_REFUSED, 0, expected ? NULL : why, now);
	if (expected ? log_wants(LOG_LEVEL_DEBUG)
		     : log_allow(&s->server->refusals, now.ns, 20, 200))
		log_about(expected ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN, &subject,
			  "tftp %s: %s refused: %s", ip4_format(peer_address(s), address),
			  name_text(s, name, sizeof(name)), why);
	server_forget(s);
}

static void end_stopped(struct session *s, const char *why, struct instant now)
{
	const struct tftp_transfer *t = &s->transfer;
	struct log_about subject = about(s);
	char name[4 * 120];
	char address[IP4_TEXT];

	s->server->counts.stopped++;
	s->server->counts.again += t->retransmits;
	tell_trouble(s, EVENT_BROKEN, t->acked * t->blksize, why, now);
	if (log_allow(&s->server->troubles, now.ns, 20, 200))
		log_about(LOG_LEVEL_INFO, &subject,
			  "tftp %s: %s stopped after %llu of %llu blocks: %s",
			  ip4_format(peer_address(s), address), name_text(s, name, sizeof(name)),
			  (unsigned long long)t->acked, (unsigned long long)t->blocks, why);
	server_forget(s);
}

/* Not for the client's sake, and nothing that it can mend. */
static void end_failed(struct session *s, int err, struct instant now)
{
	char name[4 * 120];

	if (log_allow(&s->server->failures, now.ns, 20, 200))
		log_error("tftp: %s cannot be sent: %s", name_text(s, name, sizeof(name)),
			  strerror(-err));
	s->server->counts.stopped++;
	server_forget(s);
}

/* ---- the course of things ---- */

static void go_on(struct session *s, int outcome, const struct tftp_reply *reply,
		  struct instant now)
{
	if (!s->transfer.opening)
		server_acknowledged(s);
	switch (outcome) {
	case TFTP_FINISHED:
		end_finished(s, now);
		return;
	case TFTP_PROBED:
		log_debug("tftp: the size of %s was asked", s->name);
		server_forget(s);
		return;
	case TFTP_CLOSED:
		end_stopped(s, "the client closed it", now);
		return;
	case TFTP_SILENT:
		end_stopped(s, "no answer", now);
		return;
	}
	if (reply->len)
		send_small(s->port->source.fd, from_address(s), &s->peer, reply->packet,
			   reply->len);
	if (reply->count) {
		s->next = reply->first; /* what an earlier window still had to send is in it */
		s->last = reply->first + reply->count - 1;
		server_run(s);
		return;
	}
	if (s->next > s->last)
		server_due(s, s->transfer.deadline);
}

/* Some blocks, or none, did not leave: again soon, but not for ever. */
static void try_later(struct session *s, int r, struct instant now)
{
	switch (r) {
	case -EAGAIN:
	case -ENOBUFS:
		server_due(s, instant_add_ms(now, ++s->starved > 5 ? STARVED_POLL_MS : FULL_MS));
		if (s->starved > STARVED_MOST)
			end_stopped(s, "its bytes do not come", now);
		return;
	case -ECONNREFUSED:
	case -EHOSTUNREACH:
	case -ENETUNREACH:
		server_due(s, instant_add_ms(now, FULL_MS));
		if (++s->starved > 5)
			end_stopped(s, strerror(-r), now);
		return;
	default:
		session_send_error(s->port->source.fd, from_address(s), &s->peer, TFTP_UNDEFINED,
				   "read error");
		end_failed(s, r, now);
	}
}

void session_run(struct session *s, struct instant now)
{
	int r = put_blocks(s);

	if (r)
		try_later(s, r, now);
}

void session_left(struct session *s, unsigned int blocks, int r)
{
	struct instant now = s->server->now;

	s->next += blocks;
	if (blocks)
		s->starved = 0;
	if (r && r != -EAGAIN && r != -ENOBUFS && r != -ECONNREFUSED && s->segment) {
		s->segment = false; /* larger than the path takes, or no checksum offload */
		server_run(s);
		return;
	}
	if (r) {
		try_later(s, r, now);
		return;
	}
	if (s->next <= s->last) {
		server_run(s); /* others first */
		return;
	}
	tftp_transfer_flushed(&s->transfer, now);
	server_due(s, s->transfer.deadline);
}

static void begin(struct session *s, struct tftp_file *file, struct instant now)
{
	struct tftp_reply reply;
	int r;

	if (s->request.mode == TFTP_NETASCII) {
		r = tftp_file_netascii(file, &file);
		if (r) {
			end_refused(s, TFTP_UNDEFINED,
				    r == -EFBIG ? "too large for netascii: ask for octet"
						: strerror(-r),
				    false);
			return;
		}
	}
	s->file = file;
	s->state = SESSION_SENDING;
	tftp_transfer_start(&s->transfer, &s->request, file->size, &s->server->config.limits, now,
			    &reply);
	go_on(s, TFTP_GOING, &reply, now);
}

static void on_body(struct tftp_wait *wait, int r, struct tftp_file *file)
{
	struct session *s = container(wait, struct session, wait);

	s->waiting = false;
	if (r)
		end_refused(s, TFTP_UNDEFINED, strerror(-r), false);
	else
		begin(s, file, instant_now());
}

static void ask(struct session *s, struct instant now)
{
	struct tftp_ask ask = {
		.from = ntohl(s->peer.sin_addr.s_addr),
		.to = s->local,
		.name = s->request.name,
		.name_len = s->request.name_len,
		.now = now,
	};
	struct tftp_file *file = NULL;
	int r;

	s->wait.done = on_body;
	r = s->server->tree->open(s->server->tree, &ask, &s->wait, &s->answer, &file);
	switch (r) {
	case 0:
		begin(s, file, now);
		return;
	case TFTP_TREE_WAIT:
		s->waiting = true;
		server_due(s, instant_add_ms(now, FETCH_SECS * 1000));
		return;
	case TFTP_TREE_LATER:
		if (s->answer.stranger && now.ns >= s->tell_at.ns) {
			tell(s, EVENT_UNKNOWN, 0, NULL, now);
			s->tell_at = instant_add_ms(now, TELL_AGAIN_MS);
		}
		if (now.ns < s->hold_until.ns)
			server_due(s, instant_add_ms(now, HOLD_POLL_MS));
		else
			end_stopped(s,
				    s->answer.host ? "it has no view yet"
						   : "it is not registered yet",
				    now);
		return;
	case TFTP_TREE_REFUSED:
		end_refused(s, s->answer.code, why_text(&s->answer.why, 0), s->answer.expected);
		return;
	default:
		end_refused(s, TFTP_UNDEFINED, why_text(&s->answer.why, r), false);
	}
}

void session_start(struct session *s, struct instant now)
{
	s->started = now;
	s->hold_until = instant_add_ms(now, s->server->config.hold_ms);
	s->next = 1;
	s->segment = true;
	ask(s, now);
}

void session_packet(struct session *s, const struct bytes *in, struct instant now)
{
	struct tftp_packet p;
	struct tftp_reply reply;

	if (s->state == SESSION_SENDING)
		go_on(s, tftp_transfer_step(&s->transfer, in, now, &reply), &reply, now);
	else if (!tftp_packet_parse(in, &p) && p.op == TFTP_ERROR)
		server_forget(s); /* it does not want the file any more */
}

void session_repeat(struct session *s, struct instant now)
{
	struct tftp_reply reply;

	if (s->state != SESSION_SENDING)
		return; /* the answer is on its way */
	tftp_transfer_repeat(&s->transfer, now, &reply);
	if (reply.len || reply.count)
		go_on(s, TFTP_GOING, &reply, now);
}

void session_time(struct session *s, struct instant now)
{
	struct tftp_reply reply;

	if (s->state == SESSION_ASKING) {
		if (s->waiting)
			end_refused(s, TFTP_UNDEFINED, "its bytes do not come", false);
		else
			ask(s, now);
	} else if (s->next <= s->last) {
		server_run(s);
	} else {
		go_on(s, tftp_transfer_step(&s->transfer, NULL, now, &reply), &reply, now);
	}
}

/* The peer's port is closed.  After the last block that is how many clients say
 * that they have it all. */
void session_unreachable(struct session *s, struct instant now)
{
	const struct tftp_transfer *t = &s->transfer;

	if (s->state != SESSION_SENDING)
		return;
	if (t->sent == t->blocks && s->next > s->last && !t->opening)
		end_finished(s, now);
	else
		end_stopped(s, "its port is closed", now);
}

void session_free(struct session *s)
{
	if (s->waiting)
		s->server->tree->cancel(s->server->tree, &s->wait);
	tftp_file_close(s->file);
	free(s);
}

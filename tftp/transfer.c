/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tftp/transfer.h"

#define RTO_FIRST (1 * NS_PER_SEC)
#define RTO_MIN (100 * NS_PER_MS)
#define RTO_MAX (8 * NS_PER_SEC)
#define PATIENCE (30 * NS_PER_SEC)

enum { TRIES_LEAST = 6 };

/* Well over the client's own time-out: atftp ignores a block that it has and starts its
 * clock anew, so that repeats closer together than that clock keep it from ever
 * sending its lost ACK again. */
static int64_t rto_ceiling(const struct tftp_transfer *t)
{
	int64_t asked = 2 * t->timeout * NS_PER_SEC;

	return asked > RTO_MAX ? asked : RTO_MAX;
}

static int64_t clamp(int64_t v, int64_t lo, int64_t hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

/* Jacobson and Karels, as RFC 6298 has it. */
static void rtt_measure(struct tftp_transfer *t, struct instant now)
{
	int64_t rtt = now.ns - t->sent_at.ns;
	int64_t off;

	if (!t->resent) {
		if (!t->srtt_ns) {
			t->srtt_ns = rtt;
			t->rttvar_ns = rtt / 2;
			t->rtt_min_ns = rtt;
		} else {
			off = rtt > t->srtt_ns ? rtt - t->srtt_ns : t->srtt_ns - rtt;
			t->rttvar_ns += (off - t->rttvar_ns) / 4;
			t->srtt_ns += (rtt - t->srtt_ns) / 8;
			if (rtt < t->rtt_min_ns)
				t->rtt_min_ns = rtt;
		}
	}
	if (t->srtt_ns)
		t->rto_ns = clamp(t->srtt_ns + 4 * t->rttvar_ns, RTO_MIN, rto_ceiling(t));
}

/* Send the window after `acked`, all of it or only from block `from` on.  Windows
 * only move up, so that the last block of this one is the highest ever sent. */
static void send_from(struct tftp_transfer *t, uint64_t from, struct tftp_reply *out)
{
	uint64_t left = t->blocks - t->acked;
	uint64_t last = t->acked + (left < t->window ? left : t->window);

	out->first = from;
	out->count = from <= last ? (uint32_t)(last - from + 1) : 0;
	if (from <= t->sent)
		t->retransmits += t->sent - from + 1;
	t->packets += out->count;
	t->sent = last;
}

static void send_window(struct tftp_transfer *t, struct instant now, struct tftp_reply *out)
{
	t->resent = t->acked < t->sent;
	send_from(t, t->acked + 1, out);
	t->sent_at = now;
	t->deadline = (struct instant){now.ns + t->rto_ns};
}

static void send_oack(struct tftp_transfer *t, struct instant now, struct tftp_reply *out)
{
	out->len = tftp_oack_build(out->packet, sizeof(out->packet), &t->granted);
	t->packets++;
	t->sent_at = now;
	t->deadline = (struct instant){now.ns + t->rto_ns};
}

static uint32_t least(uint32_t asked, uint32_t limit)
{
	return limit && limit < asked ? limit : asked;
}

void tftp_transfer_start(struct tftp_transfer *t, const struct tftp_request *req, uint64_t size,
			 const struct tftp_limits *limits, struct instant now,
			 struct tftp_reply *out)
{
	const struct tftp_options *asked = &req->options;

	*out = (struct tftp_reply){0};
	*t = (struct tftp_transfer){
		.blksize = TFTP_BLKSIZE,
		.window = 1,
		.timeout = asked->timeout,
		.size = size,
		.opening = true,
		.rto_ns = RTO_FIRST,
		.moved_at = now,
		.tries = 1,
	};
	if (asked->blksize)
		t->blksize = t->granted.blksize = least(asked->blksize, limits->blksize);
	if (asked->windowsize && limits->windowsize != 1)
		t->window = t->granted.windowsize = least(asked->windowsize, limits->windowsize);
	t->granted.timeout = asked->timeout;
	/* curl takes a size of 0 in an OACK for an error, and ends. */
	t->granted.has_tsize = asked->has_tsize && size;
	t->granted.tsize = size;
	t->blocks = size / t->blksize + 1;
	t->oack = t->granted.blksize || t->granted.windowsize || t->granted.timeout ||
		  t->granted.has_tsize;
	if (t->oack)
		send_oack(t, now, out);
	else
		send_window(t, now, out);
}

static void send_again(struct tftp_transfer *t, struct instant now, struct tftp_reply *out)
{
	if (t->opening && t->oack) {
		send_oack(t, now, out);
		t->retransmits++;
		t->resent = true;
	} else {
		send_window(t, now, out);
	}
}

static int on_time(struct tftp_transfer *t, struct instant now, struct tftp_reply *out)
{
	if (now.ns < t->deadline.ns)
		return TFTP_GOING;
	if (t->opening ? t->tries >= TFTP_OPENING_TRIES
		       : t->tries >= TRIES_LEAST && now.ns - t->moved_at.ns >= PATIENCE)
		return TFTP_SILENT;
	t->tries++;
	t->rto_ns = clamp(t->rto_ns * 2, RTO_MIN, rto_ceiling(t));
	send_again(t, now, out);
	return TFTP_GOING;
}

/* Can this ACK speak of the window that was sent last?  One that comes sooner
 * than any round trip so far is an echo of what was sent before. */
static bool about_this_window(const struct tftp_transfer *t, struct instant now)
{
	return now.ns - t->sent_at.ns >= t->rtt_min_ns;
}

/* A window's first block may be lost: see the promise in the header. */
static bool believe_repeat(const struct tftp_transfer *t, struct instant now)
{
	return t->window > 1 && t->believed != t->acked + 1 && about_this_window(t, now);
}

static int on_ack(struct tftp_transfer *t, uint16_t block, struct instant now,
		  struct tftp_reply *out)
{
	uint16_t ahead = (uint16_t)(block - (uint16_t)t->acked);
	bool echo;

	if (t->opening && t->oack) {
		if (block) /* nothing has been sent that it could acknowledge */
			return TFTP_GOING;
		ahead = 0;
	} else if (!ahead) {
		if (!believe_repeat(t, now))
			return TFTP_GOING;
		t->believed = t->acked + 1;
		send_window(t, now, out);
		return TFTP_GOING;
	} else if (ahead > t->sent - t->acked) {
		return TFTP_GOING; /* of long ago, or of what was never sent */
	}
	echo = !t->opening && t->acked + ahead < t->sent && !about_this_window(t, now);
	if (!echo)
		rtt_measure(t, now);
	t->opening = false;
	t->acked += ahead;
	t->moved_at = now;
	t->tries = 1;
	if (t->acked == t->blocks)
		return TFTP_FINISHED;
	if (echo) {
		send_from(t, t->sent + 1, out);
		t->deadline = (struct instant){now.ns + t->rto_ns};
	} else {
		send_window(t, now, out);
	}
	return TFTP_GOING;
}

int tftp_transfer_step(struct tftp_transfer *t, const struct bytes *in, struct instant now,
		       struct tftp_reply *out)
{
	struct tftp_packet p;

	out->first = 0;
	out->count = 0;
	out->len = 0;
	if (!in)
		return on_time(t, now, out);
	if (tftp_packet_parse(in, &p))
		return TFTP_GOING;
	if (p.op == TFTP_ACK)
		return on_ack(t, p.block, now, out);
	/* An error needs no answer (RFC 1350, 7).  EDK2 asks for the size and sends
	 * ERROR 8, GRUB ERROR 0 "closed": no failures. */
	if (p.op == TFTP_ERROR)
		return t->acked ? TFTP_CLOSED : TFTP_PROBED;
	return TFTP_GOING;
}

void tftp_transfer_repeat(struct tftp_transfer *t, struct instant now, struct tftp_reply *out)
{
	out->first = 0;
	out->count = 0;
	out->len = 0;
	if (!t->opening || t->tries >= TFTP_OPENING_TRIES)
		return;
	t->tries++;
	send_again(t, now, out);
}

void tftp_transfer_flushed(struct tftp_transfer *t, struct instant now)
{
	t->sent_at = now;
	t->deadline = (struct instant){now.ns + t->rto_ns};
}

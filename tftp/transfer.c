/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tftp/transfer.h"

#define RTO_FIRST (1 * NS_PER_SEC)
#define RTO_MIN (100 * NS_PER_MS)
#define RTO_MAX (8 * NS_PER_SEC)
#define PATIENCE (30 * NS_PER_SEC)

enum { TRIES_LEAST = 6, TRIES_HURRIED = 2 };

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

static int64_t rtt_late(const struct tftp_transfer *t)
{
	return t->srtt_ns + 4 * t->rttvar_ns;
}

/* Jacobson and Karels, as RFC 6298 has it.  The ACK of a window that was sent again
 * may be the first one's (Karn), and measures nothing; unless it comes soon, but
 * later than expected: then an estimate that is too low is why it was sent again. */
static void rtt_measure(struct tftp_transfer *t, struct instant now)
{
	int64_t rtt = now.ns - t->sent_at.ns;
	int64_t off;

	if (t->resent && (!t->srtt_ns || rtt <= t->srtt_ns || rtt > RTO_MIN))
		return;
	if (!t->srtt_ns) {
		t->srtt_ns = rtt;
		t->rttvar_ns = rtt / 2;
	} else {
		off = rtt > t->srtt_ns ? rtt - t->srtt_ns : t->srtt_ns - rtt;
		t->rttvar_ns += (off - t->rttvar_ns) / 4;
		t->srtt_ns += (rtt - t->srtt_ns) / 8;
	}
}

/* Progress ends the back-off. */
static void rto_renew(struct tftp_transfer *t)
{
	t->rto_ns = t->srtt_ns ? clamp(rtt_late(t), RTO_MIN, rto_ceiling(t)) : RTO_FIRST;
}

/* Send the window after `acked`.  Windows only move up, so that the last block of
 * this one is the highest ever sent. */
static void send_window(struct tftp_transfer *t, struct instant now, struct tftp_reply *out)
{
	uint64_t left = t->blocks - t->acked;
	uint64_t again = t->sent - t->acked;

	out->first = t->acked + 1;
	out->count = (uint32_t)(left < t->window ? left : t->window);
	t->resent = again > 0;
	t->retransmits += again < out->count ? again : out->count;
	t->sent = t->acked + out->count;
	t->sent_at = now;
	t->deadline = (struct instant){now.ns + t->rto_ns};
}

static void send_oack(struct tftp_transfer *t, struct instant now, struct tftp_reply *out)
{
	out->len = tftp_oack_build(out->packet, sizeof(out->packet), &t->granted);
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

/* Something of the window is missing, or a packet came twice: which one shows when
 * the ACK of the whole window is late by the measured round trip.  Not sooner than
 * half of one from now, so that echoes of the repeat are over before the next; and
 * after two repeats for nothing the back-off alone decides. */
static void hurry(struct tftp_transfer *t, struct instant now)
{
	int64_t due = t->sent_at.ns + rtt_late(t);
	int64_t least = now.ns + t->srtt_ns / 2;

	if (t->window == 1 || !t->srtt_ns || t->tries > TRIES_HURRIED)
		return;
	if (due < least)
		due = least;
	if (due < t->deadline.ns)
		t->deadline.ns = due;
}

static int on_ack(struct tftp_transfer *t, uint16_t block, struct instant now,
		  struct tftp_reply *out)
{
	uint16_t ahead = (uint16_t)(block - (uint16_t)t->acked);

	if (t->opening && t->oack) {
		if (block) /* nothing has been sent that it could acknowledge */
			return TFTP_GOING;
		ahead = 0;
	} else if (!ahead) {
		hurry(t, now);
		return TFTP_GOING;
	} else if (ahead > t->sent - t->acked) {
		return TFTP_GOING; /* of long ago, or of what was never sent */
	}
	t->opening = false;
	t->acked += ahead;
	t->moved_at = now;
	t->tries = 1;
	if (t->acked == t->blocks)
		return TFTP_FINISHED;
	rtt_measure(t, now);
	rto_renew(t);
	if (t->acked == t->sent) {
		send_window(t, now, out);
	} else {
		t->deadline = (struct instant){now.ns + t->rto_ns};
		hurry(t, now);
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

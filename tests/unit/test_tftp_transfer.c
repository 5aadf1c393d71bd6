/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The state machine against scripted packets, and against a receiver as RFC
 * 7440 describes it behind a line that loses, repeats and reorders.
 */
#include "tests/unit/unit.h"
#include "tests/tftp_client.h"

#include "tftp/transfer.h"

#define MS(n) ((struct instant){(n)*NS_PER_MS})

static const struct tftp_limits no_limits;

static struct tftp_reply start(struct tftp_transfer *t, const struct tftp_options *o, uint64_t size)
{
	struct tftp_request req = {TFTP_RRQ, "f", 1, TFTP_OCTET, *o};
	struct tftp_reply out;

	tftp_transfer_start(t, &req, size, &no_limits, MS(0), &out);
	return out;
}

static int ack(struct tftp_transfer *t, uint16_t block, int64_t ms, struct tftp_reply *out)
{
	uint8_t buf[4];
	struct bytes in = {buf, tftp_client_ack(buf, block)};

	return tftp_transfer_step(t, &in, MS(ms), out);
}

#define assert_blocks(out, from, n)                                                                \
	do {                                                                                       \
		assert_int_equal((out).len, 0);                                                    \
		assert_int_equal((out).count, (n));                                                \
		if (n)                                                                             \
			assert_int_equal((out).first, (from));                                     \
	} while (0)

static struct tftp_options granted(const struct tftp_reply *out)
{
	struct bytes b = {out->packet, out->len};
	struct tftp_packet p;

	assert_int_equal(tftp_packet_parse(&b, &p), 0);
	assert_int_equal(p.op, TFTP_OACK);
	return p.options;
}

static void without_options_block_one_is_the_answer(void **state)
{
	struct tftp_transfer t;
	struct tftp_reply out = start(&t, &(struct tftp_options){0}, 513);

	(void)state;
	assert_blocks(out, 1, 1);
	assert_int_equal(tftp_block_len(&t, 1), 512);
	assert_int_equal(ack(&t, 1, 1, &out), TFTP_GOING);
	assert_blocks(out, 2, 1);
	assert_int_equal(tftp_block_len(&t, 2), 1);
	assert_int_equal(tftp_block_offset(&t, 2), 512);
	assert_int_equal(ack(&t, 2, 2, &out), TFTP_FINISHED);
	assert_blocks(out, 0, 0);
}

static void an_exact_multiple_ends_with_an_empty_block(void **state)
{
	struct tftp_transfer t;
	struct tftp_reply out = start(&t, &(struct tftp_options){0}, 512);

	(void)state;
	assert_int_equal(t.blocks, 2);
	ack(&t, 1, 1, &out);
	assert_blocks(out, 2, 1);
	assert_int_equal(tftp_block_len(&t, 2), 0);
	out = start(&t, &(struct tftp_options){0}, 0);
	assert_blocks(out, 1, 1);
	assert_int_equal(tftp_block_len(&t, 1), 0);
	assert_int_equal(ack(&t, 1, 1, &out), TFTP_FINISHED);
}

static void only_what_was_asked_is_granted(void **state)
{
	static const struct tftp_options all = {1468, 16, 3, true, 0};
	struct tftp_request req = {TFTP_RRQ, "f", 1, TFTP_OCTET, all};
	struct tftp_limits limits = {.blksize = 1024, .windowsize = 8};
	struct tftp_transfer t;
	struct tftp_reply out = start(&t, &(struct tftp_options){.blksize = 1000}, 9);
	struct tftp_options o = granted(&out);

	(void)state;
	assert_int_equal(o.blksize, 1000);
	assert_int_equal(o.windowsize, 0);
	assert_int_equal(o.timeout, 0);
	assert_false(o.has_tsize);

	out = start(&t, &all, UINT64_C(5) << 32);
	o = granted(&out);
	assert_int_equal(o.blksize, 1468);
	assert_int_equal(o.windowsize, 16);
	assert_int_equal(o.timeout, 3);
	assert_int_equal(o.tsize, UINT64_C(5) << 32);

	tftp_transfer_start(&t, &req, 9, &limits, MS(0), &out);
	o = granted(&out);
	assert_int_equal(o.blksize, 1024);
	assert_int_equal(o.windowsize, 8);
	limits.windowsize = 1;
	tftp_transfer_start(&t, &req, 9, &limits, MS(0), &out);
	assert_int_equal(granted(&out).windowsize, 0);
}

static void the_size_of_an_empty_file_is_not_told(void **state)
{
	struct tftp_transfer t;
	struct tftp_reply out = start(&t, &(struct tftp_options){.has_tsize = true}, 0);

	(void)state;
	assert_blocks(out, 1, 1);
	out = start(&t, &(struct tftp_options){.has_tsize = true, .blksize = 1428}, 0);
	assert_false(granted(&out).has_tsize);
}

static void a_repeated_ack_is_ignored(void **state)
{
	struct tftp_transfer t;
	struct tftp_reply out = start(&t, &(struct tftp_options){0}, 5000);

	(void)state;
	ack(&t, 1, 10, &out);
	assert_blocks(out, 2, 1);
	ack(&t, 1, 11, &out);
	assert_blocks(out, 0, 0);
	ack(&t, 1, 50, &out);
	assert_blocks(out, 0, 0);
	ack(&t, 2, 51, &out);
	assert_blocks(out, 3, 1);
	ack(&t, 1, 52, &out);
	assert_blocks(out, 0, 0);
	assert_int_equal(t.retransmits, 0);
}

static void an_ack_of_what_was_never_sent_is_ignored(void **state)
{
	struct tftp_transfer t;
	struct tftp_reply out = start(&t, &(struct tftp_options){.blksize = 512}, 5000);

	(void)state;
	assert_int_equal(ack(&t, 1, 1, &out), TFTP_GOING); /* before the OACK's ACK 0 */
	assert_blocks(out, 0, 0);
	ack(&t, 0, 2, &out);
	assert_blocks(out, 1, 1);
	ack(&t, 2, 3, &out);
	assert_blocks(out, 0, 0);
	ack(&t, 65535, 3, &out);
	assert_blocks(out, 0, 0);
}

/* A window of 4 whose round trip is known to be 10 ms, 5 to 8 sent at 20 ms. */
static void start_steady(struct tftp_transfer *t)
{
	struct tftp_reply out = start(t, &(struct tftp_options){.windowsize = 4}, 512 * 20);

	ack(t, 0, 10, &out);
	assert_blocks(out, 1, 4);
	ack(t, 4, 20, &out);
	assert_blocks(out, 5, 4);
}

static void what_a_partial_ack_leaves_goes_again_when_the_rest_is_late(void **state)
{
	struct tftp_transfer t;
	struct tftp_reply out;

	(void)state;
	start_steady(&t);
	ack(&t, 6, 30, &out); /* is 7 lost, or did 6 come twice? */
	assert_blocks(out, 0, 0);
	assert_true(t.deadline.ns > MS(30).ns);
	assert_true(t.deadline.ns < MS(20 + 100).ns);
	tftp_transfer_step(&t, NULL, t.deadline, &out);
	assert_blocks(out, 7, 4);
	assert_int_equal(t.retransmits, 2);
	ack(&t, 10, 100, &out);
	assert_blocks(out, 11, 4);
	ack(&t, 14, 110, &out);
	ack(&t, 18, 120, &out);
	assert_blocks(out, 19, 3); /* 20 full blocks and the empty one */
	assert_int_equal(ack(&t, 21, 130, &out), TFTP_FINISHED);
	assert_int_equal(t.retransmits, 2);
}

static void acks_of_single_blocks_repeat_nothing(void **state)
{
	struct tftp_transfer t;
	struct tftp_reply out;

	(void)state;
	start_steady(&t);
	for (uint16_t n = 5; n < 8; n++) {
		ack(&t, n, 22 + n, &out);
		assert_blocks(out, 0, 0);
		ack(&t, n, 22 + n, &out);
		assert_blocks(out, 0, 0);
	}
	ack(&t, 8, 31, &out);
	assert_blocks(out, 9, 4);
	assert_int_equal(t.retransmits, 0);
}

static void a_lost_first_block_of_a_window_goes_again_without_the_time_out(void **state)
{
	struct tftp_transfer t;
	struct tftp_reply out;
	int64_t before;

	(void)state;
	start_steady(&t);
	for (int i = 0; i < 2; i++) {
		before = t.sent_at.ns;
		ack(&t, 4, before / NS_PER_MS + 5, &out);
		assert_blocks(out, 0, 0);
		assert_true(t.deadline.ns < before + 100 * NS_PER_MS);
		tftp_transfer_step(&t, NULL, t.deadline, &out);
		assert_blocks(out, 5, 4);
	}
	/* Whoever repeats one ACK for ever gets a window less and less often. */
	ack(&t, 4, t.sent_at.ns / NS_PER_MS + 5, &out);
	assert_true(t.deadline.ns - t.sent_at.ns >= 400 * NS_PER_MS);
}

static void block_numbers_roll_over_to_zero(void **state)
{
	struct tftp_transfer t;
	struct tftp_reply out = start(&t, &(struct tftp_options){.blksize = 8}, 8 * 200000 + 3);

	(void)state;
	ack(&t, 0, 0, &out);
	for (uint64_t n = 1; n <= 200000; n++) {
		assert_blocks(out, n, 1);
		assert_int_equal(ack(&t, (uint16_t)n, 0, &out), TFTP_GOING);
	}
	assert_blocks(out, 200001, 1);
	assert_int_equal(tftp_block_len(&t, 200001), 3);
	assert_int_equal(ack(&t, (uint16_t)200001, 0, &out), TFTP_FINISHED);
}

static void a_widest_window_stays_unambiguous_at_the_roll_over(void **state)
{
	struct tftp_options o = {.windowsize = 65535, .blksize = 8};
	struct tftp_transfer t;
	struct tftp_reply out = start(&t, &o, 8 * 150000);

	(void)state;
	ack(&t, 0, 0, &out);
	assert_blocks(out, 1, 65535);
	ack(&t, 65535, 1, &out);
	assert_blocks(out, 65536, 65535);
	ack(&t, 0, 2, &out); /* block 65536 */
	assert_blocks(out, 0, 0);
	assert_int_equal(t.acked, 65536);
	ack(&t, 65534, 3, &out);
	assert_blocks(out, 131071, 150000 + 1 - 131070);
}

static void an_address_that_never_answers_gets_six_packets(void **state)
{
	static const struct tftp_options asked[] = {
		{0}, {.blksize = 1468, .windowsize = 64}, {.timeout = 1}, {.timeout = 255}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
		struct tftp_transfer t;
		struct tftp_reply out = start(&t, &asked[i], 100000);
		unsigned int packets = out.len ? 1 : out.count;
		struct instant last = MS(0);
		int r;

		do {
			assert_true(t.deadline.ns > last.ns);
			last = t.deadline;
			r = tftp_transfer_step(&t, NULL, t.deadline, &out);
			packets += out.len ? 1 : out.count;
		} while (r == TFTP_GOING);
		assert_int_equal(r, TFTP_SILENT);
		assert_int_equal(packets, 6);
	}
}

static void a_repeated_request_shares_the_budget(void **state)
{
	struct tftp_transfer t;
	struct tftp_reply out = start(&t, &(struct tftp_options){.blksize = 1468}, 100000);
	unsigned int packets = 1;

	(void)state;
	for (int i = 0; i < 20; i++) {
		tftp_transfer_repeat(&t, MS(i), &out);
		packets += out.len != 0;
	}
	assert_int_equal(packets, 6);
	assert_int_equal(tftp_transfer_step(&t, NULL, t.deadline, &out), TFTP_SILENT);
}

static void time_outs_follow_the_round_trip_and_double(void **state)
{
	struct tftp_transfer t;
	struct tftp_reply out = start(&t, &(struct tftp_options){0}, 1000000);
	int64_t at = 0;
	int64_t before;

	(void)state;
	for (uint16_t n = 1; n < 50; n++)
		ack(&t, n, at += 2, &out);
	assert_int_equal(t.deadline.ns - MS(at).ns, 100 * NS_PER_MS);
	before = t.deadline.ns;
	assert_int_equal(tftp_transfer_step(&t, NULL, (struct instant){before - 1}, &out),
			 TFTP_GOING);
	assert_blocks(out, 0, 0);
	tftp_transfer_step(&t, NULL, t.deadline, &out);
	assert_blocks(out, 50, 1);
	assert_int_equal(t.deadline.ns - before, 200 * NS_PER_MS);
	for (int i = 0; i < 4; i++)
		tftp_transfer_step(&t, NULL, t.deadline, &out);
	before = t.deadline.ns;
	tftp_transfer_step(&t, NULL, t.deadline, &out);
	assert_int_equal(t.deadline.ns - before, 6400 * NS_PER_MS);
	ack(&t, 50, before / NS_PER_MS + 1, &out); /* measures nothing, ends the back-off */
	assert_int_equal(t.rto_ns, 100 * NS_PER_MS);
}

static void the_back_off_outlasts_the_clients_own_time_out(void **state)
{
	static const uint32_t timeouts[] = {1, 3, 10};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(timeouts); i++) {
		struct tftp_options o = {.timeout = timeouts[i]};
		struct tftp_transfer t;
		struct tftp_reply out = start(&t, &o, 1000000);
		int64_t widest = 0;
		int64_t before;

		ack(&t, 0, 1, &out);
		do {
			before = t.deadline.ns;
			if (tftp_transfer_step(&t, NULL, t.deadline, &out))
				break;
			widest = t.deadline.ns - before;
		} while (widest <= timeouts[i] * NS_PER_SEC);
		assert_true(widest > timeouts[i] * NS_PER_SEC);
	}
}

static void a_size_probe_and_a_close_are_no_failures(void **state)
{
	static const uint8_t aborted[] = "\0\5\0\10User aborted the transfer";
	struct bytes in = {aborted, sizeof(aborted)};
	struct tftp_options o = {.blksize = 1468, .has_tsize = true};
	struct tftp_transfer t;
	struct tftp_reply out = start(&t, &o, 100000);

	(void)state;
	assert_int_equal(tftp_transfer_step(&t, &in, MS(1), &out), TFTP_PROBED);
	assert_blocks(out, 0, 0);
	out = start(&t, &o, 100000);
	ack(&t, 0, 1, &out);
	ack(&t, 1, 2, &out);
	assert_int_equal(tftp_transfer_step(&t, &in, MS(3), &out), TFTP_CLOSED);
}

static void packets_that_make_no_sense_are_ignored(void **state)
{
	static const char *const junk[] = {"",	     "\0\3\0\1data",	"\0\6", "\0\1f\0octet\0",
					   "\0\4\0", "\377\377\377\377"};
	static const size_t len[] = {0, 8, 2, 10, 3, 4};
	struct tftp_transfer t;
	struct tftp_reply out = start(&t, &(struct tftp_options){0}, 5000);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(junk); i++) {
		struct bytes in = {(const uint8_t *)junk[i], len[i]};

		assert_int_equal(tftp_transfer_step(&t, &in, MS(1), &out), TFTP_GOING);
		assert_blocks(out, 0, 0);
	}
	ack(&t, 1, 2, &out);
	assert_blocks(out, 2, 1);
}

/* ---- a whole transfer over a bad line ---- */

/* What is on the wire: at most a window or two each way. */
struct wire_packet {
	int64_t at_ms;
	bool to_client;
	uint64_t block; /* data: running number; else the ACK's number as on the wire */
	bool oack;
};

struct line {
	struct wire_packet queue[4096];
	size_t n;
	unsigned int seed;
	unsigned int loss; /* per cent, each way */
	unsigned int repeat;
	unsigned int reorder;
	int64_t delay_ms;
	uint64_t data_packets;
};

static unsigned int chance(struct line *l)
{
	l->seed = l->seed * 1103515245 + 12345;
	return (l->seed >> 16) % 100;
}

static void line_put(struct line *l, int64_t now, struct wire_packet p)
{
	unsigned int copies = 1;

	if (p.to_client && !p.oack)
		l->data_packets++;
	if (chance(l) < l->loss)
		copies = 0;
	else if (chance(l) < l->repeat)
		copies = 2;
	while (copies--) {
		p.at_ms = now + l->delay_ms;
		if (chance(l) < l->reorder)
			p.at_ms += 1 + chance(l) % 5;
		assert_true(l->n < ARRAY_SIZE(l->queue));
		l->queue[l->n++] = p;
	}
}

/* The earliest, first in first out among equals. */
static bool line_next(struct line *l, struct wire_packet *out)
{
	size_t best = 0;

	if (!l->n)
		return false;
	for (size_t i = 1; i < l->n; i++)
		if (l->queue[i].at_ms < l->queue[best].at_ms)
			best = i;
	*out = l->queue[best];
	memmove(&l->queue[best], &l->queue[best + 1], (--l->n - best) * sizeof(*out));
	return true;
}

static void line_reply(struct line *l, int64_t now, const struct tftp_reply *out)
{
	if (out->len)
		line_put(l, now, (struct wire_packet){.to_client = true, .oack = true});
	for (uint32_t i = 0; i < out->count; i++)
		line_put(l, now, (struct wire_packet){.to_client = true, .block = out->first + i});
}

struct receiver {
	uint64_t got; /* in order */
	uint32_t window;
	uint32_t in_window;
	uint64_t blocks;
	bool touchy;	 /* complains of old blocks as of gaps */
	bool complained; /* one ACK for a gap, until something is in order again */
	int64_t heard_ms;
};

static void receiver_ack(struct receiver *c, struct line *l, int64_t now)
{
	c->in_window = 0;
	line_put(l, now, (struct wire_packet){.block = c->got & 0xffff});
}

static void receiver_take(struct receiver *c, struct line *l, int64_t now, struct wire_packet p)
{
	c->heard_ms = now;
	if (p.oack) {
		if (!c->got)
			receiver_ack(c, l, now);
		return;
	}
	if (p.block == c->got + 1) {
		c->got++;
		c->complained = false;
		if (++c->in_window == c->window || c->got == c->blocks)
			receiver_ack(c, l, now);
	} else if (!c->complained && (p.block > c->got || c->touchy)) {
		c->complained = true;
		receiver_ack(c, l, now);
	} else if (p.block == c->blocks) {
		receiver_ack(c, l, now); /* the last ACK was lost */
	}
}

static void run_over_line(struct line *l, uint32_t window, uint64_t size, bool touchy)
{
	struct tftp_transfer t;
	struct tftp_options o = {.blksize = 1024, .windowsize = window};
	struct tftp_reply out = start(&t, &o, size);
	struct receiver c = {.window = window, .blocks = t.blocks, .touchy = touchy};
	int64_t now = 0;
	int r = TFTP_GOING;

	line_reply(l, now, &out);
	while (r == TFTP_GOING) {
		struct wire_packet p = {.at_ms = INT64_MAX};
		bool any = line_next(l, &p);
		int64_t due = t.deadline.ns / NS_PER_MS;
		int64_t nag = c.got < c.blocks ? c.heard_ms + 1000 : INT64_MAX;

		if (any && p.at_ms <= due && p.at_ms <= nag) {
			now = p.at_ms;
			if (p.to_client) {
				receiver_take(&c, l, now, p);
				continue;
			}
			r = ack(&t, (uint16_t)p.block, now, &out);
		} else {
			if (any)
				l->queue[l->n++] = p;
			if (nag < due) { /* the receiver's own time-out */
				now = c.heard_ms = nag;
				receiver_ack(&c, l, now);
				continue;
			}
			now = due > now ? due : now;
			r = tftp_transfer_step(&t, NULL,
					       (struct instant){t.deadline.ns > MS(now).ns
									? t.deadline.ns
									: MS(now).ns},
					       &out);
		}
		if (r == TFTP_GOING)
			line_reply(l, now, &out);
	}
	/* The last ACK may never arrive, but the bytes have. */
	assert_int_equal(c.got, c.blocks);
	assert_true(r == TFTP_FINISHED || (r == TFTP_SILENT && l->loss));
}

static void a_clean_line_carries_each_block_once(void **state)
{
	static const uint32_t windows[] = {1, 2, 4, 16, 64};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(windows); i++) {
		struct line l = {.seed = 1, .delay_ms = 3};

		run_over_line(&l, windows[i], 1000 * 1024 + 5, false);
		assert_int_equal(l.data_packets, 1001);
	}
}

static void a_line_that_repeats_everything_makes_no_storm(void **state)
{
	static const uint32_t windows[] = {1, 4, 16, 64};

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_SIZE(windows); i++) {
		struct line l = {.seed = 1, .delay_ms = 3, .repeat = 100};

		run_over_line(&l, windows[i / 2], 1000 * 1024 + 5, i % 2);
		assert_in_range(l.data_packets, 1001, 1001 * 21 / 20);
	}
}

static void a_bad_line_brings_the_right_bytes_without_a_storm(void **state)
{
	static const uint32_t windows[] = {1, 2, 4, 16};

	(void)state;
	for (unsigned int seed = 1; seed <= 60; seed++) {
		for (size_t i = 0; i < ARRAY_SIZE(windows); i++) {
			struct line l = {.seed = seed * 7919,
					 .delay_ms = 1 + seed % 7,
					 .loss = 5,
					 .repeat = seed % 3 ? 5 : 0,
					 .reorder = seed % 2 ? 5 : 0};

			run_over_line(&l, windows[i], 300 * 1024 + 1, seed % 5 == 0);
			/* at worst each incident repeats one window */
			assert_in_range(l.data_packets, 301,
					301 + 301 * 20 * windows[i] / 100 + 60 + 16 * windows[i]);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_options_block_one_is_the_answer),
		cmocka_unit_test(an_exact_multiple_ends_with_an_empty_block),
		cmocka_unit_test(only_what_was_asked_is_granted),
		cmocka_unit_test(the_size_of_an_empty_file_is_not_told),
		cmocka_unit_test(a_repeated_ack_is_ignored),
		cmocka_unit_test(an_ack_of_what_was_never_sent_is_ignored),
		cmocka_unit_test(what_a_partial_ack_leaves_goes_again_when_the_rest_is_late),
		cmocka_unit_test(acks_of_single_blocks_repeat_nothing),
		cmocka_unit_test(a_lost_first_block_of_a_window_goes_again_without_the_time_out),
		cmocka_unit_test(block_numbers_roll_over_to_zero),
		cmocka_unit_test(a_widest_window_stays_unambiguous_at_the_roll_over),
		cmocka_unit_test(an_address_that_never_answers_gets_six_packets),
		cmocka_unit_test(a_repeated_request_shares_the_budget),
		cmocka_unit_test(time_outs_follow_the_round_trip_and_double),
		cmocka_unit_test(the_back_off_outlasts_the_clients_own_time_out),
		cmocka_unit_test(a_size_probe_and_a_close_are_no_failures),
		cmocka_unit_test(packets_that_make_no_sense_are_ignored),
		cmocka_unit_test(a_clean_line_carries_each_block_once),
		cmocka_unit_test(a_line_that_repeats_everything_makes_no_storm),
		cmocka_unit_test(a_bad_line_brings_the_right_bytes_without_a_storm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

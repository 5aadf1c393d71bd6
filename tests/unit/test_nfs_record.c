/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

#include "nfs/record.h"

/* The start of a call: xid, CALL, RPC 2, program, version, procedure. */
static void put_call(struct writer *w, uint32_t program, uint32_t procedure)
{
	writer_be32(w, 77);
	writer_be32(w, 0);
	writer_be32(w, 2);
	writer_be32(w, program);
	writer_be32(w, 3);
	writer_be32(w, procedure);
}

static void many_records_in_one_segment(void **state)
{
	uint8_t data[4 * (4 + 8)];
	struct writer w = writer_of(data, sizeof(data));
	struct record r = {0};
	struct record_call call;
	struct bytes in;

	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		writer_be32(&w, RECORD_LAST | 8);
		writer_be64(&w, i);
	}
	in = (struct bytes){data, sizeof(data)};
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(record_next(&r, &in, &call), 0);
		assert_int_equal(call.bytes.len, 8);
		assert_int_equal(call.bytes.at[7], i);
		assert_null(r.buf); /* handed on where they lie */
	}
	assert_int_equal(record_next(&r, &in, &call), RECORD_MORE);
	assert_false(record_partial(&r));
	record_fini(&r);
}

static void one_byte_at_a_time(void **state)
{
	uint8_t data[2 * (4 + 8)];
	struct writer w = writer_of(data, sizeof(data));
	struct record r = {0};
	struct record_call call;
	unsigned int got = 0;

	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		writer_be32(&w, RECORD_LAST | 8);
		writer_be64(&w, i);
	}
	for (size_t i = 0; i < sizeof(data); i++) {
		struct bytes in = {data + i, 1};
		int err = record_next(&r, &in, &call);

		assert_int_equal(err, i % 12 == 11 ? 0 : RECORD_MORE);
		assert_int_equal(in.len, 0);
		if (!err)
			assert_int_equal(call.bytes.at[7], got++);
		assert_int_equal(record_partial(&r), err == RECORD_MORE);
	}
	assert_int_equal(got, 2);
	record_fini(&r);
}

static void fragments_are_one_record(void **state)
{
	/* every way to cut 8 bytes in three, empty fragments too */
	(void)state;
	for (uint32_t a = 0; a <= 8; a++) {
		for (uint32_t b = a; b <= 8; b++) {
			static const uint8_t body[8] = {1, 2, 3, 4, 5, 6, 7, 8};
			uint8_t data[3 * 4 + 8 + 4];
			struct writer w = writer_of(data, sizeof(data));
			struct record r = {0};
			struct record_call call;
			struct bytes in = {data, sizeof(data)};

			writer_be32(&w, a);
			writer_put(&w, body, a);
			writer_be32(&w, b - a);
			writer_put(&w, body + a, b - a);
			writer_be32(&w, RECORD_LAST | (8 - b));
			writer_put(&w, body + b, 8 - b);
			writer_be32(&w, RECORD_LAST); /* and an empty one */
			assert_int_equal(record_next(&r, &in, &call), 0);
			assert_int_equal(call.bytes.len, 8);
			assert_memory_equal(call.bytes.at, body, 8);
			assert_false(call.cut);
			assert_int_equal(record_next(&r, &in, &call), 0);
			assert_int_equal(call.bytes.len, 0);
			record_fini(&r);
		}
	}
}

static void a_record_between_fragments_is_partial(void **state)
{
	static const uint8_t first[] = {0, 0, 0, 1, 9};
	static const uint8_t second[] = {0x80, 0, 0, 1, 8};
	struct record r = {0};
	struct record_call call;
	struct bytes in = {first, sizeof(first)};

	(void)state;
	assert_int_equal(record_next(&r, &in, &call), RECORD_MORE);
	assert_true(record_partial(&r));
	in = (struct bytes){second, sizeof(second)};
	assert_int_equal(record_next(&r, &in, &call), 0);
	assert_int_equal(call.bytes.len, 2);
	assert_int_equal(call.bytes.at[0], 9);
	assert_int_equal(call.bytes.at[1], 8);
	record_fini(&r);
}

static void a_length_that_can_never_be_closes_at_once(void **state)
{
	static const uint8_t http[] = "GET / HTTP/1.0\r\n";
	static const uint8_t huge[] = {0xff, 0xff, 0xff, 0xff};
	struct record r = {0};
	struct record_call call;
	struct bytes in = {http, sizeof(http)};

	(void)state;
	assert_int_equal(record_next(&r, &in, &call), -EBADMSG);
	record_fini(&r);
	in = (struct bytes){huge, sizeof(huge)};
	assert_int_equal(record_next(&r, &in, &call), -EBADMSG);
	record_fini(&r);
}

static void endless_empty_fragments_end(void **state)
{
	static const uint8_t empty[4];
	struct record r = {0};
	struct record_call call;
	int err = RECORD_MORE;

	(void)state;
	for (unsigned int i = 0; i < 2 * RECORD_MAX_FRAGMENTS && err == RECORD_MORE; i++) {
		struct bytes in = {empty, sizeof(empty)};

		err = record_next(&r, &in, &call);
	}
	assert_int_equal(err, -EBADMSG);
	record_fini(&r);
}

static int large_record(uint32_t procedure, uint32_t size, struct record_call *call,
			struct record *r)
{
	cleanup(freep) uint8_t *data = calloc(1, size + 4);
	struct writer w = writer_of(data, size + 4);
	int err = RECORD_MORE;

	writer_be32(&w, RECORD_LAST | size);
	put_call(&w, 100003, procedure);
	for (size_t at = 0; at < size + 4 && err == RECORD_MORE; at += 1000) {
		struct bytes in = {data + at, size + 4 - at < 1000 ? size + 4 - at : 1000};

		err = record_next(r, &in, call);
	}
	return err;
}

static void a_large_write_is_thrown_away_but_for_its_head(void **state)
{
	struct record r = {0};
	struct record_call call;

	(void)state;
	assert_int_equal(large_record(7, (1 << 20) + 200, &call, &r), 0);
	assert_true(call.cut);
	assert_int_equal(call.bytes.len, RECORD_MAX);
	assert_true(r.size <= RECORD_MAX);
	record_fini(&r);
	/* nothing else may be large, and no WRITE larger than announced */
	assert_int_equal(large_record(6, RECORD_MAX + 1000, &call, &r), -EBADMSG);
	record_fini(&r);
	assert_int_equal(large_record(7, RECORD_MAX_WRITE + 1, &call, &r), -EBADMSG);
	record_fini(&r);
	assert_int_equal(large_record(6, RECORD_MAX, &call, &r), 0);
	assert_false(call.cut);
	record_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_records_in_one_segment),
		cmocka_unit_test(one_byte_at_a_time),
		cmocka_unit_test(fragments_are_one_record),
		cmocka_unit_test(a_record_between_fragments_is_partial),
		cmocka_unit_test(a_length_that_can_never_be_closes_at_once),
		cmocka_unit_test(endless_empty_fragments_end),
		cmocka_unit_test(a_large_write_is_thrown_away_but_for_its_head),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

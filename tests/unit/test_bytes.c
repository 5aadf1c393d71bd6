/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

#include "common/bytes.h"
#include "common/log.h"

static void cursor_stops_at_the_end_and_stays_bad(void **state)
{
	static const uint8_t data[] = {1, 2, 3, 4, 5};
	struct cursor c = cursor_of(data, sizeof(data));

	(void)state;
	assert_int_equal(cursor_be16(&c), 0x0102);
	assert_int_equal(cursor_be32(&c), 0);
	assert_true(c.bad);
	assert_int_equal(cursor_u8(&c), 0); /* though three bytes are left */
	assert_int_equal(cursor_left(&c), 0);
}

static void writer_drops_whole_fields(void **state)
{
	uint8_t data[6] = {0};
	struct writer w = writer_of(data, 5);

	(void)state;
	writer_be32(&w, 0x01020304);
	writer_be32(&w, 0xffffffff);
	assert_true(w.full);
	writer_u8(&w, 9); /* would fit: a hole in a packet is worse than its end */
	assert_int_equal(writer_len(&w), 4);
	assert_int_equal(data[4], 0);
	assert_int_equal(data[5], 0);
}

static void escape_leaves_nothing_that_drives_a_terminal(void **state)
{
	char out[64];
	char tiny[8];

	(void)state;
	assert_string_equal(log_escape(out, sizeof(out), "a\x1b[2J\\\n\xff", 8),
			    "a\\x1b[2J\\x5c\\x0a\\xff");
	log_escape(tiny, sizeof(tiny), "\x01\x02\x03\x04", 4);
	assert_true(strlen(tiny) < sizeof(tiny));
}

static void log_limit_gives_a_burst_then_a_rate(void **state)
{
	struct log_limit limit = {0};
	int64_t now = 1000000000000;
	int sent = 0;

	(void)state;
	for (int i = 0; i < 100; i++)
		sent += log_allow(&limit, now, 5, 1000);
	assert_int_equal(sent, 5);
	assert_int_equal(limit.dropped, 95);
	assert_true(log_allow(&limit, now + 1000000000, 5, 1000));
	assert_false(log_allow(&limit, now + 1000000000, 5, 1000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cursor_stops_at_the_end_and_stays_bad),
		cmocka_unit_test(writer_drops_whole_fields),
		cmocka_unit_test(escape_leaves_nothing_that_drives_a_terminal),
		cmocka_unit_test(log_limit_gives_a_burst_then_a_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

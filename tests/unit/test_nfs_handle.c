/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

#include "nfs/handle.h"

static const struct handle_key key = {"0123456789abcdef"};
static const struct handle sample = {
	.host = 0x01020304, .version = 5, .node = 0x80000007, .boot = 0x06070809};

static void a_handle_comes_back(void **state)
{
	uint8_t bytes[HANDLE_SIZE];
	struct handle out = {0};

	(void)state;
	handle_write(&key, &sample, bytes);
	assert_int_equal(handle_read(&key, (struct bytes){bytes, sizeof(bytes)}, &out), 0);
	assert_int_equal(out.host, sample.host);
	assert_int_equal(out.version, sample.version);
	assert_int_equal(out.node, sample.node);
	assert_int_equal(out.boot, sample.boot);
}

static void its_bytes_are_fixed_for_ever(void **state)
{
	/* running clients hold these across upgrades: a change here is a new format */
	static const uint8_t head[24] = {1, 0, 0,    0, 1, 2, 3, 4, 0, 0,
					 0, 5, 0x80, 0, 0, 7, 6, 7, 8, 9};
	uint8_t bytes[HANDLE_SIZE];

	(void)state;
	handle_write(&key, &sample, bytes);
	assert_memory_equal(bytes, head, sizeof(head));
}

static void every_length_but_one_is_refused(void **state)
{
	uint8_t bytes[66] = {0};
	struct handle out;

	(void)state;
	handle_write(&key, &sample, bytes);
	for (size_t len = 0; len <= 65; len++)
		assert_int_equal(handle_read(&key, (struct bytes){bytes, len}, &out),
				 len == HANDLE_SIZE ? 0 : -EBADMSG);
}

static void every_flipped_bit_is_refused(void **state)
{
	uint8_t bytes[HANDLE_SIZE];
	static const struct handle_key other = {"0123456789abcdeF"};
	struct handle out;

	(void)state;
	handle_write(&key, &sample, bytes);
	for (unsigned int bit = 0; bit < 8 * HANDLE_SIZE; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(handle_read(&key, (struct bytes){bytes, sizeof(bytes)}, &out),
				 -EBADMSG);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(handle_read(&other, (struct bytes){bytes, sizeof(bytes)}, &out), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_handle_comes_back),
		cmocka_unit_test(its_bytes_are_fixed_for_ever),
		cmocka_unit_test(every_length_but_one_is_refused),
		cmocka_unit_test(every_flipped_bit_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

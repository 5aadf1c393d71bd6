/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What an rpcbind answers, and what somebody else may: by a pair of datagram sockets.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/bytes.h"
#include "nfs/rpcbind.h"

enum { OURS, THEIRS };

static void pair(int fds[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fds), 0);
}

static void unpair(int fds[2])
{
	close(fds[OURS]);
	close(fds[THEIRS]);
}

/* What rpcbind_answer() makes of the first `n` of these words. */
static int answer(const uint32_t *words, size_t n, uint16_t *port)
{
	uint8_t data[128];
	struct writer w = writer_of(data, sizeof(data));
	int fds[2];
	int r;

	pair(fds);
	for (size_t i = 0; i < n; i++)
		writer_be32(&w, words[i]);
	assert_int_equal(send(fds[THEIRS], data, n * 4, 0), n * 4);
	r = rpcbind_answer(fds[OURS], 77, port);
	unpair(fds);
	return r;
}

static void asks_for_nfs_by_tcp(void **state)
{
	static const uint32_t expected[] = {77, 0, 2, 100000, 2, 3, 0, 0, 0, 0, 100003, 3, 6, 0};
	uint8_t data[128];
	struct cursor c;
	int fds[2];

	(void)state;
	pair(fds);
	assert_int_equal(rpcbind_ask(fds[OURS], 77), 0);
	assert_int_equal(recv(fds[THEIRS], data, sizeof(data), 0), sizeof(expected));
	c = cursor_of(data, sizeof(expected));
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		assert_int_equal(cursor_be32(&c), expected[i]);
	unpair(fds);
}

static void takes_a_port_and_none(void **state)
{
	uint32_t words[] = {77, 1, 0, 0, 0, 0, 2049};
	uint16_t port = 1;

	(void)state;
	assert_int_equal(answer(words, 7, &port), 0);
	assert_int_equal(port, 2049);
	words[6] = 0;
	assert_int_equal(answer(words, 7, &port), 0);
	assert_int_equal(port, 0);
}

static void nothing_else_is_an_answer(void **state)
{
	static const uint32_t good[] = {77, 1, 0, 0, 0, 0, 0};
	uint16_t port = 1;

	(void)state;
	for (size_t n = 0; n < ARRAY_SIZE(good); n++)
		assert_int_equal(answer(good, n, &port), RPCBIND_OTHER);
	/* Another call's, a call, denied, a verifier, not carried out, no port. */
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		uint32_t bad[ARRAY_SIZE(good)];

		memcpy(bad, good, sizeof(bad));
		bad[i] = i == 1 ? 0 : 65536;
		assert_int_equal(answer(bad, ARRAY_SIZE(bad), &port), RPCBIND_OTHER);
	}
	assert_int_equal(port, 1);
}

static void silence_is_none(void **state)
{
	uint16_t port;
	int fds[2];

	(void)state;
	pair(fds);
	assert_int_equal(rpcbind_answer(fds[OURS], 77, &port), -EAGAIN);
	unpair(fds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asks_for_nfs_by_tcp),
		cmocka_unit_test(takes_a_port_and_none),
		cmocka_unit_test(nothing_else_is_an_answer),
		cmocka_unit_test(silence_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The outbox over loopback.  It never looks into a session: here they are numbers.
 */
#include "tests/unit/unit.h"

#include <arpa/inet.h>

#include "tftp/outbox.h"

enum { MOST = 8 };

static struct told {
	uintptr_t session;
	unsigned int blocks;
	int r;
} told[MOST];
static unsigned int ntold;

static void left(struct session *s, unsigned int blocks, int r)
{
	assert_true(ntold < MOST);
	told[ntold++] = (struct told){(uintptr_t)s, blocks, r};
}

static struct outbox box;

static int bound(struct sockaddr_in *at)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t len = sizeof(*at);

	*at = (struct sockaddr_in){.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	assert_int_equal(bind(fd, (struct sockaddr *)at, sizeof(*at)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)at, &len), 0);
	return fd;
}

/* `n` blocks of 100 bytes, the last of 10, each filled with its number. */
static void add(int fd, uintptr_t session, const struct sockaddr_in *peer, uint64_t first,
		unsigned int n, bool segment)
{
	size_t len = (size_t)(n - 1) * 100 + 10;
	uint8_t *room = outbox_room(&box, fd, n, len);

	for (size_t i = 0; i < len; i++)
		room[i] = (uint8_t)(first + i / 100);
	outbox_add(&box, &(struct outbox_blocks){.session = (struct session *)session,
						 .peer = peer,
						 .first = first,
						 .n = n,
						 .size = 100,
						 .last_size = 10,
						 .segment = segment});
}

static void expect_block(int fd, uint16_t number, ssize_t len)
{
	uint8_t buf[200];

	assert_int_equal(recv(fd, buf, sizeof(buf), 0), TFTP_HEADER + len);
	assert_int_equal(buf[1], TFTP_DATA);
	assert_int_equal(buf[2] << 8 | buf[3], number);
	for (ssize_t i = 0; i < len; i++)
		assert_int_equal(buf[TFTP_HEADER + i], (uint8_t)number);
}

static void expect_told(unsigned int i, uintptr_t session, unsigned int blocks, int r)
{
	assert_true(i < ntold);
	assert_int_equal(told[i].session, session);
	assert_int_equal(told[i].blocks, blocks);
	assert_int_equal(told[i].r, r);
}

static void blocks_of_many_leave_in_their_order(void **state)
{
	struct sockaddr_in from;
	struct sockaddr_in peer[2];
	int fd = bound(&from);
	int to[2] = {bound(&peer[0]), bound(&peer[1])};

	(void)state;
	ntold = 0;
	outbox_init(&box, left);
	add(fd, 1, &peer[0], 7, 3, true);
	add(fd, 2, &peer[1], 65535, 3, false); /* 65535, 0, 1 */
	add(fd, 3, &peer[0], 9, 1, true);
	assert_int_equal(ntold, 0);
	outbox_flush(&box);
	assert_int_equal(ntold, 3);
	expect_told(0, 1, 3, 0);
	expect_told(1, 2, 3, 0);
	expect_told(2, 3, 1, 0);
	expect_block(to[0], 7, 100);
	expect_block(to[0], 8, 100);
	expect_block(to[0], 9, 10);
	expect_block(to[0], 9, 10);
	for (int i = 0; i < 2; i++) {
		uint8_t buf[200];

		assert_int_equal(recv(to[1], buf, sizeof(buf), 0), TFTP_HEADER + 100);
		assert_int_equal(buf[2] << 8 | buf[3], i ? 0 : 65535);
	}
	assert_int_equal(recv(to[1], (uint8_t[200]){0}, 200, 0), TFTP_HEADER + 10);
	outbox_flush(&box);
	assert_int_equal(ntold, 3);
	close(fd);
	close(to[0]);
	close(to[1]);
}

/* Nobody may send to a broadcast address unasked. */
static void what_cannot_leave_holds_up_nobody_else(void **state)
{
	const struct sockaddr_in nowhere = {.sin_family = AF_INET,
					    .sin_port = htons(9),
					    .sin_addr.s_addr = htonl(INADDR_BROADCAST)};
	struct sockaddr_in from;
	struct sockaddr_in peer;
	int fd = bound(&from);
	int to = bound(&peer);

	(void)state;
	ntold = 0;
	outbox_init(&box, left);
	add(fd, 1, &peer, 1, 2, false);
	add(fd, 2, &nowhere, 5, 4, false);
	add(fd, 3, &nowhere, 5, 4, true);
	add(fd, 4, &peer, 3, 2, true);
	outbox_flush(&box);
	assert_int_equal(ntold, 4);
	expect_told(0, 1, 2, 0);
	expect_told(1, 2, 0, -EACCES);
	expect_told(2, 3, 0, -EACCES);
	expect_told(3, 4, 2, 0);
	expect_block(to, 1, 100);
	expect_block(to, 2, 10);
	expect_block(to, 3, 100);
	expect_block(to, 4, 10);
	assert_int_equal(recv(to, (uint8_t[200]){0}, 200, 0), -1);
	close(fd);
	close(to);
}

static void another_socket_or_too_much_flushes_first(void **state)
{
	struct sockaddr_in at[2];
	struct sockaddr_in peer;
	int fd[2] = {bound(&at[0]), bound(&at[1])};
	int to = bound(&peer);

	(void)state;
	ntold = 0;
	outbox_init(&box, left);
	add(fd[0], 1, &peer, 1, 1, true);
	add(fd[1], 2, &peer, 1, 1, true);
	assert_int_equal(ntold, 1);
	outbox_room(&box, fd[1], OUTBOX_BLOCKS, 1000);
	assert_int_equal(ntold, 2);
	add(fd[1], 3, &peer, 1, 1, true);
	outbox_room(&box, fd[1], 1, OUTBOX_BYTES);
	assert_int_equal(ntold, 3);
	close(fd[0]);
	close(fd[1]);
	close(to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_of_many_leave_in_their_order),
		cmocka_unit_test(what_cannot_leave_holds_up_nobody_else),
		cmocka_unit_test(another_socket_or_too_much_flushes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

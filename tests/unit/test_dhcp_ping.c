/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * ICMP probes over the loopback interface, where the kernel answers them.
 */
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dhcp/ping.h"

#define OTHER (INADDR_LOOPBACK + 1)

static const struct ping_key key = {"0123456789abcde"};

static int open_or_skip(void)
{
	int fd;

	if (ping_open("lo", &fd))
		skip(); /* needs root */
	return fd;
}

/* What the next packet says, which must come. */
static int receive(int fd, uint32_t *address)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	assert_int_equal(poll(&pfd, 1, 20000), 1);
	return ping_receive(fd, &key, address);
}

/* Other echoes on lo are passed over. */
static uint32_t answer(int fd)
{
	uint32_t address;
	int r;

	do
		r = receive(fd, &address);
	while (r == -EBADMSG);
	assert_int_equal(r, 0);
	return address;
}

static void who_is_asked_answers(void **state)
{
	int fd = open_or_skip();

	(void)state;
	assert_int_equal(ping_send(fd, INADDR_LOOPBACK, &key), 0);
	assert_int_equal(answer(fd), INADDR_LOOPBACK);
	close(fd);
}

static void an_answer_about_one_address_does_for_no_other(void **state)
{
	const struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	const struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr = {htonl(OTHER)}};
	int fd = open_or_skip();
	int forger = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	struct pollfd pfd = {.fd = forger, .events = POLLIN};
	uint8_t packet[128];
	uint32_t address;
	ssize_t n;

	(void)state;
	assert_true(forger >= 0);
	assert_int_equal(bind(forger, (const struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(ping_send(fd, INADDR_LOOPBACK, &key), 0);
	assert_int_equal(answer(fd), INADDR_LOOPBACK);
	/* Who got the question has its bytes; in the reply they come from elsewhere. */
	do {
		assert_int_equal(poll(&pfd, 1, 20000), 1);
		n = recv(forger, packet, sizeof(packet), 0);
	} while (n != 20 + 16 || packet[20] != 0);
	close(forger);
	forger = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	assert_int_equal(bind(forger, (const struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(
		sendto(forger, packet + 20, 16, 0, (const struct sockaddr *)&to, sizeof(to)), 16);
	assert_int_equal(receive(fd, &address), -EBADMSG);
	close(forger);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_is_asked_answers),
		cmocka_unit_test(an_answer_about_one_address_does_for_no_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A long line for one TFTP client at a time: every packet, either way, comes DELAY_US
 * later than it would.  Like a NAT it has a port of its own for each transfer, towards
 * either side.
 *
 *	tftp-proxy ADDRESS PORT SERVER SERVER_PORT DELAY_US
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mac.h"

enum { SLOTS = 4096, SLOT = 2048, BATCH = 64 };

/* One way: what came and is not due yet, in order, for the delay is the same for all. */
struct way {
	int in;
	int out;
	const struct sockaddr_in *to;
	unsigned int first;
	unsigned int n;
	unsigned int lost; /* for want of slots: then the figures mean nothing */
	struct instant due[SLOTS];
	size_t len[SLOTS];
	uint8_t data[SLOTS][SLOT];
};

static struct way up;
static struct way down;
static struct sockaddr_in server; /* its transfer's port, once it has answered */
static struct sockaddr_in client;
static int64_t delay_ns;

static int bound(uint32_t address, uint16_t port)
{
	struct sockaddr_in sin = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int size = 8 << 20;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (fd < 0 || bind(fd, (struct sockaddr *)&sin, sizeof(sin))) {
		perror("tftp-proxy");
		exit(1);
	}
	return fd;
}

static void take(struct way *w, int fd, struct sockaddr_in *from)
{
	for (int i = 0; i < BATCH; i++) {
		unsigned int slot = (w->first + w->n) % SLOTS;
		socklen_t len = sizeof(*from);
		ssize_t n = recvfrom(fd, w->data[slot], SLOT, MSG_DONTWAIT, (struct sockaddr *)from,
				     &len);

		if (n < 0)
			return;
		w->len[slot] = (size_t)n;
		w->due[slot].ns = instant_now().ns + delay_ns;
		if (w->n < SLOTS - 1)
			w->n++;
		else
			w->lost++;
	}
}

static void pass(struct way *w)
{
	while (w->n && w->due[w->first].ns <= instant_now().ns) {
		sendto(w->out, w->data[w->first], w->len[w->first], 0,
		       (const struct sockaddr *)w->to, sizeof(*w->to));
		w->first = (w->first + 1) % SLOTS;
		w->n--;
	}
}

/* Nanoseconds until the first packet of either way is due; -1: none waits. */
static int64_t patience(void)
{
	int64_t due = INT64_MAX;
	int64_t left;

	if (up.n)
		due = up.due[up.first].ns;
	if (down.n && down.due[down.first].ns < due)
		due = down.due[down.first].ns;
	if (due == INT64_MAX)
		return -1;
	left = due - instant_now().ns;
	return left > 0 ? left : 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_in asked = {.sin_family = AF_INET};
	struct pollfd fds[3] = {{-1, POLLIN, 0}, {-1, POLLIN, 0}, {-1, POLLIN, 0}};
	uint32_t address;
	uint32_t at;

	if (argc != 6 || ip4_parse(argv[1], &address) || ip4_parse(argv[3], &at))
		return 2;
	asked.sin_addr.s_addr = htonl(at);
	asked.sin_port = htons((uint16_t)atoi(argv[4]));
	delay_ns = atoll(argv[5]) * 1000;
	prctl(PR_SET_TIMERSLACK, 1);
	fds[0].fd = bound(address, (uint16_t)atoi(argv[2]));
	up.to = &server;
	down.to = &client;
	for (;;) {
		int64_t ns = patience();
		struct timespec wait = {ns / NS_PER_SEC, ns % NS_PER_SEC};

		ppoll(fds, 3, ns < 0 ? NULL : &wait, NULL);
		if (fds[0].revents) { /* a new transfer */
			if (fds[1].fd >= 0) {
				close(fds[1].fd);
				close(fds[2].fd);
			}
			up.in = down.out = fds[1].fd = bound(address, 0);
			down.in = up.out = fds[2].fd = bound(INADDR_ANY, 0);
			up.n = down.n = 0;
			server = asked;
			take(&up, fds[0].fd, &client);
			continue;
		}
		if (fds[1].fd >= 0) {
			take(&up, up.in, &client);
			take(&down, down.in, &server);
		}
		pass(&up);
		pass(&down);
		if (up.lost || down.lost) {
			fputs("tftp-proxy: more under way than it has room for\n", stderr);
			return 1;
		}
	}
}

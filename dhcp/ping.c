/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dhcp/ping.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/icmp.h>
#include <netinet/in.h>
#include <sodium.h>
#include <sys/socket.h>

#include "common/bytes.h"
#include "common/cleanup.h"

enum { COOKIE = crypto_shorthash_BYTES, PING_LEN = 8 + COOKIE, PING_RCVBUF = 256 << 10 };

_Static_assert(sizeof(struct ping_key) == crypto_shorthash_KEYBYTES, "key");

int ping_open(const char *ifname, int *out)
{
	const struct icmp_filter filter = {~(1U << ICMP_ECHOREPLY)};
	const int room = PING_RCVBUF;
	cleanup(closep) int fd =
		socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMP);

	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, ifname, (socklen_t)strlen(ifname)) ||
	    setsockopt(fd, SOL_RAW, ICMP_FILTER, &filter, sizeof(filter)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)))
		return -errno;
	*out = take_fd(&fd);
	return 0;
}

static uint16_t checksum(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (; len > 1; p += 2, len -= 2)
		sum += (uint32_t)p[0] << 8 | p[1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void cookie_of(uint32_t address, const struct ping_key *key, uint8_t out[static COOKIE])
{
	crypto_shorthash(out, (const uint8_t *)&address, sizeof(address), key->bytes);
}

int ping_send(int fd, uint32_t address, const struct ping_key *key)
{
	const struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(address)}};
	uint8_t packet[PING_LEN];
	uint8_t cookie[COOKIE];
	struct writer w = writer_of(packet, sizeof(packet));
	uint16_t sum;

	cookie_of(address, key, cookie);
	writer_u8(&w, ICMP_ECHO);
	writer_zero(&w, 7); /* code, sum, id, sequence */
	writer_put(&w, cookie, sizeof(cookie));
	sum = checksum(packet, sizeof(packet));
	packet[2] = (uint8_t)(sum >> 8);
	packet[3] = (uint8_t)sum;
	if (sendto(fd, packet, sizeof(packet), MSG_DONTWAIT | MSG_NOSIGNAL,
		   (const struct sockaddr *)&to, sizeof(to)) < 0)
		return -errno;
	return 0;
}

int ping_receive(int fd, const struct ping_key *key, uint32_t *address)
{
	uint8_t packet[128];
	struct sockaddr_in from = {0};
	socklen_t from_len = sizeof(from);
	ssize_t n = recvfrom(fd, packet, sizeof(packet), MSG_DONTWAIT, (struct sockaddr *)&from,
			     &from_len);
	struct cursor c = cursor_of(packet, n > 0 ? (size_t)n : 0);
	uint8_t cookie[COOKIE];
	const uint8_t *back;
	uint8_t type;

	if (n < 0)
		return -errno;
	/* The IP header comes along. */
	cursor_skip(&c, n ? (size_t)(packet[0] & 15) * 4 : 0);
	type = cursor_u8(&c);
	cursor_skip(&c, 7);
	back = cursor_skip(&c, sizeof(cookie));
	cookie_of(ntohl(from.sin_addr.s_addr), key, cookie);
	if (c.bad || type != ICMP_ECHOREPLY || memcmp(back, cookie, sizeof(cookie)))
		return -EBADMSG;
	*address = ntohl(from.sin_addr.s_addr);
	return 0;
}

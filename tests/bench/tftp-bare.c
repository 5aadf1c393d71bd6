/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The least that a TFTP server on a socket can cost at window 1: one recvmmsg and one
 * sendmmsg for all packets that are there, and nothing in between but a block's number.
 * It keeps no client, no time and no name, and repeats nothing: an ACK asks for the next
 * block of FILE.  What a real server costs above this is its own doing.
 *
 *	tftp-bare [-1] ADDRESS PORT FILE
 *
 * -1: one packet at a time, as a server costs whose clients are never there together.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mac.h"
#include "tftp/packet.h"

enum { BATCH = 64, PACKET_MAX = 2048 };

static struct mmsghdr in[BATCH];
static struct mmsghdr out[BATCH];
static struct iovec in_iov[BATCH];
static struct iovec out_iov[BATCH][2];
static struct sockaddr_in peer[BATCH];
static uint8_t packet[BATCH][PACKET_MAX];
static uint8_t head[BATCH][TFTP_SMALL_MAX];

static const uint8_t *file;
static size_t size;
static uint32_t blksize = TFTP_BLKSIZE; /* the last that was asked for: all ask the same */

/* What answers packet `i`.  Returns false for nothing. */
static bool answer(unsigned int i, struct iovec iov[static 2])
{
	const struct bytes bytes = {packet[i], in[i].msg_len};
	struct tftp_request req;
	struct tftp_packet p;
	size_t at;

	if (!tftp_request_parse(&bytes, &req)) {
		if (req.options.blksize)
			blksize = req.options.blksize;
		iov[0] = (struct iovec){head[i],
					tftp_oack_build(head[i], sizeof(head[i]), &req.options)};
		iov[1].iov_len = 0;
		return true;
	}
	if (tftp_packet_parse(&bytes, &p) || p.op != TFTP_ACK)
		return false;
	at = (size_t)p.block * blksize;
	if (at > size)
		return false;
	tftp_data_header(head[i], (uint16_t)(p.block + 1));
	iov[0] = (struct iovec){head[i], TFTP_HEADER};
	iov[1] = (struct iovec){(void *)(uintptr_t)(file + at),
				size - at < blksize ? size - at : blksize};
	return true;
}

static void serve(int fd, unsigned int most)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	unsigned int n = 0;
	int got;

	for (unsigned int i = 0; i < BATCH; i++) {
		in_iov[i] = (struct iovec){packet[i], PACKET_MAX};
		in[i].msg_hdr = (struct msghdr){
			.msg_iov = &in_iov[i],
			.msg_iovlen = 1,
			.msg_name = &peer[i],
			.msg_namelen = sizeof(peer[i]),
		};
	}
	if (poll(&wait, 1, -1) < 0)
		return;
	got = recvmmsg(fd, in, most, MSG_DONTWAIT, NULL);
	for (int i = 0; i < got; i++) {
		if (!answer((unsigned int)i, out_iov[n]))
			continue;
		out[n].msg_hdr = (struct msghdr){
			.msg_iov = out_iov[n],
			.msg_iovlen = 2,
			.msg_name = &peer[i],
			.msg_namelen = sizeof(peer[i]),
		};
		n++;
	}
	for (unsigned int done = 0; done < n;) {
		int sent = sendmmsg(fd, out + done, n - done, 0);

		done += sent > 0 ? (unsigned int)sent : 1;
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};
	int buffer = 4 << 20;
	unsigned int most = BATCH;
	struct stat st;
	uint32_t address;
	int fd;
	int c;

	while ((c = getopt(argc, argv, "1")) != -1)
		if (c == '1')
			most = 1;
		else
			return 2;
	if (optind + 3 != argc || ip4_parse(argv[optind], &address))
		return 2;
	fd = open(argv[optind + 2], O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) || !st.st_size) {
		perror(argv[optind + 2]);
		return 1;
	}
	size = (size_t)st.st_size;
	file = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	sin.sin_port = htons((uint16_t)atoi(argv[optind + 1]));
	sin.sin_addr.s_addr = htonl(address);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
	if (file == MAP_FAILED || fd < 0 || bind(fd, (struct sockaddr *)&sin, sizeof(sin))) {
		perror("tftp-bare");
		return 1;
	}
	for (;;)
		serve(fd, most);
}

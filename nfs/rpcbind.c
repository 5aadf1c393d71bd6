/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nfs/rpcbind.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <rpc/rpc.h>
#include <rpc/pmap_prot.h>
#include <rpc/rpcb_clnt.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "mount3.h"
#include "nfs3.h"

static const struct {
	uint32_t program;
	uint32_t version;
} services[] = {{NFS3_PROGRAM, 3}, {MOUNT_PROGRAM, MOUNT_V3}, {MOUNT_PROGRAM, MOUNT_V1}};

static const char *const netids[] = {"tcp", "udp"};

void rpcbind_unregister(void)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(netids); i++) {
		struct netconfig *nc = getnetconfigent(netids[i]);

		for (unsigned int j = 0; nc && j < ARRAY_SIZE(services); j++)
			rpcb_unset(services[j].program, services[j].version, nc);
		if (nc)
			freenetconfigent(nc);
	}
}

int rpcbind_register(uint32_t address, uint16_t port)
{
	struct sockaddr_in sin = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(address),
	};
	struct netbuf at = {.maxlen = sizeof(sin), .len = sizeof(sin), .buf = &sin};
	bool fine = true;

	/* What an earlier server of this machine left behind would make it refuse. */
	rpcbind_unregister();
	for (unsigned int i = 0; i < ARRAY_SIZE(netids) && fine; i++) {
		struct netconfig *nc = getnetconfigent(netids[i]);

		fine = nc;
		for (unsigned int j = 0; fine && j < ARRAY_SIZE(services); j++)
			fine = rpcb_set(services[j].program, services[j].version, nc, &at);
		if (nc)
			freenetconfigent(nc);
	}
	if (fine)
		return 0;
	rpcbind_unregister();
	return -ECONNREFUSED;
}

int rpcbind_open(int *out)
{
	const struct sockaddr_in sin = {
		.sin_family = AF_INET,
		.sin_port = htons(PMAPPORT),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	cleanup(closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)&sin, sizeof(sin)))
		return -errno;
	*out = take_fd(&fd);
	return 0;
}

int rpcbind_ask(int fd, uint32_t xid)
{
	/* RFC 5531: a call, RPC version 2, no credentials; RFC 1833, 3: what is asked. */
	const uint32_t words[] = {xid,
				  CALL,
				  RPC_MSG_VERSION,
				  PMAPPROG,
				  PMAPVERS,
				  PMAPPROC_GETPORT,
				  0,
				  0,
				  0,
				  0,
				  NFS3_PROGRAM,
				  NFS3_VERSION,
				  IPPROTO_TCP,
				  0};
	uint8_t call[sizeof(words)];
	struct writer w = writer_of(call, sizeof(call));

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		writer_be32(&w, words[i]);
	return send(fd, call, sizeof(call), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int rpcbind_answer(int fd, uint32_t xid, uint16_t *port)
{
	uint8_t data[64];
	ssize_t n = recv(fd, data, sizeof(data), 0);
	struct cursor c = cursor_of(data, n > 0 ? (size_t)n : 0);
	uint32_t found;

	if (n < 0)
		return -errno;
	/* Accepted, with an empty verifier, and carried out. */
	if (cursor_be32(&c) != xid || cursor_be32(&c) != REPLY || cursor_be32(&c) != MSG_ACCEPTED ||
	    cursor_be32(&c) != AUTH_NONE || cursor_be32(&c) || cursor_be32(&c) != SUCCESS)
		return RPCBIND_OTHER;
	found = cursor_be32(&c);
	if (c.bad || found > UINT16_MAX)
		return RPCBIND_OTHER;
	*port = (uint16_t)found;
	return 0;
}

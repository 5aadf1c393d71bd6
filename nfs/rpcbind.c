/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nfs/rpcbind.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <rpc/rpc.h>
#include <rpc/rpcb_clnt.h>
#include <stdbool.h>

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

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where the port mapper says that MOUNT and NFS are, by TCP and by UDP: ours, as it answers
 * a host that is played; or the rpcbind that has port 111 in its place, as it answers
 * anybody.  That one forgets us when it is started anew, and then no machine finds its root.
 */
#include "cli/doctor_parts.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "dhcp/link.h"

static const struct {
	uint32_t program;
	const char *name;
	const char *option; /* with which a client does not ask */
} wanted[] = {{100005, "MOUNT", ",mountport="}, {100003, "NFS", ",port="}};

/* NFS's own port, as the configuration says. */
static uint16_t nfs_port(const struct doctor *d)
{
	unsigned int n;

	return doctor_needs(d, &n)[n - 1].port;
}

/* Asks by what the client is, for the same.  Returns 0, 1: said, or a negative errno. */
static int ask(struct doctor *d, struct rpc_client *c, bool udp, enum port_mapper mapper,
	       const char *options)
{
	const char *who = mapper == MAPPER_RPCBIND ? "rpcbind" : "the port mapper";
	const char *mend =
		mapper == MAPPER_RPCBIND ? "rootstock reload" : "systemctl restart rootstock";
	const char *proto = udp ? "UDP" : "TCP";
	char list[100] = "";

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		size_t at = strlen(list);
		uint32_t port = 0;
		int r;

		if (strstr(options, wanted[i].option))
			continue;
		r = rpc_getport(c, wanted[i].program, 3, !udp, &port);
		if (r)
			return r;
		if (!port) {
			finding(d->f, FINDING_ERROR, "portmap", mend,
				"%s knows no %s version 3 by %s: who asks it does not find a root",
				who, wanted[i].name, proto);
			return 1;
		}
		if (mapper == MAPPER_RPCBIND && port != nfs_port(d)) {
			finding(d->f, FINDING_ERROR, "portmap", "systemctl restart rootstock",
				"%s says that %s is at %s port %u, and ours is at %u", who,
				wanted[i].name, proto, port, nfs_port(d));
			return 1;
		}
		snprintf(list + at, sizeof(list) - at, "%s%s is at %s port %u", at ? ", " : "",
			 wanted[i].name, proto, port);
	}
	if (*list)
		finding(d->f, FINDING_OK, "portmap", NULL, "%s: %s", who, list);
	return 0;
}

/* Where clients ask. */
static uint32_t own_address(struct doctor *d)
{
	struct dhcp_interface face;

	for (unsigned int i = 0; i < d->config.ninterfaces; i++)
		if (!dhcp_link_query(d->config.interfaces[i], &face, NULL))
			return face.address;
	return INADDR_LOOPBACK;
}

static int ask_rpcbind(struct doctor *d, uint32_t address, const char *options)
{
	int r = 0;

	for (int udp = 0; udp < 2 && !r; udp++) {
		cleanup(rpc_client_closep) struct rpc_client *c = NULL;

		r = rpc_client_connect(d, address, 111, udp, &c);
		if (!r)
			r = ask(d, c, udp, MAPPER_RPCBIND, options);
		if (r < 0) {
			finding(d->f, FINDING_ERROR, "portmap", "systemctl restart rpcbind",
				"rpcbind does not answer by %s: %s", udp ? "UDP" : "TCP",
				why_text(&d->cli->why, r));
			r = 1;
		}
	}
	d->cli->why = (struct why){""};
	return r;
}

int doctor_rpcbind(struct doctor *d)
{
	return ask_rpcbind(d, own_address(d), "");
}

int doctor_portmap(struct host_play *p, const struct rpc_caller *as, const char *options)
{
	enum port_mapper mapper = doctor_port_mapper(p->d);
	char list[300];
	int r = 0;

	snprintf(list, sizeof(list), ",%s", options);
	if (mapper == MAPPER_WRONG)
		return 1; /* what is played does not go by that port */
	if (mapper == MAPPER_RPCBIND)
		return ask_rpcbind(p->d, p->server, list);
	for (int udp = 0; udp < 2 && !r; udp++) {
		cleanup(rpc_client_closep) struct rpc_client *c = NULL;

		r = rpc_client_open(p->d, as, "portmap", udp, &c);
		if (!r)
			r = ask(p->d, c, udp, MAPPER_OURS, list);
	}
	return r;
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The port mapper (RFC 1833): version 2 and rpcbind versions 3 and 4, for what
 * this process serves and nothing else.  klibc's nfsmount and the kernel's
 * nfsroot ask it before they mount.
 *
 * Nothing can be registered here.  CALLIT is dropped, as a reflector would be;
 * the list goes out over UDP only to those we know, since it amplifies 17 times.
 */
#include "nfs/proc.h"

#include <netinet/in.h>
#include <rpc/rpc.h>
#include <rpc/pmap_prot.h>
#include <stdio.h>

#include "mount3.h"
#include "nfs3.h"

struct service {
	uint32_t program;
	uint32_t version;
	bool portmap; /* on 111, else on the NFS port */
};

static const struct service services[] = {
	{PMAPPROG, 4, true},
	{PMAPPROG, 3, true},
	{PMAPPROG, 2, true},
	{NFS3_PROGRAM, NFS3_VERSION, false},
	{MOUNT_PROGRAM, MOUNT_V3, false},
	{MOUNT_PROGRAM, MOUNT_V1, false},
};

static uint32_t service_port(const struct nfs *nfs, const struct service *s)
{
	return s->portmap ? NFS_PORTMAP_PORT : nfs->config->port;
}

static const struct service *service_find(uint32_t program, uint32_t version)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(services); i++)
		if (services[i].program == program && services[i].version == version)
			return &services[i];
	return NULL;
}

/* What a boot asks for shows where it goes on to, or not.  Asking for version 2 is the
 * first thing that a client does which will fail. */
static void tell(struct call *call, uint32_t program, uint32_t version, uint32_t port)
{
	struct caller *caller = call->caller;

	if (program == NFS3_PROGRAM && version == 2)
		mounts_refused(call->nfs->mounts, STEP_PORTMAP, caller->address, caller->who.host,
			       "NFS version 2", "add vers=3 to the mount options");
	else if (caller->who.host)
		mounts_portmap(call->nfs->mounts, caller->address, caller->who.host, program,
			       version, port);
}

static bool may_list(const struct caller *caller)
{
	return caller->tcp || caller->admin || caller->known;
}

/* SET, UNSET: no. */
static int put_false(struct call *call, struct reply *reply)
{
	(void)call;
	writer_be32(&reply->w, 0);
	return 0;
}

static int portmap_getport(struct call *call, struct reply *reply)
{
	uint32_t program = cursor_be32(&call->args);
	uint32_t version = cursor_be32(&call->args);
	uint32_t protocol = cursor_be32(&call->args);
	const struct service *s = service_find(program, version);
	uint32_t port = 0;

	cursor_skip(&call->args, 4);
	if (call->args.bad)
		return CALL_GARBAGE;
	if (s && (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP))
		port = service_port(call->nfs, s);
	tell(call, program, version, port);
	writer_be32(&reply->w, port);
	return 0;
}

static int portmap_dump(struct call *call, struct reply *reply)
{
	static const uint32_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP};
	struct writer *w = &reply->w;

	for (unsigned int i = 0; may_list(call->caller) && i < ARRAY_SIZE(services); i++) {
		for (unsigned int j = 0; j < ARRAY_SIZE(protocols); j++) {
			writer_be32(w, 1);
			writer_be32(w, services[i].program);
			writer_be32(w, services[i].version);
			writer_be32(w, protocols[j]);
			writer_be32(w, service_port(call->nfs, &services[i]));
		}
	}
	writer_be32(w, 0);
	return 0;
}

static int drop(struct call *call, struct reply *reply)
{
	(void)call;
	(void)reply;
	return CALL_DROP;
}

static void put_text(struct writer *w, const char *text)
{
	size_t len = strlen(text);

	writer_be32(w, (uint32_t)len);
	writer_put(w, text, len);
	writer_zero(w, -len & 3);
}

/* RFC 1833, 2.2.1: "h1.h2.h3.h4.p1.p2" */
static void put_uaddr(struct writer *w, uint32_t address, uint32_t port)
{
	char ip[IP4_TEXT];
	char text[IP4_TEXT + 8];

	snprintf(text, sizeof(text), "%s.%u.%u", ip4_format(address, ip), port >> 8 & 255,
		 port & 255);
	put_text(w, text);
}

static struct bytes take_text(struct cursor *args)
{
	uint32_t len = cursor_be32(args);
	struct bytes text;

	if (len > 255)
		args->bad = true;
	text = cursor_take(args, len);
	cursor_skip(args, -len & 3);
	return text;
}

/* GETADDR, GETVERSADDR: the network is the one that the call came by. */
static int portmap_getaddr(struct call *call, struct reply *reply)
{
	uint32_t program = cursor_be32(&call->args);
	uint32_t version = cursor_be32(&call->args);
	const struct service *s = service_find(program, version);

	take_text(&call->args); /* netid */
	take_text(&call->args); /* address */
	take_text(&call->args); /* owner */
	if (call->args.bad)
		return CALL_GARBAGE;
	tell(call, program, version, s ? service_port(call->nfs, s) : 0);
	if (!s) {
		put_text(&reply->w, "");
		return 0;
	}
	put_uaddr(&reply->w, call->caller->local, service_port(call->nfs, s));
	return 0;
}

static int portmap_dump_addresses(struct call *call, struct reply *reply)
{
	static const char *const netids[] = {"tcp", "udp"};
	struct writer *w = &reply->w;

	for (unsigned int i = 0; may_list(call->caller) && i < ARRAY_SIZE(services); i++) {
		for (unsigned int j = 0; j < ARRAY_SIZE(netids); j++) {
			writer_be32(w, 1);
			writer_be32(w, services[i].program);
			writer_be32(w, services[i].version);
			put_text(w, netids[j]);
			put_uaddr(w, 0, service_port(call->nfs, &services[i]));
			put_text(w, "superuser");
		}
	}
	writer_be32(w, 0);
	return 0;
}

/* GETADDRLIST (version 4): one entry for each network. */
static int portmap_getaddrlist(struct call *call, struct reply *reply)
{
	static const struct {
		const char *netid;
		uint32_t semantics; /* 1 clts, 3 cots_ord */
		const char *protocol;
	} nets[] = {{"tcp", 3, "tcp"}, {"udp", 1, "udp"}};
	uint32_t program = cursor_be32(&call->args);
	uint32_t version = cursor_be32(&call->args);
	const struct service *s = service_find(program, version);
	struct writer *w = &reply->w;

	take_text(&call->args);
	take_text(&call->args);
	take_text(&call->args);
	if (call->args.bad)
		return CALL_GARBAGE;
	for (unsigned int i = 0; s && i < ARRAY_SIZE(nets); i++) {
		writer_be32(w, 1);
		put_uaddr(w, call->caller->local, service_port(call->nfs, s));
		put_text(w, nets[i].netid);
		writer_be32(w, nets[i].semantics);
		put_text(w, "inet");
		put_text(w, nets[i].protocol);
	}
	writer_be32(w, 0);
	return 0;
}

proc_fn *const pmap2_procs[] = {
	[0] = proc_null,       /* NULL */
	[1] = put_false,       /* SET */
	[2] = put_false,       /* UNSET */
	[3] = portmap_getport, /* GETPORT */
	[4] = portmap_dump,    /* DUMP */
	[5] = drop,	       /* CALLIT */
};
const uint32_t pmap2_nprocs = ARRAY_SIZE(pmap2_procs);

proc_fn *const rpcb_procs[] = {
	[0] = proc_null,	      /* NULL */
	[1] = put_false,	      /* SET */
	[2] = put_false,	      /* UNSET */
	[3] = portmap_getaddr,	      /* GETADDR */
	[4] = portmap_dump_addresses, /* DUMP */
	[5] = drop,		      /* CALLIT; in version 4 BCAST */
	[9] = portmap_getaddr,	      /* GETVERSADDR, from here on version 4 */
	[10] = drop,		      /* INDIRECT */
	[11] = portmap_getaddrlist,   /* GETADDRLIST */
};
const uint32_t rpcb3_nprocs = 9;
const uint32_t rpcb4_nprocs = ARRAY_SIZE(rpcb_procs);

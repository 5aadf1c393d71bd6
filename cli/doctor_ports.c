/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who has the ports that the server needs: where one runs, whom a client meets that comes in
 * by one of its interfaces; where none does, what would keep `serve` from binding there.
 *
 *	               address            device
 *	DHCP, PXE      all                the interface
 *	TFTP           the interface's    the interface
 *	111, NFS       the interface's;   none
 *	               all, of several
 *
 * Both by the kernel's rules.  Two sockets are in each other's way where device and address
 * overlap; one that is bound to none overlaps with each.  (SO_REUSEADDR makes no difference:
 * what listens by TCP is in the way all the same, and ours by UDP do not set it.)  A packet
 * goes to the socket of its address, else to one of all; of several to that of its device,
 * else to one of IPv4 rather than to one of IPv6 that takes IPv4.
 */
#include "cli/doctor_parts.h"

#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "dhcp/link.h"

const struct need *doctor_needs(const struct doctor *d, unsigned int *n)
{
	static struct need needs[] = {
		{false, 67, "DHCP", NEED_DEVICE},
		{false, 4011, "PXE", NEED_DEVICE},
		{false, 69, "TFTP", NEED_DEVICE_ADDRESS},
		/* Those of TCP are followed by the same of UDP. */
		{true, 111, "the port mapper", NEED_ADDRESS},
		{false, 111, "the port mapper", NEED_ADDRESS},
		{true, NFS_PORT, "NFS", NEED_ADDRESS},
		{false, NFS_PORT, "NFS", NEED_ADDRESS},
	};

	if (d->config.nfs_port)
		needs[5].port = needs[6].port = d->config.nfs_port;
	*n = ARRAY_SIZE(needs);
	return needs;
}

/* ---- where clients come in ---- */

struct place {
	const char *name;
	unsigned int device; /* 0: any, where no interface is named */
	uint32_t address;    /* 0: it has none */
};

static unsigned int places_of(const struct doctor *d, struct place out[CONFIG_INTERFACES_MAX])
{
	unsigned int n = d->config.ninterfaces;

	for (unsigned int i = 0; i < n; i++) {
		struct dhcp_interface face;

		out[i] = (struct place){.name = d->config.interfaces[i],
					.device = if_nametoindex(d->config.interfaces[i])};
		if (!out[i].device)
			out[i].device = UINT_MAX; /* not there: nobody is bound to it */
		if (!dhcp_link_query(out[i].name, &face, NULL))
			out[i].address = face.address;
	}
	if (!n)
		out[0] = (struct place){.name = ""};
	return n ? n : 1;
}

/* Is a packet that comes in there that socket's, if no other's? */
static bool hears(const struct port_socket *s, const struct place *at)
{
	return !s->connected && (!s->device || !at->device || s->device == at->device) &&
	       (!s->address || s->address == at->address);
}

/* Does it keep ours from there? */
static bool is_in_way(const struct doctor *d, const struct need *need, const struct place *at,
		      const struct port_socket *s)
{
	bool device = need->bound != NEED_ADDRESS;
	bool all = need->bound == NEED_DEVICE ||
		   (need->bound == NEED_ADDRESS && d->config.ninterfaces > 1);

	return (!s->device || !device || !at->device || s->device == at->device) &&
	       (!s->address || all || s->address == at->address);
}

static int closeness(const struct port_socket *s)
{
	return 4 * !!s->address + 2 * !!s->device + !s->ipv6;
}

struct port {
	const struct need *need;
	struct port_socket *sockets;
	size_t n;
};

/* NULL: nobody. */
static const struct port_socket *who_hears(const struct port *port, const struct place *at)
{
	const struct port_socket *best = NULL;

	for (size_t i = 0; i < port->n; i++) {
		const struct port_socket *s = &port->sockets[i];

		if (hears(s, at) && (!best || closeness(s) > closeness(best)))
			best = s;
	}
	return best;
}

static const struct port_socket *who_is_in_way(const struct doctor *d, const struct port *port,
					       const struct place *at)
{
	const struct port_socket *best = who_hears(port, at);

	for (size_t i = 0; i < port->n && !best; i++)
		if (is_in_way(d, port->need, at, &port->sockets[i]))
			best = &port->sockets[i];
	return best;
}

/* ---- who that is ---- */

static bool is_ours(const struct holder *h)
{
	return !strcmp(h->name, "rootstock");
}

/* That one takes registrations, and so serves us, at all addresses that it hears. */
static bool is_mapper(const struct need *need, const struct holder *h)
{
	return need->port == NFS_PORTMAP_PORT && !h->where[0] &&
	       (!strcmp(h->name, "rpcbind") || !strcmp(h->name, "systemd"));
}

static struct holder holder_of(const struct port_socket *s, const struct place *at)
{
	struct holder h = holder_find(s->inode);
	char device[IF_NAMESIZE];
	char text[IP4_TEXT];

	if (s->connected)
		snprintf(h.where, sizeof(h.where), " for one peer alone");
	else if (s->device && s->device != at->device)
		snprintf(h.where, sizeof(h.where), " on %s, and ours is for all interfaces",
			 if_indextoname(s->device, device) ? device : "another interface");
	else if (!hears(s, at))
		snprintf(h.where, sizeof(h.where), " at %s, and ours is for all addresses",
			 ip4_format(s->address, text));
	return h;
}

/* ---- what is said ---- */

/* The server does without PXE's port, which ROMs ask where another gives the addresses. */
static bool is_spare(const struct doctor *d, const struct need *need)
{
	return need->port == DHCP_PORT_PXE && d->config.dhcp.mode != DHCP_MODE_PROXY;
}

/* What was found at a port. */
struct found {
	enum { FOUND_WELL, FOUND_UNHEARD, FOUND_TAKEN } kind;
	struct holder holder; /* UNHEARD: who keeps ours from there; WELL: without a name, nobody */
	const char *face;     /* where; "": everywhere */
};

static struct found found_at(const struct doctor *d, const struct need *need)
{
	cleanup(freep) struct port_socket *sockets = NULL;
	struct port port = {.need = need};
	struct place places[CONFIG_INTERFACES_MAX];
	unsigned int n = places_of(d, places);
	struct found f = {.face = ""};

	port_sockets(need->tcp, need->port, &sockets, &port.n);
	port.sockets = sockets;
	for (unsigned int i = 0; i < n && !f.kind; i++) {
		const struct port_socket *heard = who_hears(&port, &places[i]);
		const struct port_socket *s = heard ? heard : who_is_in_way(d, &port, &places[i]);

		if (s)
			f.holder = holder_of(s, &places[i]);
		if (d->runs && !heard)
			f.kind = FOUND_UNHEARD;
		else if (s && !is_ours(&f.holder) && !is_mapper(need, &f.holder))
			f.kind = FOUND_TAKEN;
		if (f.kind && n > 1)
			f.face = places[i].name;
	}
	return f;
}

static bool is_same(const struct found *a, const struct found *b)
{
	return a->kind == b->kind && a->holder.pid == b->holder.pid &&
	       !strcmp(a->holder.name, b->holder.name) && !strcmp(a->holder.where, b->holder.where);
}

static void tell_taken(struct doctor *d, const struct need *need, const char *proto,
		       const struct holder *h)
{
	bool spare = is_spare(d, need);
	enum finding_level level = spare ? FINDING_WARN : FINDING_ERROR;
	const char *without = spare ? ": of use in mode = proxy alone" : "";
	char mend[200];

	/* The kernel's own server has sockets that are no process's. */
	if (!h->pid) {
		finding(d->f, level, "port",
			need->port == d->config.nfs_port || need->port == NFS_PORT
				? "systemctl disable --now nfs-server"
				: "ss -lnp  # who is it?",
			"%s %u (%s): taken by the kernel, or by a process of another container%s%s",
			proto, need->port, need->what, h->where, without);
		return;
	}
	holder_mend(h, need->port, mend);
	finding(d->f, level, "port", mend, "%s %u (%s): taken by %s (process %d)%s%s%s", proto,
		need->port, need->what, h->name, h->pid,
		need->port == NFS_PORTMAP_PORT && !h->where[0] ? ", which is no rpcbind" : "",
		h->where, without);
}

/* A server runs, and nobody hears clients there. */
static void tell_unheard(struct doctor *d, const struct need *need, const char *proto,
			 const struct found *f)
{
	const struct holder *h = &f->holder;
	char mend[200] = "systemctl restart rootstock";
	char way[200] = "";

	if (h->pid && !is_ours(h)) {
		holder_mend(h, need->port, mend);
		snprintf(way, sizeof(way), ": %s (process %d) has it%s", h->name, h->pid, h->where);
	}
	finding(d->f, is_spare(d, need) ? FINDING_WARN : FINDING_ERROR, "port", mend,
		"%s %u (%s): nobody listens%s%s, though a server runs%s", proto, need->port,
		need->what, *f->face ? " on " : "", f->face, way);
}

static void tell_well(struct doctor *d, const struct need *need, const char *proto,
		      const struct holder *h)
{
	char mend[160];

	snprintf(mend, sizeof(mend), "rootstock --state ITS-STATE doctor  # or end process %d",
		 h->pid);
	if (!h->name[0])
		finding(d->f, FINDING_OK, "port", NULL, "%s %u (%s): free", proto, need->port,
			need->what);
	else if (!is_ours(h))
		finding(d->f, FINDING_OK, "port", NULL, "%s %u: %s has it: NFS registers there",
			proto, need->port, h->name);
	else if (d->runs)
		finding(d->f, FINDING_OK, "port", NULL, "%s %u (%s): rootstock has it", proto,
			need->port, need->what);
	else
		finding(d->f, FINDING_WARN, "port", mend,
			"%s %u (%s): a rootstock with another state has it", proto, need->port,
			need->what);
}

/* Who has it is of interest where it is port 111.  `errors`: what is well is not said. */
static enum port_mapper tell(struct doctor *d, const struct need *need, const char *proto,
			     const struct found *f, bool errors)
{
	if (f->kind == FOUND_TAKEN)
		tell_taken(d, need, proto, &f->holder);
	else if (f->kind == FOUND_UNHEARD)
		tell_unheard(d, need, proto, f);
	else if (!errors)
		tell_well(d, need, proto, &f->holder);
	if (f->kind)
		return MAPPER_WRONG;
	return f->holder.name[0] && !is_ours(&f->holder) ? MAPPER_RPCBIND : MAPPER_OURS;
}

static enum port_mapper worse(enum port_mapper a, enum port_mapper b)
{
	return a > b ? a : b;
}

/* By TCP and by UDP: once, where both are alike.  Who has taken the one is the reason why
 * nobody listens at the other: to begin anew would not help. */
static enum port_mapper look_at_both(struct doctor *d, const struct need need[2], bool errors)
{
	const struct found tcp = found_at(d, &need[0]);
	struct found udp = found_at(d, &need[1]);
	enum port_mapper r = MAPPER_OURS;

	/* rpcbind -h is of UDP's addresses. */
	if (udp.kind == FOUND_UNHEARD && !udp.holder.pid && is_mapper(&need[0], &tcp.holder)) {
		udp.holder = tcp.holder;
		snprintf(udp.holder.where, sizeof(udp.holder.where), " by TCP alone");
	}
	if (is_same(&tcp, &udp))
		return tell(d, need, "TCP and UDP", &tcp, errors);
	if (tcp.kind != FOUND_UNHEARD || udp.kind != FOUND_TAKEN)
		r = tell(d, &need[0], "TCP", &tcp, errors);
	if (udp.kind != FOUND_UNHEARD || tcp.kind != FOUND_TAKEN)
		r = worse(r, tell(d, &need[1], "UDP", &udp, errors));
	return r;
}

/* Of port 111 by TCP and UDP; of two that differ, the worse. */
static enum port_mapper look_at_ports(struct doctor *d, bool mapper_alone)
{
	enum port_mapper found = MAPPER_OURS;
	unsigned int n;
	const struct need *needs = doctor_needs(d, &n);

	for (unsigned int i = 0; i < n; i += needs[i].tcp ? 2 : 1) {
		bool mapper = needs[i].port == NFS_PORTMAP_PORT;
		enum port_mapper who;

		if (mapper_alone && !mapper)
			continue;
		if (needs[i].tcp) {
			who = look_at_both(d, &needs[i], mapper_alone);
		} else {
			const struct found f = found_at(d, &needs[i]);

			who = tell(d, &needs[i], "UDP", &f, mapper_alone);
		}
		if (mapper)
			found = who;
	}
	return found;
}

void doctor_ports(struct doctor *d)
{
	if (look_at_ports(d, false) == MAPPER_RPCBIND && d->runs)
		doctor_rpcbind(d);
}

enum port_mapper doctor_port_mapper(struct doctor *d)
{
	return look_at_ports(d, true);
}

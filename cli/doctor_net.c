/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where the server stands in its network: is the interface there, who has the ports that
 * it needs, and does somebody else answer DHCP?
 */
#include "cli/doctor_parts.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "dhcp/link.h"
#include "dhcp/probe.h"

enum { PROBE_MS = 1500, HOLDER = 40 };

const struct need *doctor_needs(const struct doctor *d, unsigned int *n)
{
	static struct need needs[] = {
		{false, 67, "DHCP", true},
		{false, 4011, "PXE", true},
		{false, 69, "TFTP", true},
		{true, 111, "the port mapper", false},
		{false, 111, "the port mapper", false},
		{true, NFS_PORT, "NFS", false},
		{false, NFS_PORT, "NFS", false},
	};

	if (d->config.nfs_port)
		needs[5].port = needs[6].port = d->config.nfs_port;
	*n = ARRAY_SIZE(needs);
	return needs;
}

/* ---- interfaces ---- */

static bool is_up(const char *name)
{
	cleanup(closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {0};

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	return fd >= 0 && !ioctl(fd, SIOCGIFFLAGS, &ifr) && ifr.ifr_flags & IFF_UP;
}

static bool has_carrier(const char *name)
{
	cleanup(closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {0};

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	return fd >= 0 && !ioctl(fd, SIOCGIFFLAGS, &ifr) && ifr.ifr_flags & IFF_RUNNING;
}

static void look_at(struct doctor *d, const char *name)
{
	struct dhcp_interface face;
	struct why why = {""};
	char text[IP4_TEXT];
	char mend[120];
	bool served = !d->config.dhcp.nsubnets;
	int r;

	if (!if_nametoindex(name)) {
		finding(d->f, FINDING_ERROR, "interface",
			"ip link  # then name one of these by --interface or in the configuration",
			"%s: there is no such interface", name);
		return;
	}
	if (!is_up(name)) {
		snprintf(mend, sizeof(mend), "ip link set %s up", name);
		finding(d->f, FINDING_ERROR, "interface", mend, "%s: is down", name);
		return;
	}
	r = dhcp_link_query(name, &face, &why);
	if (r) {
		snprintf(mend, sizeof(mend), "ip address add 10.0.0.1/24 dev %s", name);
		finding(d->f, FINDING_ERROR, "interface", mend, "%s", why_text(&why, r));
		return;
	}
	ip4_format(face.address, text);
	for (unsigned int i = 0; i < d->config.dhcp.nsubnets; i++)
		served |= (face.address & d->config.dhcp.subnets[i].mask) ==
			  d->config.dhcp.subnets[i].network;
	snprintf(mend, sizeof(mend), "ip link show %s  # is its cable plugged in?", name);
	if (!served)
		finding(d->f, FINDING_WARN, "interface",
			"write a [subnet ...] of its network into the configuration, or mend that "
			"which is there",
			"%s: its address %s is in no subnet of the configuration: only what comes "
			"by a relay is answered",
			name, text);
	else if (!has_carrier(name))
		finding(d->f, FINDING_WARN, "interface", mend, "%s: %s, but no link", name, text);
	else
		finding(d->f, FINDING_OK, "interface", NULL, "%s: up, %s/%d", name, text,
			__builtin_popcount(face.netmask));
}

void doctor_interfaces(struct doctor *d)
{
	for (unsigned int i = 0; i < d->config.ninterfaces; i++)
		look_at(d, d->config.interfaces[i]);
	if (!d->config.ninterfaces)
		finding(d->f, FINDING_WARN, "interface",
			"rootstock serve --interface IF, or interface = IF in /etc/rootstock.conf",
			"none is named, in the configuration or by --interface");
}

/* ---- ports ---- */

/* Who has a port. */
struct holder {
	int pid;	   /* 0: no process that can be seen */
	char name[HOLDER]; /* of its program */
};

/* As it calls itself; "exe" is how one was started, and not what it is. */
static void program_name(const char *pid, char out[HOLDER])
{
	cleanup(fclosep) FILE *f = NULL;
	char path[300];
	char program[PATH_MAX];
	const char *slash;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
	f = fopen(path, "re");
	if (!f || !fgets(out, HOLDER, f))
		snprintf(out, HOLDER, "exe");
	out[strcspn(out, "\n")] = '\0';
	if (strcmp(out, "exe") != 0)
		return;
	snprintf(path, sizeof(path), "/proc/%.20s/exe", pid);
	n = readlink(path, program, sizeof(program) - 1);
	program[n < 0 ? 0 : n] = '\0';
	slash = strrchr(program, '/');
	snprintf(out, HOLDER, "%.*s", HOLDER - 1, slash && slash[1] ? slash + 1 : "process");
}

/* Does that process hold the socket?  Then what its program is called. */
static bool holds(const char *pid, const char *link, char out[HOLDER])
{
	char path[300];
	cleanup(closedirp) DIR *dir = NULL;
	const struct dirent *e;

	snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		char target[64];
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/%.20s/fd/%.20s", pid, e->d_name);
		n = readlink(path, target, sizeof(target) - 1);
		if (n < 0)
			continue;
		target[n] = '\0';
		if (strcmp(target, link))
			continue;
		program_name(pid, out);
		return true;
	}
	return false;
}

static struct holder find_program(unsigned long inode)
{
	cleanup(closedirp) DIR *proc = opendir("/proc");
	struct holder h = {0};
	const struct dirent *e;
	char link[64];

	snprintf(link, sizeof(link), "socket:[%lu]", inode);
	while (proc && !h.pid && (e = readdir(proc)))
		if (isdigit((unsigned char)e->d_name[0]) && holds(e->d_name, link, h.name))
			h.pid = atoi(e->d_name);
	return h;
}

/* Would that socket be in our way? */
static bool is_in_way(const struct doctor *d, const struct need *need, const struct port_socket *s)
{
	bool device = !s->device || !need->device || !d->config.ninterfaces;
	bool address = !s->address;
	struct dhcp_interface face;

	for (unsigned int i = 0; i < d->config.ninterfaces; i++) {
		const char *name = d->config.interfaces[i];

		device |= s->device == if_nametoindex(name);
		address |= !dhcp_link_query(name, &face, NULL) && face.address == s->address;
	}
	return device && address;
}

/* Who has a port: a rootstock, else the first that is in its way.  Others have it on
 * addresses or devices of their own. */
static bool find_holder(const struct doctor *d, const struct need *need, struct holder *out)
{
	cleanup(freep) struct port_socket *sockets = NULL;
	bool found = false;
	size_t n = 0;

	port_sockets(need->tcp, need->port, &sockets, &n);
	for (size_t i = 0; i < n; i++) {
		struct holder h = find_program(sockets[i].inode);

		if (!strcmp(h.name, "rootstock")) {
			*out = h;
			return true;
		}
		if (!found && is_in_way(d, need, &sockets[i])) {
			*out = h;
			found = true;
		}
	}
	return found;
}

static const char *mend_port(const char *holder, char out[160])
{
	static const struct {
		const char *program;
		const char *unit;
	} known[] = {{"dnsmasq", "dnsmasq"},
		     {"dhcpd", "isc-dhcp-server"},
		     {"kea-dhcp4", "kea-dhcp4-server"},
		     {"in.tftpd", "tftpd-hpa"},
		     {"atftpd", "atftpd"},
		     {"ganesha.nfsd", "nfs-ganesha"}};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (!strcmp(holder, known[i].program)) {
			snprintf(out, 160, "systemctl disable --now %s", known[i].unit);
			return out;
		}
	return NULL;
}

/* Who has it is of interest where it is port 111.  `errors`: what is well is not said. */
static enum port_mapper look_at_port(struct doctor *d, const struct need *need, bool errors)
{
	const char *proto = need->tcp ? "TCP" : "UDP";
	struct holder holder;
	char mend[160];

	if (!find_holder(d, need, &holder)) {
		if (d->runs)
			finding(d->f, FINDING_ERROR, "port", "systemctl restart rootstock",
				"%s %u (%s): nobody listens, though a server runs", proto,
				need->port, need->what);
		else if (!errors)
			finding(d->f, FINDING_OK, "port", NULL, "%s %u (%s): free", proto,
				need->port, need->what);
		return d->runs ? MAPPER_WRONG : MAPPER_OURS;
	}
	/* The kernel's own server has sockets that are no process's. */
	if (!holder.pid) {
		finding(d->f, FINDING_ERROR, "port",
			need->port == d->config.nfs_port || need->port == NFS_PORT
				? "systemctl disable --now nfs-server"
				: "ss -lnp  # who is it?",
			"%s %u (%s): taken by the kernel, or by a process of another container",
			proto, need->port, need->what);
		return MAPPER_WRONG;
	}
	if (!strcmp(holder.name, "rootstock")) {
		snprintf(mend, sizeof(mend),
			 "rootstock --state ITS-STATE doctor  # or end process %d", holder.pid);
		if (!errors)
			finding(d->f, d->runs ? FINDING_OK : FINDING_WARN, "port",
				d->runs ? NULL : mend, "%s %u (%s): %s", proto, need->port,
				need->what,
				d->runs ? "rootstock has it"
					: "a rootstock with another state has it");
		return MAPPER_OURS;
	}
	/* That one takes registrations, and so serves us. */
	if (need->port == NFS_PORTMAP_PORT &&
	    (!strcmp(holder.name, "rpcbind") || !strcmp(holder.name, "systemd"))) {
		if (!errors)
			finding(d->f, FINDING_OK, "port", NULL,
				"%s 111: %s has it: NFS registers there", proto, holder.name);
		return MAPPER_RPCBIND;
	}
	if (!mend_port(holder.name, mend))
		snprintf(mend, sizeof(mend), "kill %d  # %s; or keep it from starting", holder.pid,
			 holder.name);
	finding(d->f, FINDING_ERROR, "port", mend, "%s %u (%s): taken by %s (process %d)%s", proto,
		need->port, need->what, holder.name, holder.pid,
		need->port == NFS_PORTMAP_PORT ? ", which is no rpcbind" : "");
	return MAPPER_WRONG;
}

/* Of port 111 by TCP and UDP; of two that differ, the worse. */
static enum port_mapper look_at_ports(struct doctor *d, bool mapper_alone)
{
	enum port_mapper found = MAPPER_OURS;
	unsigned int n;
	const struct need *needs = doctor_needs(d, &n);

	for (unsigned int i = 0; i < n; i++) {
		bool mapper = needs[i].port == NFS_PORTMAP_PORT;
		enum port_mapper who;

		if (mapper_alone && !mapper)
			continue;
		who = look_at_port(d, &needs[i], mapper_alone);
		if (mapper && who > found)
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

/* ---- others ---- */

void doctor_others(struct doctor *d)
{
	for (unsigned int i = 0; i < d->config.ninterfaces; i++) {
		struct dhcp_interface face;
		struct why why = {""};
		char text[IP4_TEXT];
		char mend[120];
		uint32_t other = 0;

		if (dhcp_link_query(d->config.interfaces[i], &face, NULL))
			continue;
		snprintf(mend, sizeof(mend),
			 is_up(face.name) ? "rootstock doctor --interface %s  # outside of this "
					    "container, with CAP_NET_RAW"
					  : "ip link set %s up",
			 face.name);
		if (dhcp_probe_server(&face, PROBE_MS, &other, &why))
			finding(d->f, FINDING_WARN, "dhcp", mend,
				"other DHCP servers cannot be looked for: %s", why.text);
		else if (!other || other == face.address)
			finding(d->f, FINDING_OK, "dhcp", NULL, "%s: no other DHCP server answers",
				face.name);
		else if (d->config.dhcp.mode == DHCP_MODE_PROXY)
			finding(d->f, FINDING_OK, "dhcp", NULL,
				"%s: %s gives the addresses (mode = proxy)", face.name,
				ip4_format(other, text));
		else
			finding(d->f, FINDING_ERROR, "dhcp",
				"set mode = proxy in /etc/rootstock.conf, or end the other",
				"%s: another DHCP server answers: %s", face.name,
				ip4_format(other, text));
	}
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The program that has a socket, by /proc, and the command that ends it: of a service of
 * systemd's by its unit, and by hand what somebody started by hand.
 */
#include "cli/doctor_parts.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { UNIT = 80 };

/* As it calls itself; "exe" is how one was started, and not what it is. */
static void program_name(const char *pid, char out[HOLDER_NAME])
{
	cleanup(fclosep) FILE *f = NULL;
	char path[300];
	char program[PATH_MAX];
	const char *slash;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
	f = fopen(path, "re");
	if (!f || !fgets(out, HOLDER_NAME, f))
		snprintf(out, HOLDER_NAME, "exe");
	out[strcspn(out, "\n")] = '\0';
	if (strcmp(out, "exe") != 0)
		return;
	snprintf(path, sizeof(path), "/proc/%.20s/exe", pid);
	n = readlink(path, program, sizeof(program) - 1);
	program[n < 0 ? 0 : n] = '\0';
	slash = strrchr(program, '/');
	snprintf(out, HOLDER_NAME, "%.*s", HOLDER_NAME - 1,
		 slash && slash[1] ? slash + 1 : "process");
}

/* Does that process hold the socket?  Then what its program is called. */
static bool holds(const char *pid, const char *link, char out[HOLDER_NAME])
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

struct holder holder_find(unsigned long inode)
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

/* The line of a file in /proc/PID that begins so, without that; "": none. */
static void proc_line(int pid, const char *name, const char *begin, char *out, size_t size)
{
	cleanup(fclosep) FILE *f = NULL;
	char path[64];
	char line[512];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	*out = '\0';
	f = fopen(path, "re");
	while (f && !*out && fgets(line, sizeof(line), f))
		if (!strncmp(line, begin, strlen(begin)))
			snprintf(out, size, "%.*s", (int)strcspn(line + strlen(begin), "\n"),
				 line + strlen(begin));
}

/* The service of systemd that it runs in; "": none, as of what somebody started by hand. */
static void unit_of(int pid, char out[UNIT])
{
	static const char slice[] = "/system.slice/";
	char group[256];
	const char *unit;
	size_t len;

	proc_line(pid, "cgroup", "0::", group, sizeof(group));
	unit = strrchr(group, '/');
	len = unit ? strlen(++unit) : 0;
	*out = '\0';
	if (!strncmp(group, slice, strlen(slice)) && len > 8 && len < UNIT &&
	    !strcmp(unit + len - 8, ".service"))
		memcpy(out, unit, len + 1);
}

void holder_mend(const struct holder *h, uint16_t port, char out[200])
{
	char unit[UNIT];
	char parent[16];

	unit_of(h->pid, unit);
	proc_line(h->pid, "status", "PPid:\t", parent, sizeof(parent));
	if (port == NFS_PORTMAP_PORT && !strcmp(h->name, "rpcbind"))
		snprintf(out, 200,
			 "take -h out of OPTIONS in /etc/default/rpcbind; systemctl "
			 "restart rpcbind");
	else if (!strcmp(h->name, "systemd"))
		snprintf(out, 200,
			 "systemctl list-sockets  # then systemctl disable --now the "
			 "unit that has port %u",
			 port);
	else if (!strcmp(h->name, "systemd-network"))
		snprintf(out, 200, "set DHCPServer=no in the .network file; networkctl reload");
	else if (!strcmp(h->name, "docker-proxy"))
		snprintf(out, 200, "docker ps --filter publish=%u  # then docker stop that one",
			 port);
	else if (*unit && !strcmp(parent, "1"))
		snprintf(out, 200, "systemctl disable --now %s", unit);
	else if (*unit) /* to end all of it may be too much */
		snprintf(out, 200, "systemctl status %d  # why does %s start %s?", h->pid, unit,
			 h->name);
	else
		snprintf(out, 200, "kill %d  # %s; or keep it from starting", h->pid, h->name);
}

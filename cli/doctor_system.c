/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the machine has for the server: loaders of the distribution's packages, a clock
 * that is right, room on the disk, limits that fit the number of clients, and nothing that
 * confines it beyond its own wishes.
 */
#include "cli/doctor_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>

#include "common/clock.h"
#include "common/control.h"
#include "common/schema.h"
#include "tftp/loader.h"

enum {
	ROOM_LOW_MIB = 1024,
	ROOM_NONE_MIB = 64,
	FILES_LOW = 16384, /* a socket for each client, an object for each file that is read */
	BUFFER_WANTED = 4 << 20, /* of the sockets that all machines ask */
};

static void packages(struct doctor *d)
{
	static const struct {
		const char *file;
		const char *who;
	} wanted[] = {
		{"pxelinux.0", "machines with a BIOS"},
		{"ldlinux.c32", "machines with a BIOS"},
		{"bootx64.efi", "64-bit UEFI machines"},
		{"grubx64.efi", "64-bit UEFI machines"},
	};
	const char *folders[CONFIG_LOADERS_MAX + 1] = {NULL};
	cleanup(loaders_freep) struct loaders *loaders = NULL;
	struct why why = {""};
	unsigned int missing = 0;
	int r;

	for (unsigned int i = 0; i < d->config.nloaders; i++)
		folders[i] = d->config.loaders[i];
	r = loaders_new(d->config.nloaders ? folders : NULL, &loaders, &why);
	if (r) {
		finding(d->f, FINDING_ERROR, "loaders", "mend loaders = in /etc/rootstock.conf",
			"%s", why_text(&why, r));
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		const char *package = loader_package(wanted[i].file);
		char mend[120];

		if (loader_there(loaders, wanted[i].file))
			continue;
		missing++;
		snprintf(mend, sizeof(mend), "apt-get install %s", package ? package : "");
		finding(d->f, FINDING_WARN, "loaders", package ? mend : NULL,
			"%s is not here: %s cannot boot", wanted[i].file, wanted[i].who);
	}
	if (!missing)
		finding(d->f, FINDING_OK, "loaders", NULL, "for BIOS and 64-bit UEFI are here");
}

static void clock_is_right(struct doctor *d)
{
	struct timex t = {0};
	struct stat program;
	int state = adjtimex(&t);

	if (!stat("/proc/self/exe", &program) &&
	    wall_now_ns() / NS_PER_SEC < program.st_mtime - 86400) {
		finding(d->f, FINDING_ERROR, "clock", "timedatectl set-ntp true",
			"the clock is far off: it is older than this program");
		return;
	}
	if (state < 0 || state == TIME_ERROR || t.status & STA_UNSYNC)
		finding(d->f, FINDING_WARN, "clock",
			"apt-get install systemd-timesyncd; timedatectl set-ntp true",
			"nothing keeps it right: times of leases, boots and files may be wrong");
	else
		finding(d->f, FINDING_OK, "clock", NULL, "synchronised");
}

/* The folder, or the nearest above it that is there. */
static void existing(const char *dir, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s", dir);
	while (access(out, F_OK) && strrchr(out, '/') && strrchr(out, '/') != out)
		*strrchr(out, '/') = '\0';
	if (access(out, F_OK))
		strcpy(out, "/");
}

static void disk(struct doctor *d)
{
	char dir[PATH_MAX];
	struct statvfs st;
	unsigned long long mib;
	char mend[PATH_MAX + 60];
	char remount[PATH_MAX + 60];

	existing(d->cli->state_dir, dir);
	if (statvfs(dir, &st)) {
		snprintf(mend, sizeof(mend), "findmnt -T %.200s; dmesg | tail", dir);
		finding(d->f, FINDING_ERROR, "disk", mend, "%s: %s", dir, strerror(errno));
		return;
	}
	mib = (unsigned long long)st.f_bavail * st.f_frsize >> 20;
	snprintf(mend, sizeof(mend), "df -h %.200s; rootstock image prune NAME --keep 2", dir);
	snprintf(remount, sizeof(remount), "mount -o remount,rw $(findmnt -no TARGET -T %.200s)",
		 dir);
	if (st.f_flag & ST_RDONLY)
		finding(d->f, FINDING_ERROR, "disk", remount,
			"%s is on a file system that is mounted read-only", dir);
	else if (mib < ROOM_LOW_MIB)
		finding(d->f, mib < ROOM_NONE_MIB ? FINDING_ERROR : FINDING_WARN, "disk", mend,
			"%s: %llu MiB are free", dir, mib);
	else if (st.f_files && st.f_favail < st.f_files / 20)
		finding(d->f, FINDING_WARN, "disk", "df -i; rootstock image prune NAME --keep 2",
			"%s: %llu of %llu inodes are free", dir, (unsigned long long)st.f_favail,
			(unsigned long long)st.f_files);
	else
		finding(d->f, FINDING_OK, "disk", NULL, "%s: %llu MiB are free", dir, mib);
}

static long long number_in(const char *path)
{
	cleanup(fclosep) FILE *f = fopen(path, "re");
	long long n;

	return f && fscanf(f, "%lld", &n) == 1 ? n : -1;
}

/* How many machines there are to serve, as far as is known. */
static long long machines(struct doctor *d)
{
	cleanup(db_closep) struct db *db = NULL;
	sqlite3_stmt *stmt;
	long long n = 0;

	if (db_open(d->cli->state_dir, &schema_rootstock, DB_READ, &db, NULL))
		return 0;
	stmt = db_stmt(db, "SELECT count(*) FROM host");
	if (db_query(db, stmt, "") == DB_ROW)
		n = sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	return n;
}

static void neighbours(struct doctor *d)
{
	long long thresh = number_in("/proc/sys/net/ipv4/neigh/default/gc_thresh3");
	long long hosts = machines(d);
	char mend[160];

	if (thresh < 0)
		return; /* a container's network is not told */
	if (hosts + 64 <= thresh) {
		finding(d->f, FINDING_OK, "limits", NULL,
			"the table of neighbours has room for %lld", thresh);
		return;
	}
	snprintf(mend, sizeof(mend),
		 "sysctl -w net.ipv4.neigh.default.gc_thresh2=%lld "
		 "net.ipv4.neigh.default.gc_thresh3=%lld",
		 2 * hosts + 1024, 4 * hosts + 2048);
	finding(d->f, FINDING_ERROR, "limits", mend,
		"the table of neighbours has room for %lld, and %lld machines are registered: "
		"those beyond it are not reached",
		thresh, hosts);
}

pid_t doctor_server_pid(const struct doctor *d)
{
	cleanup(closep) int fd = -1;
	struct ucred who = {0};
	socklen_t len = sizeof(who);

	if (!d->runs || control_open(d->cli->state_dir, "serve", &fd, NULL) ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len))
		return 0;
	return who.pid;
}

/* Of the server that runs, whose children have what it has; else of one that would be
 * started from here. */
static void descriptors(struct doctor *d)
{
	pid_t pid = doctor_server_pid(d);
	const char *whose = pid ? "the server" : "a server that is started from here";
	struct rlimit files;

	if (prlimit(pid, RLIMIT_NOFILE, NULL, &files))
		return;
	if (files.rlim_max < FILES_LOW)
		finding(d->f, FINDING_WARN, "limits",
			"LimitNOFILE=65536 in the unit, or ulimit -Hn 65536 before serve",
			"each process of %s may have %llu descriptors: so many clients and files "
			"at once",
			whose, (unsigned long long)files.rlim_max);
	else
		finding(d->f, FINDING_OK, "limits", NULL,
			"each process of %s may have %llu descriptors", whose,
			(unsigned long long)files.rlim_max);
}

/* Who has CAP_NET_ADMIN gives himself what rmem_max denies; in a container root may have
 * none, so it is tried. */
static void buffers(struct doctor *d)
{
	long long most = number_in("/proc/sys/net/core/rmem_max");
	cleanup(closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int size = BUFFER_WANTED;

	if (most < 0 || fd < 0)
		return;
	if (most >= BUFFER_WANTED)
		finding(d->f, FINDING_OK, "limits", NULL, "a socket may hold %lld KiB", most >> 10);
	else if (!setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		finding(d->f, FINDING_OK, "limits", NULL,
			"a socket may hold %lld KiB, but the server's, by root's privilege, hold "
			"%d KiB",
			most >> 10, BUFFER_WANTED >> 10);
	else
		finding(d->f, FINDING_WARN, "limits", "sysctl -w net.core.rmem_max=4194304",
			"a socket may hold %lld KiB, and root may not have more here (no "
			"CAP_NET_ADMIN): packets are lost when many machines ask at once",
			most >> 10);
}

static void fuse_is_there(struct doctor *d)
{
	cleanup(closep) int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		finding(d->f, FINDING_WARN, "fuse", "modprobe fuse",
			"/dev/fuse: %s: `rootstock mount` does not work; serving does",
			strerror(errno));
	else
		finding(d->f, FINDING_OK, "fuse", NULL, "/dev/fuse is there");
}

static void confinement(struct doctor *d)
{
	cleanup(fclosep) FILE *f = fopen("/sys/kernel/security/apparmor/profiles", "re");
	char line[256];
	bool said = false;

	if (number_in("/sys/fs/selinux/enforce") == 1) {
		finding(d->f, FINDING_WARN, "selinux",
			"ausearch -m avc -c rootstock | audit2allow -M rootstock; semodule -i "
			"rootstock.pp",
			"SELinux is enforcing, and rootstock has no policy of its own: what it "
			"denies is in the audit log");
		said = true;
	}
	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, "rootstock") && strstr(line, "(enforce)")) {
			finding(d->f, FINDING_WARN, "apparmor", "aa-complain rootstock",
				"a profile of AppArmor confines rootstock: what it denies is in "
				"the "
				"kernel's log");
			said = true;
		}
	if (!said)
		finding(d->f, FINDING_OK, "confinement", NULL,
			"neither SELinux nor AppArmor is in the way");
}

void doctor_system(struct doctor *d)
{
	packages(d);
	clock_is_right(d);
	disk(d);
	neighbours(d);
	descriptors(d);
	buffers(d);
	fuse_is_there(d);
	confinement(d);
}

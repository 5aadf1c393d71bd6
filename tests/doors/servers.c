/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/doors/servers.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { START_MS = 30000, NFS_TCP_PORT = 2049 };

int servers_enclose(void)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	cleanup(closep) int fd = -1;

	if (access("/dev/fuse", R_OK | W_OK) || unshare(CLONE_NEWNS | CLONE_NEWNET) ||
	    mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return errno;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) ? errno : 0;
}

/* A program of the same build; the last of `words` is NULL. */
static pid_t start(const struct servers *s, const char *program, const char *const *words)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash;
	pid_t self = getpid();
	pid_t pid;
	int log;

	if (n < 0)
		return -1;
	path[n] = '\0';
	for (int i = 0; i < 2; i++) {
		slash = strrchr(path, '/');
		if (!slash)
			return -1;
		*slash = '\0';
	}
	snprintf(slash, sizeof(path) - (size_t)(slash - path), "/%s", program);
	log = open(s->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	pid = log < 0 ? -1 : fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() != self)
			_exit(1);
		dup2(log, 1);
		dup2(log, 2);
		execv(path, (char *const *)words);
		_exit(127);
	}
	closep(&log);
	return pid;
}

static bool gone(pid_t *pid)
{
	if (waitpid(*pid, NULL, WNOHANG) != *pid)
		return false;
	*pid = 0;
	return true;
}

static void log_show(const struct servers *s)
{
	FILE *f = fopen(s->log, "re");
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		fprintf(stderr, "  log: %s", line);
	if (f)
		fclose(f);
}

static bool await(struct servers *s, struct door **fuse, struct door **nfs)
{
	char path[300];
	struct stat st;

	snprintf(path, sizeof(path), "%s/images", s->mnt);
	for (int ms = 0; ms < START_MS; ms += 2) {
		if (!*fuse && !stat(path, &st))
			*fuse = door_fuse_new(s->mnt);
		if (!*nfs)
			*nfs = door_nfs_new("127.0.0.1", NFS_TCP_PORT);
		if (*fuse && *nfs)
			return true;
		if (gone(&s->mount) || gone(&s->nfs))
			break;
		usleep(2000);
	}
	fprintf(stderr, "the %s is not there\n", *fuse ? "nfs child" : "mount");
	log_show(s);
	return false;
}

bool servers_start(struct servers *s, const char *dir, const char *state, struct door **fuse,
		   struct door **nfs)
{
	*s = (struct servers){0};
	snprintf(s->mnt, sizeof(s->mnt), "%s/mnt", dir);
	snprintf(s->log, sizeof(s->log), "%s/servers.log", dir);
	if (mkdir(s->mnt, 0755))
		return false;
	s->mount = start(s, "rootstock",
			 (const char *const[]){"rootstock", "--state", state, "mount",
					       "--foreground", "-o", "dev,suid", s->mnt, NULL});
	s->nfs = start(s, "nfs/nfs-driver-state",
		       (const char *const[]){"nfs-driver-state", state, "address=127.0.0.1",
					     "admin=127.0.0.0/8", NULL});
	if (s->mount > 0 && s->nfs > 0 && await(s, fuse, nfs))
		return true;
	if (*fuse)
		(*fuse)->free(*fuse);
	if (*nfs)
		(*nfs)->free(*nfs);
	*fuse = *nfs = NULL;
	servers_stop(s);
	return false;
}

static bool stop(pid_t pid)
{
	int status = -1;

	if (pid <= 0)
		return true;
	kill(pid, SIGTERM);
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && !WEXITSTATUS(status);
}

bool servers_stop(struct servers *s)
{
	bool mount_good = stop(s->mount);
	bool nfs_good = stop(s->nfs);

	umount2(s->mnt, MNT_DETACH); /* of one that died */
	if (!mount_good || !nfs_good) {
		fprintf(stderr, "the %s ended badly\n", mount_good ? "nfs child" : "mount");
		log_show(s);
	}
	return mount_good && nfs_good;
}

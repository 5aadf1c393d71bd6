/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The session: from options to the last unmount.  A request is answered from
 * fsd/forest at once; a FUSE number is a forest number, so there are no tables of what
 * the kernel holds, and nothing to forget.
 *
 *	kernel --> session's thread (mount_ops.c) --forest, mount_bytes.c--> answer
 *	poller (one thread) --forest_poll--> what the kernel must forget
 *
 * One thread takes the requests: it waits for nothing, and of several idle ones the
 * kernel wakes each in its turn, the one that slept longest first.  On a busy machine
 * that made a read five times as slow.
 *
 * The kernel may remember names, absences, attributes, listings, links and bytes for
 * a day, because the poller takes back what changed.  Only attributes of a file that
 * nobody has read yet are never remembered: its origin may have changed since the
 * scan.  Before the kernel reads such a file it asks for the attributes with a file
 * handle (FUSE_GETATTR_FH); that is answered when the copy is there, so the size
 * that it then goes by is that of the bytes.
 *
 * No open call is made where the kernel can do without: a file that was read before
 * costs no request at all.  Passthrough (mount_opens.c) needs the open call, so it is
 * for who asks for it.
 */
#include "fsd/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "fsd/mount_fuse.h"
#include "fsd/own_copier.h"

enum {
	SESSION_POLL_MS = 100,
	SESSION_COPIER_TURNS = 10,
	SESSION_READAHEAD_KB = 512 /* with a page for its header it fits a pipe of 1 MiB */
};

struct session {
	struct mount mount;
	const char *state_dir;
	const char *mountpoint;
	struct fuse_session *fuse;
	struct own_copier *copier;
	bool copies;	  /* where nobody else does */
	pthread_t thread; /* that takes the requests */
	pthread_t poller;
	int stop_fd;
};

/* ---- the poller ---- */

/* The kernel answers ENOENT for what it does not hold. */
static void forget_name(void *ctx, uint64_t dir, const char *name, size_t len)
{
	struct session *s = ctx;

	fuse_lowlevel_notify_inval_entry(s->fuse, dir, name, len);
}

static bool forget_node(void *ctx, uint64_t number, bool bytes)
{
	struct session *s = ctx;

	/* A negative offset leaves pages alone, whose locks a parked read may hold. */
	return fuse_lowlevel_notify_inval_inode(s->fuse, number, bytes ? 0 : -1, 0) != -ENOENT;
}

/* The kernel reads ahead 128 KiB by itself; only root may raise it, and only once the
 * greeting is over, which sets it.  Asks nothing of the mount. */
static void readahead_raise(const struct session *s)
{
	char path[64];
	struct statx st;
	FILE *file;

	if (geteuid() || statx(AT_FDCWD, s->mountpoint, AT_STATX_DONT_SYNC, STATX_TYPE, &st))
		return;
	snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", st.stx_dev_major,
		 st.stx_dev_minor);
	file = fopen(path, "we");
	if (!file)
		return;
	fprintf(file, "%d\n", SESSION_READAHEAD_KB);
	fclose(file);
}

/* Whoever copied when this began may be gone. */
static void copier_take_over(struct session *s)
{
	struct why why = {""};
	int r;

	if (s->copier || !s->copies)
		return;
	r = own_copier_start(s->state_dir, true, &s->copier, &why);
	if (!r)
		return;
	s->copies = false;
	log_error("%s: nobody copies: %s", s->state_dir, why_text(&why, r));
}

static void *poller_main(void *arg)
{
	struct session *s = arg;
	const struct changes_sink sink = {.name = forget_name, .node = forget_node, .ctx = s};
	struct pollfd stop = {.fd = s->stop_fd, .events = POLLIN};
	bool greeted = false;
	bool raised = false;
	unsigned int turn = 0;

	while (poll(&stop, 1, SESSION_POLL_MS) <= 0) {
		/* The greeting came a turn ago: its answer is with the kernel. */
		if (greeted && !raised)
			readahead_raise(s);
		raised = greeted;
		greeted = atomic_load(&s->mount.greeted);
		forest_poll(s->mount.forest, &sink);
		if (++turn % SESSION_COPIER_TURNS == 0)
			copier_take_over(s);
		/* A signal may have come just before the thread began to wait. */
		if (fuse_session_exited(s->fuse))
			pthread_kill(s->thread, SIGHUP);
	}
	return NULL;
}

/* ---- the whole ---- */

__attribute__((format(printf, 2, 0))) static void on_fuse_log(enum fuse_log_level level,
							      const char *fmt, va_list ap)
{
	char line[1024];
	int n = vsnprintf(line, sizeof(line), fmt, ap);

	while (n > 0 && n < (int)sizeof(line) && line[n - 1] == '\n')
		line[--n] = '\0';
	if (level <= FUSE_LOG_ERR)
		log_error("%s", line);
	else if (level <= FUSE_LOG_WARNING)
		log_warn("%s", line);
	else
		log_info("%s", line); /* asked for by -o debug */
}

/* Of options it speaks in parts of a line; we say the same in one. */
static void on_fuse_log_options(enum fuse_log_level level, const char *fmt, va_list ap)
{
	(void)level;
	(void)fmt;
	(void)ap;
}

/* Ours are taken out of `options`, the rest is libfuse's. */
static int session_new(struct session *s, const char *options, struct why *why)
{
	static const struct fuse_opt ours[] = {{"passthrough", 0, 1}, FUSE_OPT_END};
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	cleanup(freep) char *all = NULL;
	int passthrough = 0;
	int r = -ENOMEM;

	/* What must hold stands last. */
	if (asprintf(&all, "fsname=rootstock,subtype=rootstock%s%s,default_permissions%s,ro",
		     options && *options ? "," : "", options ? options : "",
		     geteuid() ? "" : ",allow_other") < 0)
		return -ENOMEM;
	fuse_set_log_func(on_fuse_log_options);
	if (!fuse_opt_add_arg(&args, "rootstock") && !fuse_opt_add_arg(&args, "-o") &&
	    !fuse_opt_add_arg(&args, all) && !fuse_opt_parse(&args, &passthrough, ours, NULL))
		r = passthrough ? mount_opens_new(&s->mount.opens, why) : 0;
	if (!r) {
		s->fuse = fuse_session_new(&args, &mount_ops, sizeof(mount_ops), &s->mount);
		if (!s->fuse)
			r = why_set(why, -EINVAL, "-o %s: an unknown option is in it",
				    options ? options : "");
	}
	fuse_opt_free_args(&args);
	fuse_set_log_func(on_fuse_log);
	return r;
}

/* Threads but the main one leave signals alone. */
static void signals_block(bool block)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

/* The terminal is left; whoever waits for us may go. */
static void tell_ready(int ready_fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	log_to_syslog();
	for (int fd = 0; fd <= 2 && null >= 0; fd++)
		dup2(null, fd);
	closep(&null);
	(void)!write(ready_fd, "", 1);
}

/* With the mount there: threads, the loop, and their end. */
static int session_serve(struct session *s, int ready_fd, struct why *why)
{
	bool polling = false;
	int r;

	s->thread = pthread_self();
	signals_block(true);
	r = own_copier_start(s->state_dir, true, &s->copier, why);
	s->copies = !r && !access(s->state_dir, W_OK);
	if (!r)
		r = mount_bytes_start(s->mount.bytes);
	if (!r)
		polling = !(r = -pthread_create(&s->poller, NULL, poller_main, s));
	signals_block(false);
	if (!r && ready_fd >= 0)
		tell_ready(ready_fd);
	if (!r && (r = fuse_session_loop(s->fuse)) > 0)
		r = 0; /* a signal is a good end */
	(void)!write(s->stop_fd, &(uint64_t){1}, sizeof(uint64_t));
	if (polling)
		pthread_join(s->poller, NULL);
	mount_bytes_stop(s->mount.bytes);
	return r;
}

static int session_open(struct session *s, const char *options, struct why *why)
{
	int r;

	s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->stop_fd < 0)
		return -errno;
	r = forest_open(s->state_dir, &s->mount.forest, why);
	if (!r)
		r = mount_bytes_new(s->state_dir, &s->mount, &s->mount.bytes, why);
	if (!r)
		r = session_new(s, options, why);
	return r;
}

static void session_close(struct session *s)
{
	if (s->fuse)
		fuse_session_destroy(s->fuse);
	mount_bytes_free(s->mount.bytes);
	mount_opens_free(s->mount.opens);
	own_copier_stop(s->copier);
	forest_close(s->mount.forest);
	closep(&s->stop_fd);
}

/* Every reader keeps objects open. */
static void descriptors_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	if (limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max < 65536 ? limit.rlim_max : 65536;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int mount_here(const char *state_dir, const char *mountpoint, const char *options,
		      int ready_fd, struct why *why)
{
	struct session s = {.state_dir = state_dir, .mountpoint = mountpoint, .stop_fd = -1};
	int r;

	descriptors_raise();
	r = session_open(&s, options, why);
	if (!r && fuse_set_signal_handlers(s.fuse))
		r = -EIO;
	if (!r) {
		r = fuse_session_mount(s.fuse, mountpoint) ? -EIO : 0;
		if (r)
			why_set(why, r, "the kernel or fusermount3 refused");
		else
			r = session_serve(&s, ready_fd, why);
		fuse_session_unmount(s.fuse);
		fuse_remove_signal_handlers(s.fuse);
	}
	session_close(&s);
	return r;
}

/* Returns in the parent with an exit status, in the child with -1 and *ready_fd. */
static int go_background(int *ready_fd)
{
	char ready;
	int fds[2];
	pid_t pid;
	int status;

	if (pipe2(fds, O_CLOEXEC)) {
		fprintf(stderr, "rootstock: mount: a pipe: %m\n");
		return 1;
	}
	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		fprintf(stderr, "rootstock: mount: a process: %m\n");
		return 1;
	}
	if (!pid) {
		close(fds[0]);
		*ready_fd = fds[1];
		setsid();
		return chdir("/") ? 1 : -1;
	}
	close(fds[1]);
	if (read(fds[0], &ready, sizeof(ready)) == sizeof(ready))
		return 0;
	/* It has said why. */
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return 1;
}

static int directory_check(const char *path, char out[static PATH_MAX], struct why *why)
{
	struct stat st;

	if (!realpath(path, out) || stat(out, &st))
		return why_set(why, -errno, "%m");
	return S_ISDIR(st.st_mode) ? 0 : why_set(why, -ENOTDIR, "not a directory");
}

/* A mount that hid its own state directory would wait for itself. */
static bool is_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return !strncmp(path, dir, len) && (!path[len] || path[len] == '/');
}

int mount_run(const struct mount_config *config)
{
	char state_dir[PATH_MAX];
	char mountpoint[PATH_MAX];
	cleanup(closep) int ready_fd = -1;
	struct why why = {""};
	int r;

	r = directory_check(config->mountpoint, mountpoint, &why);
	if (!r && !realpath(config->state_dir, state_dir))
		r = why_set(&why, -errno, "%s: %m", config->state_dir);
	if (!r && is_below(state_dir, mountpoint))
		r = why_set(&why, -EINVAL, "the state directory is below it");
	if (!r && !config->foreground) {
		int status = go_background(&ready_fd);

		if (status >= 0)
			return status;
	}
	if (!r)
		r = mount_here(state_dir, mountpoint, config->options, ready_fd, &why);
	if (r)
		fprintf(stderr, "rootstock: mount %s: %s\n", config->mountpoint, why_text(&why, r));
	return r ? 1 : 0;
}

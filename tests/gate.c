/* SPDX-License-Identifier: GPL-2.0-or-later */
#define FUSE_USE_VERSION 312
#include "tests/gate.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fuse3/fuse_lowlevel.h>

enum { FILE_INO = 2, EXTENT = 1 << 20, WAITING = 16 };

struct waiting {
	fuse_req_t req;
	size_t size;
	off_t offset;
};

struct gate {
	struct fuse_session *session;
	pthread_t thread;
	pid_t watchdog;
	pthread_mutex_t lock;
	uint64_t size;
	unsigned int state;
	bool unlinked;
	unsigned int tokens;
	unsigned int npassed;
	uint8_t passed[4096]; /* by extent: let through in this state */
	struct waiting waiting[WAITING];
	unsigned int nwaiting;
	bool holds;
	fuse_req_t held[WAITING];
	unsigned int nheld;
};

uint8_t gate_byte(unsigned int state, uint64_t offset)
{
	return (uint8_t)(((offset >> 12) * 2654435761u + offset + state * 101) >> 3);
}

static void fill_stat(const struct gate *g, fuse_ino_t ino, struct stat *st)
{
	*st = (struct stat){.st_ino = ino, .st_mode = S_IFDIR | 0755, .st_nlink = 2};
	st->st_mtim.tv_sec = st->st_ctim.tv_sec = 1000000000;
	if (ino != FILE_INO)
		return;
	st->st_mode = S_IFREG | 0644;
	st->st_nlink = !g->unlinked;
	st->st_size = (off_t)g->size;
	st->st_mtim.tv_sec += g->state;
	st->st_ctim.tv_sec += g->state + (g->unlinked ? 1000 : 0);
}

static void found_locked(struct gate *g, fuse_req_t req)
{
	struct fuse_entry_param e = {.ino = FILE_INO};

	fill_stat(g, FILE_INO, &e.attr);
	if (!e.attr.st_nlink)
		fuse_reply_err(req, ENOENT);
	else
		fuse_reply_entry(req, &e);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct gate *g = fuse_req_userdata(req);

	if (parent != FUSE_ROOT_ID || strcmp(name, "big") != 0) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	pthread_mutex_lock(&g->lock);
	if (g->holds && g->nheld < WAITING)
		g->held[g->nheld++] = req;
	else
		found_locked(g, req);
	pthread_mutex_unlock(&g->lock);
}

void gate_hold(struct gate *g, bool hold)
{
	pthread_mutex_lock(&g->lock);
	g->holds = hold;
	while (!hold && g->nheld)
		found_locked(g, g->held[--g->nheld]);
	pthread_mutex_unlock(&g->lock);
}

unsigned int gate_held(struct gate *g)
{
	unsigned int n;

	pthread_mutex_lock(&g->lock);
	n = g->nheld;
	pthread_mutex_unlock(&g->lock);
	return n;
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct gate *g = fuse_req_userdata(req);
	struct stat st;

	(void)fi;
	pthread_mutex_lock(&g->lock);
	fill_stat(g, ino, &st);
	pthread_mutex_unlock(&g->lock);
	fuse_reply_attr(req, &st, 0);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	const struct stat st = {.st_ino = FILE_INO, .st_mode = S_IFREG};
	struct gate *g = fuse_req_userdata(req);
	char buf[256];
	size_t n = 0;

	(void)ino;
	(void)fi;
	pthread_mutex_lock(&g->lock);
	if (!off && !g->unlinked)
		n = fuse_add_direntry(req, buf, sizeof(buf), "big", &st, 1);
	pthread_mutex_unlock(&g->lock);
	fuse_reply_buf(req, buf, n < size ? n : 0);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fi->direct_io = 1; /* no page of it is kept, none is read ahead */
	fuse_reply_open(req, fi);
}

static void answer(struct gate *g, const struct waiting *w)
{
	uint64_t at = (uint64_t)w->offset;
	size_t n = at < g->size ? w->size : 0;
	uint8_t *buf;

	if (n > g->size - at)
		n = g->size - at;
	buf = malloc(n + 1);
	for (size_t i = 0; i < n; i++)
		buf[i] = gate_byte(g->state, at + i);
	fuse_reply_buf(w->req, (char *)buf, n);
	free(buf);
}

/* May this one go through? */
static bool pass(struct gate *g, const struct waiting *w)
{
	uint64_t extent = (uint64_t)w->offset / EXTENT;

	if (!g->passed[extent]) {
		if (!g->tokens)
			return false;
		g->tokens -= g->tokens != UINT_MAX;
		g->passed[extent] = true;
		g->npassed++;
	}
	answer(g, w);
	return true;
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	const struct waiting w = {req, size, off};
	struct gate *g = fuse_req_userdata(req);

	(void)ino;
	(void)fi;
	pthread_mutex_lock(&g->lock);
	if (!pass(g, &w)) {
		if (g->nwaiting == WAITING)
			abort();
		g->waiting[g->nwaiting++] = w;
	}
	pthread_mutex_unlock(&g->lock);
}

static void again_locked(struct gate *g)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < g->nwaiting; i++)
		if (!pass(g, &g->waiting[i]))
			g->waiting[n++] = g->waiting[i];
	g->nwaiting = n;
}

void gate_allow(struct gate *g, unsigned int extents)
{
	pthread_mutex_lock(&g->lock);
	g->tokens = extents == UINT_MAX ? extents : g->tokens + extents;
	again_locked(g);
	pthread_mutex_unlock(&g->lock);
}

void gate_change(struct gate *g, uint64_t size)
{
	pthread_mutex_lock(&g->lock);
	g->state++;
	g->size = size;
	memset(g->passed, 0, sizeof(g->passed));
	pthread_mutex_unlock(&g->lock);
}

void gate_unlink(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	g->unlinked = true;
	pthread_mutex_unlock(&g->lock);
}

bool gate_waits(struct gate *g, uint64_t *extent)
{
	bool waits;

	pthread_mutex_lock(&g->lock);
	waits = g->nwaiting > 0;
	if (waits)
		*extent = (uint64_t)g->waiting[0].offset / EXTENT;
	pthread_mutex_unlock(&g->lock);
	return waits;
}

unsigned int gate_waiting(struct gate *g)
{
	unsigned int n;

	pthread_mutex_lock(&g->lock);
	n = g->nwaiting;
	pthread_mutex_unlock(&g->lock);
	return n;
}

unsigned int gate_passed(struct gate *g)
{
	unsigned int n;

	pthread_mutex_lock(&g->lock);
	n = g->npassed;
	pthread_mutex_unlock(&g->lock);
	return n;
}

static void *gate_main(void *arg)
{
	struct gate *g = arg;

	fuse_session_loop(g->session);
	return NULL;
}

/* A process that is killed while a thread of it waits at its own gate would never end: the
 * read is answered by nobody, and the file system goes only with the process. */
static pid_t watch(const char *mountpoint)
{
	pid_t parent = getpid();
	pid_t pid = fork();
	sigset_t set;
	int got;

	if (pid)
		return pid;
	close_range(0, ~0U, 0);
	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	prctl(PR_SET_PDEATHSIG, SIGUSR1);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	if (getppid() == parent)
		sigwait(&set, &got);
	umount2(mountpoint, MNT_FORCE);
	umount2(mountpoint, MNT_DETACH);
	_exit(0);
}

int gate_new(const char *mountpoint, uint64_t size, struct gate **out)
{
	static const struct fuse_lowlevel_ops ops = {
		.lookup = op_lookup,
		.getattr = op_getattr,
		.readdir = op_readdir,
		.open = op_open,
		.read = op_read,
	};
	char *argv[] = {(char *)"gate", (char *)"-oallow_other", NULL};
	struct fuse_args args = FUSE_ARGS_INIT(2, argv);
	struct gate *g = calloc(1, sizeof(*g));

	if (size / EXTENT >= sizeof(g->passed))
		return -EFBIG;
	pthread_mutex_init(&g->lock, NULL);
	g->size = size;
	g->session = fuse_session_new(&args, &ops, sizeof(ops), g);
	fuse_opt_free_args(&args);
	if (!g->session || fuse_session_mount(g->session, mountpoint)) {
		if (g->session)
			fuse_session_destroy(g->session);
		free(g);
		return -ENODEV;
	}
	g->watchdog = watch(mountpoint);
	if (pthread_create(&g->thread, NULL, gate_main, g))
		abort();
	*out = g;
	return 0;
}

void gate_free(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	g->tokens = 0;
	for (unsigned int i = 0; i < g->nwaiting; i++)
		fuse_reply_err(g->waiting[i].req, EIO);
	g->nwaiting = 0;
	while (g->nheld)
		fuse_reply_err(g->held[--g->nheld], EIO);
	pthread_mutex_unlock(&g->lock);
	fuse_session_exit(g->session);
	fuse_session_unmount(g->session); /* wakes the loop */
	pthread_join(g->thread, NULL);
	fuse_session_destroy(g->session);
	if (g->watchdog > 0) {
		kill(g->watchdog, SIGKILL);
		waitpid(g->watchdog, NULL, 0);
	}
	free(g);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/origins.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/container.h"
#include "common/log.h"

enum {
	ANSWER_MS = 5000, /* how long the copier waits */
	QUESTIONS_A_TURN = 16,
	OPENINGS_MOST = 16 /* threads */
};

struct answer {
	uint32_t version;
	int32_t status; /* 0, with a descriptor, or a negative errno */
};

static void answer_send(int to, const struct answer *answer, int fd)
{
	struct iovec iov = {.iov_base = (void *)answer, .iov_len = sizeof(*answer)};
	char control[CMSG_SPACE(sizeof(fd))] __attribute__((aligned(8))) = {0};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *cmsg;

	if (fd >= 0) {
		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	}
	/* Who does not read his answers does without. */
	sendmsg(to, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* One answer, or an errno. */
static int answer_receive(int from, struct answer *answer, int *fd)
{
	struct iovec iov = {.iov_base = answer, .iov_len = sizeof(*answer)};
	char control[CMSG_SPACE(sizeof(*fd))] __attribute__((aligned(8)));
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(from, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *cmsg;

	*fd = -1;
	if (n != sizeof(*answer))
		return n < 0 ? -errno : -EPIPE;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(cmsg), sizeof(*fd));
	return 0;
}

/* ---- the supervisor ---- */

/* Of one question.  Its thread's alone, which may hang for longer than we are there. */
struct opening {
	int done_fd;
	uint32_t version;
	char path[PATH_MAX];
};

/* A thread's answer goes by way of the supervisor, which then knows that it is done. */
struct origins {
	struct loop_source questions;
	struct loop_source done;
	struct db *db;
	int ask_fd;
	int done_fd;			 /* the threads' end */
	uint32_t opening[OPENINGS_MOST]; /* versions, of which a thread opens the origin */
	unsigned int nopening;
};

static void opening_free(struct opening *o)
{
	closep(&o->done_fd);
	free(o);
}
CLEANUP_DEFINE(struct opening *, opening_free);

static int directory_clone(const char *path)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
					      MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC};
	cleanup(closep) int fd = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	struct stat st;

	/* Where we may not mount the copier has no view either. */
	if (fd < 0 && (errno == EPERM || errno == ENOSYS))
		return origin_dir_open(path);
	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	return mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) ? -errno : take_fd(&fd);
}

static void *opening_main(void *arg)
{
	cleanup(opening_freep) struct opening *o = arg;
	cleanup(closep) int fd = directory_clone(o->path);
	struct answer answer = {.version = o->version, .status = fd < 0 ? fd : 0};

	answer_send(o->done_fd, &answer, fd);
	return NULL;
}

/* Where is the origin of a version?  Only directories are read later. */
static int origin_find(struct origins *os, uint32_t version, char path[static PATH_MAX])
{
	sqlite3_stmt *stmt =
		db_stmt(os->db, "SELECT origin FROM version WHERE id = ? AND origin_kind = 'dir'");
	int r = db_query(os->db, stmt, "u", version);

	if (r != DB_ROW)
		return r ? r : -ENOENT;
	db_column_text(stmt, 0, path, PATH_MAX);
	sqlite3_reset(stmt);
	return 0;
}

static int opening_new(struct origins *os, uint32_t version, struct opening **out)
{
	cleanup(opening_freep) struct opening *o = calloc(1, sizeof(*o));
	int r;

	if (!o)
		return -ENOMEM;
	o->version = version;
	o->done_fd = fcntl(os->done_fd, F_DUPFD_CLOEXEC, 0);
	if (o->done_fd < 0)
		return -errno;
	r = origin_find(os, version, o->path);
	if (r)
		return r;
	*out = take(&o);
	return 0;
}

static int opening_start(struct origins *os, uint32_t version)
{
	cleanup(opening_freep) struct opening *o = NULL;
	pthread_attr_t detached;
	pthread_t thread;
	int r;

	for (unsigned int i = 0; i < os->nopening; i++)
		if (os->opening[i] == version)
			return -EBUSY;
	if (os->nopening == OPENINGS_MOST)
		return -EBUSY;
	r = opening_new(os, version, &o);
	if (r)
		return r;
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	r = -pthread_create(&thread, &detached, opening_main, o);
	pthread_attr_destroy(&detached);
	if (r)
		return r;
	take(&o);
	os->opening[os->nopening++] = version;
	return 0;
}

static void on_question(struct loop_source *source, uint32_t events)
{
	struct origins *os = container(source, struct origins, questions);
	uint32_t version;

	(void)events;
	for (int i = 0; i < QUESTIONS_A_TURN; i++) {
		ssize_t n = recv(source->fd, &version, sizeof(version), MSG_DONTWAIT | MSG_TRUNC);
		int r;

		if (n < 0)
			return;
		r = n == sizeof(version) ? opening_start(os, version) : -EBADMSG;
		if (r)
			answer_send(source->fd, &(struct answer){version, r}, -1);
	}
}

static void on_done(struct loop_source *source, uint32_t events)
{
	struct origins *os = container(source, struct origins, done);
	cleanup(closep) int fd = -1;
	struct answer answer;

	(void)events;
	if (answer_receive(source->fd, &answer, &fd))
		return;
	for (unsigned int i = 0; i < os->nopening; i++)
		if (os->opening[i] == answer.version) {
			os->opening[i] = os->opening[--os->nopening];
			break;
		}
	answer_send(os->questions.fd, &answer, fd);
}

/* A pair of sockets: `source` is at one end, *other is the other. */
static int pair_add(struct loop *loop, struct loop_source *source, int *other)
{
	int ends[2];
	int r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends))
		return -errno;
	r = loop_add(loop, source, ends[0], EPOLLIN);
	if (r)
		close(ends[0]);
	*other = ends[1];
	return r;
}

static void pair_remove(struct loop_source *source, int *other)
{
	int fd = source->fd;

	loop_remove(source);
	closep(&fd);
	closep(other);
}

int origins_new(struct loop *loop, struct db *db, struct origins **out, int *ask_fd)
{
	struct origins *os = calloc(1, sizeof(*os));
	int r;

	if (!os)
		return -ENOMEM;
	os->db = db;
	os->ask_fd = os->done_fd = -1;
	os->questions = (struct loop_source){.ready = on_question, .fd = -1};
	os->done = (struct loop_source){.ready = on_done, .fd = -1};
	r = pair_add(loop, &os->questions, &os->ask_fd);
	if (!r)
		r = pair_add(loop, &os->done, &os->done_fd);
	if (r) {
		origins_free(os);
		return r;
	}
	*ask_fd = os->ask_fd;
	*out = os;
	return 0;
}

void origins_free(struct origins *os)
{
	if (!os)
		return;
	pair_remove(&os->questions, &os->ask_fd);
	pair_remove(&os->done, &os->done_fd);
	free(os);
}

/* ---- the copier ---- */

struct question {
	struct answer answer;
	int fd;
	bool answered;
	struct question *next;
};

static struct question **question_find(struct origins_asker *a, uint32_t version)
{
	struct question **p = &a->questions;

	while (*p && (*p)->answer.version != version)
		p = &(*p)->next;
	return p;
}

/* What has come, to who asked it.  The lock is held.  Returns why there is no more. */
static int answers_take(struct origins_asker *a)
{
	struct answer answer;
	int fd;
	int r;

	while (!(r = answer_receive(a->fd, &answer, &fd))) {
		struct question *q = *question_find(a, answer.version);

		if (!q || q->answered) {
			closep(&fd); /* of one that we gave up waiting for */
			continue;
		}
		q->answer.status = answer.status;
		q->fd = fd;
		q->answered = true;
	}
	return r;
}

/* Until something comes, by this thread or by the one that reads.  The lock is held. */
static int answers_wait(struct origins_asker *a, struct instant end)
{
	const struct timespec until = {.tv_sec = end.ns / NS_PER_SEC,
				       .tv_nsec = end.ns % NS_PER_SEC};
	int64_t left = (end.ns - instant_now().ns) / NS_PER_MS;
	int r;

	if (left <= 0)
		return -ETIMEDOUT;
	if (a->reading) {
		pthread_cond_timedwait(&a->answered, &a->lock, &until);
		return 0;
	}
	a->reading = true;
	pthread_mutex_unlock(&a->lock);
	poll(&(struct pollfd){.fd = a->fd, .events = POLLIN}, 1, (int)left);
	pthread_mutex_lock(&a->lock);
	a->reading = false;
	r = answers_take(a);
	pthread_cond_broadcast(&a->answered);
	return r == -EAGAIN ? 0 : r;
}

static int ask_locked(struct origins_asker *a, struct question *q)
{
	struct instant end = instant_add_ms(instant_now(), ANSWER_MS);
	uint32_t version = q->answer.version;
	int r = 0;

	if (*question_find(a, version))
		return -EBUSY;
	if (send(a->fd, &version, sizeof(version), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return -errno;
	q->next = a->questions;
	a->questions = q;
	while (!q->answered && !r)
		r = answers_wait(a, end);
	*question_find(a, version) = q->next;
	if (!q->answered)
		return r;
	return q->answer.status ? q->answer.status : q->fd < 0 ? -EIO : q->fd;
}

static int asker_open(void *ctx, uint32_t version)
{
	struct question q = {.answer.version = version, .fd = -1};
	struct origins_asker *a = ctx;
	int r;

	pthread_mutex_lock(&a->lock);
	r = ask_locked(a, &q);
	pthread_mutex_unlock(&a->lock);
	return r;
}

void origins_asker_init(struct origins_asker *a, int fd)
{
	pthread_condattr_t monotonic;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&a->answered, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pthread_mutex_init(&a->lock, NULL);
	a->questions = NULL;
	a->reading = false;
	a->fd = fd;
	a->door = (struct origin_door){asker_open, a};
}

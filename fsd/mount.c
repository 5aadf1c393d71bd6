/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A request is answered from fsd/forest at once, by the thread that took it; a FUSE
 * number is a forest number, so there are no tables of what the kernel holds, and
 * nothing to forget.
 *
 *	kernel --> session's threads --forest, contents--> answer
 *	                    |  the file is not copied yet
 *	                    v
 *	               asker (one thread) <--descriptor-- copier
 *	poller (one thread) --forest_poll--> what the kernel must forget
 *
 * The kernel may remember names, absences, attributes, listings, links and bytes for
 * a day, because the poller takes back what changed.  Only attributes of a file that
 * nobody has read yet are never remembered: its origin may have changed since the
 * scan.  Before the kernel reads such a file it asks for the attributes with a file
 * handle (FUSE_GETATTR_FH); that is answered when the copy is there, so the size
 * that it then goes by is that of the bytes.
 *
 * No open call is made where the kernel can do without, so bytes are found by number
 * at each read: a hash look-up, against two calls an open file.  FUSE passthrough is
 * not used for the same reason: it needs the open call, and keeps no page of the
 * mount's own, where a second read of a file now asks nobody.
 */
#define FUSE_USE_VERSION 312
#include "fsd/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "fsd/contents.h"
#include "fsd/forest.h"
#include "fsd/own_copier.h"

enum {
	MOUNT_REMEMBER_SECS = 86400,
	MOUNT_POLL_MS = 100,
	MOUNT_THREADS = 10,
	MOUNT_OPEN = 256,	  /* objects each reader keeps open */
	MOUNT_SPLICE = 32 * 1024, /* reads from here on go by splice */
	MOUNT_READAHEAD_KB = 1024
};

/* What a thread needs to read.  More than one thread seldom reads at a time, so the
 * one used last is used first. */
struct reader {
	struct contents *contents;
	uint8_t *buf;
	size_t size;
	struct reader *next;
};

/* A request whose file is being copied. */
struct parked {
	struct content_wait wait;
	struct mount *mount;
	fuse_req_t req;
	uint64_t number;
	struct view *view;
	bool getattr; /* else a read */
	size_t size;
	off_t offset;
	atomic_bool interrupted;
	struct parked *next;
	struct parked **link;
};

struct mount {
	const char *state_dir;
	const char *mountpoint;
	struct forest *forest;
	struct fuse_session *session;
	struct own_copier *copier;

	pthread_mutex_t lock; /* guards the readers, `fresh` and `stop` */
	struct reader *readers;
	struct parked *fresh;
	bool stop;

	/* The asker's. */
	pthread_t asker;
	struct contents *contents;
	struct parked *parked;
	int wake_fd;

	pthread_t poller;
	int stop_fd;
};

/* ---- answers ---- */

/* View codes and errnos become FUSE's errno here and nowhere else. */
static void reply_code(fuse_req_t req, int r)
{
	static const int code[] = {
		[VIEW_NOENT] = ENOENT, [VIEW_NOTDIR] = ENOTDIR,
		[VIEW_STALE] = ESTALE, [VIEW_NAMETOOLONG] = ENAMETOOLONG,
		[VIEW_INVAL] = EINVAL, [VIEW_LOOP] = ELOOP,
	};

	fuse_reply_err(req, r < 0 ? -r : code[r]);
}

static void stat_fill(const struct forest_attr *a, struct stat *st)
{
	*st = (struct stat){
		.st_ino = a->number,
		.st_mode = a->attr.mode,
		.st_nlink = a->attr.nlink,
		.st_uid = a->attr.uid,
		.st_gid = a->attr.gid,
		.st_rdev = makedev(a->attr.rdev_major, a->attr.rdev_minor),
		.st_size = (off_t)a->attr.size,
		.st_blksize = 4096,
		.st_blocks = (blkcnt_t)((a->attr.size + 511) / 512),
		.st_atim = {a->attr.mtime.sec, a->attr.mtime.nsec},
		.st_mtim = {a->attr.mtime.sec, a->attr.mtime.nsec},
		.st_ctim = {a->attr.ctime.sec, a->attr.ctime.nsec},
	};
}

static double attr_secs(const struct forest_attr *a)
{
	return a->settled ? MOUNT_REMEMBER_SECS : 0;
}

static void entry_fill(const struct forest_attr *a, struct fuse_entry_param *e)
{
	*e = (struct fuse_entry_param){
		.ino = a->number,
		.attr_timeout = attr_secs(a),
		.entry_timeout = MOUNT_REMEMBER_SECS,
	};
	stat_fill(a, &e->attr);
}

static void reply_attr(struct mount *m, fuse_req_t req, uint64_t number)
{
	struct forest_attr a;
	struct stat st;
	int r;

	forest_enter(m->forest);
	r = forest_attr(m->forest, number, &a);
	if (r) {
		reply_code(req, r);
	} else {
		stat_fill(&a, &st);
		fuse_reply_attr(req, &st, attr_secs(&a));
	}
	forest_leave(m->forest);
}

static int reader_room(struct reader *reader, size_t size)
{
	uint8_t *bigger;

	if (reader->size >= size)
		return 0;
	bigger = realloc(reader->buf, size);
	if (!bigger)
		return -ENOMEM;
	reader->buf = bigger;
	reader->size = size;
	return 0;
}

static void reply_content(fuse_req_t req, struct content *content, struct reader *reader,
			  size_t size, off_t offset)
{
	struct fuse_bufvec vec = FUSE_BUFVEC_INIT(0);
	uint64_t total = content_size(content);
	ssize_t n;

	if (offset < 0 || (uint64_t)offset >= total) {
		fuse_reply_buf(req, NULL, 0);
		return;
	}
	if (size > total - (uint64_t)offset)
		size = (size_t)(total - (uint64_t)offset);
	if (content_fd(content) < 0) {
		fuse_reply_buf(req, (const char *)content_bytes(content).at + offset, size);
		return;
	}
	if (size >= MOUNT_SPLICE) {
		vec.buf[0] = (struct fuse_buf){
			.size = size,
			.flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK | FUSE_BUF_FD_RETRY,
			.fd = content_fd(content),
			.pos = offset,
		};
		fuse_reply_data(req, &vec, 0);
		return;
	}
	n = reader_room(reader, size);
	if (!n)
		n = content_pread(content, reader->buf, size, (uint64_t)offset);
	if (n < 0)
		reply_code(req, (int)n);
	else
		fuse_reply_buf(req, (const char *)reader->buf, (size_t)n);
}

/* ---- reading ---- */

static int reader_new(struct mount *m, struct reader **out)
{
	struct reader *reader = calloc(1, sizeof(*reader));
	int r;

	if (!reader)
		return -ENOMEM;
	r = contents_new(m->state_dir, MOUNT_OPEN, &reader->contents, NULL);
	if (r) {
		free(reader);
		return r;
	}
	*out = reader;
	return 0;
}

static int reader_get(struct mount *m, struct reader **out)
{
	pthread_mutex_lock(&m->lock);
	*out = m->readers;
	if (*out)
		m->readers = (*out)->next;
	pthread_mutex_unlock(&m->lock);
	return *out ? 0 : reader_new(m, out);
}

static void reader_put(struct mount *m, struct reader *reader)
{
	pthread_mutex_lock(&m->lock);
	reader->next = m->readers;
	m->readers = reader;
	pthread_mutex_unlock(&m->lock);
}

static void wake(int fd)
{
	(void)!write(fd, &(uint64_t){1}, sizeof(uint64_t));
}

static void on_interrupt(fuse_req_t req, void *data)
{
	struct parked *p = data;

	(void)req;
	atomic_store(&p->interrupted, true);
	wake(p->mount->wake_fd);
}

/* Hand a request to the asker. */
static void park(struct mount *m, const struct parked *from)
{
	struct parked *p = malloc(sizeof(*p));

	if (!p) {
		view_unref(from->view);
		fuse_reply_err(from->req, ENOMEM);
		return;
	}
	*p = *from;
	p->mount = m;
	fuse_req_interrupt_func(p->req, on_interrupt, p);
	pthread_mutex_lock(&m->lock);
	p->next = m->fresh;
	m->fresh = p;
	pthread_mutex_unlock(&m->lock);
	wake(m->wake_fd);
}

/* The request is over: nobody interrupts it any more. */
static fuse_req_t unpark(struct parked *p)
{
	fuse_req_t req = p->req;

	fuse_req_interrupt_func(req, NULL, NULL);
	if (p->link) {
		*p->link = p->next;
		if (p->next)
			p->next->link = p->link;
	}
	view_unref(p->view);
	free(p);
	return req;
}

/* Does not block: a file that must be copied first is the asker's. */
static void serve(struct mount *m, fuse_req_t req, uint64_t number, bool getattr, size_t size,
		  off_t offset)
{
	struct parked p = {
		.req = req, .number = number, .getattr = getattr, .size = size, .offset = offset};
	struct content *content = NULL;
	struct reader *reader = NULL;
	uint32_t node;
	int r;

	forest_enter(m->forest);
	r = forest_view(m->forest, number, &p.view, &node);
	forest_leave(m->forest);
	if (!r)
		r = reader_get(m, &reader);
	if (!r)
		r = contents_open_at(reader->contents, p.view, node, (uint64_t)offset, size,
				     &content, NULL);
	if (r == -EAGAIN)
		park(m, &p);
	else if (getattr)
		reply_attr(m, req, number);
	else if (r)
		reply_code(req, r);
	else
		reply_content(req, content, reader, size, offset);
	if (r != -EAGAIN)
		view_unref(p.view);
	content_unref(content);
	if (reader)
		reader_put(m, reader);
}

/* ---- the asker ---- */

static void parked_answer(struct parked *p, int r, struct content *content)
{
	struct mount *m = p->mount;
	struct reader reader = {0};
	uint64_t number = p->number;
	bool getattr = p->getattr;
	off_t offset = p->offset;
	size_t size = p->size;
	fuse_req_t req = unpark(p);

	/* Attributes are there even where bytes are lost. */
	if (getattr && r != -EINTR)
		reply_attr(m, req, number);
	else if (r)
		reply_code(req, r);
	else
		reply_content(req, content, &reader, size, offset);
	content_unref(content);
	free(reader.buf);
}

static void on_content(struct content_wait *wait, int r, struct content *content)
{
	parked_answer((struct parked *)wait, r, content);
}

static void parked_ask(struct mount *m, struct parked *p)
{
	struct content *content = NULL;
	int r;

	p->wait = (struct content_wait){.done = on_content};
	p->next = m->parked;
	p->link = &m->parked;
	if (p->next)
		p->next->link = &p->next;
	m->parked = p;
	r = contents_open_at(m->contents, p->view, (uint32_t)p->number, (uint64_t)p->offset,
			     p->size, &content, &p->wait);
	if (r != CONTENT_WAIT)
		parked_answer(p, r, content);
}

static void parked_sweep(struct mount *m, bool all)
{
	struct parked *next;

	for (struct parked *p = m->parked; p; p = next) {
		next = p->next;
		if (!all && !atomic_load(&p->interrupted))
			continue;
		contents_cancel(m->contents, &p->wait);
		parked_answer(p, all ? -EIO : -EINTR, NULL);
	}
}

/* Returns false at the end. */
static bool asker_turn(struct mount *m)
{
	struct parked *fresh;
	uint64_t count;
	bool stop;

	(void)!read(m->wake_fd, &count, sizeof(count));
	pthread_mutex_lock(&m->lock);
	fresh = m->fresh;
	m->fresh = NULL;
	stop = m->stop;
	pthread_mutex_unlock(&m->lock);
	while (fresh) {
		struct parked *p = fresh;

		fresh = p->next;
		parked_ask(m, p);
	}
	parked_sweep(m, stop);
	return !stop;
}

static void *asker_main(void *arg)
{
	struct mount *m = arg;
	struct pollfd fds[] = {{.fd = m->wake_fd, .events = POLLIN},
			       {.fd = contents_fd(m->contents), .events = POLLIN}};

	for (;;) {
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			break;
		if (fds[0].revents && !asker_turn(m))
			break;
		if (fds[1].revents)
			contents_dispatch(m->contents);
	}
	return NULL;
}

/* ---- operations ---- */

static void op_init(void *data, struct fuse_conn_info *conn)
{
	static const unsigned int wanted[] = {
		FUSE_CAP_EXPORT_SUPPORT,  FUSE_CAP_NO_OPEN_SUPPORT, FUSE_CAP_NO_OPENDIR_SUPPORT,
		FUSE_CAP_CACHE_SYMLINKS,  FUSE_CAP_SPLICE_WRITE,    FUSE_CAP_SPLICE_MOVE,
		FUSE_CAP_READDIRPLUS,	  FUSE_CAP_PARALLEL_DIROPS, FUSE_CAP_ASYNC_READ,
		FUSE_CAP_AUTO_INVAL_DATA,
	};

	(void)data;
	for (unsigned int i = 0; i < ARRAY_SIZE(wanted); i++)
		if (conn->capable & wanted[i])
			conn->want |= wanted[i];
	/* Plus for all of a directory, not for its first part alone: the rest would be
	 * looked up name by name. */
	conn->want &= ~(unsigned int)FUSE_CAP_READDIRPLUS_AUTO;
	conn->max_background = 64;
	conn->congestion_threshold = 48;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mount *m = fuse_req_userdata(req);
	struct fuse_entry_param e = {.entry_timeout = MOUNT_REMEMBER_SECS};
	struct forest_attr a;
	uint64_t number;
	int r;

	forest_enter(m->forest);
	r = forest_lookup(m->forest, parent, name, strlen(name), &number);
	if (!r) {
		r = forest_attr(m->forest, number, &a);
		if (!r)
			entry_fill(&a, &e);
		else
			reply_code(req, r);
	} else if (r == VIEW_NOENT) {
		r = 0; /* an entry without a number: the absence is remembered */
	} else {
		reply_code(req, r);
	}
	if (!r)
		fuse_reply_entry(req, &e);
	forest_leave(m->forest);
}

/* With a file handle it comes before a read, and must be the truth about its bytes. */
static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);
	struct forest_attr a = {.settled = true};

	if (fi) {
		forest_enter(m->forest);
		if (forest_attr(m->forest, ino, &a))
			a.settled = true; /* reply_attr() tells */
		forest_leave(m->forest);
	}
	if (a.settled)
		reply_attr(m, req, ino);
	else
		serve(m, req, ino, true, 0, 0);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct mount *m = fuse_req_userdata(req);
	char path[PATH_MAX];
	struct bytes target;
	int r;

	forest_enter(m->forest);
	r = forest_readlink(m->forest, ino, &target);
	if (!r && target.len >= sizeof(path))
		r = -ENAMETOOLONG;
	if (!r) {
		memcpy(path, target.at, target.len);
		path[target.len] = '\0';
	}
	forest_leave(m->forest);
	if (r)
		reply_code(req, r);
	else
		fuse_reply_readlink(req, path);
}

/* Answering that there is no such call spares it, for good. */
static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, ENOSYS);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	(void)fi;
	serve(fuse_req_userdata(req), req, ino, false, size, offset);
}

/* One entry at `at`.  Returns what it takes, which may be more than `room`. */
static size_t dirent_add(struct mount *m, fuse_req_t req, const struct forest_dirent *entry,
			 bool plus, char *at, size_t room)
{
	struct fuse_entry_param e = {.attr = {.st_ino = entry->number, .st_mode = S_IFDIR}};
	char name[256];
	struct forest_attr a;

	memcpy(name, entry->name, entry->name_len);
	name[entry->name_len] = '\0';
	/* An entry without a number is a name alone: a view is not built for it, and
	 * one whose attributes are damaged is told when it is looked up. */
	if (!entry->view && !forest_attr(m->forest, entry->number, &a))
		entry_fill(&a, &e);
	if (!plus)
		return fuse_add_direntry(req, at, room, name, &e.attr, (off_t)entry->cookie);
	return fuse_add_direntry_plus(req, at, room, name, &e, (off_t)entry->cookie);
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, bool plus)
{
	struct mount *m = fuse_req_userdata(req);
	cleanup(freep) char *buf = malloc(size);
	struct forest_dirent entry;
	uint64_t cookie = (uint64_t)offset;
	size_t used = 0;
	int r = 0;

	if (!buf) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	forest_enter(m->forest);
	while (!(r = forest_readdir(m->forest, ino, cookie, &entry))) {
		size_t n = dirent_add(m, req, &entry, plus, buf + used, size - used);

		if (n > size - used)
			break;
		used += n;
		cookie = entry.cookie;
	}
	if (r && r != VIEW_END && !used)
		reply_code(req, r);
	else
		fuse_reply_buf(req, buf, used);
	forest_leave(m->forest);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		       struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, offset, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
			   struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, offset, true);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct mount *m = fuse_req_userdata(req);
	struct view_stats stats;
	struct statvfs st = {.f_bsize = 4096, .f_frsize = 4096, .f_namemax = 255};
	int r;

	forest_enter(m->forest);
	r = forest_stats(m->forest, ino, &stats);
	forest_leave(m->forest);
	if (r) {
		reply_code(req, r);
		return;
	}
	st.f_blocks = (stats.bytes + 4095) / 4096;
	st.f_files = stats.files;
	fuse_reply_statfs(req, &st);
}

static const struct fuse_lowlevel_ops ops = {
	.init = op_init,
	.lookup = op_lookup,
	.getattr = op_getattr,
	.readlink = op_readlink,
	.open = op_open,
	.read = op_read,
	.opendir = op_open,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.statfs = op_statfs,
};

/* ---- the poller ---- */

/* The kernel answers ENOENT for what it does not hold. */
static void forget_name(void *ctx, uint64_t dir, const char *name, size_t len)
{
	struct mount *m = ctx;

	fuse_lowlevel_notify_inval_entry(m->session, dir, name, len);
}

static bool forget_node(void *ctx, uint64_t number, bool bytes)
{
	struct mount *m = ctx;

	/* A negative offset leaves pages alone, whose locks a parked read may hold. */
	return fuse_lowlevel_notify_inval_inode(m->session, number, bytes ? 0 : -1, 0) != -ENOENT;
}

static void *poller_main(void *arg)
{
	struct mount *m = arg;
	const struct changes_sink sink = {.name = forget_name, .node = forget_node, .ctx = m};
	struct pollfd stop = {.fd = m->stop_fd, .events = POLLIN};

	while (poll(&stop, 1, MOUNT_POLL_MS) <= 0)
		forest_poll(m->forest, &sink);
	return NULL;
}

/* ---- the whole ---- */

static void on_fuse_log(enum fuse_log_level level, const char *fmt, va_list ap)
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

static int session_new(struct mount *m, const char *options, struct why *why)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	cleanup(freep) char *all = NULL;

	/* What must hold stands last. */
	if (asprintf(&all, "fsname=rootstock,subtype=rootstock%s%s,default_permissions%s,ro",
		     options && *options ? "," : "", options ? options : "",
		     geteuid() ? "" : ",allow_other") < 0)
		return -ENOMEM;
	fuse_set_log_func(on_fuse_log_options);
	if (!fuse_opt_add_arg(&args, "rootstock") && !fuse_opt_add_arg(&args, "-o") &&
	    !fuse_opt_add_arg(&args, all))
		m->session = fuse_session_new(&args, &ops, sizeof(ops), m);
	fuse_opt_free_args(&args);
	fuse_set_log_func(on_fuse_log);
	return m->session ? 0
			  : why_set(why, -EINVAL, "-o %s: an unknown option is in it",
				    options ? options : "");
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

/* The kernel reads ahead 128 KiB by itself; only root may raise it.  Asks nothing of
 * the mount: nobody answers yet. */
static void readahead_raise(const struct mount *m)
{
	char path[64];
	struct statx st;
	FILE *file;

	if (geteuid() || statx(AT_FDCWD, m->mountpoint, AT_STATX_DONT_SYNC, STATX_TYPE, &st))
		return;
	snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", st.stx_dev_major,
		 st.stx_dev_minor);
	file = fopen(path, "we");
	if (!file)
		return;
	fprintf(file, "%d\n", MOUNT_READAHEAD_KB);
	fclose(file);
}

static int loop(struct mount *m)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int r;

	if (!config)
		return -ENOMEM;
	fuse_loop_cfg_set_clone_fd(config, 1);
	fuse_loop_cfg_set_max_threads(config, MOUNT_THREADS);
	/* Threads that are made anew at each burst cost ten times the read. */
	fuse_loop_cfg_set_idle_threads(config, MOUNT_THREADS);
	r = fuse_session_loop_mt(m->session, config);
	fuse_loop_cfg_destroy(config);
	return r > 0 ? 0 : r; /* a signal is a good end */
}

/* With the mount there: threads, the loop, and their end. */
static int mount_serve(struct mount *m, int ready_fd, struct why *why)
{
	bool asking = false;
	bool polling = false;
	int r;

	readahead_raise(m);
	signals_block(true);
	r = own_copier_start(m->state_dir, true, &m->copier, why);
	if (!r)
		asking = !(r = -pthread_create(&m->asker, NULL, asker_main, m));
	if (!r)
		polling = !(r = -pthread_create(&m->poller, NULL, poller_main, m));
	signals_block(false);
	if (!r && ready_fd >= 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		for (int fd = 0; fd <= 2 && null >= 0; fd++)
			dup2(null, fd);
		closep(&null);
		wake(ready_fd);
	}
	if (!r)
		r = loop(m);
	pthread_mutex_lock(&m->lock);
	m->stop = true;
	pthread_mutex_unlock(&m->lock);
	wake(m->stop_fd);
	wake(m->wake_fd);
	if (polling)
		pthread_join(m->poller, NULL);
	if (asking)
		pthread_join(m->asker, NULL);
	return r;
}

static int mount_open(struct mount *m, const char *options, struct why *why)
{
	int r;

	m->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	m->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->wake_fd < 0 || m->stop_fd < 0)
		return -errno;
	r = forest_open(m->state_dir, &m->forest, why);
	if (!r)
		r = contents_new(m->state_dir, MOUNT_OPEN, &m->contents, why);
	if (!r)
		r = session_new(m, options, why);
	return r;
}

static void mount_close(struct mount *m)
{
	if (m->session)
		fuse_session_destroy(m->session);
	while (m->readers) {
		struct reader *reader = m->readers;

		m->readers = reader->next;
		contents_free(reader->contents);
		free(reader->buf);
		free(reader);
	}
	contents_free(m->contents);
	own_copier_stop(m->copier);
	forest_close(m->forest);
	closep(&m->wake_fd);
	closep(&m->stop_fd);
	pthread_mutex_destroy(&m->lock);
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
	struct mount m = {
		.state_dir = state_dir, .mountpoint = mountpoint, .wake_fd = -1, .stop_fd = -1};
	int r;

	pthread_mutex_init(&m.lock, NULL);
	descriptors_raise();
	r = mount_open(&m, options, why);
	if (!r && fuse_set_signal_handlers(m.session))
		r = -EIO;
	if (!r) {
		r = fuse_session_mount(m.session, mountpoint) ? -EIO : 0;
		if (r)
			why_set(why, r, "the kernel or fusermount3 refused");
		else
			r = mount_serve(&m, ready_fd, why);
		fuse_session_unmount(m.session);
		fuse_remove_signal_handlers(m.session);
	}
	mount_close(&m);
	return r;
}

/* Returns in the parent with an exit status, in the child with -1 and *ready_fd. */
static int go_background(int *ready_fd)
{
	uint64_t ready;
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

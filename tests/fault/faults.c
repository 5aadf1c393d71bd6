/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Loaded before the other libraries (LD_PRELOAD) into a server and its children: lets the
 * Nth call of a kind fail in one of them, and moves the wall clock of all.  What to do is
 * in a file that all map while they start, so that a test arms and reads it while they
 * run, and a child that was started again goes on counting where the last one ended.
 *
 *	memory		malloc and its kin, mmap, pthread_create
 *	descriptor	whatever makes one, or receives one
 *	disk		what changes files below the state, databases aside
 *	read		what reads regular files, databases aside
 *	database	what SQLite reads, locks and opens
 *	journal		what SQLite writes, cuts and syncs
 *
 * The calls of libraries count too.  What libc does for itself below a call (fopen's open)
 * does not: only symbols can be taken over.
 */
#undef _FILE_OFFSET_BITS /* it would make one name of two */

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Two declarations a function here: theirs, and that it may be taken over. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

enum kind { NOTHING, MEMORY, DESCRIPTOR, DISK, READ, DATABASE, JOURNAL, KINDS };
enum { SUPERVISOR, COPIER, DHCP, TFTP, NFS, SERVICES };

/* As tests/fault/faults.py writes and reads it. */
struct slot {
	_Atomic uint64_t kinds; /* a bit each */
	_Atomic uint64_t err;
	_Atomic uint64_t nth; /* counted from when it was armed; 1 is the next */
	_Atomic uint64_t run; /* so many fail in a row */
	_Atomic uint64_t hits;
	_Atomic uint64_t count[KINDS];
	char where[80]; /* the first that failed: function, caller */
};

struct faults {
	_Atomic int64_t clock_ns; /* CLOCK_REALTIME is that much later, for all */
	char state[248];	  /* the directory */
	struct slot slots[SERVICES];
};

static struct faults *faults;
static struct slot *mine;

/* What is known of a descriptor. */
enum { UNKNOWN, OTHER, PLAIN, STATE, DB, FILES = 65536 };
static _Atomic uint8_t files[FILES];
static dev_t state_dev;

/* ---- who am I ---- */

static bool ends(const char *path, const char *with)
{
	size_t len = strlen(path);
	size_t n = strlen(with);

	return len >= n && !strcmp(path + len - n, with);
}

static bool is_db(const char *path)
{
	return ends(path, ".db") || ends(path, ".db-wal") || ends(path, ".db-shm") ||
	       ends(path, ".db-journal");
}

static int service_of(const char *line, size_t len)
{
	static const char *const names[SERVICES] = {
		[COPIER] = "copier", [DHCP] = "dhcp", [TFTP] = "tftp", [NFS] = "nfs"};
	bool child = false;

	if (!ends(line, "rootstock"))
		return -1;
	for (const char *p = line; p < line + len; p += strlen(p) + 1) {
		if (child)
			for (int i = COPIER; i < SERVICES; i++)
				if (!strcmp(p, names[i]))
					return i;
		child = !strcmp(p, "child");
		if (!strcmp(p, "serve"))
			return SUPERVISOR;
	}
	return -1;
}

/* Where it was, for whoever reads the log: there is no core of a child. */
static void on_crash(int sig)
{
	void *frames[40];

	if (mine)
		mine->kinds = 0;
	backtrace_symbols_fd(frames, backtrace(frames, 40), STDERR_FILENO);
	signal(sig, SIG_DFL);
	raise(sig);
}

__attribute__((constructor)) static void begin(void)
{
	const char *name = getenv("ROOTSTOCK_FAULTS");
	char line[4096] = "";
	void *frames[1];
	struct stat st;
	ssize_t len;
	void *map;
	int fd;
	int i;

	fd = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	map = mmap(NULL, sizeof(*faults), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		return;
	faults = map;
	if (!stat(faults->state, &st))
		state_dev = st.st_dev;
	fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	len = read(fd, line, sizeof(line) - 1);
	close(fd);
	i = len > 0 ? service_of(line, (size_t)len) : -1;
	if (i < 0)
		return;
	backtrace(frames, 1); /* it loads a library */
	signal(SIGSEGV, on_crash);
	signal(SIGBUS, on_crash);
	signal(SIGABRT, on_crash);
	mine = &faults->slots[i];
}

static bool fails(enum kind kind, const char *what, const void *caller)
{
	struct slot *s = mine;
	uint64_t n;
	uint64_t nth;
	Dl_info info;

	if (!s || !kind)
		return false;
	n = atomic_fetch_add(&s->count[kind], 1) + 1;
	nth = s->nth;
	if (!(s->kinds >> kind & 1) || n < nth || n - nth >= s->run)
		return false;
	if (!atomic_fetch_add(&s->hits, 1) && dladdr(caller, &info))
		snprintf(s->where, sizeof(s->where), "%s %s+%#tx", what,
			 strrchr(info.dli_fname, '/') ? strrchr(info.dli_fname, '/') + 1
						      : info.dli_fname,
			 (const char *)caller - (const char *)info.dli_fbase);
	errno = (int)s->err;
	return true;
}

#define FAILS(kind, what) fails(kind, what, __builtin_return_address(0))
/* The function that this one stands before. */
#define NEXT(name)                                                                                 \
	static __typeof__(name) *next;                                                             \
	if (!next)                                                                                 \
	next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

/* ---- memory ---- */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t align, size_t size);

void *malloc(size_t size)
{
	return FAILS(MEMORY, "malloc") ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return FAILS(MEMORY, "calloc") ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	return FAILS(MEMORY, "realloc") ? NULL : __libc_realloc(p, size);
}

void *reallocarray(void *p, size_t n, size_t size)
{
	size_t all;

	if (__builtin_mul_overflow(n, size, &all)) {
		errno = ENOMEM;
		return NULL;
	}
	return FAILS(MEMORY, "reallocarray") ? NULL : __libc_realloc(p, all);
}

void *aligned_alloc(size_t align, size_t size)
{
	return FAILS(MEMORY, "aligned_alloc") ? NULL : __libc_memalign(align, size);
}

int posix_memalign(void **out, size_t align, size_t size)
{
	if (FAILS(MEMORY, "posix_memalign"))
		return ENOMEM;
	*out = __libc_memalign(align, size);
	return *out ? 0 : ENOMEM;
}

#define MMAP(name, off)                                                                            \
	void *name(void *at, size_t len, int prot, int flags, int fd, off offset)                  \
	{                                                                                          \
		NEXT(name);                                                                        \
		return FAILS(MEMORY, #name) ? MAP_FAILED : next(at, len, prot, flags, fd, offset); \
	}
MMAP(mmap, off_t)
MMAP(mmap64, off64_t)

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
	NEXT(pthread_create);
	return FAILS(MEMORY, "pthread_create") ? EAGAIN : next(thread, attr, run, arg);
}

/* ---- what a descriptor or a name is of ---- */

static int fd_kind(int fd)
{
	struct stat st;
	int known;
	int saved = errno;

	if (fd < 0 || fd >= FILES)
		return OTHER;
	known = files[fd];
	if (known)
		return known;
	known = fstat(fd, &st) || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) ? OTHER
		: state_dev && st.st_dev == state_dev				? STATE
										: PLAIN;
	files[fd] = (uint8_t)known;
	errno = saved;
	return known;
}

static enum kind change_of(int fd)
{
	int kind = mine ? fd_kind(fd) : OTHER;

	return kind == DB ? JOURNAL : kind == STATE ? DISK : NOTHING;
}

static enum kind read_of(int fd)
{
	int kind = mine ? fd_kind(fd) : OTHER;

	return kind == DB ? DATABASE : kind == STATE || kind == PLAIN ? READ : NOTHING;
}

static enum kind name_of(int dir, const char *path)
{
	if (!mine)
		return NOTHING;
	if (path[0] != '/')
		return dir >= 0 && fd_kind(dir) == STATE ? DISK : NOTHING;
	if (strncmp(path, faults->state, strlen(faults->state)))
		return NOTHING;
	return is_db(path) ? JOURNAL : DISK;
}

static int fd_new(int fd, int known)
{
	if (fd >= 0 && fd < FILES)
		files[fd] = (uint8_t)known;
	return fd;
}

int close(int fd)
{
	NEXT(close);
	fd_new(fd, UNKNOWN);
	return next(fd);
}

/* ---- opening ---- */

static bool open_fails(int dir, const char *path, int flags, const void *caller)
{
	enum kind kind = name_of(dir, path);

	if (fails(DESCRIPTOR, "open", caller))
		return true;
	if (flags & (O_CREAT | O_TRUNC) || (flags & O_TMPFILE) == O_TMPFILE ||
	    (flags & O_ACCMODE) != O_RDONLY)
		return fails(kind, "open", caller);
	return kind == JOURNAL && fails(DATABASE, "open", caller);
}

static mode_t open_mode(int flags, va_list args)
{
	return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(args, mode_t) : 0;
}

#define OPEN(name)                                                                                 \
	int name(const char *path, int flags, ...)                                                 \
	{                                                                                          \
		NEXT(name);                                                                        \
		va_list args;                                                                      \
		mode_t mode;                                                                       \
		va_start(args, flags);                                                             \
		mode = open_mode(flags, args);                                                     \
		va_end(args);                                                                      \
		if (open_fails(AT_FDCWD, path, flags, __builtin_return_address(0)))                \
			return -1;                                                                 \
		return fd_new(next(path, flags, mode), is_db(path) ? DB : UNKNOWN);                \
	}
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                               \
	int name(int dir, const char *path, int flags, ...)                                        \
	{                                                                                          \
		NEXT(name);                                                                        \
		va_list args;                                                                      \
		mode_t mode;                                                                       \
		va_start(args, flags);                                                             \
		mode = open_mode(flags, args);                                                     \
		va_end(args);                                                                      \
		if (open_fails(dir, path, flags, __builtin_return_address(0)))                     \
			return -1;                                                                 \
		return fd_new(next(dir, path, flags, mode), is_db(path) ? DB : UNKNOWN);           \
	}
OPENAT(openat)
OPENAT(openat64)

#define MAKES(name, params, ...)                                                                   \
	int name params                                                                            \
	{                                                                                          \
		NEXT(name);                                                                        \
		if (FAILS(DESCRIPTOR, #name))                                                      \
			return -1;                                                                 \
		return fd_new(next(__VA_ARGS__), UNKNOWN);                                         \
	}
MAKES(socket, (int domain, int type, int protocol), domain, type, protocol)
MAKES(accept, (int fd, struct sockaddr *restrict at, socklen_t *restrict len), fd, at, len)
MAKES(accept4, (int fd, struct sockaddr *restrict at, socklen_t *restrict len, int flags), fd, at,
      len, flags)
MAKES(dup, (int fd), fd)
MAKES(eventfd, (unsigned int count, int flags), count, flags)
MAKES(epoll_create1, (int flags), flags)
MAKES(timerfd_create, (int clock, int flags), clock, flags)
MAKES(signalfd, (int fd, const sigset_t *set, int flags), fd, set, flags)
MAKES(memfd_create, (const char *name, unsigned int flags), name, flags)

int pipe2(int ends_out[2], int flags)
{
	NEXT(pipe2);
	return FAILS(DESCRIPTOR, "pipe2") ? -1 : next(ends_out, flags);
}

/* A descriptor for which there is no room is dropped by the kernel, and said so. */
ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	NEXT(recvmsg);
	ssize_t n = next(fd, msg, flags);
	struct cmsghdr *c = n >= 0 ? CMSG_FIRSTHDR(msg) : NULL;
	size_t count;

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		return n;
	count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	for (size_t i = 0; i < count; i++) {
		int got;

		memcpy(&got, CMSG_DATA(c) + i * sizeof(int), sizeof(got));
		fd_new(got, UNKNOWN);
	}
	if (!FAILS(DESCRIPTOR, "recvmsg"))
		return n;
	for (size_t i = 0; i < count; i++) {
		int got;

		memcpy(&got, CMSG_DATA(c) + i * sizeof(int), sizeof(got));
		close(got);
	}
	msg->msg_controllen = 0;
	msg->msg_flags |= MSG_CTRUNC;
	return n;
}

/* ---- bytes ---- */

#define BYTES(type, name, kind, params, ...)                                                       \
	type name params                                                                           \
	{                                                                                          \
		NEXT(name);                                                                        \
		return FAILS(kind, #name) ? -1 : next(__VA_ARGS__);                                \
	}
BYTES(ssize_t, read, read_of(fd), (int fd, void *to, size_t len), fd, to, len)
BYTES(ssize_t, pread, read_of(fd), (int fd, void *to, size_t len, off_t at), fd, to, len, at)
BYTES(ssize_t, pread64, read_of(fd), (int fd, void *to, size_t len, off64_t at), fd, to, len, at)
BYTES(ssize_t, readv, read_of(fd), (int fd, const struct iovec *v, int n), fd, v, n)
BYTES(ssize_t, preadv, read_of(fd), (int fd, const struct iovec *v, int n, off_t at), fd, v, n, at)
BYTES(ssize_t, sendfile, read_of(in), (int out, int in, off_t *at, size_t n), out, in, at, n)
BYTES(ssize_t, sendfile64, read_of(in), (int out, int in, off64_t *at, size_t n), out, in, at, n)
BYTES(ssize_t, write, change_of(fd), (int fd, const void *from, size_t len), fd, from, len)
BYTES(ssize_t, pwrite, change_of(fd), (int fd, const void *from, size_t len, off_t at), fd, from,
      len, at)
BYTES(ssize_t, pwrite64, change_of(fd), (int fd, const void *from, size_t len, off64_t at), fd,
      from, len, at)
BYTES(ssize_t, writev, change_of(fd), (int fd, const struct iovec *v, int n), fd, v, n)
BYTES(ssize_t, pwritev, change_of(fd), (int fd, const struct iovec *v, int n, off_t at), fd, v, n,
      at)
BYTES(int, ftruncate, change_of(fd), (int fd, off_t len), fd, len)
BYTES(int, ftruncate64, change_of(fd), (int fd, off64_t len), fd, len)
BYTES(int, fallocate, change_of(fd), (int fd, int mode, off_t at, off_t len), fd, mode, at, len)
BYTES(int, fsync, change_of(fd), (int fd), fd)
BYTES(int, fdatasync, change_of(fd), (int fd), fd)
BYTES(int, syncfs, change_of(fd), (int fd), fd)
BYTES(int, fchmod, change_of(fd), (int fd, mode_t mode), fd, mode)
BYTES(int, fchown, change_of(fd), (int fd, uid_t uid, gid_t gid), fd, uid, gid)

/* Locks, which only SQLite takes in this way; one in use is as good as an error. */
#define FCNTL(name)                                                                                \
	int name(int fd, int how, ...)                                                             \
	{                                                                                          \
		NEXT(name);                                                                        \
		va_list args;                                                                      \
		void *arg;                                                                         \
		va_start(args, how);                                                               \
		arg = va_arg(args, void *);                                                        \
		va_end(args);                                                                      \
		if ((how == F_DUPFD || how == F_DUPFD_CLOEXEC) && FAILS(DESCRIPTOR, #name))        \
			return -1;                                                                 \
		if (how == F_SETLK && ((struct flock *)arg)->l_type != F_UNLCK &&                  \
		    FAILS(read_of(fd), #name))                                                     \
			return -1;                                                                 \
		return next(fd, how, arg);                                                         \
	}
FCNTL(fcntl)
FCNTL(fcntl64)

/* ---- names ---- */

BYTES(int, mkdir, name_of(AT_FDCWD, path), (const char *path, mode_t mode), path, mode)
BYTES(int, mkdirat, name_of(dir, path), (int dir, const char *path, mode_t mode), dir, path, mode)
BYTES(int, unlink, name_of(AT_FDCWD, path), (const char *path), path)
BYTES(int, unlinkat, name_of(dir, path), (int dir, const char *path, int flags), dir, path, flags)
BYTES(int, rename, name_of(AT_FDCWD, to), (const char *from, const char *to), from, to)
BYTES(int, renameat, name_of(dir, to), (int of, const char *from, int dir, const char *to), of,
      from, dir, to)
BYTES(int, renameat2, name_of(dir, to),
      (int of, const char *from, int dir, const char *to, unsigned int flags), of, from, dir, to,
      flags)
BYTES(int, linkat, name_of(dir, to), (int of, const char *from, int dir, const char *to, int flags),
      of, from, dir, to, flags)

/* ---- the wall clock ---- */

int clock_gettime(clockid_t clock, struct timespec *out)
{
	NEXT(clock_gettime);
	int r = next(clock, out);
	int64_t ns;

	if (r || !faults || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE))
		return r;
	ns = (int64_t)out->tv_sec * 1000000000 + out->tv_nsec + faults->clock_ns;
	out->tv_sec = (time_t)(ns / 1000000000);
	out->tv_nsec = (long)(ns % 1000000000);
	return 0;
}

time_t time(time_t *out)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (out)
		*out = now.tv_sec;
	return now.tv_sec;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
	struct timespec now;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	*out = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
	return 0;
}

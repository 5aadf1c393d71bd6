/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Runs a command and stops it at its N-th step.  A step is a system call that changes,
 * or makes durable, something below one directory, of whatever thread and process of
 * the command: its children (ssh-keygen, the services of `serve`) count too.
 *
 *	stepper -d DIR [-n N] [-e ERRNO] [-o LOG] MODE COMMAND ARGS...
 *
 *	list	runs it to its end; LOG has a line a step: number, call, 1 if it changed
 *		anything, path
 *	kill	kills everything (SIGKILL) before step N is done
 *	torn	lets step N write the first half of its bytes, then kills
 *	fail	step N is not done and ends with ERRNO
 *	short	step N writes the first half, and every later write ends with ERRNO, as on
 *		a disk that is full
 *	record	LOG has all that happens to DIR, for powercut.py: see log_*() below
 *
 * Exit: 98 killed, 99 a failure here, else the command's own.
 *
 * It is ptrace and not a library that is loaded before others: so it sees the calls of
 * SQLite, libarchive and stdio inside libc, and of every child, whether it keeps its
 * environment or not.  A seccomp filter picks the calls, so that all others cost
 * nothing.  The index of a WAL database (-shm) is left out: whoever opens the database
 * first after a crash makes it anew, and nobody syncs it.
 */
#include <asm/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

enum { EXIT_KILLED = 98, EXIT_BROKEN = 99, TASKS = 256, NONE = -1 };

enum mode { LIST, KILL, TORN, FAIL, SHORT, RECORD };
static const char *const mode_names[] = {"list", "kill", "torn", "fail", "short", "record"};

enum kind {
	OPEN,	/* counts when it makes or cuts a file */
	WRITE,	/* bytes to a descriptor */
	COPY,	/* bytes from one descriptor to another */
	CUT,	/* ftruncate, fallocate */
	ATTR,	/* mode, owner, times */
	SYNC,	/* one file or directory */
	SYNCFS, /* all of them */
	NAME,	/* rename, link, unlink, mkdir, rmdir, symlink */
};

/* What a call is, and which arguments say where: a descriptor, or a directory and a
 * path; of a rename or link those of the new name. */
static const struct call {
	int nr;
	const char *name;
	enum kind kind;
	signed char fd;	  /* argument: the descriptor */
	signed char at;	  /* argument: the directory of the path */
	signed char path; /* argument: the path */
	signed char len;  /* argument: how many bytes */
	signed char from; /* argument: the old path, `from` - 1 its directory unless 0 */
} calls[] = {
	{__NR_open, "open", OPEN, NONE, NONE, 0, NONE, NONE},
	{__NR_creat, "creat", OPEN, NONE, NONE, 0, NONE, NONE},
	{__NR_openat, "openat", OPEN, NONE, 0, 1, NONE, NONE},
	{__NR_openat2, "openat2", OPEN, NONE, 0, 1, NONE, NONE},
	{__NR_write, "write", WRITE, 0, NONE, NONE, 2, NONE},
	{__NR_pwrite64, "pwrite", WRITE, 0, NONE, NONE, 2, NONE},
	{__NR_writev, "writev", WRITE, 0, NONE, NONE, NONE, NONE},
	{__NR_pwritev, "pwritev", WRITE, 0, NONE, NONE, NONE, NONE},
	{__NR_pwritev2, "pwritev2", WRITE, 0, NONE, NONE, NONE, NONE},
	{__NR_sendfile, "sendfile", COPY, 0, NONE, NONE, 3, NONE},
	{__NR_copy_file_range, "copy_file_range", COPY, 2, NONE, NONE, 4, NONE},
	{__NR_splice, "splice", COPY, 2, NONE, NONE, 4, NONE},
	{__NR_ioctl, "ioctl", COPY, 0, NONE, NONE, NONE, NONE}, /* FICLONE */
	{__NR_ftruncate, "ftruncate", CUT, 0, NONE, NONE, NONE, NONE},
	{__NR_fallocate, "fallocate", CUT, 0, NONE, NONE, NONE, NONE},
	{__NR_truncate, "truncate", CUT, NONE, NONE, 0, NONE, NONE},
	{__NR_fchmod, "fchmod", ATTR, 0, NONE, NONE, NONE, NONE},
	{__NR_chmod, "chmod", ATTR, NONE, NONE, 0, NONE, NONE},
	{__NR_fchmodat, "fchmodat", ATTR, NONE, 0, 1, NONE, NONE},
	{__NR_fchown, "fchown", ATTR, 0, NONE, NONE, NONE, NONE},
	{__NR_chown, "chown", ATTR, NONE, NONE, 0, NONE, NONE},
	{__NR_lchown, "lchown", ATTR, NONE, NONE, 0, NONE, NONE},
	{__NR_fchownat, "fchownat", ATTR, NONE, 0, 1, NONE, NONE},
	{__NR_utimensat, "utimensat", ATTR, NONE, 0, 1, NONE, NONE},
	{__NR_fsync, "fsync", SYNC, 0, NONE, NONE, NONE, NONE},
	{__NR_fdatasync, "fdatasync", SYNC, 0, NONE, NONE, NONE, NONE},
	{__NR_syncfs, "syncfs", SYNCFS, 0, NONE, NONE, NONE, NONE},
	{__NR_rename, "rename", NAME, NONE, NONE, 1, NONE, 0},
	{__NR_renameat, "renameat", NAME, NONE, 2, 3, NONE, 1},
	{__NR_renameat2, "renameat2", NAME, NONE, 2, 3, NONE, 1},
	{__NR_link, "link", NAME, NONE, NONE, 1, NONE, 0},
	{__NR_linkat, "linkat", NAME, NONE, 2, 3, NONE, 1},
	{__NR_symlink, "symlink", NAME, NONE, NONE, 1, NONE, NONE},
	{__NR_symlinkat, "symlinkat", NAME, NONE, 1, 2, NONE, NONE},
	{__NR_unlink, "unlink", NAME, NONE, NONE, 0, NONE, NONE},
	{__NR_unlinkat, "unlinkat", NAME, NONE, 0, 1, NONE, NONE},
	{__NR_rmdir, "rmdir", NAME, NONE, NONE, 0, NONE, NONE},
	{__NR_mkdir, "mkdir", NAME, NONE, NONE, 0, NONE, NONE},
	{__NR_mkdirat, "mkdirat", NAME, NONE, 0, 1, NONE, NONE},
};

/* One thread that is traced, and the call it is in. */
struct task {
	pid_t pid;
	bool started; /* its first stop was seen */
	bool in_call; /* its end is to be looked at */
	bool last;    /* and then everything is killed */
	bool there;   /* OPEN: the file was there before */
	bool words;   /* a write of the command's answer, not a step */
	const struct call *call;
	struct user_regs_struct regs; /* as the call began */
	unsigned long step;
	off_t at; /* WRITE, COPY: where in the file */
	struct stat st;
	char path[PATH_MAX];
	char from[PATH_MAX];
};

static struct {
	enum mode mode;
	unsigned long n;
	int err;
	const char *dir;
	size_t dir_len;
	FILE *log;
	FILE *data; /* LOG.data: bytes that were written, in the order of the log */
	unsigned long steps;
	bool full; /* SHORT: step N was */
	pid_t first;
	int status;
	struct stat answer; /* where standard output goes */
	struct task tasks[TASKS];
} s = {.err = EIO, .status = EXIT_BROKEN << 8};

__attribute__((noreturn, format(printf, 1, 2))) static void broken(const char *format, ...)
{
	va_list ap;

	fputs("stepper: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(EXIT_BROKEN); /* PTRACE_O_EXITKILL takes the command along */
}

/* ---- tasks ---- */

static struct task *task_of(pid_t pid)
{
	struct task *free_one = NULL;

	for (size_t i = 0; i < TASKS; i++) {
		if (s.tasks[i].pid == pid)
			return &s.tasks[i];
		if (!s.tasks[i].pid && !free_one)
			free_one = &s.tasks[i];
	}
	if (!free_one)
		broken("over %d threads", TASKS);
	*free_one = (struct task){.pid = pid};
	return free_one;
}

/* All that are left, and wait until they are gone: no call of theirs is under way any
 * more when this returns. */
static void kill_all(void)
{
	for (size_t i = 0; i < TASKS; i++)
		if (s.tasks[i].pid)
			kill(s.tasks[i].pid, SIGKILL);
	while (waitpid(-1, NULL, __WALL) > 0 || errno == EINTR)
		;
}

/* ---- where a call works ---- */

static unsigned long arg(const struct task *t, int i)
{
	const unsigned long long a[] = {t->regs.rdi, t->regs.rsi, t->regs.rdx,
					t->regs.r10, t->regs.r8,  t->regs.r9};

	return a[i];
}

static bool peek(const struct task *t, unsigned long at, void *out, size_t len)
{
	for (size_t i = 0; i < len; i += sizeof(long)) {
		long word;

		errno = 0;
		word = ptrace(PTRACE_PEEKDATA, t->pid, at + i, NULL);
		if (errno)
			return false;
		memcpy((char *)out + i, &word, len - i < sizeof(word) ? len - i : sizeof(word));
	}
	return true;
}

static void fd_path(const struct task *t, int fd, char out[static PATH_MAX])
{
	char link[64];
	ssize_t n;

	if (fd == AT_FDCWD)
		snprintf(link, sizeof(link), "/proc/%d/cwd", t->pid);
	else
		snprintf(link, sizeof(link), "/proc/%d/fd/%d", t->pid, fd);
	n = readlink(link, out, PATH_MAX - 1);
	out[n < 0 ? 0 : n] = '\0';
}

static void at_path(const struct task *t, int dir, unsigned long at, char out[static PATH_MAX])
{
	char text[PATH_MAX];
	size_t n = 0;

	/* By aligned words, which lie on one page each: what follows may not be there. */
	do {
		unsigned long word;

		if (n == sizeof(text) - 1)
			broken("a path of over %zu bytes", n);
		errno = 0;
		word = (unsigned long)ptrace(PTRACE_PEEKDATA, t->pid, (at + n) & ~7ul, NULL);
		text[n] = errno ? '\0' : (char)(word >> 8 * ((at + n) % 8));
	} while (text[n++]);
	if (text[0] == '/') {
		memcpy(out, text, n);
		return;
	}
	fd_path(t, dir, out);
	n = strlen(out);
	snprintf(out + n, PATH_MAX - n, "/%s", text);
}

static bool is_below(const char *path)
{
	size_t len = strlen(path);

	if (strncmp(path, s.dir, s.dir_len) || (path[s.dir_len] && path[s.dir_len] != '/'))
		return false;
	return len < 4 || strcmp(path + len - 4, "-shm");
}

static int open_flags(const struct task *t)
{
	uint64_t how;

	switch (t->call->nr) {
	case __NR_open:
		return (int)arg(t, 1);
	case __NR_creat:
		return O_CREAT | O_TRUNC;
	case __NR_openat:
		return (int)arg(t, 2);
	default:
		return peek(t, arg(t, 2), &how, sizeof(how)) ? (int)how : 0;
	}
}

/* Is the call that the task is about to do a step? */
static bool is_step(struct task *t)
{
	const struct call *c = t->call;

	t->words = false;
	t->from[0] = '\0';
	if (c->nr == __NR_ioctl && arg(t, 1) != FICLONE && arg(t, 1) != FICLONERANGE)
		return false;
	if (c->kind == OPEN && !(open_flags(t) & (O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY))))
		return false;
	if (c->fd != NONE)
		fd_path(t, (int)arg(t, c->fd), t->path);
	else
		at_path(t, c->at == NONE ? AT_FDCWD : (int)arg(t, c->at), arg(t, c->path), t->path);
	if (c->from != NONE)
		at_path(t, c->from ? (int)arg(t, c->from - 1) : AT_FDCWD, arg(t, c->from), t->from);
	return is_below(t->path) || is_below(t->from);
}

static bool has_bytes(const struct task *t)
{
	return t->call->kind == WRITE || t->call->kind == COPY;
}

/* ---- the log of a recording ----
 *
 * A line an event, in the order in which the calls ended; fields are separated by tabs:
 *
 *	create INO PATH		a file that was not there
 *	draft INO		one without a name
 *	write INO OFFSET LEN	the bytes are next in LOG.data
 *	cut INO SIZE		the file is that long now
 *	link INO PATH  rename OLD NEW  unlink PATH  rmdir PATH  mkdir PATH
 *	sync INO		of a file or directory
 *	syncfs
 *	answer LEN		the command has written so much of its answer
 */

static void log_bytes(const struct task *t, off_t at, size_t len)
{
	static char chunk[65536];
	char link[64];
	int fd;

	snprintf(link, sizeof(link), "/proc/%d/fd/%d", t->pid, (int)arg(t, t->call->fd));
	fd = open(link, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		broken("%s: %m", t->path);
	fprintf(s.log, "write\t%lu\t%lld\t%zu\n", (unsigned long)t->st.st_ino, (long long)at, len);
	while (len) {
		ssize_t n = pread(fd, chunk, len < sizeof(chunk) ? len : sizeof(chunk), at);

		if (n <= 0)
			broken("%s: what was written is not there", t->path);
		fwrite(chunk, 1, (size_t)n, s.data);
		at += n;
		len -= (size_t)n;
	}
	close(fd);
}

static void log_cut(const struct stat *st)
{
	fprintf(s.log, "cut\t%lu\t%lld\n", (unsigned long)st->st_ino, (long long)st->st_size);
}

static bool stat_fd(const struct task *t, int fd, struct stat *st)
{
	char link[64];

	snprintf(link, sizeof(link), "/proc/%d/fd/%d", t->pid, fd);
	return !stat(link, st);
}

static void log_name(const struct task *t)
{
	const char *name = t->call->name;
	struct stat st;

	if (!strncmp(name, "link", 4)) {
		if (lstat(t->path, &st))
			broken("%s: %m", t->path);
		fprintf(s.log, "link\t%lu\t%s\n", (unsigned long)st.st_ino, t->path);
	} else if (!strncmp(name, "rename", 6)) {
		fprintf(s.log, "rename\t%s\t%s\n", t->from, t->path);
	} else if (!strncmp(name, "unlink", 6)) {
		fprintf(s.log, "%s\t%s\n", S_ISDIR(t->st.st_mode) ? "rmdir" : "unlink", t->path);
	} else if (!strncmp(name, "mkdir", 5)) {
		fprintf(s.log, "mkdir\t%s\n", t->path);
	} else {
		fprintf(s.log, "%s\t%s\n", name, t->path);
	}
}

static void log_event(const struct task *t, long result)
{
	struct stat st;

	if (t->words) {
		fprintf(s.log, "answer\t%ld\n", result);
		return;
	}
	switch (t->call->kind) {
	case OPEN:
		if (!stat_fd(t, (int)result, &st))
			broken("%s: %m", t->path);
		if ((open_flags(t) & O_TMPFILE) == O_TMPFILE)
			fprintf(s.log, "draft\t%lu\n", (unsigned long)st.st_ino);
		else if (!t->there)
			fprintf(s.log, "create\t%lu\t%s\n", (unsigned long)st.st_ino, t->path);
		else if (open_flags(t) & O_TRUNC)
			log_cut(&st);
		break;
	case WRITE:
	case COPY:
		if (t->call->nr == __NR_ioctl && stat_fd(t, (int)arg(t, 0), &st))
			log_bytes(t, 0, (size_t)st.st_size);
		else if (result > 0)
			log_bytes(t, t->at, (size_t)result);
		break;
	case CUT:
		if (t->call->fd == NONE ? !stat(t->path, &st) : stat_fd(t, (int)arg(t, 0), &st))
			log_cut(&st);
		break;
	case ATTR:
		break;
	case SYNC:
		fprintf(s.log, "sync\t%lu\n", (unsigned long)t->st.st_ino);
		break;
	case SYNCFS:
		fputs("syncfs\n", s.log);
		break;
	case NAME:
		log_name(t);
		break;
	}
}

/* Where a write will land: the offset is an argument, or the file's own. */
static off_t write_at(const struct task *t)
{
	int fd = (int)arg(t, t->call->fd);
	long long pos = -1;
	char line[128];
	char info[64];
	int flags = 0;
	uint64_t given;
	FILE *f;

	if (t->call->nr == __NR_pwrite64 || t->call->nr == __NR_pwritev ||
	    t->call->nr == __NR_pwritev2)
		return (off_t)arg(t, 3);
	if (t->call->nr == __NR_copy_file_range && arg(t, 3))
		return peek(t, arg(t, 3), &given, sizeof(given)) ? (off_t)given : 0;
	snprintf(info, sizeof(info), "/proc/%d/fdinfo/%d", t->pid, fd);
	f = fopen(info, "re");
	while (f && fgets(line, sizeof(line), f)) {
		sscanf(line, "pos: %lld", &pos);
		sscanf(line, "flags: %o", (unsigned int *)&flags);
	}
	if (f)
		fclose(f);
	return flags & O_APPEND ? t->st.st_size : (off_t)pos;
}

/* ---- steps ---- */

static void resume(const struct task *t, int how, int sig)
{
	if (ptrace(how, t->pid, NULL, (long)sig) && errno != ESRCH)
		broken("ptrace: %m");
}

static void set_regs(const struct task *t, const struct user_regs_struct *regs)
{
	if (ptrace(PTRACE_SETREGS, t->pid, NULL, regs))
		broken("cannot set registers: %m");
}

/* The call is not done and has ended with `err`. */
static void refuse(const struct task *t, int err)
{
	struct user_regs_struct regs = t->regs;

	regs.orig_rax = (unsigned long long)-1;
	regs.rax = (unsigned long long)-err;
	set_regs(t, &regs);
}

static void halve(const struct task *t)
{
	struct user_regs_struct regs = t->regs;
	unsigned long long *len[] = {&regs.rdi, &regs.rsi, &regs.rdx,
				     &regs.r10, &regs.r8,  &regs.r9};

	*len[t->call->len] /= 2;
	set_regs(t, &regs);
}

/* What the call had before it, for the log. */
static void look(struct task *t)
{
	t->there = false;
	memset(&t->st, 0, sizeof(t->st));
	if (t->call->fd != NONE) {
		if (!stat_fd(t, (int)arg(t, t->call->fd), &t->st))
			broken("%s: %m", t->path);
	} else {
		t->there = !lstat(t->path, &t->st);
	}
	if (has_bytes(t))
		t->at = write_at(t);
}

/* Does the call write where the command's standard output goes? */
static bool is_answer(struct task *t)
{
	struct stat st;

	if (s.mode != RECORD || t->call->kind != WRITE || !stat_fd(t, (int)arg(t, 0), &st))
		return false;
	t->words = st.st_ino == s.answer.st_ino && st.st_dev == s.answer.st_dev;
	return t->words;
}

static bool can_halve(const struct task *t)
{
	return t->call->len != NONE && arg(t, t->call->len) > 1;
}

static void begin(struct task *t)
{
	bool step;

	if (ptrace(PTRACE_GETREGS, t->pid, NULL, &t->regs)) {
		if (errno == ESRCH)
			return;
		broken("cannot get registers: %m");
	}
	t->call = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		if (calls[i].nr == (int)t->regs.orig_rax)
			t->call = &calls[i];
	step = t->call && is_step(t);
	if (!step && !(t->call && is_answer(t))) {
		resume(t, PTRACE_CONT, 0);
		return;
	}
	t->step = s.steps += step;
	t->last = false;
	if (s.mode == LIST || s.mode == RECORD) {
		if (step)
			look(t);
		t->in_call = true;
		resume(t, PTRACE_SYSCALL, 0);
		return;
	}
	if (s.full && (has_bytes(t) || t->call->kind == CUT)) {
		refuse(t, s.err);
		resume(t, PTRACE_CONT, 0);
		return;
	}
	if (t->step != s.n) {
		resume(t, PTRACE_CONT, 0);
		return;
	}
	if (s.log)
		fprintf(s.log, "%lu\t%s\t%s\n", t->step, t->call->name, t->path);
	switch (s.mode) {
	case TORN:
		if (can_halve(t)) {
			halve(t);
			t->last = t->in_call = true;
			resume(t, PTRACE_SYSCALL, 0);
			return;
		}
		__attribute__((fallthrough));
	case KILL:
		kill_all();
		exit(EXIT_KILLED);
	case SHORT:
		s.full = true;
		if (can_halve(t))
			halve(t);
		else
			refuse(t, s.err);
		break;
	default:
		refuse(t, s.err);
		break;
	}
	resume(t, PTRACE_CONT, 0);
}

/* Did the call alter what a reader, now or after a crash, would find? */
static bool changed(const struct task *t, long result)
{
	struct stat st;

	if (result < 0)
		return false;
	switch (t->call->kind) {
	case OPEN:
		return !t->there || open_flags(t) & O_TRUNC;
	case SYNC:
	case SYNCFS:
		return false;
	case CUT:
	case ATTR:
		if (t->call->fd == NONE ? stat(t->path, &st) : !stat_fd(t, (int)arg(t, 0), &st))
			return true;
		return st.st_mode != t->st.st_mode || st.st_uid != t->st.st_uid ||
		       st.st_gid != t->st.st_gid || st.st_size != t->st.st_size;
	default:
		return true;
	}
}

static void finish(struct task *t)
{
	struct user_regs_struct regs;
	long result;

	t->in_call = false;
	if (t->last) {
		kill_all();
		exit(EXIT_KILLED);
	}
	if (ptrace(PTRACE_GETREGS, t->pid, NULL, &regs)) {
		if (errno == ESRCH)
			return;
		broken("cannot get registers: %m");
	}
	result = (long)regs.rax;
	if (s.mode == RECORD && result >= 0)
		log_event(t, result);
	if (s.mode == LIST)
		fprintf(s.log, "%lu\t%s\t%d\t%s\n", t->step, t->call->name, changed(t, result),
			t->path);
	resume(t, PTRACE_CONT, 0);
}

/* ---- the tracer ---- */

static void filter_set(void)
{
	struct sock_filter code[ARRAY_SIZE(calls) * 2 + 8];
	struct sock_fprog prog = {.filter = code};
	size_t n = 0;

	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						 offsetof(struct seccomp_data, arch));
	code[n++] =
		(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						 offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
							 (uint32_t)calls[i].nr, 0, 1);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
	}
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	prog.len = (unsigned short)n;
	/* Without a tracer such a call would fail: it waits until there is one. */
	raise(SIGSTOP);
	if (syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog)) {
		perror("stepper: seccomp");
		_exit(EXIT_BROKEN);
	}
}

static void command_start(char **argv)
{
	const long options = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
			     PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD |
			     PTRACE_O_EXITKILL;
	int status;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	s.first = fork();
	if (s.first < 0)
		broken("fork: %m");
	if (!s.first) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		filter_set();
		execvp(argv[0], argv);
		fprintf(stderr, "stepper: %s: %m\n", argv[0]);
		_exit(EXIT_BROKEN);
	}
	if (waitpid(s.first, &status, 0) != s.first || !WIFSTOPPED(status))
		broken("the command did not stop");
	if (ptrace(PTRACE_SETOPTIONS, s.first, NULL, options))
		broken("ptrace: %m");
	task_of(s.first)->started = true;
	resume(task_of(s.first), PTRACE_CONT, 0);
}

static void on_stop(struct task *t, int status)
{
	int sig = WSTOPSIG(status);
	int event = status >> 16;

	if (event == PTRACE_EVENT_SECCOMP) {
		begin(t);
		return;
	}
	if (sig == (SIGTRAP | 0x80)) {
		if (t->in_call)
			finish(t);
		else
			resume(t, PTRACE_CONT, 0);
		return;
	}
	if (!t->started && sig == SIGSTOP) /* a thread or child begins with one */
		sig = 0;
	t->started = true;
	if (event)
		sig = 0;
	resume(t, t->in_call ? PTRACE_SYSCALL : PTRACE_CONT, sig);
}

static void run(void)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
		if (pid <= 0)
			continue;
		if (WIFSTOPPED(status)) {
			on_stop(task_of(pid), status);
			continue;
		}
		task_of(pid)->pid = 0;
		if (pid == s.first)
			s.status = status;
	}
}

static void usage(void)
{
	fputs("usage: stepper -d DIR [-n N] [-e ERRNO] [-o LOG] MODE COMMAND ARGS...\n", stderr);
	exit(EXIT_BROKEN);
}

static void log_open(const char *path)
{
	char name[PATH_MAX];

	snprintf(name, sizeof(name), "%s.data", path);
	s.log = fopen(path, "we");
	if (s.mode == RECORD)
		s.data = fopen(name, "we");
	if (!s.log || (s.mode == RECORD && !s.data))
		broken("%s: %m", path);
}

static int errno_of(const char *name)
{
	static const int known[] = {EIO, ENOSPC, EDQUOT, EROFS, EMFILE, EACCES};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (!strcmp(name, strerrorname_np(known[i])))
			return known[i];
	broken("%s: not an error that this knows", name);
}

int main(int argc, char **argv)
{
	const char *log = NULL;
	char dir[PATH_MAX];
	size_t mode = 0;
	int o;

	while ((o = getopt(argc, argv, "+d:n:e:o:")) != -1) {
		switch (o) {
		case 'd':
			if (!realpath(optarg, dir))
				broken("%s: %m", optarg);
			s.dir = dir;
			break;
		case 'n':
			s.n = strtoul(optarg, NULL, 10);
			break;
		case 'e':
			s.err = errno_of(optarg);
			break;
		case 'o':
			log = optarg;
			break;
		default:
			usage();
		}
	}
	while (optind < argc && mode < ARRAY_SIZE(mode_names) &&
	       strcmp(argv[optind], mode_names[mode]))
		mode++;
	if (!s.dir || optind + 1 >= argc || mode == ARRAY_SIZE(mode_names))
		usage();
	s.mode = (enum mode)mode;
	s.dir_len = strlen(s.dir);
	if (log)
		log_open(log);
	else if (s.mode == LIST || s.mode == RECORD)
		usage();
	fstat(STDOUT_FILENO, &s.answer);
	command_start(argv + optind + 1);
	run();
	if ((s.log && fclose(s.log)) || (s.data && fclose(s.data)))
		broken("%s: %m", log);
	return WIFEXITED(s.status) ? WEXITSTATUS(s.status) : 128 + WTERMSIG(s.status);
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Three kinds of system calls.  Those on a child's list, some of them with certain
 * arguments only: they are made.  Those that none of our code ever makes in a child, nor a
 * library for it, but who has taken one over does (another program, another user, a mount,
 * a look into another process): they end the child, by SIGSYS, after a line that names the
 * call.  All others: they do not exist, which a library that tries a newer call first
 * is ready to hear.  To kill for those too would make an outage of a C library's update;
 * under test (ROOTSTOCK_STRICT) it is done, so that lists are complete.
 */
#include "common/sandbox_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <seccomp.h>

#include "common/cleanup.h"

enum {
	C = 1 << SANDBOX_COPIER,
	D = 1 << SANDBOX_DHCP,
	T = 1 << SANDBOX_TFTP,
	N = 1 << SANDBOX_NFS,
	M = 1 << SANDBOX_METRICS,
	ALL = C | D | T | N | M,
};

/* As pthread_create() and fork() ask for them. */
#define THREAD_FLAGS                                                                               \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |        \
	 CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)
#define FORK_FLAGS (CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD)

#define NR(name) SCMP_SYS(name), #name

static const struct call {
	int nr;
	const char *name;
	unsigned int who;
} allowed[] = {
	/* descriptors */
	{NR(read), ALL},
	{NR(readv), ALL},
	{NR(pread64), ALL},
	{NR(preadv), ALL},
	{NR(preadv2), N},
	{NR(write), ALL},
	{NR(writev), ALL},
	{NR(pwrite64), C | D},
	{NR(pwritev), C | D},
	{NR(close), ALL},
	{NR(dup), ALL},
	{NR(dup3), C},
	{NR(fcntl), ALL},
	{NR(lseek), ALL},
	{NR(fstat), ALL},
	{NR(newfstatat), ALL},
	{NR(stat), ALL},
	{NR(lstat), ALL},
	{NR(statx), ALL},
	{NR(fstatfs), ALL},
	/* files */
	{NR(open), ALL},
	{NR(openat), ALL},
	{NR(openat2), C | T},
	{NR(access), ALL},
	{NR(faccessat), ALL},
	{NR(faccessat2), ALL},
	{NR(readlink), ALL},
	{NR(readlinkat), ALL},
	{NR(getdents64), C | T | N},
	{NR(sendfile), N},
	{NR(fsync), C | D},
	{NR(fdatasync), C | D},
	{NR(ftruncate), C | D},
	{NR(fallocate), C | D},
	{NR(flock), C}, /* who else may lock the store can keep the copier from it for ever */
	{NR(unlink), C | D},
	{NR(fadvise64), ALL},
	{NR(syncfs), C},
	{NR(sync_file_range), C},
	{NR(fchmod), C},
	{NR(fchmodat), C},
	{NR(utimensat), C},
	{NR(unlinkat), C},
	{NR(renameat), C},
	{NR(renameat2), C},
	{NR(rename), C},
	{NR(linkat), C},
	{NR(mkdirat), C},
	{NR(mkdir), C},
	{NR(memfd_create), C},
	/* memory; to make some of it code, see below */
	{NR(munmap), ALL},
	{NR(mremap), ALL},
	{NR(madvise), ALL},
	{NR(brk), ALL},
	{NR(membarrier), ALL},
	/* threads, time, signals, chance */
	{NR(futex), ALL},
	{NR(set_robust_list), ALL},
	{NR(rseq), ALL},
	{NR(sched_yield), ALL},
	{NR(sched_getaffinity), ALL},
	{NR(getpid), ALL},
	{NR(gettid), ALL},
	{NR(getuid), ALL},
	{NR(geteuid), ALL},
	{NR(getgid), ALL},
	{NR(getegid), ALL},
	{NR(getcwd), ALL},
	{NR(uname), ALL},
	{NR(sysinfo), ALL},
	{NR(getrusage), ALL},
	{NR(clock_gettime), ALL},
	{NR(clock_getres), ALL},
	{NR(gettimeofday), ALL},
	{NR(time), ALL},
	{NR(nanosleep), ALL},
	{NR(clock_nanosleep), ALL},
	{NR(getrandom), ALL},
	{NR(rt_sigaction), ALL},
	{NR(rt_sigprocmask), ALL},
	{NR(rt_sigreturn), ALL},
	{NR(sigaltstack), ALL},
	{NR(restart_syscall), ALL},
	{NR(exit), ALL},
	{NR(exit_group), ALL},
	{NR(sched_setscheduler), C}, /* the verifier, behind everybody */
	{NR(ioprio_set), C},
	/* waiting */
	{NR(epoll_create1), ALL},
	{NR(epoll_ctl), ALL},
	{NR(epoll_wait), ALL},
	{NR(epoll_pwait), ALL},
	{NR(epoll_pwait2), ALL},
	{NR(poll), ALL},
	{NR(ppoll), ALL},
	{NR(eventfd2), ALL},
	{NR(signalfd4), ALL},
	{NR(timerfd_create), ALL},
	{NR(timerfd_settime), ALL},
	/* sockets that are there; to make some, see below */
	{NR(recvfrom), ALL},
	{NR(recvmsg), ALL},
	{NR(recvmmsg), D | T | N},
	{NR(sendto), ALL},
	{NR(sendmsg), ALL},
	{NR(sendmmsg), D | T | N},
	{NR(accept4), ALL},
	{NR(accept), ALL},
	{NR(connect), ALL},
	{NR(bind), T},
	{NR(shutdown), ALL},
	{NR(getsockname), ALL},
	{NR(getpeername), ALL},
	{NR(getsockopt), ALL},
	{NR(setsockopt), ALL},
	{NR(wait4), D}, /* for the end of a snapshot of itself */
	{NR(waitid), D},
	{NR(dup2), D}, /* by that snapshot (dhcp/play.c), which lets go of all else */
	{NR(close_range), D},
	{NR(alarm), D},
};

/* What a library tries and can do without. */
static const struct call missing[] = {
	{NR(clone3), ALL},	    /* its arguments cannot be seen here: clone() is taken then */
	{NR(ioctl), D | T | N | M}, /* is it a terminal? */
	{NR(prctl), ALL},	    /* names of threads and of memory */
	{NR(mbind), ALL},	    {NR(get_mempolicy), ALL},
	{NR(fchown), ALL}, /* SQLite, of a root's database */
	{NR(umask), ALL},
};

static const struct call forbidden[] = {
	{NR(execve), ALL},
	{NR(execveat), ALL},
	{NR(fork), ALL},
	{NR(vfork), ALL},
	{NR(kill), ALL},
	{NR(tkill), ALL},
	{NR(rt_sigqueueinfo), ALL},
	{NR(pidfd_open), ALL},
	{NR(pidfd_getfd), ALL},
	{NR(pidfd_send_signal), ALL},
	{NR(ptrace), ALL},
	{NR(process_vm_readv), ALL},
	{NR(process_vm_writev), ALL},
	{NR(setuid), ALL},
	{NR(setgid), ALL},
	{NR(setreuid), ALL},
	{NR(setregid), ALL},
	{NR(setresuid), ALL},
	{NR(setresgid), ALL},
	{NR(setfsuid), ALL},
	{NR(setfsgid), ALL},
	{NR(setgroups), ALL},
	{NR(capset), ALL},
	{NR(chroot), ALL},
	{NR(pivot_root), ALL},
	{NR(mount), ALL},
	{NR(umount2), ALL},
	{NR(open_tree), ALL},
	{NR(move_mount), ALL},
	{NR(fsopen), ALL},
	{NR(fsmount), ALL},
	{NR(mount_setattr), ALL},
	{NR(setns), ALL},
	{NR(unshare), ALL},
	{NR(open_by_handle_at), ALL}, /* past every view, with the copier's capability */
	{NR(name_to_handle_at), ALL},
	{NR(mknod), ALL},
	{NR(mknodat), ALL},
	{NR(bpf), ALL},
	{NR(perf_event_open), ALL},
	{NR(userfaultfd), ALL},
	{NR(io_uring_setup), ALL},
	{NR(keyctl), ALL},
	{NR(add_key), ALL},
	{NR(request_key), ALL},
	{NR(init_module), ALL},
	{NR(finit_module), ALL},
	{NR(delete_module), ALL},
	{NR(kexec_load), ALL},
	{NR(kexec_file_load), ALL},
	{NR(reboot), ALL},
	{NR(swapon), ALL},
	{NR(settimeofday), ALL},
	{NR(clock_settime), ALL},
	{NR(iopl), ALL},
	{NR(ioperm), ALL},
	{NR(personality), ALL},
};

/* ---- the list ---- */

/* Some calls are not of every architecture. */
static int add_all(scmp_filter_ctx list, const struct call *calls, size_t n, unsigned int who,
		   uint32_t action)
{
	int r = 0;

	for (size_t i = 0; i < n && !r; i++)
		if (calls[i].who & who && calls[i].nr >= 0)
			r = seccomp_rule_add(list, action, calls[i].nr, 0);
	return r;
}

static int allow_if(scmp_filter_ctx list, int nr, unsigned int n, struct scmp_arg_cmp a,
		    struct scmp_arg_cmp b)
{
	const struct scmp_arg_cmp both[] = {a, b};

	return seccomp_rule_add_array(list, SCMP_ACT_ALLOW, nr, n, both);
}

static int allow_certain(scmp_filter_ctx list, unsigned int who, bool strict)
{
	static const struct scmp_arg_cmp none = {0};
	const struct scmp_arg_cmp self = SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid());
	const struct scmp_arg_cmp no_code = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	const scmp_datum_t kind = ~(scmp_datum_t)(SOCK_CLOEXEC | SOCK_NONBLOCK);
	int r = allow_if(list, SCMP_SYS(mmap), 1, no_code, none);

	if (!r)
		r = allow_if(list, SCMP_SYS(mprotect), 1, no_code, none);
	/* abort() */
	if (!r)
		r = allow_if(list, SCMP_SYS(tgkill), 1, self, none);
	/* Its own limits, and nobody else's. */
	if (!r)
		r = allow_if(list, SCMP_SYS(prlimit64), 1, SCMP_A0(SCMP_CMP_EQ, 0), none);
	if (!r && who & (C | N))
		r = allow_if(list, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_EQ, THREAD_FLAGS), none);
	/* A snapshot of itself, to play with. */
	if (!r && who & D)
		r = allow_if(list, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_EQ, FORK_FLAGS), none);
	/* The copier's socket, and the log's. */
	if (!r)
		r = allow_if(list, SCMP_SYS(socket), 2, SCMP_A0(SCMP_CMP_EQ, AF_UNIX),
			     SCMP_A1(SCMP_CMP_MASKED_EQ, kind & 0xffffffff, SOCK_SEQPACKET));
	if (!r)
		r = allow_if(list, SCMP_SYS(socket), 2, SCMP_A0(SCMP_CMP_EQ, AF_UNIX),
			     SCMP_A1(SCMP_CMP_MASKED_EQ, kind & 0xffffffff, SOCK_DGRAM));
	if (!r && who & T)
		r = allow_if(list, SCMP_SYS(socket), 2, SCMP_A0(SCMP_CMP_EQ, AF_INET),
			     SCMP_A1(SCMP_CMP_MASKED_EQ, kind & 0xffffffff, SOCK_DGRAM));
	/* Share the blocks of a file instead of copying them. */
	if (!r && who & C)
		r = allow_if(list, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, FICLONE), none);
	if (!r && who & C && strict)
		r = seccomp_rule_add(list, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(ioctl), 1,
				     SCMP_A1(SCMP_CMP_NE, FICLONE));
	return r;
}

/* ---- who breaks it ---- */

static void put(char *line, size_t *len, const char *text)
{
	while (*text && *len < 120)
		line[(*len)++] = *text++;
}

/* In a handler: nothing but system calls, and the tables. */
static void on_refused(int sig, siginfo_t *info, void *context)
{
	char line[128];
	char digits[12];
	size_t len = 0;
	int at = sizeof(digits);
	int nr = info->si_syscall;

	(void)context;
	digits[--at] = '\0';
	do
		digits[--at] = (char)('0' + nr % 10);
	while ((nr /= 10) > 0 && at > 0);
	put(line, &len, "error: system call ");
	put(line, &len, digits + at);
	for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++)
		if (forbidden[i].nr == info->si_syscall) {
			put(line, &len, ", ");
			put(line, &len, forbidden[i].name);
		}
	put(line, &len, ": not one that this child makes: it ends");
	line[len++] = '\n';
	if (write(STDERR_FILENO, line, len) < 0)
		len = 0;
	signal(sig, SIG_DFL);
	raise(sig);
	_exit(1);
}

static int watch_refused(void)
{
	struct sigaction action = {.sa_sigaction = on_refused, .sa_flags = SA_SIGINFO | SA_NODEFER};

	return sigaction(SIGSYS, &action, NULL) ? -errno : 0;
}

int sandbox_calls(enum sandbox_child child, struct why *why)
{
	const unsigned int who = 1u << child;
	bool strict = getenv("ROOTSTOCK_STRICT") != NULL;
	scmp_filter_ctx list = seccomp_init(strict ? SCMP_ACT_TRAP : SCMP_ACT_ERRNO(ENOSYS));
	int r = list ? watch_refused() : -ENOMEM;

	/* A tree instead of a row, and what has no arguments to look at costs nothing:
	 * the kernel knows those by a bit. */
	if (!r)
		r = seccomp_attr_set(list, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (!r)
		r = add_all(list, allowed, ARRAY_SIZE(allowed), who, SCMP_ACT_ALLOW);
	if (!r)
		r = allow_certain(list, who, strict);
	/* Who asks for something else of these gets the default: they are on the list. */
	if (!r && strict)
		r = add_all(list, missing, ARRAY_SIZE(missing), who, SCMP_ACT_ERRNO(ENOSYS));
	if (!r && !strict)
		r = add_all(list, forbidden, ARRAY_SIZE(forbidden), who, SCMP_ACT_TRAP);
	if (!r)
		r = seccomp_load(list);
	seccomp_release(list);
	return r ? why_set(why, r, "system calls: cannot be limited: %s", strerror(-r)) : 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What can somebody do who has taken a child over?  Each attempt is made by a process of
 * its own that enters the very sandbox of that child first.
 *
 *	sandbox-probe CHILD STATE-DIR [-f FOLDER] ATTEMPT [ARGUMENT]
 *
 * Prints one word: "yes", the errno's name, or "SIGSYS".  For tests/net/sandbox.sh, as
 * root.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/capability.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/sandbox.h"
#include "fsd/copier.h"

static const char *argument;

static int result(long r)
{
	return r < 0 ? errno : 0;
}

static int try_read(void)
{
	char byte;
	int fd = open(argument, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? errno : result(read(fd, &byte, 1));
}

/* Is anything in there? */
static int try_list(void)
{
	DIR *dir = opendir(argument);
	struct dirent *d;

	if (!dir)
		return errno;
	errno = ENOENT;
	while ((d = readdir(dir)))
		if (d->d_name[0] != '.')
			return 0;
	return errno;
}

static int try_stat(void)
{
	struct stat st;

	return result(stat(argument, &st));
}

static int try_create(void)
{
	return result(open(argument, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
}

static int try_write(void)
{
	return result(open(argument, O_RDWR | O_CLOEXEC));
}

static int try_unlink(void)
{
	return result(unlinkat(AT_FDCWD, argument, 0));
}

/* From a descriptor that was handed over. */
static int try_read_at(void)
{
	char *path = strchr(argument, ':');
	char byte;
	int fd = openat(atoi(argument), path ? path + 1 : ".", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? errno : result(read(fd, &byte, 1));
}

static int try_create_at(void)
{
	char *path = strchr(argument, ':');

	return result(openat(atoi(argument), path ? path + 1 : ".", O_RDWR | O_CREAT, 0600));
}

static int try_connect(void)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", argument);
	return fd < 0 ? errno : result(connect(fd, (struct sockaddr *)&to, sizeof(to)));
}

/* Does the copier take what it asks?  It answers, if with an error, or hangs up. */
static int try_ask(void)
{
	const struct copier_ask ask = {.magic = COPIER_MAGIC, .version = UINT32_MAX};
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	struct copier_reply reply;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	ssize_t n;

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", argument);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)))
		return errno;
	send(fd, &ask, sizeof(ask), MSG_NOSIGNAL);
	n = recv(fd, &reply, sizeof(reply), 0);
	return n == sizeof(reply) ? 0 : EPIPE;
}

static int try_lock(void)
{
	int fd = open(argument, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? errno : result(flock(fd, LOCK_EX | LOCK_NB));
}

static int try_exec(void)
{
	char *const words[] = {(char *)"sh", NULL};

	return result(execve("/bin/sh", words, NULL));
}

static int try_execveat(void)
{
	char *const words[] = {(char *)"sh", NULL};

	return result(syscall(SYS_execveat, AT_FDCWD, "/bin/sh", words, NULL, 0));
}

static int try_fork(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	return result(pid);
}

static void *nothing(void *arg)
{
	return arg;
}

static int try_thread(void)
{
	pthread_t thread;
	int r = pthread_create(&thread, NULL, nothing, NULL);

	return r ? r : pthread_join(thread, NULL);
}

static int try_new_user(void)
{
	return result(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, 0));
}

static int try_socket(void)
{
	static const struct {
		const char *name;
		int family;
		int type;
	} kinds[] = {
		{"inet-stream", AF_INET, SOCK_STREAM}, {"inet-dgram", AF_INET, SOCK_DGRAM},
		{"inet-raw", AF_INET, SOCK_RAW},       {"inet6", AF_INET6, SOCK_DGRAM},
		{"packet", AF_PACKET, SOCK_RAW},       {"netlink", AF_NETLINK, SOCK_RAW},
		{"unix", AF_UNIX, SOCK_SEQPACKET},     {"unix-stream", AF_UNIX, SOCK_STREAM},
		{"vsock", AF_VSOCK, SOCK_STREAM},
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(kinds[i].name, argument))
			return result(socket(kinds[i].family, kinds[i].type | SOCK_CLOEXEC, 0));
	return EINVAL;
}

static int try_ptrace(void)
{
	return result(ptrace(PTRACE_ATTACH, atoi(argument), NULL, NULL));
}

static int try_peek(void)
{
	struct iovec iov = {NULL, 0};

	return result(syscall(SYS_process_vm_readv, atoi(argument), &iov, 1UL, &iov, 1UL, 0UL));
}

static int try_kill(void)
{
	return result(kill(atoi(argument), SIGTERM));
}

static int try_limit(void)
{
	const struct {
		uint64_t soft;
		uint64_t hard;
	} one = {1, 1};

	return result(syscall(SYS_prlimit64, atoi(argument), 7 /* files */, &one, NULL));
}

static int try_mount(void)
{
	return result(mount("none", "/", "tmpfs", 0, NULL));
}

static int try_unmount(void)
{
	return result(umount2(argument, MNT_DETACH));
}

static int try_chroot(void)
{
	return result(chroot("/"));
}

static int try_unshare(void)
{
	return result(unshare(CLONE_NEWUSER));
}

static int try_root(void)
{
	return result(setresuid(0, 0, 0));
}

static int try_groups(void)
{
	return result(syscall(SYS_setgroups, 0UL, NULL));
}

static int try_capabilities(void)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {{~0u, ~0u, 0}, {~0u, ~0u, 0}};

	return result(syscall(SYS_capset, &head, data));
}

/* The capability to read everything opens files by number, too, past every view. */
static int try_by_handle(void)
{
	struct {
		struct file_handle head;
		char rest[64];
	} handle = {.head = {.handle_bytes = 8, .handle_type = 1}};

	return result(syscall(SYS_open_by_handle_at, 0, &handle, O_RDONLY));
}

static int try_device(void)
{
	return result(mknodat(AT_FDCWD, argument, S_IFCHR | 0600, 0x101));
}

static int try_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0) == MAP_FAILED
		       ? errno
		       : 0;
}

static int try_bpf(void)
{
	return result(syscall(SYS_bpf, 0, NULL, 0UL));
}

static int try_ring(void)
{
	return result(syscall(SYS_io_uring_setup, 1, NULL));
}

/* One that no list knows, as of a newer C library. */
static int try_newest(void)
{
	return result(syscall(999));
}

static int try_memory(void)
{
	char *p = malloc(64 << 20);

	if (!p)
		return errno;
	memset(p, 1, 64 << 20);
	return 0;
}

static const struct attempt {
	const char *name;
	int (*try)(void);
} attempts[] = {
	{"read", try_read},
	{"list", try_list},
	{"stat", try_stat},
	{"create", try_create},
	{"write", try_write},
	{"unlink", try_unlink},
	{"read-at", try_read_at},
	{"create-at", try_create_at},
	{"connect", try_connect},
	{"exec", try_exec},
	{"ask", try_ask},
	{"lock", try_lock},
	{"execveat", try_execveat},
	{"fork", try_fork},
	{"thread", try_thread},
	{"new-user", try_new_user},
	{"socket", try_socket},
	{"ptrace", try_ptrace},
	{"peek", try_peek},
	{"kill", try_kill},
	{"limit", try_limit},
	{"mount", try_mount},
	{"unmount", try_unmount},
	{"chroot", try_chroot},
	{"unshare", try_unshare},
	{"root", try_root},
	{"groups", try_groups},
	{"capabilities", try_capabilities},
	{"by-handle", try_by_handle},
	{"device", try_device},
	{"code", try_code},
	{"bpf", try_bpf},
	{"ring", try_ring},
	{"newest", try_newest},
	{"memory", try_memory},
};

static int kind_of(const char *name)
{
	static const char *const kinds[SANDBOX_CHILDREN] = {
		[SANDBOX_COPIER] = "copier", [SANDBOX_DHCP] = "dhcp",	    [SANDBOX_TFTP] = "tftp",
		[SANDBOX_NFS] = "nfs",	     [SANDBOX_METRICS] = "metrics",
	};

	for (int i = 0; i < SANDBOX_CHILDREN; i++)
		if (kinds[i] && !strcmp(kinds[i], name))
			return i;
	return -1;
}

/* In a process of its own: it ends with the errno. */
static void run(enum sandbox_child kind, const char *state, const char *const *folders,
		const struct attempt *attempt)
{
	struct why why = {""};
	int r = sandbox_enter(kind, state, folders, &why);

	if (r) {
		fprintf(stderr, "sandbox-probe: %s\n", why_text(&why, r));
		_exit(255);
	}
	_exit(attempt->try());
}

int main(int argc, char **argv)
{
	const char *folders[2] = {NULL};
	const struct attempt *attempt = NULL;
	int kind = argc > 1 ? kind_of(argv[1]) : -1;
	int status;
	int option;
	pid_t pid;

	log_init("probe", LOG_LEVEL_INFO);
	optind = 3;
	while ((option = getopt(argc, argv, "f:")) == 'f')
		folders[0] = optarg;
	for (size_t i = 0; argc > optind && i < ARRAY_SIZE(attempts); i++)
		if (!strcmp(attempts[i].name, argv[optind]))
			attempt = &attempts[i];
	if (kind < 0 || !attempt) {
		fprintf(stderr, "sandbox-probe: no such child or attempt\n");
		return 2;
	}
	if (!sandbox_whole()) {
		puts("built with sanitizers: no sandbox holds them");
		return 77;
	}
	argument = argc > optind + 1 ? argv[optind + 1] : "";
	pid = fork();
	if (!pid)
		run((enum sandbox_child)kind, argv[2], folders, attempt);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 2;
	if (WIFSIGNALED(status))
		printf("SIG%s\n", sigabbrev_np(WTERMSIG(status)));
	else if (WEXITSTATUS(status) == 255)
		return 2;
	else
		puts(WEXITSTATUS(status) ? strerrorname_np(WEXITSTATUS(status)) : "yes");
	return 0;
}

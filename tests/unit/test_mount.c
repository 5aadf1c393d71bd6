/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The FUSE door by ordinary system calls: what is mounted is compared with where it
 * came from, then mounted again, handed out, ended and refused.
 */
#include "tests/unit/mount_unit.h"

static void the_mounted_image_is_its_origin(void **state)
{
	struct world *w = world_of(state);
	char path[256];

	snprintf(path, sizeof(path), "%s/images/img@1", w->mnt);
	compare(w->site.origin, path);
	compare(w->site.origin, path); /* out of the kernel's caches now */
}

static void names_of_one_file_share_a_number_and_no_others_do(void **state)
{
	struct world *w = world_of(state);
	struct stat a = stat_of(w, "images/img@1/usr/share/one");
	struct stat b = stat_of(w, "images/img@1/usr/bin/two");
	struct stat c = stat_of(w, "images/img@1/deep/three");
	struct stat other = stat_of(w, "hosts/one/usr/share/one");

	assert_int_equal(a.st_nlink, 3);
	assert_int_equal(a.st_ino, b.st_ino);
	assert_int_equal(a.st_ino, c.st_ino);
	assert_int_not_equal(a.st_ino, other.st_ino);
	assert_int_equal((uint32_t)a.st_ino, (uint32_t)other.st_ino);
	assert_int_equal(a.st_dev, other.st_dev);
}

static void a_listing_goes_on_where_it_stopped(void **state)
{
	struct world *w = world_of(state);
	char path[256];
	char seen[MANY] = "";
	struct dirent *e;
	unsigned int n = 0;
	long at = 0;
	DIR *d;

	snprintf(path, sizeof(path), "%s/images/img@1/many", w->mnt);
	for (bool more = true; more;) {
		d = opendir(path);
		assert_non_null(d);
		if (at)
			seekdir(d, at);
		more = false;
		for (int i = 0; i < 230 && (e = readdir(d)); i++) {
			more = true;
			at = telldir(d);
			if (e->d_name[0] == '.')
				continue;
			assert_int_equal(e->d_type, DT_REG);
			assert_int_equal(seen[atoi(e->d_name + 1)]++, 0);
			n++;
		}
		closedir(d);
	}
	assert_int_equal(n, MANY);
}

static void dots_and_numbers_of_a_listing_are_right(void **state)
{
	static const char *const dirs[] = {"",
					   "hosts",
					   "images",
					   "hosts/one",
					   "images/img@1",
					   "images/img@1/usr",
					   "images/img@1/usr/share"};
	struct world *w = world_of(state);

	for (unsigned int i = 0; i < ARRAY_SIZE(dirs); i++) {
		char path[PATH_MAX];
		struct dirent *e;
		DIR *d;

		snprintf(path, sizeof(path), "%s/%s", w->mnt, dirs[i]);
		d = opendir(path);
		assert_non_null(d);
		while ((e = readdir(d))) {
			struct stat st;

			if (!*dirs[i] && !strcmp(e->d_name, ".."))
				continue;
			assert_int_equal(fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW), 0);
			assert_int_equal(e->d_ino, st.st_ino);
			assert_int_equal(e->d_type, IFTODT(st.st_mode));
		}
		closedir(d);
	}
}

static int give_up_pages(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	int fd = type == FTW_F ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	(void)st;
	(void)ftw;
	if (fd >= 0) {
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		close(fd);
	}
	return 0;
}

/* Neither the mount nor the store below it has the file's pages: those come from the
 * disk. */
static void forget_pages(const struct world *w, int fd)
{
	char objects[256];

	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	snprintf(objects, sizeof(objects), "%s/objects", w->site.state);
	assert_int_equal(nftw(objects, give_up_pages, 16, FTW_PHYS), 0);
}

static void random_reads_give_the_bytes_that_are_there(void **state)
{
	struct world *w = world_of(state);
	char path[256];
	uint8_t buf[150000];
	uint32_t seed = 1;
	int fd;

	snprintf(path, sizeof(path), "%s/hosts/one/usr/share/big", w->mnt);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	for (int i = 0; i < 300; i++) {
		uint32_t at = (seed = seed * 1664525 + 1013904223) % (BIG + 1000);
		uint32_t len = (seed = seed * 1664525 + 1013904223) % sizeof(buf);
		ssize_t n = pread(fd, buf, len, at);
		uint32_t left = at < BIG ? BIG - at : 0;

		assert_int_equal(n, len < left ? len : left);
		for (ssize_t b = 0; b < n; b++)
			if (buf[b] != (uint8_t)((at + (uint32_t)b) * 2654435761u >> 24))
				fail_msg("byte %zd of a read at %u", b, at);
		if (i % 10 == 0)
			forget_pages(w, fd);
	}
	close(fd);
}

static void every_write_is_refused(void **state)
{
	struct world *w = world_of(state);
	int dir = open(w->mnt, O_RDONLY | O_DIRECTORY);
	const char *motd = "hosts/one/etc/motd";
	char path[256];

	assert_true(dir >= 0);
#define refused(call)                                                                              \
	do {                                                                                       \
		errno = 0;                                                                         \
		assert_int_equal(call, -1);                                                        \
		assert_int_equal(errno, EROFS);                                                    \
	} while (0)
	refused(openat(dir, motd, O_WRONLY));
	refused(openat(dir, motd, O_RDWR));
	refused(openat(dir, motd, O_RDONLY | O_TRUNC));
	refused(openat(dir, "hosts/one/etc/new", O_WRONLY | O_CREAT, 0644));
	refused(openat(dir, "hosts/new", O_WRONLY | O_CREAT, 0644));
	refused(mkdirat(dir, "hosts/one/new", 0755));
	refused(unlinkat(dir, motd, 0));
	refused(unlinkat(dir, "hosts/one/empty", AT_REMOVEDIR));
	refused(renameat(dir, motd, dir, "hosts/one/etc/other"));
	refused(linkat(dir, motd, dir, "hosts/one/etc/link", 0));
	refused(symlinkat("x", dir, "hosts/one/etc/link"));
	refused(mknodat(dir, "hosts/one/etc/node", S_IFIFO | 0600, 0));
	refused(fchmodat(dir, motd, 0600, 0));
	refused(fchownat(dir, motd, 1, 1, 0));
	refused(utimensat(dir, motd, NULL, 0));
	snprintf(path, sizeof(path), "%s/%s", w->mnt, motd);
	refused(truncate(path, 1));
	refused(setxattr(path, "user.x", "y", 1, 0));
#undef refused
	close(dir);
}

static void file_systems_are_sized(void **state)
{
	struct world *w = world_of(state);
	struct statvfs st;
	char path[256];

	snprintf(path, sizeof(path), "%s/hosts/one", w->mnt);
	assert_int_equal(statvfs(path, &st), 0);
	assert_true(st.f_blocks * st.f_frsize > BIG);
	assert_true(st.f_files > MANY);
	assert_int_equal(st.f_bfree, 0);
	assert_int_equal(st.f_namemax, 255);
	assert_true(st.f_flag & ST_RDONLY);
}

/* Dentries and inodes that nobody uses. */
static void drop_the_kernels_caches(void)
{
	FILE *f = fopen("/proc/sys/vm/drop_caches", "we");

	if (f && (fputs("2", f) < 0 || fclose(f)))
		print_message("# the kernel's caches cannot be dropped: %s\n", strerror(errno));
}

/* What a kernel server that exports the mount holds, across a restart of ours. */
static void handles_find_what_the_kernel_never_saw(void **state)
{
	static const char *const paths[] = {"", "hosts/one", "images/img@1/deep/d/d",
					    "hosts/one/usr/share/one", "images/img@1/usr/bin/two"};
	struct world *w = world_of(state);
	struct {
		struct file_handle h;
		unsigned char room[MAX_HANDLE_SZ];
	} handles[ARRAY_SIZE(paths)];
	struct stat before[ARRAY_SIZE(paths)];
	int mnt;

	if (geteuid())
		skip(); /* open_by_handle_at is root's */
	for (unsigned int i = 0; i < ARRAY_SIZE(paths); i++) {
		char path[PATH_MAX];
		int id;

		snprintf(path, sizeof(path), "%s/%s", w->mnt, paths[i]);
		handles[i].h.handle_bytes = MAX_HANDLE_SZ;
		assert_int_equal(name_to_handle_at(AT_FDCWD, path, &handles[i].h, &id, 0), 0);
		before[i] = stat_of(w, paths[i]);
	}
	assert_int_equal(world_unmount(w, SIGTERM), 0);
	world_mount(w);
	mnt = open(w->mnt, O_RDONLY | O_DIRECTORY);
	for (unsigned int n = 2 * ARRAY_SIZE(paths); n-- > 0;) {
		unsigned int i = n % ARRAY_SIZE(paths);
		int fd;

		if (n == ARRAY_SIZE(paths) - 1)
			drop_the_kernels_caches();
		fd = open_by_handle_at(mnt, &handles[i].h, O_RDONLY);
		struct stat st;

		if (fd < 0)
			fail_msg("%s: %s", paths[i], strerror(errno));
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_ino, before[i].st_ino);
		assert_int_equal(st.st_mode, before[i].st_mode);
		close(fd);
	}
	close(mnt);
}

static bool lock_is_free(const struct world *w)
{
	int listen_fd;
	int lock_fd;

	if (copier_listen(w->site.state, &listen_fd, &lock_fd, NULL))
		return false;
	close(listen_fd);
	close(lock_fd);
	return true;
}

static void in_the_background_it_returns_once_it_is_mounted(void **state)
{
	struct world *w = world_of(state);
	struct mount_config config = {.state_dir = w->site.state, .mountpoint = w->mnt};
	char command[256];
	int status;

	assert_int_equal(world_unmount(w, SIGTERM), 0);
	for (int wrong = 1; wrong >= 0; wrong--) {
		pid_t pid = fork();

		config.options = wrong ? "colour=blue" : NULL;
		if (!pid)
			_exit(mount_run(&config));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, wrong ? 1 << 8 : 0);
		assert_int_equal(world_mounted(w), !wrong);
	}
	assert_true(text_is(w, "hosts/one/etc/motd", "of the image\n"));
	snprintf(command, sizeof(command), "fusermount3 -u %s", w->mnt);
	unit_wait(system(command) == 0);
	unit_wait(lock_is_free(w));
	world_mount(w);
}

static void signals_unmount(void **state)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
	struct world *w = world_of(state);
	char command[256];
	int status;

	/* A mount goes on ignoring what its parent ignored, as nohup wants it; we may have
	 * been started that way. */
	world_unmount(w, SIGTERM);
	for (unsigned int i = 0; i < ARRAY_SIZE(signals); i++)
		signal(signals[i], SIG_DFL);
	for (unsigned int i = 0; i < ARRAY_SIZE(signals); i++) {
		char path[256];
		int fd;

		if (!w->pid)
			world_mount(w);
		snprintf(path, sizeof(path), "%s/images/img@1/etc/motd", w->mnt);
		fd = open(path, O_RDONLY); /* open files do not hold it up */
		assert_true(fd >= 0);
		assert_int_equal(world_unmount(w, signals[i]), 0);
		assert_false(world_mounted(w));
		close(fd);
	}
	world_mount(w);
	snprintf(command, sizeof(command), "fusermount3 -u %s", w->mnt);
	unit_wait(system(command) == 0);
	assert_int_equal(waitpid(w->pid, &status, 0), w->pid);
	assert_int_equal(status, 0);
	w->pid = 0;
}

static void what_cannot_be_mounted_is_told(void **state)
{
	struct world *w = world_of(state);
	char file[256];
	char none[256];
	struct mount_config config = {
		.state_dir = w->site.state, .mountpoint = w->mnt, .foreground = true};

	make_file(w->site.dir, "file", "", 0644);
	snprintf(file, sizeof(file), "%s/file", w->site.dir);
	snprintf(none, sizeof(none), "%s/none", w->site.dir);
	config.mountpoint = file;
	assert_int_equal(mount_run(&config), 1);
	config.mountpoint = none;
	assert_int_equal(mount_run(&config), 1);
	config.mountpoint = w->mnt;
	config.state_dir = none;
	assert_int_equal(mount_run(&config), 1);
	config.state_dir = w->mnt; /* a directory, but not a state directory */
	assert_int_equal(mount_run(&config), 1);
	config.state_dir = w->site.state;
	config.mountpoint = w->site.dir; /* it would hide its own state */
	assert_int_equal(mount_run(&config), 1);
	config.mountpoint = w->mnt;
	config.options = "colour=blue";
	assert_int_equal(mount_run(&config), 1);
	assert_false(world_mounted(w));
}

static bool big_is_whole(int fd)
{
	uint8_t buf[16384];
	uint32_t at = 0;
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < n; i++, at++)
			if (buf[i] != (uint8_t)(at * 2654435761u >> 24))
				return false;
	return !n && at == BIG;
}

/* With passthrough an open file does without us. */
static void what_passes_through_is_read_from_a_stopped_server(void **state)
{
	struct world *w = world_of(state);
	pid_t ended = 0;
	char path[256];
	pid_t reader;
	int status;
	int fd;

	if (!w->pid)
		world_mount(w);
	snprintf(path, sizeof(path), "%s/images/img@1/usr/share/big", w->mnt);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	assert_int_equal(kill(w->pid, SIGSTOP), 0);
	assert_int_equal(waitpid(w->pid, &status, WUNTRACED), w->pid);
	reader = fork();
	if (!reader)
		_exit(big_is_whole(fd) ? 0 : 1);
	for (int i = 0; i < 30000 && !ended; i++) {
		ended = waitpid(reader, &status, WNOHANG);
		usleep(1000);
	}
	assert_int_equal(kill(w->pid, SIGCONT), 0);
	if (!ended)
		assert_int_equal(waitpid(reader, NULL, 0), reader);
	assert_int_equal(ended, reader);
	assert_int_equal(status, 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest mounted[] = {
		cmocka_unit_test(the_mounted_image_is_its_origin),
		cmocka_unit_test(names_of_one_file_share_a_number_and_no_others_do),
		cmocka_unit_test(a_listing_goes_on_where_it_stopped),
		cmocka_unit_test(dots_and_numbers_of_a_listing_are_right),
		cmocka_unit_test(random_reads_give_the_bytes_that_are_there),
		cmocka_unit_test(every_write_is_refused),
		cmocka_unit_test(file_systems_are_sized),
		cmocka_unit_test(handles_find_what_the_kernel_never_saw),
		cmocka_unit_test(in_the_background_it_returns_once_it_is_mounted),
		cmocka_unit_test(signals_unmount),
		cmocka_unit_test(what_cannot_be_mounted_is_told),
		cmocka_unit_test(what_passes_through_is_read_from_a_stopped_server),
	};
	const char *options = world_options();
	bool passes = options && strstr(options, "passthrough");

	return _cmocka_run_group_tests("mounted", mounted, ARRAY_SIZE(mounted) - !passes, setup,
				       teardown);
}

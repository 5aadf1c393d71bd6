/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The FUSE door by ordinary system calls: a tree with one of everything is added as
 * an image, mounted by a process of its own, and compared with where it came from;
 * then overlays, hosts and versions change under the kernel's caches.
 */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "common/clock.h"
#include "common/schema.h"
#include "common/state.h"
#include "fsd/copier.h"
#include "fsd/image.h"
#include "fsd/mount.h"
#include "fsd/objects.h"
#include "fsd/overlay.h"

enum { MANY = 1000, SOON_MS = 1000, BIG = 700000 };

struct world {
	char dir[64];
	char state[80];
	char origin[80];
	char mnt[80];
	struct db *db;
	struct objects *objects;
	pid_t pid; /* of the mount; 0: none */
	uint32_t host;
};

/* ---- making it ---- */

static void make_file(const char *dir, const char *name, const char *text, mode_t mode)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static void make_dir(const char *dir, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(mkdir(path, 0755), 0);
}

static void make_big(const char *dir, const char *name)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "we");
	assert_non_null(f);
	for (uint32_t i = 0; i < BIG; i++)
		putc((int)(i * 2654435761u >> 24), f);
	assert_int_equal(fclose(f), 0);
}

static void make_origin(const struct world *w)
{
	const struct timespec old[2] = {{1, 0}, {86400, 123456789}};
	char a[PATH_MAX];
	char b[PATH_MAX];
	int dir;

	for (const char *const *name = (const char *const[]){"etc", "usr", "usr/bin", "usr/share",
							     "many", "deep", "empty", NULL};
	     *name; name++)
		make_dir(w->origin, *name);
	make_file(w->origin, "etc/motd", "of the image\n", 0644);
	make_file(w->origin, "etc/hidden", "soon\n", 0600);
	make_file(w->origin, "usr/bin/su", "#!/bin/sh\n", 04755);
	make_file(w->origin, "usr/share/one", "linked\n", 0644);
	make_file(w->origin, "usr/share/nothing", "", 0444);
	make_big(w->origin, "usr/share/big");
	make_file(w->origin, "etc/\xff\xfe latin", "not UTF-8\n", 0644);
	memset(b, 'n', 255);
	b[255] = '\0';
	make_file(w->origin, b, "long\n", 0644);
	for (int i = 0; i < MANY; i++) {
		snprintf(b, sizeof(b), "many/f%d", i);
		make_file(w->origin, b, i % 7 ? "" : b, 0644);
	}
	dir = open(w->origin, O_RDONLY | O_DIRECTORY);
	assert_true(dir >= 0);
	assert_int_equal(linkat(dir, "usr/share/one", dir, "usr/bin/two", 0), 0);
	assert_int_equal(linkat(dir, "usr/share/one", dir, "deep/three", 0), 0);
	assert_int_equal(symlinkat("usr/bin", dir, "bin"), 0);
	assert_int_equal(symlinkat("/etc/motd", dir, "absolute"), 0);
	assert_int_equal(symlinkat("loop", dir, "loop"), 0);
	assert_int_equal(mkfifoat(dir, "fifo", 0620), 0);
	if (!geteuid()) {
		assert_int_equal(mknodat(dir, "console", S_IFCHR | 0600, makedev(5, 1)), 0);
		assert_int_equal(mknodat(dir, "disk", S_IFBLK | 0660, makedev(259, 70000)), 0);
		assert_int_equal(fchownat(dir, "etc/hidden", 12345, 70000, 0), 0);
	}
	close(dir);
	snprintf(a, sizeof(a), "%s/deep", w->origin);
	for (int i = 0; i < 30; i++) {
		strcat(a, "/d");
		assert_int_equal(mkdir(a, 0711), 0);
	}
	make_file(a, "bottom", "here\n", 0640);
	snprintf(a, sizeof(a), "%s/usr/bin/su", w->origin);
	assert_int_equal(utimensat(AT_FDCWD, a, old, 0), 0);
}

static struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));
	struct why why = {""};
	char path[128];

	assert_non_null(w);
	strcpy(w->dir, "/tmp/rootstock-mount.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->state, sizeof(w->state), "%s/state", w->dir);
	snprintf(w->origin, sizeof(w->origin), "%s/origin", w->dir);
	snprintf(w->mnt, sizeof(w->mnt), "%s/mnt", w->dir);
	assert_int_equal(mkdir(w->origin, 0755), 0);
	assert_int_equal(mkdir(w->mnt, 0755), 0);
	if (state_open(w->state, &w->db, &why))
		fail_msg("%s", why.text);
	snprintf(path, sizeof(path), "%s/objects", w->state);
	assert_int_equal(objects_open(path, true, 0750, &w->objects, &why), 0);
	return w;
}

static uint32_t world_image(struct world *w, bool activate)
{
	const struct image_add add = {.name = "img", .source = w->origin, .activate = activate};
	struct why why = {""};
	uint32_t version;
	uint32_t number;

	if (image_add(w->db, w->state, &add, &version, &number, &why))
		fail_msg("%s", why.text);
	return version;
}

static uint32_t world_host(struct world *w, const char *name)
{
	int64_t now = wall_now_ns();

	assert_int_equal(db_run(w->db, "INSERT INTO host (name, added, changed) VALUES (?, ?, ?)",
				"sii", name, now, now),
			 0);
	return (uint32_t)db_last_id(w->db);
}

static bool world_mounted(const struct world *w)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/images", w->mnt);
	return !stat(path, &st);
}

/* Wait for a condition, told by `what`; returns how long it took. */
#define soon(condition)                                                                            \
	do {                                                                                       \
		struct instant soon_from = instant_now();                                          \
		while (!(condition)) {                                                             \
			if (instant_now().ns - soon_from.ns > SOON_MS * NS_PER_MS)                 \
				fail_msg("not within %d ms: " #condition, SOON_MS);                \
			usleep(1000);                                                              \
		}                                                                                  \
	} while (0)

static void world_mount(struct world *w)
{
	const struct mount_config config = {.state_dir = w->state,
					    .mountpoint = w->mnt,
					    .options = geteuid() ? NULL : "dev,suid",
					    .foreground = true};

	fflush(NULL);
	w->pid = fork();
	assert_true(w->pid >= 0);
	if (!w->pid)
		_exit(mount_run(&config));
	for (int i = 0; i < 5000 && !world_mounted(w); i++)
		usleep(1000);
	assert_true(world_mounted(w));
}

/* Returns the exit status. */
static int world_unmount(struct world *w, int signal)
{
	int status;

	assert_int_equal(kill(w->pid, signal), 0);
	assert_int_equal(waitpid(w->pid, &status, 0), w->pid);
	w->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void world_free(struct world *w)
{
	if (w->pid)
		world_unmount(w, SIGTERM);
	objects_close(w->objects);
	db_close(w->db);
	if (!world_mounted(w))
		nftw(w->dir, unit_unlink, 64, FTW_DEPTH | FTW_PHYS);
	free(w);
}

static int setup(void **state)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	struct world *w;

	*state = NULL;
	if (fd < 0) {
		print_message("# /dev/fuse cannot be opened (%s): no mount to test\n",
			      strerror(errno));
		return 0;
	}
	close(fd);
	w = world_new();
	make_origin(w);
	world_image(w, false);
	w->host = world_host(w, "one");
	world_mount(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	if (*state)
		world_free(*state);
	return 0;
}

static struct world *world_of(void **state)
{
	if (!*state)
		skip();
	return *state;
}

/* ---- looking ---- */

static bool read_all(const char *path, char **data, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t room = 4096;
	ssize_t n;

	if (fd < 0)
		return false;
	*data = malloc(room);
	*len = 0;
	while ((n = read(fd, *data + *len, room - *len)) > 0) {
		*len += (size_t)n;
		if (*len == room)
			*data = realloc(*data, room *= 2);
	}
	close(fd);
	if (n < 0)
		free(*data);
	return n == 0;
}

static bool text_is(const struct world *w, const char *path, const char *text)
{
	char full[PATH_MAX];
	bool same = false;
	char *data;
	size_t len;

	snprintf(full, sizeof(full), "%s/%s", w->mnt, path);
	if (read_all(full, &data, &len)) {
		same = len == strlen(text) && !memcmp(data, text, len);
		free(data);
	}
	return same;
}

static bool is_there(const struct world *w, const char *path)
{
	char full[PATH_MAX];
	struct stat st;

	snprintf(full, sizeof(full), "%s/%s", w->mnt, path);
	return !lstat(full, &st);
}

static bool is_listed(const struct world *w, const char *dir, const char *name)
{
	char full[PATH_MAX];
	struct dirent *e;
	bool found = false;
	DIR *d;

	snprintf(full, sizeof(full), "%s/%s", w->mnt, dir);
	d = opendir(full);
	while (d && (e = readdir(d)))
		found |= !strcmp(e->d_name, name);
	if (d)
		closedir(d);
	return found;
}

static struct stat stat_of(const struct world *w, const char *path)
{
	char full[PATH_MAX];
	struct stat st;

	snprintf(full, sizeof(full), "%s/%s", w->mnt, path);
	if (lstat(full, &st))
		fail_msg("%s: %s", full, strerror(errno));
	return st;
}

static int name_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char **names_of(const char *path, size_t *n)
{
	char **names = NULL;
	struct dirent *e;
	DIR *d = opendir(path);

	*n = 0;
	assert_non_null(d);
	while ((e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		names = realloc(names, (*n + 1) * sizeof(*names));
		names[(*n)++] = strdup(e->d_name);
	}
	closedir(d);
	if (*n)
		qsort(names, *n, sizeof(*names), name_cmp);
	return names;
}

static void compare_bytes(const char *a, const char *b)
{
	char *x;
	char *y;
	size_t xlen;
	size_t ylen;

	if (!read_all(a, &x, &xlen) || !read_all(b, &y, &ylen))
		fail_msg("%s: cannot be read: %s", b, strerror(errno));
	assert_int_equal(xlen, ylen);
	assert_memory_equal(x, y, xlen);
	free(x);
	free(y);
}

static void compare(const char *a, const char *b);

static void compare_dirs(const char *a, const char *b, const struct stat *st)
{
	size_t n;
	size_t m;
	char **x = names_of(a, &n);
	char **y = names_of(b, &m);
	nlink_t nlink = 2;

	assert_int_equal(n, m);
	for (size_t i = 0; i < n; i++) {
		char from[PATH_MAX];
		char to[PATH_MAX];
		struct stat child;

		assert_string_equal(x[i], y[i]);
		snprintf(from, sizeof(from), "%s/%s", a, x[i]);
		snprintf(to, sizeof(to), "%s/%s", b, y[i]);
		compare(from, to);
		assert_int_equal(lstat(to, &child), 0);
		nlink += S_ISDIR(child.st_mode);
		free(x[i]);
		free(y[i]);
	}
	assert_int_equal(st->st_nlink, nlink);
	free(x);
	free(y);
}

static void compare(const char *a, const char *b)
{
	struct stat x;
	struct stat y;
	char s[PATH_MAX];
	char t[PATH_MAX];

	if (lstat(a, &x) || lstat(b, &y))
		fail_msg("%s, %s: %s", a, b, strerror(errno));
	if (x.st_mode != y.st_mode || x.st_uid != y.st_uid || x.st_gid != y.st_gid ||
	    x.st_mtim.tv_sec != y.st_mtim.tv_sec || x.st_mtim.tv_nsec != y.st_mtim.tv_nsec)
		fail_msg("%s: mode, owner or time differs", b);
	if (S_ISDIR(x.st_mode)) {
		compare_dirs(a, b, &y);
		return;
	}
	assert_int_equal(x.st_size, y.st_size);
	assert_int_equal(x.st_nlink, y.st_nlink);
	if (S_ISCHR(x.st_mode) || S_ISBLK(x.st_mode))
		assert_int_equal(x.st_rdev, y.st_rdev);
	if (S_ISLNK(x.st_mode)) {
		ssize_t n = readlink(a, s, sizeof(s));

		assert_int_equal(readlink(b, t, sizeof(t)), n);
		assert_memory_equal(s, t, (size_t)n);
	}
	if (S_ISREG(x.st_mode))
		compare_bytes(a, b);
}

/* ---- changing ---- */

static const struct scope all = {SCOPE_ALL, 0};

static struct scope host_scope(const struct world *w)
{
	return (struct scope){SCOPE_HOST, w->host};
}

static void change(struct world *w, struct scope scope, const char *path,
		   const struct entry_spec *spec)
{
	struct why why = {""};
	struct txn *txn;
	uint32_t id;

	assert_int_equal(txn_begin(w->db, &txn), 0);
	if (overlay_change(w->db, scope, path, spec, &id, &why))
		fail_msg("%s: %s", path, why.text);
	assert_int_equal(txn_commit(txn), 0);
}

static void put(struct world *w, struct scope scope, const char *path, const char *text)
{
	struct entry_spec spec = {
		.kind = ENTRY_FILE, .size = strlen(text), .mtime_ns = wall_now_ns()};

	assert_int_equal(objects_put_bytes(w->objects, text, strlen(text), &spec.hash), 0);
	change(w, scope, path, &spec);
}

static void put_kind(struct world *w, struct scope scope, const char *path, enum entry_kind kind)
{
	change(w, scope, path, &(struct entry_spec){.kind = kind});
}

static void reset(struct world *w, struct scope scope, const char *path)
{
	struct txn *txn;

	assert_int_equal(txn_begin(w->db, &txn), 0);
	assert_int_equal(overlay_reset(w->db, scope, path, false), 0);
	assert_int_equal(txn_commit(txn), 0);
}

static void set(struct world *w, const char *key, const char *value)
{
	assert_int_equal(db_run(w->db,
				"INSERT INTO setting (kind, owner, key, value) VALUES (?, ?, ?, ?)"
				" ON CONFLICT DO UPDATE SET value = excluded.value",
				"uuss", (uint32_t)SCOPE_HOST, w->host, key, value),
			 0);
	assert_int_equal(db_run(w->db, "UPDATE host SET changed = ? WHERE id = ?", "iu",
				wall_now_ns(), w->host),
			 0);
}

/* ---- tests ---- */

static void the_mounted_image_is_its_origin(void **state)
{
	struct world *w = world_of(state);
	char path[128];

	snprintf(path, sizeof(path), "%s/images/img@1", w->mnt);
	compare(w->origin, path);
	compare(w->origin, path); /* out of the kernel's caches now */
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
	char path[128];
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

static void random_reads_give_the_bytes_that_are_there(void **state)
{
	struct world *w = world_of(state);
	char path[128];
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
		if (i % 50 == 0)
			posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	}
	close(fd);
}

static void every_write_is_refused(void **state)
{
	struct world *w = world_of(state);
	int dir = open(w->mnt, O_RDONLY | O_DIRECTORY);
	const char *motd = "hosts/one/etc/motd";
	char path[128];

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
	char path[128];

	snprintf(path, sizeof(path), "%s/hosts/one", w->mnt);
	assert_int_equal(statvfs(path, &st), 0);
	assert_true(st.f_blocks * st.f_frsize > BIG);
	assert_true(st.f_files > MANY);
	assert_int_equal(st.f_bfree, 0);
	assert_int_equal(st.f_namemax, 255);
	assert_true(st.f_flag & ST_RDONLY);
}

static void a_put_shows_even_where_an_absence_was_remembered(void **state)
{
	struct world *w = world_of(state);
	struct stat before = stat_of(w, "hosts/one/etc");
	struct stat after;

	for (int i = 0; i < 3; i++)
		assert_false(is_there(w, "hosts/one/etc/new"));
	assert_false(is_listed(w, "hosts/one/etc", "new"));
	put(w, host_scope(w), "etc/new", "here\n");
	soon(text_is(w, "hosts/one/etc/new", "here\n"));
	soon(is_listed(w, "hosts/one/etc", "new"));
	after = stat_of(w, "hosts/one/etc");
	assert_true(after.st_mtim.tv_sec > before.st_mtim.tv_sec ||
		    after.st_mtim.tv_nsec != before.st_mtim.tv_nsec);
	assert_false(is_there(w, "images/img@1/etc/new"));

	/* In directories that the overlay makes. */
	assert_false(is_there(w, "hosts/one/srv/a/b"));
	put(w, all, "srv/a/b", "deep\n");
	soon(text_is(w, "hosts/one/srv/a/b", "deep\n"));
}

static void a_replaced_file_shows_its_new_bytes_and_an_open_one_its_old(void **state)
{
	struct world *w = world_of(state);
	char path[128];
	char buf[64];
	int fd;

	assert_true(text_is(w, "hosts/one/etc/motd", "of the image\n"));
	snprintf(path, sizeof(path), "%s/hosts/one/etc/motd", w->mnt);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	put(w, all, "etc/motd", "of all\n");
	soon(text_is(w, "hosts/one/etc/motd", "of all\n"));
	put(w, host_scope(w), "etc/motd", "of the host, which is longer\n");
	soon(text_is(w, "hosts/one/etc/motd", "of the host, which is longer\n"));
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	assert_int_equal(read(fd, buf, sizeof(buf)), 13);
	assert_memory_equal(buf, "of the image\n", 13);
	close(fd);
	reset(w, host_scope(w), "etc/motd");
	soon(text_is(w, "hosts/one/etc/motd", "of all\n"));
	reset(w, all, "etc/motd");
	soon(text_is(w, "hosts/one/etc/motd", "of the image\n"));
}

static void a_hidden_tree_goes_and_comes_back(void **state)
{
	struct world *w = world_of(state);
	char deep[256] = "hosts/one/deep";

	for (int i = 0; i < 30; i++)
		strcat(deep, "/d");
	strcat(deep, "/bottom");
	assert_true(text_is(w, deep, "here\n"));
	assert_int_equal(stat_of(w, "hosts/one/usr/share/one").st_nlink, 3);
	put_kind(w, all, "deep", ENTRY_WHITEOUT);
	soon(!is_there(w, "hosts/one/deep"));
	assert_false(is_there(w, deep));
	soon(!is_listed(w, "hosts/one", "deep"));
	soon(stat_of(w, "hosts/one/usr/share/one").st_nlink == 2);
	put(w, host_scope(w), "deep", "a file now\n");
	soon(text_is(w, "hosts/one/deep", "a file now\n"));
	reset(w, host_scope(w), "deep");
	soon(!is_there(w, "hosts/one/deep"));
	reset(w, all, "deep");
	soon(text_is(w, deep, "here\n"));
	soon(stat_of(w, "hosts/one/usr/share/one").st_nlink == 3);
}

static void an_opaque_directory_shows_only_what_is_put(void **state)
{
	struct world *w = world_of(state);

	assert_true(is_there(w, "hosts/one/usr/share/nothing"));
	put_kind(w, all, "usr/share", ENTRY_OPAQUE);
	soon(!is_there(w, "hosts/one/usr/share/nothing"));
	assert_false(is_there(w, "hosts/one/usr/share/big"));
	put(w, host_scope(w), "usr/share/mine", "mine\n");
	soon(text_is(w, "hosts/one/usr/share/mine", "mine\n"));
	reset(w, host_scope(w), "usr/share/mine");
	reset(w, all, "usr/share");
	soon(is_there(w, "hosts/one/usr/share/big"));
	assert_false(is_there(w, "hosts/one/usr/share/mine"));
}

static ino_t number_listed(const struct world *w, const char *dir, const char *name)
{
	char full[PATH_MAX];
	struct dirent *e;
	ino_t number = 0;
	DIR *d;

	snprintf(full, sizeof(full), "%s/%s", w->mnt, dir);
	d = opendir(full);
	while (d && (e = readdir(d)))
		if (!strcmp(e->d_name, name))
			number = e->d_ino;
	if (d)
		closedir(d);
	return number;
}

/* The host's directory merges with the image's and has its number; over a file it is
 * one of its own.  Who is in it keeps what the kernel remembers of it. */
static void the_directory_above_is_listed_as_what_it_became(void **state)
{
	struct world *w = world_of(state);
	ino_t before = stat_of(w, "hosts/one/empty").st_ino;
	char path[128];
	int inside;

	put_kind(w, host_scope(w), "empty/sub", ENTRY_DIR);
	put_kind(w, host_scope(w), "empty", ENTRY_DIR);
	soon(is_there(w, "hosts/one/empty/sub"));
	snprintf(path, sizeof(path), "%s/hosts/one/empty/sub", w->mnt);
	inside = open(path, O_RDONLY | O_DIRECTORY);
	assert_true(inside >= 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(number_listed(w, "hosts/one/empty/sub", ".."), before);
	put(w, all, "empty", "a file\n");
	soon(stat_of(w, "hosts/one/empty").st_ino != before);
	soon(number_listed(w, "hosts/one/empty/sub", "..") == stat_of(w, "hosts/one/empty").st_ino);
	close(inside);
	reset(w, all, "empty");
	reset(w, host_scope(w), "empty/sub");
	reset(w, host_scope(w), "empty");
}

static void attributes_change_alone(void **state)
{
	const struct entry_spec mode = {.kind = ENTRY_ATTR, .flags = ENTRY_MODE_SET, .mode = 0640};
	struct world *w = world_of(state);

	assert_int_equal(stat_of(w, "hosts/one/usr/share/nothing").st_mode, S_IFREG | 0444);
	change(w, all, "usr/share/nothing", &mode);
	soon(stat_of(w, "hosts/one/usr/share/nothing").st_mode == (S_IFREG | 0640));
	assert_int_equal(stat_of(w, "images/img@1/usr/share/nothing").st_mode, S_IFREG | 0444);
	/* One name of a linked file leaves the group. */
	change(w, all, "usr/bin/two", &mode);
	soon(stat_of(w, "hosts/one/usr/bin/two").st_mode == (S_IFREG | 0640));
	soon(stat_of(w, "hosts/one/usr/share/one").st_nlink == 2);
	assert_int_equal(stat_of(w, "hosts/one/usr/bin/two").st_nlink, 1);
	assert_true(text_is(w, "hosts/one/usr/bin/two", "linked\n"));
}

static void a_template_follows_its_keys(void **state)
{
	static const char text[] = "I am {{name}}, {{mood}}\n";
	const struct entry_spec spec = {.kind = ENTRY_TEMPLATE,
					.body = {(const uint8_t *)text, sizeof(text) - 1}};
	struct world *w = world_of(state);
	struct stat before;

	set(w, "mood", "glad");
	change(w, all, "etc/who", &spec);
	soon(text_is(w, "hosts/one/etc/who", "I am one, glad\n"));
	before = stat_of(w, "hosts/one/etc/who");
	set(w, "mood", "most displeased");
	soon(text_is(w, "hosts/one/etc/who", "I am one, most displeased\n"));
	assert_int_equal(stat_of(w, "hosts/one/etc/who").st_ino, before.st_ino);
	set(w, "mood", "furious no less"); /* as long as the one before */
	soon(text_is(w, "hosts/one/etc/who", "I am one, furious no less\n"));
}

static void hosts_come_and_go(void **state)
{
	struct world *w = world_of(state);
	struct stat before = stat_of(w, "hosts");
	uint32_t id;

	assert_false(is_there(w, "hosts/two"));
	assert_false(is_listed(w, "hosts", "two"));
	id = world_host(w, "two");
	soon(text_is(w, "hosts/two/etc/motd", "of the image\n"));
	soon(is_listed(w, "hosts", "two"));
	assert_int_equal(stat_of(w, "hosts").st_nlink, before.st_nlink + 1);
	assert_true(stat_of(w, "hosts").st_mtim.tv_sec > before.st_mtim.tv_sec ||
		    stat_of(w, "hosts").st_mtim.tv_nsec != before.st_mtim.tv_nsec);
	assert_int_equal(db_run(w->db, "UPDATE host SET name = 'three' WHERE id = ?", "u", id), 0);
	soon(is_there(w, "hosts/three") && !is_there(w, "hosts/two"));
	assert_int_equal(db_run(w->db, "DELETE FROM host WHERE id = ?", "u", id), 0);
	soon(!is_there(w, "hosts/three"));
	soon(!is_listed(w, "hosts", "three"));
	assert_true(is_there(w, "hosts/one"));
}

/* Version 2 is active; a boot of the host has pinned version 1. */
static void an_open_boot_holds_it(struct world *w)
{
	struct db *leases;
	struct why why = {""};

	assert_int_equal(db_open(w->state, &schema_leases, DB_CREATE, &leases, &why), 0);
	assert_int_equal(
		db_run(w->db, "INSERT INTO host_mac VALUES (x'525400000001', ?)", "u", w->host), 0);
	assert_int_equal(db_exec(leases,
				 "INSERT INTO lease (address, mac, state, started, expires) VALUES"
				 " (5, x'525400000001', 2, 0, 0);"
				 "INSERT INTO boot (mac, address, version, change, opened) VALUES"
				 " (x'525400000001', 5, 1, 7, 0)"),
			 0);
	soon(!is_there(w, "hosts/one/etc/second"));
	assert_int_equal(db_exec(leases, "UPDATE boot SET ended = 1"), 0);
	soon(is_there(w, "hosts/one/etc/second"));
	db_close(leases);
}

static void a_host_moves_to_the_active_version(void **state)
{
	struct world *w = world_of(state);
	struct stat before = stat_of(w, "hosts/one");
	struct why why = {""};
	char path[128];
	uint32_t version;
	int inside;
	int fd;

	snprintf(path, sizeof(path), "%s/hosts/one", w->mnt);
	inside = open(path, O_RDONLY | O_DIRECTORY);
	make_file(w->origin, "etc/second", "version\n", 0644);
	version = world_image(w, false);
	soon(text_is(w, "images/img@2/etc/second", "version\n"));
	assert_true(is_listed(w, "images", "img@2"));
	assert_false(is_there(w, "hosts/one/etc/second"));
	assert_int_equal(image_activate(w->db, version, &why), 0);
	soon(text_is(w, "hosts/one/etc/second", "version\n"));
	assert_int_not_equal(stat_of(w, "hosts/one").st_ino, before.st_ino);
	/* Those who are in stay where they are. */
	assert_int_equal(openat(inside, "etc/second", O_RDONLY), -1);
	fd = openat(inside, "etc/motd", O_RDONLY);
	assert_true(fd >= 0);
	close(fd);
	close(inside);
	an_open_boot_holds_it(w);
	assert_int_equal(image_rollback(w->db, "img", &version, &why), 0);
	soon(!is_there(w, "hosts/one/etc/second"));
	assert_int_equal(stat_of(w, "hosts/one").st_ino, before.st_ino);
}

static void change_at_random(struct world *w, uint32_t *seed)
{
	static const char *const paths[] = {
		"etc",	      "etc/motd",	 "etc/hidden", "usr/share", "usr/share/one",
		"usr/bin",    "usr/bin/two",	 "deep",       "deep/d",    "deep/d/d/new",
		"bin/put",    "empty",		 "empty/x/y",  "fifo",	    "usr/share/nothing",
		"deep/three", "usr/share/one/x", "srv/a",
	};
	static const enum entry_kind kinds[] = {ENTRY_FILE,
						ENTRY_LINK,
						ENTRY_DIR,
						ENTRY_WHITEOUT,
						ENTRY_OPAQUE,
						ENTRY_ATTR,
						ENTRY_ATTR,
						0,
						0,
						0};
	const char *path =
		paths[(*seed = *seed * 1664525 + 1013904223) / 65536 % ARRAY_SIZE(paths)];
	uint32_t dice = (*seed = *seed * 1664525 + 1013904223) / 65536;
	struct scope scope = dice & 1 ? all : host_scope(w);
	struct entry_spec spec = {
		.kind = kinds[dice / 2 % ARRAY_SIZE(kinds)],
		.flags = ENTRY_MODE_SET,
		.mode = (uint16_t)(0700 | (dice / 64 & 077)),
		.mtime_ns = wall_now_ns(),
		.body = {(const uint8_t *)"../x", 4},
	};
	char text[16];
	struct txn *txn;
	int r;

	if (spec.kind == ENTRY_FILE) {
		snprintf(text, sizeof(text), "%u\n", dice);
		spec.size = strlen(text);
		spec.body.at = NULL;
		assert_int_equal(objects_put_bytes(w->objects, text, strlen(text), &spec.hash), 0);
	}
	assert_int_equal(txn_begin(w->db, &txn), 0);
	if (spec.kind)
		r = overlay_change(w->db, scope, path, &spec, NULL, NULL);
	else
		r = overlay_reset(w->db, scope, path, false);
	if (r)
		txn_abort(txn); /* not everything goes everywhere */
	else
		assert_int_equal(txn_commit(txn), 0);
}

/* A mount that has seen all the changes shows what one shows that has seen none. */
static void caches_are_right_after_any_change(void **state)
{
	struct world *w = world_of(state);
	struct world fresh = *w;
	uint32_t seed = (uint32_t)wall_now_ns();
	char from[128];
	char to[128];

	if (geteuid() != 0)
		skip(); /* random modes: directories that only root can list */
	print_message("# seed %u\n", seed);
	snprintf(fresh.mnt, sizeof(fresh.mnt), "%s/fresh", w->dir);
	assert_int_equal(mkdir(fresh.mnt, 0755), 0);
	snprintf(from, sizeof(from), "%s/hosts/one", fresh.mnt);
	snprintf(to, sizeof(to), "%s/hosts/one", w->mnt);
	for (int round = 0; round < 12; round++) {
		for (int i = 0; i < 8; i++)
			change_at_random(w, &seed);
		/* The second is seen when all that came with the first has been told. */
		for (int i = 0; i < 2; i++) {
			char name[32];

			snprintf(name, sizeof(name), "marks/%d.%d", round, i);
			put(w, host_scope(w), name, "seen");
			snprintf(name, sizeof(name), "hosts/one/marks/%d.%d", round, i);
			soon(text_is(w, name, "seen"));
		}
		world_mount(&fresh);
		compare(from, to);
		assert_int_equal(world_unmount(&fresh, SIGTERM), 0);
	}
}

static void it_is_sealed_and_outlives_its_origin(void **state)
{
	struct world *w = world_of(state);
	char from[128];
	char to[128];
	int64_t unsealed = 1;

	for (int i = 0; i < 10000 && unsealed; i++) {
		sqlite3_stmt *stmt =
			db_stmt(w->db, "SELECT count(*) FROM version WHERE sealed IS NULL");

		assert_int_equal(db_query(w->db, stmt, ""), DB_ROW);
		unsealed = sqlite3_column_int64(stmt, 0);
		sqlite3_reset(stmt);
		usleep(1000);
	}
	assert_int_equal(unsealed, 0);
	snprintf(from, sizeof(from), "%s/origin", w->dir);
	snprintf(to, sizeof(to), "%s/away", w->dir);
	assert_int_equal(rename(from, to), 0);
	snprintf(from, sizeof(from), "%s/images/img@2", w->mnt);
	compare(to, from);
	assert_true(text_is(w, "hosts/one/usr/bin/su", "#!/bin/sh\n"));
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
	for (unsigned int i = ARRAY_SIZE(paths); i-- > 0;) {
		int fd = open_by_handle_at(mnt, &handles[i].h, O_RDONLY);
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

	if (copier_listen(w->state, &listen_fd, &lock_fd, NULL))
		return false;
	close(listen_fd);
	close(lock_fd);
	return true;
}

static void in_the_background_it_returns_once_it_is_mounted(void **state)
{
	struct world *w = world_of(state);
	struct mount_config config = {.state_dir = w->state, .mountpoint = w->mnt};
	char command[160];
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
	soon(system(command) == 0);
	soon(lock_is_free(w));
	world_mount(w);
}

static void signals_unmount(void **state)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
	struct world *w = world_of(state);
	char command[160];
	int status;

	for (unsigned int i = 0; i < ARRAY_SIZE(signals); i++) {
		char path[128];
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
	soon(system(command) == 0);
	assert_int_equal(waitpid(w->pid, &status, 0), w->pid);
	assert_int_equal(status, 0);
	w->pid = 0;
}

static void what_cannot_be_mounted_is_told(void **state)
{
	struct world *w = world_of(state);
	char file[128];
	char none[128];
	struct mount_config config = {
		.state_dir = w->state, .mountpoint = w->mnt, .foreground = true};

	make_file(w->dir, "file", "", 0644);
	snprintf(file, sizeof(file), "%s/file", w->dir);
	snprintf(none, sizeof(none), "%s/none", w->dir);
	config.mountpoint = file;
	assert_int_equal(mount_run(&config), 1);
	config.mountpoint = none;
	assert_int_equal(mount_run(&config), 1);
	config.mountpoint = w->mnt;
	config.state_dir = none;
	assert_int_equal(mount_run(&config), 1);
	config.state_dir = w->mnt; /* a directory, but not a state directory */
	assert_int_equal(mount_run(&config), 1);
	config.state_dir = w->state;
	config.mountpoint = w->dir; /* it would hide its own state */
	assert_int_equal(mount_run(&config), 1);
	config.mountpoint = w->mnt;
	config.options = "colour=blue";
	assert_int_equal(mount_run(&config), 1);
	assert_false(world_mounted(w));
}

/* ---- a copier that is late ---- */

static void on_sealed(void *ctx, uint32_t version, const struct hash *digest)
{
	(void)ctx;
	(void)version;
	(void)digest;
}

static pid_t reader_of(const struct world *w, const char *path, const char *text)
{
	pid_t pid = fork();

	if (!pid)
		_exit(text_is(w, path, text) ? 0 : 1);
	return pid;
}

static bool is_running(pid_t pid)
{
	return waitpid(pid, NULL, WNOHANG) == 0;
}

static int late_setup(void **state)
{
	struct world *w;

	*state = NULL;
	if (access("/dev/fuse", R_OK | W_OK))
		return 0;
	w = world_new();
	make_file(w->origin, "still", "as it was\n", 0644);
	make_file(w->origin, "drifts", "scanned\n", 0644);
	make_file(w->origin, "killed", "nobody reads this\n", 0644);
	world_image(w, false);
	w->host = world_host(w, "one");
	put(w, (struct scope){SCOPE_HOST, w->host}, "mine", "at once\n");
	*state = w;
	return 0;
}

static void a_miss_holds_up_nobody_else(void **state)
{
	struct world *w = world_of(state);
	struct copier_config config = {.state_dir = w->state, .sealed = on_sealed};
	struct copier *copier;
	struct why why = {""};
	pid_t waiting[20];
	pid_t killed;
	int status;

	/* Somebody else has the lock, and does not answer. */
	assert_int_equal(copier_listen(w->state, &config.listen_fd, &config.lock_fd, &why), 0);
	world_mount(w);
	for (unsigned int i = 0; i < ARRAY_SIZE(waiting); i++)
		waiting[i] = reader_of(w, "images/img@1/still", "as it was\n");
	killed = reader_of(w, "images/img@1/killed", "");
	soon(text_is(w, "hosts/one/mine", "at once\n"));
	assert_int_equal(stat_of(w, "images/img@1/drifts").st_size, 8);
	assert_true(is_running(killed));
	kill(killed, SIGKILL);
	soon(waitpid(killed, &status, WNOHANG) == killed);

	/* It changed after the scan, and nobody has read it: its new state stands. */
	make_file(w->origin, "drifts", "of a later hour\n", 0600);
	assert_int_equal(copier_start(&config, &copier, &why), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(waiting); i++) {
		assert_int_equal(waitpid(waiting[i], &status, 0), waiting[i]);
		assert_int_equal(status, 0);
	}
	assert_true(text_is(w, "images/img@1/drifts", "of a later hour\n"));
	assert_int_equal(stat_of(w, "images/img@1/drifts").st_size, 16);
	assert_int_equal(stat_of(w, "images/img@1/drifts").st_mode, S_IFREG | 0600);
	assert_int_equal(world_unmount(w, SIGTERM), 0);
	copier_stop(copier);
	close(config.listen_fd);
	close(config.lock_fd);
}

static void waiting_readers_end_with_the_mount(void **state)
{
	struct world *w = world_of(state);
	struct why why = {""};
	pid_t waiting;
	int status;
	int listen_fd;
	int lock_fd;

	make_file(w->origin, "another", "never copied\n", 0644);
	world_image(w, false);
	assert_int_equal(copier_listen(w->state, &listen_fd, &lock_fd, &why), 0);
	world_mount(w);
	waiting = reader_of(w, "images/img@2/another", "never copied\n");
	usleep(50000);
	assert_true(is_running(waiting));
	assert_int_equal(world_unmount(w, SIGTERM), 0);
	assert_int_equal(waitpid(waiting, &status, 0), waiting);
	assert_int_equal(WEXITSTATUS(status), 1);
	close(listen_fd);
	close(lock_fd);
}

static void a_missing_copier_holds_up_only_who_needs_it(void **state)
{
	a_miss_holds_up_nobody_else(state);
	waiting_readers_end_with_the_mount(state);
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
		cmocka_unit_test(a_put_shows_even_where_an_absence_was_remembered),
		cmocka_unit_test(a_replaced_file_shows_its_new_bytes_and_an_open_one_its_old),
		cmocka_unit_test(a_hidden_tree_goes_and_comes_back),
		cmocka_unit_test(an_opaque_directory_shows_only_what_is_put),
		cmocka_unit_test(the_directory_above_is_listed_as_what_it_became),
		cmocka_unit_test(attributes_change_alone),
		cmocka_unit_test(a_template_follows_its_keys),
		cmocka_unit_test(hosts_come_and_go),
		cmocka_unit_test(a_host_moves_to_the_active_version),
		cmocka_unit_test(it_is_sealed_and_outlives_its_origin),
		cmocka_unit_test(handles_find_what_the_kernel_never_saw),
		cmocka_unit_test(in_the_background_it_returns_once_it_is_mounted),
		cmocka_unit_test(caches_are_right_after_any_change),
		cmocka_unit_test(signals_unmount),
		cmocka_unit_test(what_cannot_be_mounted_is_told),
		/* One group, for TAP has one plan; and a world of their own for two tests. */
		cmocka_unit_test_setup_teardown(a_missing_copier_holds_up_only_who_needs_it,
						late_setup, teardown),
	};
	return cmocka_run_group_tests(mounted, setup, teardown);
}

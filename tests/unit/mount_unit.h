/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A mount by a process of its own, for the tests of the FUSE door: a tree with one of
 * everything is an image, and what is mounted is looked at by ordinary system calls.
 *
 * MOUNT_OPTIONS in the environment goes to each mount, so that the same tests prove
 * other ways of reading.
 */
#ifndef TESTS_UNIT_MOUNT_UNIT_H
#define TESTS_UNIT_MOUNT_UNIT_H

#include "tests/unit/site.h"

#include <dirent.h>
#include <signal.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "fsd/mount.h"

enum { MANY = 1000, BIG = 700000 };

struct world {
	struct site site;
	char mnt[160];
	pid_t pid; /* of the mount; 0: none */
	uint32_t host;
};

/* ---- making it ---- */

static inline void make_file(const char *dir, const char *name, const char *text, mode_t mode)
{
	char path[PATH_MAX + 256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static inline void make_dir(const char *dir, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(mkdir(path, 0755), 0);
}

static inline void make_big(const char *dir, const char *name)
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

static inline void make_origin(const struct world *w)
{
	const struct timespec old[2] = {{1, 0}, {86400, 123456789}};
	char a[PATH_MAX];
	char b[PATH_MAX];
	int dir;

	for (const char *const *name = (const char *const[]){"etc", "usr", "usr/bin", "usr/share",
							     "many", "deep", "empty", NULL};
	     *name; name++)
		make_dir(w->site.origin, *name);
	make_file(w->site.origin, "etc/motd", "of the image\n", 0644);
	make_file(w->site.origin, "etc/hidden", "soon\n", 0600);
	make_file(w->site.origin, "usr/bin/su", "#!/bin/sh\n", 04755);
	make_file(w->site.origin, "usr/share/one", "linked\n", 0644);
	make_file(w->site.origin, "usr/share/nothing", "", 0444);
	make_big(w->site.origin, "usr/share/big");
	make_file(w->site.origin, "etc/\xff\xfe latin", "not UTF-8\n", 0644);
	memset(b, 'n', 255);
	b[255] = '\0';
	make_file(w->site.origin, b, "long\n", 0644);
	for (int i = 0; i < MANY; i++) {
		snprintf(b, sizeof(b), "many/f%d", i);
		make_file(w->site.origin, b, i % 7 ? "" : b, 0644);
	}
	dir = open(w->site.origin, O_RDONLY | O_DIRECTORY);
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
	snprintf(a, sizeof(a), "%s/deep", w->site.origin);
	for (int i = 0; i < 30; i++) {
		strcat(a, "/d");
		assert_int_equal(mkdir(a, 0711), 0);
	}
	make_file(a, "bottom", "here\n", 0640);
	snprintf(a, sizeof(a), "%s/usr/bin/su", w->site.origin);
	assert_int_equal(utimensat(AT_FDCWD, a, old, 0), 0);
}

static inline struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	site_init_below(&w->site, "/var/tmp"); /* on a disk, whose pages can be given up */
	snprintf(w->mnt, sizeof(w->mnt), "%s/mnt", w->site.dir);
	assert_int_equal(mkdir(w->mnt, 0755), 0);
	return w;
}

static inline uint32_t world_image(struct world *w, bool activate)
{
	const struct image_add add = {
		.name = "img", .source = w->site.origin, .activate = activate};
	struct why why = {""};
	uint32_t version;
	uint32_t number;

	if (image_add(w->site.db, w->site.state, &add, &version, &number, &why))
		fail_msg("%s", why.text);
	return version;
}

static inline uint32_t world_host(struct world *w, const char *name)
{
	int64_t now = wall_now_ns();

	assert_int_equal(db_run(w->site.db,
				"INSERT INTO host (name, added, changed) VALUES (?, ?, ?)", "sii",
				name, now, now),
			 0);
	return (uint32_t)db_last_id(w->site.db);
}

static inline bool world_mounted(const struct world *w)
{
	char path[256];
	struct stat st;

	snprintf(path, sizeof(path), "%s/images", w->mnt);
	return !stat(path, &st);
}

static inline const char *world_options(void)
{
	const char *given = getenv("MOUNT_OPTIONS");

	return given ? given : geteuid() ? NULL : "dev,suid";
}

static inline void world_mount(struct world *w)
{
	const struct mount_config config = {.state_dir = w->site.state,
					    .mountpoint = w->mnt,
					    .options = world_options(),
					    .foreground = true};

	fflush(NULL);
	w->pid = fork();
	assert_true(w->pid >= 0);
	if (!w->pid)
		_exit(mount_run(&config));
	unit_wait(world_mounted(w));
}

/* Returns the exit status. */
static inline int world_unmount(struct world *w, int signal)
{
	int status;

	assert_int_equal(kill(w->pid, signal), 0);
	assert_int_equal(waitpid(w->pid, &status, 0), w->pid);
	w->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline void world_free(struct world *w)
{
	if (w->pid)
		world_unmount(w, SIGTERM);
	if (world_mounted(w))
		print_message("# %s is still mounted\n", w->mnt);
	else
		site_fini(&w->site);
	free(w);
}

static inline int setup(void **state)
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

static inline int teardown(void **state)
{
	if (*state)
		world_free(*state);
	return 0;
}

static inline struct world *world_of(void **state)
{
	if (!*state)
		skip();
	return *state;
}

/* ---- looking ---- */

static inline bool read_all(const char *path, char **data, size_t *len)
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

static inline bool text_is(const struct world *w, const char *path, const char *text)
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

static inline bool is_there(const struct world *w, const char *path)
{
	char full[PATH_MAX];
	struct stat st;

	snprintf(full, sizeof(full), "%s/%s", w->mnt, path);
	return !lstat(full, &st);
}

static inline bool is_listed(const struct world *w, const char *dir, const char *name)
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

static inline struct stat stat_of(const struct world *w, const char *path)
{
	char full[PATH_MAX];
	struct stat st;

	snprintf(full, sizeof(full), "%s/%s", w->mnt, path);
	if (lstat(full, &st))
		fail_msg("%s: %s", full, strerror(errno));
	return st;
}

static inline int name_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static inline char **names_of(const char *path, size_t *n)
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

static inline void compare_bytes(const char *a, const char *b)
{
	char *x = NULL;
	char *y = NULL;
	size_t xlen = 0;
	size_t ylen = 0;

	if (!read_all(a, &x, &xlen) || !read_all(b, &y, &ylen))
		fail_msg("%s: cannot be read: %s", b, strerror(errno));
	assert_int_equal(xlen, ylen);
	assert_memory_equal(x, y, xlen);
	free(x);
	free(y);
}

static inline void compare(const char *a, const char *b);

static inline void compare_dirs(const char *a, const char *b, const struct stat *st)
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

static inline void compare(const char *a, const char *b)
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

static inline struct scope host_scope(const struct world *w)
{
	return (struct scope){SCOPE_HOST, w->host};
}

static inline void change(struct world *w, struct scope scope, const char *path,
			  const struct entry_spec *spec)
{
	struct why why = {""};
	struct txn *txn;
	uint32_t id;

	assert_int_equal(txn_begin(w->site.db, &txn), 0);
	if (overlay_change(w->site.db, scope, path, spec, &id, &why))
		fail_msg("%s: %s", path, why.text);
	assert_int_equal(txn_commit(txn), 0);
}

static inline void put(struct world *w, struct scope scope, const char *path, const char *text)
{
	struct entry_spec spec = {
		.kind = ENTRY_FILE, .size = strlen(text), .mtime_ns = wall_now_ns()};

	assert_int_equal(objects_put_bytes(w->site.objects, text, strlen(text), &spec.hash), 0);
	change(w, scope, path, &spec);
}

static inline void put_kind(struct world *w, struct scope scope, const char *path,
			    enum entry_kind kind)
{
	change(w, scope, path, &(struct entry_spec){.kind = kind});
}

static inline void reset(struct world *w, struct scope scope, const char *path)
{
	struct txn *txn;

	assert_int_equal(txn_begin(w->site.db, &txn), 0);
	assert_int_equal(overlay_reset(w->site.db, scope, path, false), 0);
	assert_int_equal(txn_commit(txn), 0);
}

static inline void set(struct world *w, const char *key, const char *value)
{
	assert_int_equal(db_run(w->site.db,
				"INSERT INTO setting (kind, owner, key, value) VALUES (?, ?, ?, ?)"
				" ON CONFLICT DO UPDATE SET value = excluded.value",
				"uuss", (uint32_t)SCOPE_HOST, w->host, key, value),
			 0);
	assert_int_equal(db_run(w->site.db, "UPDATE host SET changed = ? WHERE id = ?", "iu",
				wall_now_ns(), w->host),
			 0);
}

#endif

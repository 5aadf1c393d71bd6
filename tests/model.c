/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/model.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "common/clock.h"

#define must(x)                                                                                    \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "%s:%d: %s: %m\n", __FILE__, __LINE__, #x);                \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

uint64_t rng_next(struct rng *rng)
{
	uint64_t z = rng->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint32_t rng_below(struct rng *rng, uint32_t n)
{
	return (uint32_t)(rng_next(rng) >> 33) % n;
}

uint64_t model_seed(void)
{
	const char *text = getenv("SEED");

	return text ? strtoull(text, NULL, 0) : (uint64_t)wall_now_ns();
}

unsigned int model_rounds(unsigned int usual)
{
	const char *text = getenv("ROUNDS");

	return text ? (unsigned int)strtoul(text, NULL, 0) : usual;
}

void model_name(struct rng *rng, char out[static 256])
{
	static const char *const usual[] = {"a", "b", "c", "d", "etc", "var", "tmp", "bin", "lib"};
	size_t len;

	if (rng_below(rng, 3)) {
		strcpy(out, usual[rng_below(rng, ARRAY_SIZE(usual))]);
		return;
	}
	len = rng_below(rng, 20) ? 1 + rng_below(rng, 12) : 255;
	for (size_t i = 0; i < len; i++) {
		do
			out[i] = (char)(1 + rng_below(rng, 255));
		while (out[i] == '/');
	}
	out[len] = '\0';
	if (!strcmp(out, ".") || !strcmp(out, ".."))
		out[0] = '_';
}

/* ---- a random tree ---- */

struct made {
	char *path;
	bool is_dir;
	bool is_file; /* or a link: what tar(1) keeps two names of */
};

struct maker {
	struct rng rng;
	int root;
	const struct model_shape *shape;
	struct made *list;
	size_t n;
};

static uint32_t random_mode(struct rng *rng)
{
	static const uint32_t modes[] = {0644,	0755,  0600,  0,     0777,
					 04755, 02755, 01777, 07777, 0444};

	return modes[rng_below(rng, ARRAY_SIZE(modes))];
}

static struct timespec random_time(struct rng *rng)
{
	static const int64_t secs[] = {0, 1, -1, -1000000000, 946684800, 1700000000, 5000000000};

	struct timespec t = {
		.tv_sec = secs[rng_below(rng, ARRAY_SIZE(secs))] + rng_below(rng, 1000),
		.tv_nsec = rng_below(rng, 2) ? rng_below(rng, 1000000000) : 0,
	};

	/* libarchive reads a tar's "-0.25" as 0.25. */
	if (t.tv_sec == -1)
		t.tv_nsec = 0;
	return t;
}

static void random_target(struct maker *m, char out[static PATH_MAX])
{
	char name[256];

	switch (rng_below(&m->rng, 6)) {
	case 0: /* nowhere, or outside were it not for the root */
		strcpy(out, rng_below(&m->rng, 2) ? "../../../../../../etc" : "no/such/thing");
		break;
	case 1:
		strcpy(out, rng_below(&m->rng, 2) ? ".." : ".");
		break;
	case 2: /* a name beside it, so that chains and loops come about */
		model_name(&m->rng, name);
		strcpy(out, name);
		break;
	default:
		snprintf(out, PATH_MAX, "%s%s", rng_below(&m->rng, 3) ? "/" : "",
			 m->list[rng_below(&m->rng, (uint32_t)m->n)].path);
		if (!out[0])
			strcpy(out, "/");
		break;
	}
	if (strlen(out) > 1000)
		strcpy(out, "/");
}

static void write_random(struct rng *rng, int fd, size_t len)
{
	uint8_t bytes[4096];

	while (len) {
		size_t n = len < sizeof(bytes) ? len : sizeof(bytes);

		for (size_t i = 0; i < n; i++)
			bytes[i] = (uint8_t)rng_next(rng);
		must(write(fd, bytes, n) == (ssize_t)n);
		len -= n;
	}
}

/* Bytes here and there. */
static void write_holes(struct rng *rng, int fd)
{
	for (uint32_t n = rng_below(rng, 4); n--;) {
		must(lseek(fd, rng_below(rng, 2000000), SEEK_SET) >= 0);
		write_random(rng, fd, 1 + rng_below(rng, 9000));
	}
	must(!ftruncate(fd, 1900000 + rng_below(rng, 400000)));
}

static void made_add(struct maker *m, const struct made *made)
{
	m->list = realloc(m->list, (m->n + 1) * sizeof(*m->list));
	m->list[m->n++] = *made;
}

/* A chain of directories, as deep as a path goes. */
static void make_deep(struct maker *m)
{
	char path[PATH_MAX] = "deep";
	uint32_t n = 1 + rng_below(&m->rng, 300);

	for (uint32_t i = 0; i < n && !mkdirat(m->root, path, 0755); i++) {
		made_add(m, &(struct made){.path = strdup(path), .is_dir = true});
		strcat(path, "/d");
	}
}

static void make_one(struct maker *m, const char *path)
{
	static const size_t sizes[] = {0, 1, 5, 5, 100, 4095, 4096, 4097, 70000};
	bool is_root = geteuid() == 0;
	struct made made = {.path = strdup(path)};
	char target[PATH_MAX];
	int fd;
	int r = 0;

	switch (rng_below(&m->rng, 12)) {
	case 0:
	case 1:
	case 2:
	case 3:
		r = mkdirat(m->root, path, 0755);
		made.is_dir = true;
		break;
	case 4:
		random_target(m, target);
		r = symlinkat(target, m->root, path);
		made.is_file = true;
		break;
	case 5:
		random_target(m, target);
		r = symlinkat(target, m->root, path);
		made.is_file = true;
		break;
	case 6: {
		struct made *old = &m->list[rng_below(&m->rng, (uint32_t)m->n)];

		r = old->is_dir || (m->shape->for_tar && !old->is_file)
			    ? -1
			    : linkat(m->root, old->path, m->root, path, 0);
		made.is_file = old->is_file;
		break;
	}
	case 7:
		r = mknodat(m->root, path,
			    (rng_below(&m->rng, 2) || m->shape->for_tar ? S_IFIFO : S_IFSOCK) |
				    0600,
			    0);
		break;
	case 8:
		r = is_root ? mknodat(m->root, path,
				      (rng_below(&m->rng, 2) ? S_IFCHR : S_IFBLK) | 0600,
				      makedev(rng_below(&m->rng, 300), rng_below(&m->rng, 70000)))
			    : -1;
		break;
	default:
		fd = openat(m->root, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		r = fd < 0 ? -1 : 0;
		if (!r) {
			if (rng_below(&m->rng, 20))
				write_random(&m->rng, fd,
					     sizes[rng_below(&m->rng, ARRAY_SIZE(sizes))]);
			else
				write_holes(&m->rng, fd);
			close(fd);
		}
		made.is_file = true;
		break;
	}
	if (r) { /* the name was taken, or may not be made: none is the same every time */
		free(made.path);
		return;
	}
	made_add(m, &made);
}

static void dress_one(struct maker *m, const struct made *made)
{
	struct timespec times[2] = {random_time(&m->rng), random_time(&m->rng)};
	uint32_t mode = random_mode(&m->rng);
	uint32_t uid = rng_below(&m->rng, 3) * 1000;
	uint32_t gid = rng_below(&m->rng, 3) * 70000;
	const char *path = made->path[0] ? made->path : ".";
	struct stat st;

	must(!fstatat(m->root, path, &st, AT_SYMLINK_NOFOLLOW));
	if (geteuid() == 0)
		must(!fchownat(m->root, path, uid, gid, AT_SYMLINK_NOFOLLOW));
	else
		mode |= made->is_dir ? 0700 : 0400;
	if (!S_ISLNK(st.st_mode))
		must(!fchmodat(m->root, path, mode, 0));
	must(!utimensat(m->root, path, times, AT_SYMLINK_NOFOLLOW));
}

void model_generate(const char *dir, uint64_t seed, const struct model_shape *shape)
{
	struct maker m = {.rng = {seed}, .shape = shape};
	uint32_t n;

	m.root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(m.root >= 0);
	m.list = calloc(1, sizeof(*m.list));
	m.list[m.n++] = (struct made){strdup(""), true, false};
	n = 5 + rng_below(&m.rng, 60);
	if (shape->most && n > shape->most)
		n = shape->most;
	else if (!rng_below(&m.rng, 10))
		make_deep(&m);
	for (uint32_t i = 0; i < n; i++) {
		char path[PATH_MAX];
		char name[256];
		struct made *above;

		do
			above = &m.list[rng_below(&m.rng, (uint32_t)m.n)];
		while (!above->is_dir);
		model_name(&m.rng, name);
		if (snprintf(path, sizeof(path), "%s%s%s", above->path, above->path[0] ? "/" : "",
			     name) < 1500)
			make_one(&m, path);
	}
	/* Children first: each dress would move the time of the directory above. */
	for (size_t i = m.n; i-- > 0;)
		dress_one(&m, &m.list[i]);
	for (size_t i = 0; i < m.n; i++)
		free(m.list[i].path);
	free(m.list);
	close(m.root);
}

/* ---- changes by hand ---- */

static int remove_visit(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	must(!remove(path));
	return 0;
}

static void remove_at(int dir, const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir, name);
	must(!nftw(path, remove_visit, 16, FTW_DEPTH | FTW_PHYS));
}

void model_remove(const char *dir)
{
	nftw(dir, remove_visit, 16, FTW_DEPTH | FTW_PHYS);
}

static void empty_dir(int fd)
{
	cleanup(closedirp) DIR *stream = fdopendir(openat(fd, ".", O_RDONLY | O_CLOEXEC));
	struct dirent *d;

	must(stream);
	while ((d = readdir(stream)))
		if (strcmp(d->d_name, ".") && strcmp(d->d_name, ".."))
			remove_at(fd, d->d_name);
}

static struct timespec spec_of(int64_t ns)
{
	int64_t sec = ns / NS_PER_SEC - (ns % NS_PER_SEC < 0);

	return (struct timespec){sec, (ns % NS_PER_SEC + NS_PER_SEC) % NS_PER_SEC};
}

static void set_mtime(int dir, const char *name, struct timespec mtime)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, mtime};

	must(!utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW));
}

static bool spec_before(struct timespec a, struct timespec b)
{
	return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}

/* A directory's time as it was at `st`, or `ns` if that is later. */
static void touch_dir(int dir, const struct stat *st, int64_t ns)
{
	struct timespec t = spec_of(ns);

	set_mtime(dir, ".", spec_before(st->st_mtim, t) ? t : st->st_mtim);
}

static void dress(int dir, const char *name, const struct entry *e)
{
	bool is_root = geteuid() == 0;
	struct stat st;

	must(!fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW));
	/* chown(2) takes set-id bits away: the mode comes after. */
	if ((e->flags & ENTRY_OWNER_SET) && is_root)
		must(!fchownat(dir, name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW));
	if (S_ISLNK(st.st_mode))
		return;
	must(!fchmodat(dir, name, e->flags & ENTRY_MODE_SET ? e->mode : st.st_mode & 07777, 0));
}

/* Give a name of several a file of its own. */
static void break_link(int dir, const char *name, const struct stat *st)
{
	static const char temp[] = ".\001break";
	char target[PATH_MAX] = "";
	char buffer[65536];
	ssize_t n;
	int from;
	int to;

	if (S_ISREG(st->st_mode)) {
		from = openat(dir, name, O_RDONLY | O_CLOEXEC);
		to = openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		must(from >= 0 && to >= 0);
		while ((n = read(from, buffer, sizeof(buffer))) > 0)
			must(write(to, buffer, (size_t)n) == n);
		close(from);
		close(to);
	} else if (S_ISLNK(st->st_mode)) {
		must(readlinkat(dir, name, target, sizeof(target) - 1) > 0);
		must(!symlinkat(target, dir, temp));
	} else {
		must(!mknodat(dir, temp, st->st_mode, st->st_rdev));
	}
	if (geteuid() == 0)
		must(!fchownat(dir, temp, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW));
	if (!S_ISLNK(st->st_mode))
		must(!fchmodat(dir, temp, st->st_mode & 07777, 0));
	set_mtime(dir, temp, st->st_mtim);
	must(!renameat(dir, temp, dir, name));
}

static void change_attr(int dir, const char *name, const struct entry *e)
{
	struct stat st;

	if (!(e->flags & (ENTRY_MODE_SET | ENTRY_OWNER_SET)))
		return;
	must(!fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW));
	if (!S_ISDIR(st.st_mode) && st.st_nlink > 1)
		break_link(dir, name, &st);
	dress(dir, name, e);
	set_mtime(dir, name, st.st_mtim);
}

static void put_bytes(int dir, const char *name, const void *at, size_t len)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	must(fd >= 0);
	must(write(fd, at, len) == (ssize_t)len);
	close(fd);
}

static void put_object(int dir, const char *name, const struct entry *e,
		       struct objects *objects)
{
	int from = objects_get(objects, &e->hash, OBJECT_ANY_SIZE);
	struct stat st;
	char *body;

	must(from >= 0 && !fstat(from, &st));
	body = malloc((size_t)st.st_size + 1);
	must(read(from, body, (size_t)st.st_size) == st.st_size);
	put_bytes(dir, name, body, (size_t)st.st_size);
	free(body);
	close(from);
}

/* The test's own rendering.  NULL: an unknown key. */
static char *render(struct bytes text, const struct model_context *c, size_t *len)
{
	char *out = calloc(1, 1 << 16);
	char *in = strndup((const char *)text.at, text.len);
	char *at = in;
	char *open;

	while ((open = strstr(at, "{{"))) {
		char *close = strstr(open, "}}");
		const char *value;

		*open = *close = '\0';
		strcat(out, at);
		value = c->lookup(c->ctx, open + 2);
		if (!value) {
			free(out);
			free(in);
			return NULL;
		}
		strcat(out, value);
		at = close + 2;
	}
	strcat(out, at);
	free(in);
	*len = strlen(out);
	return out;
}

/* A fresh thing in the place of whatever was there.  Returns false for a template
 * that cannot be. */
static bool put_new(int dir, const char *name, const struct entry *e, const struct model_context *c)
{
	bool is_dir = e->kind != ENTRY_FILE && e->kind != ENTRY_TEMPLATE;
	int64_t mtime = e->changed_ns;
	char target[PATH_MAX];
	char *text = NULL;
	size_t len = 0;

	if (e->kind == ENTRY_TEMPLATE) {
		text = render(e->body, c, &len);
		if (!text)
			return false;
	}
	remove_at(dir, name);
	switch (e->kind) {
	case ENTRY_FILE:
		put_object(dir, name, e, c->objects);
		mtime = e->mtime_ns;
		break;
	case ENTRY_TEMPLATE:
		put_bytes(dir, name, text, len);
		free(text);
		if (memmem(e->body.at, e->body.len, "{{", 2) && mtime < c->keys_ns)
			mtime = c->keys_ns;
		break;
	case ENTRY_LINK:
		memcpy(target, e->body.at, e->body.len);
		target[e->body.len] = '\0';
		must(!symlinkat(target, dir, name));
		break;
	default:
		must(!mkdirat(dir, name, 0755));
		break;
	}
	/* Not the group that a set-gid directory gives. */
	if (geteuid() == 0)
		must(!fchownat(dir, name, 0, 0, AT_SYMLINK_NOFOLLOW));
	if (e->kind != ENTRY_LINK)
		must(!fchmodat(dir, name, is_dir ? 0755 : 0644, 0));
	dress(dir, name, e);
	set_mtime(dir, name, spec_of(mtime));
	return true;
}

/* The directory that the path's last name is in, through links, never out of `root`. */
static int open_way(int root, const char *path, char name[static 256])
{
	struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
			       .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	const char *slash = strrchr(path, '/');
	char above[PATH_MAX] = ".";
	long fd;

	if (slash)
		snprintf(above, sizeof(above), "%.*s", (int)(slash - path), path);
	snprintf(name, 256, "%s", slash ? slash + 1 : path);
	if (!name[0])
		strcpy(name, ".");
	/* openat2(2): EAGAIN says that something, anywhere, was renamed while ".." was
	 * walked. */
	do
		fd = syscall(SYS_openat2, root, above, &how, sizeof(how));
	while (fd < 0 && errno == EAGAIN);
	must(fd >= 0 || errno == ENOENT || errno == ENOTDIR || errno == ELOOP ||
	     errno == ENAMETOOLONG);
	return (int)fd;
}

static void apply_in_force(int dir, const char *name, const struct entry *e,
			   const struct model_context *c, const struct stat *above)
{
	struct stat st;
	bool there = !fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW);
	bool is_dir = there && S_ISDIR(st.st_mode);

	switch (e->kind) {
	case ENTRY_PARENT:
		if (there)
			return;
		break;
	case ENTRY_PARENT_ATTR:
		if (there) {
			change_attr(dir, name, e);
			touch_dir(dir, above, INT64_MIN);
			return;
		}
		break;
	case ENTRY_ATTR:
		if (there) {
			change_attr(dir, name, e);
			if (strcmp(name, "."))
				touch_dir(dir, above, INT64_MIN);
		}
		return;
	case ENTRY_WHITEOUT:
		remove_at(dir, name);
		touch_dir(dir, above, e->changed_ns);
		return;
	case ENTRY_DIR:
		if (is_dir) {
			change_attr(dir, name, e);
			return;
		}
		break;
	case ENTRY_OPAQUE:
		if (is_dir) {
			int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

			must(fd >= 0);
			empty_dir(fd);
			dress(dir, name, e);
			touch_dir(fd, &st, e->changed_ns);
			close(fd);
			return;
		}
		break;
	}
	if (put_new(dir, name, e, c))
		touch_dir(dir, above, e->changed_ns);
	else
		touch_dir(dir, above, INT64_MIN);
}

void model_apply(int root, const struct entry *e, const struct model_context *c)
{
	char name[256];
	struct stat st;
	int way;
	int dir;

	if ((e->flags & ENTRY_NEXT_BOOT) && e->change > c->pin)
		return;
	way = open_way(root, e->path, name);
	if (way < 0)
		return;
	dir = openat(way, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	close(way);
	must(dir >= 0 && !fstat(dir, &st));
	if (entry_in_force(e, c->pin))
		apply_in_force(dir, name, e, c, &st);
	else
		touch_dir(dir, &st, e->retired_ns);
	close(dir);
}

/* ---- listing ---- */

static void list_below(int dir, const char *prefix, char ***paths, size_t *n)
{
	cleanup(closedirp) DIR *stream = fdopendir(dir);
	struct dirent *d;

	must(stream);
	while ((d = readdir(stream))) {
		char *path;
		int sub;

		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
			continue;
		must(asprintf(&path, "%s%s%s", prefix, prefix[0] ? "/" : "", d->d_name) > 0);
		*paths = realloc(*paths, (*n + 1) * sizeof(**paths));
		(*paths)[(*n)++] = path;
		sub = openat(dir, d->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub >= 0)
			list_below(sub, path, paths, n);
	}
}

static int path_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char **model_paths(const char *dir, size_t *n)
{
	char **paths = NULL;
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	must(fd >= 0);
	*n = 0;
	list_below(fd, "", &paths, n);
	/* readdir's order is the file system's whim, a seed must not hang on it. */
	if (*n)
		qsort(paths, *n, sizeof(*paths), path_cmp);
	return paths;
}

void model_paths_free(char **paths, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(paths[i]);
	free(paths);
}

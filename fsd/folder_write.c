/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration into a folder: what every file is to be is told twice, first to learn
 * their names and clear away what is not among them, then to write them.  A file comes
 * under its name whole, by a rename. */
#include "fsd/folder_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/array.h"
#include "fsd/folder_text.h"
#include "fsd/objects.h"

#define MARK "rootstock-export"
#define DRAFT ".rootstock-export.tmp"

static const char *const tops[] = {"all", "groups", "hosts"};

struct writing {
	const struct folder *f;
	const char *name; /* of the folder */
	int dir;
	struct objects *objects;
	struct objects *secrets;
	struct why *why;
	bool write; /* the second time */
	struct arena arena;
	const char **files; /* all that are to be */
	unsigned int nfiles;
	char path[PATH_MAX + 256]; /* while what is not among them is cleared away */
};

static int file_fail(struct writing *w, const char *path, int r)
{
	return why_set(w->why, r, "%s/%s: %s", w->name, path, strerror(-r));
}

static int file_note(struct writing *w, const char *path)
{
	char *copy = arena_copy(&w->arena, path, strlen(path));

	if (!copy || array_grow(&w->files, w->nfiles, sizeof(*w->files)))
		return -ENOMEM;
	w->files[w->nfiles++] = copy;
	return 0;
}

/* The directories above a file.  What was there and is no directory has been cleared
 * away. */
static int way_make(struct writing *w, const char *path)
{
	char above[PATH_MAX];

	snprintf(above, sizeof(above), "%s", path);
	for (char *slash = strchr(above, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdirat(w->dir, above, 0777) && errno != EEXIST)
			return file_fail(w, above, -errno);
		*slash = '/';
	}
	return 0;
}

/* The draft gets its name, unless there is one alike already. */
static int draft_place(struct writing *w, int fd, const char *path, mode_t mode)
{
	/* At once: it may be a FIFO. */
	cleanup(closep) int old =
		openat(w->dir, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	struct hash was;
	struct hash is;
	struct stat st;
	uint64_t size;
	int r = 0;

	if (old >= 0 && !fstat(old, &st) && S_ISREG(st.st_mode) &&
	    (st.st_mode & 0077 & ~mode) == 0 && !object_hash(old, NULL, &was, &size)) {
		r = object_hash(fd, NULL, &is, &size);
		if (!r && !memcmp(&was, &is, sizeof(is)))
			return unlinkat(w->dir, DRAFT, 0) ? -errno : 0;
	}
	if (!r)
		r = way_make(w, path);
	if (!r && renameat(w->dir, DRAFT, w->dir, path))
		r = -errno;
	return r;
}

static int draft_open(struct writing *w, mode_t mode)
{
	int fd;

	if (unlinkat(w->dir, DRAFT, 0) && errno != ENOENT)
		return -errno;
	fd = openat(w->dir, DRAFT, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	return fd < 0 ? -errno : fd;
}

static int write_all(int fd, const void *data, size_t len)
{
	const uint8_t *at = data;

	while (len) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_text(struct writing *w, const char *path, const void *data, size_t len)
{
	cleanup(closep) int fd = -1;
	int r;

	if (!w->write)
		return file_note(w, path);
	fd = draft_open(w, 0666);
	r = fd < 0 ? fd : write_all(fd, data, len);
	if (!r)
		r = draft_place(w, fd, path, 0666);
	return r ? file_fail(w, path, r) : 0;
}

static int body_copy(struct writing *w, const struct folder_entry *e, int to)
{
	struct objects *store = e->flags & ENTRY_SECRET ? w->secrets : w->objects;
	cleanup(closep) int from = objects_get(store, &e->hash, (int64_t)e->size);
	struct hash hash;
	uint64_t size;
	int r;

	if (from < 0)
		return from;
	r = object_copy(from, to, &hash, &size);
	return r ? r : memcmp(&hash, &e->hash, sizeof(hash)) ? -EBADMSG : 0;
}

static int write_body(struct writing *w, const struct folder_scope *s, const struct folder_entry *e,
		      const char *path)
{
	/* Who may read the folder is not yet who may know what makes a host itself. */
	bool closed = w->f->secrets && (s->kind == SCOPE_HOST || (e->flags & ENTRY_SECRET));
	mode_t mode = closed ? 0600 : 0666;
	cleanup(closep) int fd = -1;
	int r;

	if (!w->write)
		return file_note(w, path);
	fd = draft_open(w, mode);
	if (fd < 0)
		return file_fail(w, path, fd);
	r = e->kind == ENTRY_TEMPLATE ? write_all(fd, e->body.at, e->body.len)
				      : body_copy(w, e, fd);
	if (r == -ENOENT || r == -EBADMSG)
		return why_set(w->why, r,
			       "/%s: its body is %s: rootstock image check --bytes tells more",
			       e->path, r == -ENOENT ? "not in the store" : "damaged");
	if (!r)
		r = draft_place(w, fd, path, mode);
	return r ? file_fail(w, path, r) : 0;
}

/* ---- what there is to write ---- */

static int print_pairs(struct writing *w, const char *path, const struct folder_pair *pairs,
		       unsigned int n)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int r;

	if (!out)
		return -errno;
	for (unsigned int i = 0; i < n; i++)
		folder_pair_print(out, &pairs[i]);
	r = fclose(out) ? -ENOMEM : write_text(w, path, text, len);
	free(text);
	return r;
}

static int print_overlay(struct writing *w, const char *path, const struct folder_scope *s)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int r;

	if (!out)
		return -errno;
	for (unsigned int i = 0; i < s->nentries; i++)
		folder_entry_print(out, &s->entries[i]);
	r = fclose(out) ? -ENOMEM : write_text(w, path, text, len);
	free(text);
	return r;
}

static int print_scope(struct writing *w, const struct folder_scope *s)
{
	char path[PATH_MAX + 128];
	char dir[128];
	int r = 0;

	folder_scope_dir(s, dir, sizeof(dir));
	snprintf(path, sizeof(path), "%s/%s", dir, folder_pairs_name(s->kind));
	/* That of a group or host says that it is there, if nothing else. */
	if (s->npairs || s->kind != SCOPE_ALL)
		r = print_pairs(w, path, s->pairs, s->npairs);
	snprintf(path, sizeof(path), "%s/overlay", dir);
	if (!r && s->nentries)
		r = print_overlay(w, path, s);
	for (unsigned int i = 0; !r && i < s->nentries; i++) {
		const struct folder_entry *e = &s->entries[i];

		if (!folder_has_body(e))
			continue;
		folder_body_path(s, e, path, sizeof(path));
		if (strlen(path) >= PATH_MAX)
			return why_set(w->why, -ENAMETOOLONG,
				       "/%.64s...: too long a path to export", e->path);
		r = write_body(w, s, e, path);
	}
	return r;
}

static int print_all(struct writing *w)
{
	const struct folder_pair mark[] = {
		{.key = "format", .value = "1"},
		{.key = "secrets", .value = w->f->secrets ? "yes" : "no"}};
	/* The mark first: a folder that was begun is known again. */
	int r = print_pairs(w, MARK, mark, ARRAY_SIZE(mark));

	if (!r)
		r = print_pairs(w, "images", w->f->images, w->f->nimages);
	for (unsigned int i = 0; !r && i < w->f->nscopes; i++)
		r = print_scope(w, &w->f->scopes[i]);
	return r;
}

/* ---- what is there no more ---- */

static int name_cmp(const void *a, const void *b)
{
	return folder_path_cmp(*(const char *const *)a, *(const char *const *)b);
}

/* Is `path` one of the files (`below`: is one of them below it)? */
static bool is_wanted(const struct writing *w, const char *path, bool below)
{
	size_t len = strlen(path);
	unsigned int lo = 0;
	unsigned int hi = w->nfiles;

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;

		if (folder_path_cmp(w->files[mid], path) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == w->nfiles)
		return false;
	return below ? !strncmp(w->files[lo], path, len) && w->files[lo][len] == '/'
		     : !strcmp(w->files[lo], path);
}

static int clear_dir(struct writing *w);

/* What w->path is. */
static int clear_one(struct writing *w)
{
	struct stat st;
	int r;

	if (fstatat(w->dir, w->path, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? 0 : file_fail(w, w->path, -errno);
	if (!S_ISDIR(st.st_mode)) {
		if (is_wanted(w, w->path, false))
			return 0;
		return unlinkat(w->dir, w->path, 0) ? file_fail(w, w->path, -errno) : 0;
	}
	r = clear_dir(w);
	if (r || is_wanted(w, w->path, true))
		return r;
	/* One with somebody's hidden files in it stays. */
	if (unlinkat(w->dir, w->path, AT_REMOVEDIR) && errno != ENOTEMPTY)
		return file_fail(w, w->path, -errno);
	return 0;
}

/* Is the directory "all/files", "groups/desk/files", or below it? */
static bool is_of_bodies(const char *path)
{
	const char *at = strchr(path, '/');

	if (at && strncmp(path, "all/", 4))
		at = strchr(at + 1, '/');
	return at && !strncmp(at, "/files", 6) && (!at[6] || at[6] == '/');
}

/* There every name may be one of ours; elsewhere hidden ones are somebody's. */
static bool is_ours(const char *path, const char *name)
{
	return name[0] != '.' || is_of_bodies(path);
}

static int clear_dir(struct writing *w)
{
	int fd = openat(w->dir, w->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	cleanup(closedirp) DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	size_t len = strlen(w->path);
	struct dirent *d;
	int r = 0;

	if (!stream) {
		r = -errno;
		closep(&fd);
		return file_fail(w, w->path, r);
	}
	while (!r && (d = readdir(stream))) {
		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, "..") ||
		    !is_ours(w->path, d->d_name))
			continue;
		if (len + strlen(d->d_name) + 2 > PATH_MAX)
			return file_fail(w, w->path, -ENAMETOOLONG);
		sprintf(w->path + len, "/%s", d->d_name);
		r = clear_one(w);
		w->path[len] = '\0';
	}
	return r;
}

static int clear(struct writing *w)
{
	int r = 0;

	qsort(w->files, w->nfiles, sizeof(*w->files), name_cmp);
	for (unsigned int i = 0; !r && i < ARRAY_SIZE(tops); i++) {
		snprintf(w->path, sizeof(w->path), "%s", tops[i]);
		r = clear_one(w);
	}
	return r;
}

/* Somebody's folder is not taken for one of ours: it must be empty, or begun by us. */
static int folder_admit(struct writing *w)
{
	int fd = openat(w->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup(closedirp) DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;
	struct stat st;

	if (!stream) {
		closep(&fd);
		return why_set(w->why, -errno, "%s: %m", w->name);
	}
	if (!fstatat(w->dir, MARK, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode))
		return 0;
	while ((d = readdir(stream)))
		if (d->d_name[0] != '.') /* .git is fine */
			return why_set(w->why, -ENOTEMPTY,
				       "%s: there is %s in it, and no earlier export", w->name,
				       d->d_name);
	return 0;
}

int folder_write(const struct folder *f, const char *dir, struct objects *objects,
		 struct objects *secrets, struct why *why)
{
	struct writing w = {
		.f = f, .name = dir, .dir = -1, .objects = objects, .secrets = secrets, .why = why};
	int r = 0;

	if (mkdir(dir, 0777) && errno != EEXIST)
		return why_set(why, -errno, "%s: %m", dir);
	w.dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (w.dir < 0)
		return why_set(why, -errno, "%s: %m", dir);
	r = folder_admit(&w);
	if (!r)
		r = print_all(&w);
	if (!r)
		r = clear(&w);
	w.write = true;
	if (!r)
		r = print_all(&w);
	if (r)
		unlinkat(w.dir, DRAFT, 0);
	close(w.dir);
	free(w.files);
	arena_fini(&w.arena);
	return r ? why_set(why, r, "%s: %s", dir, strerror(-r)) : 0;
}

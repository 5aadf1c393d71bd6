/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A folder of text, as anybody may have left it.  Every name is opened beneath the folder
 * and through no link; every file in it must be one that we know, so that a line for a body,
 * or the body for a line, is not forgotten without a word. */
#include "fsd/folder_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"
#include "fsd/folder_text.h"
#include "fsd/image.h"
#include "fsd/objects.h"
#include "fsd/template.h"

struct reading {
	struct folder *f;
	const char *name; /* of the folder */
	int dir;
	size_t templates; /* bytes so far */
	struct why *why;
	char path[PATH_MAX + 256]; /* while bodies are looked for */
};

static int open_beneath(int dir, const char *path, uint64_t flags)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | flags,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

static const char *words(int r)
{
	return r == -ELOOP    ? "there is a symbolic link"
	       : r == -EINVAL ? "not a regular file"
			      : strerror(-r);
}

static int file_fail(struct reading *rd, const char *path, int r)
{
	return why_set(rd->why, r, "%s/%s: %s", rd->name, path, words(r));
}

/* A regular file of `max` bytes at most.  Returns its descriptor. */
static int file_open(int dir, const char *path, int64_t max, struct stat *st)
{
	cleanup(closep) int fd = open_beneath(dir, path, 0);

	if (fd < 0)
		return fd;
	if (fstat(fd, st))
		return -errno;
	if (!S_ISREG(st->st_mode))
		return S_ISDIR(st->st_mode) ? -EISDIR : -EINVAL;
	return st->st_size > max ? -EFBIG : take_fd(&fd);
}

/* All of it, in memory of the folder. */
static int file_slurp(struct reading *rd, int fd, size_t size, struct bytes *out)
{
	char *data = arena_take(&rd->f->arena, size + 1);
	size_t len = 0;

	if (!data)
		return -ENOMEM;
	while (len < size) {
		ssize_t n = pread(fd, data + len, size - len, (off_t)len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		len += (size_t)n;
	}
	*out = (struct bytes){(uint8_t *)data, len};
	return 0;
}

/* -ENOENT without words. */
static int text_open(struct reading *rd, const char *path, struct folder_lines *out)
{
	struct stat st;
	cleanup(closep) int fd = file_open(rd->dir, path, FOLDER_TEXT_MAX, &st);
	struct bytes text;
	int r = fd < 0 ? fd : file_slurp(rd, fd, (size_t)st.st_size, &text);

	if (r)
		return r == -ENOENT ? r : file_fail(rd, path, r);
	*out = (struct folder_lines){.at = text.at, .end = text.at + text.len};
	return 0;
}

static int line_fail(struct reading *rd, const char *path, unsigned int line, int r,
		     const struct why *one)
{
	return why_set(rd->why, r, "%s/%s:%u: %s", rd->name, path, line, why_text(one, r));
}

static int read_pairs(struct reading *rd, const char *path, struct folder_pair **pairs,
		      unsigned int *n)
{
	struct folder_lines lines;
	struct why one = {""};
	struct bytes line;
	int r = text_open(rd, path, &lines);

	if (r)
		return r;
	while ((r = folder_line(&lines, &line, &one)) == 1) {
		r = array_grow(pairs, *n, sizeof(**pairs));
		if (!r)
			r = folder_pair_parse(line, &rd->f->arena, &(*pairs)[*n], &one);
		if (r)
			break;
		(*pairs)[(*n)++].line = lines.line;
	}
	return r ? line_fail(rd, path, lines.line, r, &one) : 0;
}

static int read_entries(struct reading *rd, const char *path, struct folder_scope *s)
{
	struct folder_lines lines;
	struct why one = {""};
	struct bytes line;
	int r = text_open(rd, path, &lines);

	if (r)
		return r == -ENOENT ? 0 : r;
	while ((r = folder_line(&lines, &line, &one)) == 1) {
		struct folder_entry e = {0};

		r = folder_entry_parse(line, &rd->f->arena, &e, &one);
		if (!r && !rd->f->secrets &&
		    ((e.flags & ENTRY_SECRET) || folder_is_identity(s, e.path)))
			r = why_set(&one, -EINVAL,
				    "/%s: a secret, or what makes a host itself, and "
				    "the folder says that it has none",
				    e.path);
		if (!r)
			r = array_grow(&s->entries, s->nentries, sizeof(*s->entries));
		if (r)
			break;
		e.line = lines.line;
		s->entries[s->nentries++] = e;
	}
	return r ? line_fail(rd, path, lines.line, r, &one) : 0;
}

/* ---- bodies ---- */

int folder_body(const char *dir, const struct folder_scope *s, const struct folder_entry *e,
		struct why *why)
{
	cleanup(closep) int top = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char path[PATH_MAX + 128];
	struct stat st;
	int fd;

	folder_body_path(s, e, path, sizeof(path));
	fd = top < 0 ? -errno : file_open(top, path, FOLDER_BODY_MAX, &st);
	return fd < 0 ? why_set(why, fd, "%s/%s: %s", dir, path, strerror(-fd)) : fd;
}

static int read_body(struct reading *rd, const char *path, struct folder_entry *e)
{
	bool template = e->kind == ENTRY_TEMPLATE;
	struct stat st;
	cleanup(closep) int fd =
		file_open(rd->dir, path, template ? TEMPLATE_SIZE_MAX : FOLDER_BODY_MAX, &st);

	if (fd < 0)
		return fd;
	e->mtime_ns = st.st_mtim.tv_sec * NS_PER_SEC + st.st_mtim.tv_nsec;
	if (!template)
		return object_hash(fd, NULL, &e->hash, &e->size);
	rd->templates += (size_t)st.st_size;
	return rd->templates > FOLDER_TEMPLATES_MAX
		       ? -EFBIG
		       : file_slurp(rd, fd, (size_t)st.st_size, &e->body);
}

static int read_bodies(struct reading *rd, struct folder_scope *s)
{
	char path[PATH_MAX + 128];

	for (unsigned int i = 0; i < s->nentries; i++) {
		struct folder_entry *e = &s->entries[i];
		struct why one = {""};
		int r;

		if (!folder_has_body(e))
			continue;
		folder_body_path(s, e, path, sizeof(path));
		r = strlen(path) < PATH_MAX ? read_body(rd, path, e) : -ENAMETOOLONG;
		if (!r)
			continue;
		why_set(&one, r, "its body, %s: %s", path, words(r));
		return folder_line_fail(rd->name, s, false, e->line, r, &one, rd->why);
	}
	return 0;
}

/* Is the file at rd->path the body of a line? */
static int body_claimed(struct reading *rd, const struct folder_scope *s, size_t prefix)
{
	const struct folder_entry *e = folder_entry_find(s, rd->path + prefix);
	char path[PATH_MAX + 128] = "";

	if (e && folder_has_body(e))
		folder_body_path(s, e, path, sizeof(path));
	if (strcmp(path, rd->path) != 0)
		return why_set(rd->why, -EINVAL, "%s/%s: no line of its overlay has this body",
			       rd->name, rd->path);
	return 0;
}

/* Below rd->path, whose first `prefix` bytes are the folder of bodies. */
static int bodies_claimed(struct reading *rd, const struct folder_scope *s, size_t prefix)
{
	int fd = open_beneath(rd->dir, rd->path, O_DIRECTORY);
	cleanup(closedirp) DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	size_t len = strlen(rd->path);
	struct dirent *d;
	int r = 0;

	if (!stream) {
		r = fd < 0 ? fd : -errno;
		closep(&fd);
		return file_fail(rd, rd->path, r);
	}
	while (!r && (d = readdir(stream))) {
		struct stat st;

		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
			continue;
		if (len + strlen(d->d_name) + 2 > PATH_MAX)
			return file_fail(rd, rd->path, -ENAMETOOLONG);
		sprintf(rd->path + len, "/%s", d->d_name);
		if (fstatat(fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW))
			r = file_fail(rd, rd->path, -errno);
		else if (S_ISDIR(st.st_mode))
			r = bodies_claimed(rd, s, prefix);
		else
			r = body_claimed(rd, s, prefix);
		rd->path[len] = '\0';
	}
	return r;
}

static bool is_bodies(const char *name)
{
	return !strcmp(name, "files") || (!strncmp(name, "files.", 6) && name[6] &&
					  !name[6 + strspn(name + 6, "0123456789")]);
}

/* ---- scopes ---- */

/* Every name in a scope's folder is one that was read, but for hidden ones. */
static int scope_names(struct reading *rd, const struct folder_scope *s, const char *path)
{
	int fd = open_beneath(rd->dir, path, O_DIRECTORY);
	cleanup(closedirp) DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;
	int r = 0;

	if (!stream) {
		r = fd < 0 ? fd : -errno;
		closep(&fd);
		return file_fail(rd, path, r);
	}
	while (!r && (d = readdir(stream))) {
		if (d->d_name[0] == '.' || !strcmp(d->d_name, folder_pairs_name(s->kind)) ||
		    !strcmp(d->d_name, "overlay"))
			continue;
		if (!is_bodies(d->d_name))
			return why_set(rd->why, -EINVAL, "%s/%s/%s: no file of an export", rd->name,
				       path, d->d_name);
		snprintf(rd->path, sizeof(rd->path), "%s/%s", path, d->d_name);
		r = bodies_claimed(rd, s, strlen(rd->path) + 1);
	}
	return r;
}

static int read_scope(struct reading *rd, enum scope_kind kind, const char *name)
{
	struct folder_scope *s;
	char path[256];
	char dir[128];
	int r;

	if (array_grow(&rd->f->scopes, rd->f->nscopes, sizeof(*rd->f->scopes)))
		return -ENOMEM;
	s = &rd->f->scopes[rd->f->nscopes++];
	*s = (struct folder_scope){.kind = kind};
	s->name = arena_copy(&rd->f->arena, name, strlen(name));
	if (!s->name)
		return -ENOMEM;
	folder_scope_dir(s, dir, sizeof(dir));
	snprintf(path, sizeof(path), "%s/%s", dir, folder_pairs_name(kind));
	r = read_pairs(rd, path, &s->pairs, &s->npairs);
	if (r == -ENOENT) /* all has no need of one */
		r = kind == SCOPE_ALL ? 0 : file_fail(rd, path, r);
	snprintf(path, sizeof(path), "%s/overlay", dir);
	if (!r)
		r = read_entries(rd, path, s);
	if (r)
		return r;
	folder_scope_sort(s);
	r = read_bodies(rd, s);
	if (!r && (kind != SCOPE_ALL || faccessat(rd->dir, dir, F_OK, AT_SYMLINK_NOFOLLOW) == 0))
		r = scope_names(rd, s, dir);
	return r;
}

static int name_cmp(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The folders in groups/ or hosts/, by name. */
static int read_scopes(struct reading *rd, enum scope_kind kind)
{
	const char *top = kind == SCOPE_GROUP ? "groups" : "hosts";
	const char *what = kind == SCOPE_GROUP ? "group" : "host";
	int fd = open_beneath(rd->dir, top, O_DIRECTORY);
	cleanup(closedirp) DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	cleanup(freep) char **names = NULL;
	unsigned int n = 0;
	struct dirent *d;
	int r = 0;

	if (!stream) {
		r = fd < 0 ? fd : -errno;
		closep(&fd);
		return r == -ENOENT ? 0 : file_fail(rd, top, r);
	}
	while ((d = readdir(stream))) {
		struct why one = {""};

		if (d->d_name[0] == '.')
			continue;
		r = name_check(what, d->d_name, kind == SCOPE_HOST, &one);
		if (r)
			return why_set(rd->why, r, "%s/%s/%s", rd->name, top, one.text);
		if (array_grow(&names, n, sizeof(*names)))
			return -ENOMEM;
		names[n] = arena_copy(&rd->f->arena, d->d_name, strlen(d->d_name));
		if (!names[n++])
			return -ENOMEM;
	}
	if (n)
		qsort(names, n, sizeof(*names), name_cmp);
	for (unsigned int i = 0; !r && i < n; i++)
		r = read_scope(rd, kind, names[i]);
	return r;
}

static int read_mark(struct reading *rd)
{
	static const char mark[] = "rootstock-export";
	cleanup(freep) struct folder_pair *pairs = NULL;
	unsigned int n = 0;
	bool format = false;
	int r = read_pairs(rd, mark, &pairs, &n);

	if (r == -ENOENT)
		return why_set(rd->why, r, "%s: no export: there is no %s in it", rd->name, mark);
	for (unsigned int i = 0; !r && i < n; i++) {
		const struct folder_pair *p = &pairs[i];

		if (!strcmp(p->key, "format") && !strcmp(p->value, "1"))
			format = true;
		else if (!strcmp(p->key, "secrets") && !strcmp(p->value, "yes"))
			rd->f->secrets = true;
		else if (strcmp(p->key, "secrets") != 0 || strcmp(p->value, "no") != 0)
			return why_set(rd->why, -EPROTONOSUPPORT,
				       "%s/%s:%u: %s=%s: not known to this rootstock", rd->name,
				       mark, p->line, p->key, p->value);
	}
	if (!r && !format)
		r = why_set(rd->why, -EINVAL, "%s/%s: no format=1", rd->name, mark);
	return r;
}

static int image_cmp(const void *a, const void *b)
{
	const struct folder_pair *x = a;
	const struct folder_pair *y = b;
	int c = strcmp(x->key, y->key);

	return c ? c : (x->line > y->line) - (x->line < y->line);
}

static int read_images(struct reading *rd)
{
	struct folder *f = rd->f;
	int r = read_pairs(rd, "images", &f->images, &f->nimages);

	if (r)
		return r == -ENOENT ? 0 : r;
	if (f->nimages)
		qsort(f->images, f->nimages, sizeof(*f->images), image_cmp);
	return 0;
}

int folder_read(const char *dir, struct folder **out, struct why *why)
{
	cleanup(folder_freep) struct folder *f = calloc(1, sizeof(*f));
	cleanup(freep) struct reading *rd = calloc(1, sizeof(*rd));
	cleanup(closep) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return why_set(why, -errno, "%s: %m", dir);
	if (!f || !rd)
		return -ENOMEM;
	*rd = (struct reading){.f = f, .name = dir, .dir = fd, .why = why};
	r = read_mark(rd);
	if (!r)
		r = read_images(rd);
	if (!r)
		r = read_scope(rd, SCOPE_ALL, "");
	if (!r)
		r = read_scopes(rd, SCOPE_GROUP);
	if (!r)
		r = read_scopes(rd, SCOPE_HOST);
	if (!r)
		r = folder_check(f, dir, why);
	if (r)
		return r;
	*out = take(&f);
	return 0;
}

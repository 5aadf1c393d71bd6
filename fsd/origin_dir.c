/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Breadth first with one queue: a deep tree costs neither stack nor descriptors.
 */
#include "fsd/origin.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#define NONE UINT32_MAX

static int open_beneath(int dir, const char *path, uint64_t flags)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV |
			   RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

int origin_dir_open(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int origin_open(const struct origin_door *door, uint32_t version, const char *path)
{
	return door ? door->open(door->ctx, version) : origin_dir_open(path);
}

bool origin_dir_is(int origin, const struct manifest *m)
{
	const struct manifest_node *root = manifest_at(m, 0);
	struct stat st;

	if (!root || fstat(origin, &st) || !st.st_nlink)
		return false;
	for (uint32_t i = 0; i < root->extra; i++) {
		const struct manifest_node *n = manifest_at(m, root->data + i);
		char name[256];
		struct bytes b;

		if (!n)
			return false;
		b = manifest_name(m, n);
		if (!b.len || b.len >= sizeof(name))
			return false;
		memcpy(name, b.at, b.len);
		name[b.len] = '\0';
		if (!fstatat(origin, name, &st, AT_SYMLINK_NOFOLLOW))
			return true;
	}
	return !root->extra;
}

int origin_dir_file(int origin, const char *path)
{
	struct stat st;
	int fd = open_beneath(origin, path, O_RDONLY);

	if (fd == -ESTALE) /* a network's word for a server that forgot: another try */
		return -EIO;
	if (fd == -ELOOP || fd == -ENXIO || fd == -ENOTDIR || fd == -EXDEV)
		return -ESTALE;
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return -ESTALE;
	}
	return fd;
}

struct scan_dir {
	uint32_t index; /* in the builder */
	char *path;	/* "" is the origin itself */
};

struct scan_link {
	dev_t dev; /* some file systems show several in one mount */
	ino_t ino;
	uint32_t index;
};

struct scan {
	struct manifest_builder *builder;
	const char *origin;
	int root;
	dev_t dev;
	struct stat except;
	struct scan_dir *queue;
	size_t queue_len;
	size_t queue_at;
	size_t queue_size;
	struct scan_link *links; /* open addressing by inode; index NONE is free */
	size_t nlinks;
	size_t links_size; /* a power of two */
	uint8_t *xattrs;
	size_t xattrs_size;
	struct why *why;
};

static int scan_fail(struct scan *s, const char *path, const char *name, int err)
{
	return why_set(s->why, err, "%s%s%s%s%s: %s", s->origin, path[0] ? "/" : "", path,
		       name[0] ? "/" : "", name, strerror(-err));
}

/* The slot of an inode that has several names. */
static struct scan_link *scan_link(struct scan *s, const struct stat *st)
{
	size_t i;

	if (s->nlinks * 2 >= s->links_size) {
		size_t size = s->links_size ? s->links_size * 2 : 256;
		struct scan_link *bigger = malloc(size * sizeof(*bigger));

		if (!bigger)
			return NULL;
		for (i = 0; i < size; i++)
			bigger[i].index = NONE;
		for (size_t old = 0; old < s->links_size; old++) {
			if (s->links[old].index == NONE)
				continue;
			i = s->links[old].ino * 2654435761u & (size - 1);
			while (bigger[i].index != NONE)
				i = (i + 1) & (size - 1);
			bigger[i] = s->links[old];
		}
		free(s->links);
		s->links = bigger;
		s->links_size = size;
	}
	i = st->st_ino * 2654435761u & (s->links_size - 1);
	while (s->links[i].index != NONE &&
	       (s->links[i].ino != st->st_ino || s->links[i].dev != st->st_dev))
		i = (i + 1) & (s->links_size - 1);
	return &s->links[i];
}

static int scan_push(struct scan *s, const char *path, const char *name, uint32_t index)
{
	char *full;

	if (s->queue_len == s->queue_size) {
		size_t size = s->queue_size ? s->queue_size * 2 : 256;
		struct scan_dir *bigger = realloc(s->queue, size * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		s->queue = bigger;
		s->queue_size = size;
	}
	if (asprintf(&full, "%s%s%s", path, path[0] ? "/" : "", name) < 0)
		return -ENOMEM;
	if (strlen(full) >= PATH_MAX) {
		free(full);
		return -ENAMETOOLONG;
	}
	s->queue[s->queue_len++] = (struct scan_dir){index, full};
	return 0;
}

/* Extended attributes as the manifest keeps them.  A file system without them has
 * none; a name that vanished in between is a drift for later. */
static int scan_xattrs(struct scan *s, int dir, const char *name, struct bytes *out)
{
	char path[64 + NAME_MAX];
	char names[4096];
	struct writer w;
	ssize_t len;

	*out = (struct bytes){0};
	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir, name);
	len = llistxattr(path, names, sizeof(names));
	if (len <= 0)
		return len < 0 && errno == ERANGE ? -E2BIG : 0;
	if (!s->xattrs) {
		s->xattrs_size = 1 << 20;
		s->xattrs = malloc(s->xattrs_size);
		if (!s->xattrs)
			return -ENOMEM;
	}
	w = writer_of(s->xattrs, s->xattrs_size);
	for (char *at = names; at < names + len; at += strlen(at) + 1) {
		uint8_t value[65536];
		ssize_t n = lgetxattr(path, at, value, sizeof(value));

		if (n < 0)
			continue;
		writer_put(&w, at, strlen(at) + 1);
		writer_be32(&w, (uint32_t)n);
		writer_put(&w, value, (size_t)n);
	}
	if (w.full)
		return -E2BIG;
	*out = (struct bytes){s->xattrs, writer_len(&w)};
	return 0;
}

static void attr_of_stat(const struct stat *st, struct manifest_attr *attr)
{
	*attr = (struct manifest_attr){
		.mode = st->st_mode,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.size = (uint64_t)st->st_size,
		.mtime_sec = st->st_mtim.tv_sec,
		.mtime_nsec = (uint32_t)st->st_mtim.tv_nsec,
	};
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) {
		attr->rdev_major = major(st->st_rdev);
		attr->rdev_minor = minor(st->st_rdev);
	}
}

static int scan_name(struct scan *s, const struct scan_dir *dir, int fd, const char *name)
{
	struct manifest_attr attr;
	struct scan_link *link = NULL;
	char target[PATH_MAX];
	struct stat st;
	uint32_t index;
	ssize_t n;
	int r;

	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? 0
				       : -errno; /* removed under the scan: not of this version */
	if (!S_ISDIR(st.st_mode) && st.st_nlink > 1) {
		link = scan_link(s, &st);
		if (!link)
			return -ENOMEM;
		if (link->index != NONE)
			return manifest_builder_link(s->builder, dir->index, name, strlen(name),
						     link->index, &index);
	}
	attr_of_stat(&st, &attr);
	if (S_ISLNK(st.st_mode)) {
		n = readlinkat(fd, name, target, sizeof(target));
		if (n < 0)
			return errno == ENOENT ? 0 : -errno;
		attr.target = (struct bytes){(uint8_t *)target, (size_t)n};
	}
	r = scan_xattrs(s, fd, name, &attr.xattrs);
	if (!r)
		r = manifest_builder_add(s->builder, dir->index, name, strlen(name), &attr, &index);
	if (r)
		return r;
	if (link) {
		*link = (struct scan_link){st.st_dev, st.st_ino, index};
		s->nlinks++;
	}
	if (S_ISDIR(st.st_mode) && st.st_dev == s->dev &&
	    (st.st_ino != s->except.st_ino || st.st_dev != s->except.st_dev))
		return scan_push(s, dir->path, name, index);
	return 0;
}

static int scan_dir(struct scan *s, const struct scan_dir *dir)
{
	cleanup(closedirp) DIR *stream = NULL;
	struct dirent *d;
	int fd;
	int r;

	fd = dir->path[0] ? open_beneath(s->root, dir->path, O_RDONLY | O_DIRECTORY)
			  : fcntl(s->root, F_DUPFD_CLOEXEC, 0);
	if (fd == -ENOENT || fd == -EXDEV) /* removed since, or mounted over */
		return 0;
	if (fd < 0)
		return scan_fail(s, dir->path, "", fd);
	stream = fdopendir(fd);
	if (!stream) {
		close(fd);
		return -ENOMEM;
	}
	for (;;) {
		errno = 0;
		d = readdir(stream);
		if (!d)
			return errno ? scan_fail(s, dir->path, "", -errno) : 0;
		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
			continue;
		r = scan_name(s, dir, fd, d->d_name);
		if (r)
			return scan_fail(s, dir->path, d->d_name, r);
	}
}

static int scan_run(struct scan *s)
{
	struct manifest_attr attr;
	struct stat st;
	int r;

	if (fstat(s->root, &st))
		return -errno;
	s->dev = st.st_dev;
	attr_of_stat(&st, &attr);
	r = scan_xattrs(s, s->root, ".", &attr.xattrs);
	if (r)
		return scan_fail(s, "", "", r);
	manifest_builder_set(s->builder, 0, &attr);
	r = scan_push(s, "", "", 0);
	while (!r && s->queue_at < s->queue_len) {
		struct scan_dir dir = s->queue[s->queue_at];

		r = scan_dir(s, &dir);
		s->queue_at++;
	}
	return r;
}

int origin_dir_scan(const char *path, const char *except, struct manifest_builder *builder,
		    struct why *why)
{
	struct scan s = {.builder = builder, .origin = path, .why = why};
	int r;

	if (except && stat(except, &s.except))
		return why_set(why, -errno, "%s: %m", except);

	s.root = origin_dir_open(path);
	if (s.root < 0)
		return why_set(why, s.root, "%s: %s", path, strerror(-s.root));
	r = scan_run(&s);
	for (size_t i = 0; i < s.queue_len; i++)
		free(s.queue[i].path);
	free(s.queue);
	free(s.links);
	free(s.xattrs);
	close(s.root);
	return r;
}

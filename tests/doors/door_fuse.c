/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A node is a descriptor that was opened by name (O_PATH): it stays with its file as
 * a client's handle does, whatever the name leads to later.  A directory that was
 * listed once goes on being listed by the same open directory.
 */
#include "tests/doors/door.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { LISTING_MIN = 512 }; /* getdents64(2): one entry must have room */

struct fuse_node {
	int path;    /* O_PATH */
	int listing; /* -1: not opened yet */
};

struct fuse {
	struct door door;
	int dir;
};

static struct fuse_node node_of(const struct door_node *node)
{
	struct fuse_node n;

	memcpy(&n, node->octet, sizeof(n));
	return n;
}

static int opened(int fd, bool is_dir, struct door_node *out)
{
	struct fuse_node n = {.path = fd, .listing = -1};

	if (fd < 0)
		return errno;
	if (is_dir)
		n.listing = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (is_dir && n.listing < 0) {
		close(fd);
		return errno;
	}
	*out = (struct door_node){.len = sizeof(n)};
	memcpy(out->octet, &n, sizeof(n));
	return 0;
}

static int fuse_root(struct door *door, const char *tree, struct door_node *out)
{
	struct fuse *f = (struct fuse *)door;

	return opened(openat(f->dir, tree, O_PATH | O_CLOEXEC), true, out);
}

static int fuse_lookup(struct door *door, const struct door_node *dir, const char *name,
		       struct door_node *out)
{
	int fd = openat(node_of(dir).path, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st = {0};

	(void)door;
	if (fd >= 0 && fstat(fd, &st)) {
		int err = errno;

		close(fd);
		return err;
	}
	return opened(fd, S_ISDIR(st.st_mode), out);
}

static int fuse_attr(struct door *door, const struct door_node *node, struct door_attr *out)
{
	struct stat st;

	(void)door;
	if (fstat(node_of(node).path, &st))
		return errno;
	*out = (struct door_attr){
		.fileid = st.st_ino,
		.mode = st.st_mode,
		.nlink = (uint32_t)st.st_nlink,
		.uid = st.st_uid,
		.gid = st.st_gid,
		.rdev_major = major(st.st_rdev),
		.rdev_minor = minor(st.st_rdev),
		.size = (uint64_t)st.st_size,
		.mtime_sec = st.st_mtim.tv_sec,
		.mtime_nsec = (uint32_t)st.st_mtim.tv_nsec,
		.ctime_sec = st.st_ctim.tv_sec,
	};
	return 0;
}

static int fuse_list(struct door *door, const struct door_node *dir, uint64_t cookie, size_t room,
		     bool plus, struct door_names *names)
{
	cleanup(freep) char *buf = malloc(room + LISTING_MIN);
	int fd = node_of(dir).listing;
	struct dirent64 *d;
	long n;

	(void)door;
	(void)plus; /* the kernel's choice */
	if (!buf)
		return ENOMEM;
	if (fd < 0)
		return ENOTDIR;
	if (lseek(fd, (off_t)cookie, SEEK_SET) < 0)
		return errno;
	n = syscall(SYS_getdents64, fd, buf, room + LISTING_MIN);
	if (n < 0)
		return errno;
	for (char *at = buf; at < buf + n; at += d->d_reclen) {
		struct door_name *name = door_names_add(names);

		d = (struct dirent64 *)(void *)at;
		name->len = strlen(d->d_name);
		memcpy(name->name, d->d_name, name->len);
		name->cookie = (uint64_t)d->d_off;
		name->fileid = d->d_ino;
		name->type = d->d_type;
	}
	return 0;
}

static int fuse_readlink(struct door *door, const struct door_node *node, char *out, size_t *len)
{
	ssize_t n = readlinkat(node_of(node).path, "", out, *len);

	(void)door;
	if (n < 0) /* readlinkat(2) says ENOENT of a descriptor that is no link's */
		return errno == ENOENT ? EINVAL : errno;
	*len = (size_t)n;
	return 0;
}

static int fuse_read(struct door *door, const struct door_node *node, uint64_t offset, void *out,
		     size_t *len)
{
	cleanup(closep) int fd = -1;
	char path[32];
	size_t got = 0;
	ssize_t n;

	(void)door;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", node_of(node).path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	do {
		n = pread(fd, (char *)out + got, *len - got, (off_t)(offset + got));
		if (n < 0)
			return errno;
		got += (size_t)n;
	} while (n && got < *len);
	*len = got;
	return 0;
}

static void fuse_drop(struct door *door, const struct door_node *node)
{
	struct fuse_node n = node_of(node);

	(void)door;
	closep(&n.path);
	closep(&n.listing);
}

static void fuse_free(struct door *door)
{
	close(((struct fuse *)door)->dir);
	free(door);
}

struct door *door_fuse_new(const char *dir)
{
	struct fuse *f = malloc(sizeof(*f));

	if (!f)
		abort();
	*f = (struct fuse){
		.door = {.word = "fuse",
			 .root = fuse_root,
			 .lookup = fuse_lookup,
			 .attr = fuse_attr,
			 .list = fuse_list,
			 .readlink = fuse_readlink,
			 .read = fuse_read,
			 .drop = fuse_drop,
			 .free = fuse_free},
		.dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC),
	};
	if (f->dir < 0)
		abort();
	return &f->door;
}

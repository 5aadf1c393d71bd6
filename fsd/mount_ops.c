/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/mount_fuse.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

static void op_init(void *data, struct fuse_conn_info *conn)
{
	struct mount *m = data;
	static const unsigned int wanted[] = {
		FUSE_CAP_EXPORT_SUPPORT,  FUSE_CAP_NO_OPEN_SUPPORT, FUSE_CAP_NO_OPENDIR_SUPPORT,
		FUSE_CAP_CACHE_SYMLINKS,  FUSE_CAP_SPLICE_WRITE,    FUSE_CAP_SPLICE_MOVE,
		FUSE_CAP_READDIRPLUS,	  FUSE_CAP_PARALLEL_DIROPS, FUSE_CAP_ASYNC_READ,
		FUSE_CAP_AUTO_INVAL_DATA,
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(wanted); i++)
		if (conn->capable & wanted[i])
			conn->want |= wanted[i];
	/* Plus for all of a directory, not for its first part alone: the rest would be
	 * looked up name by name. */
	conn->want &= ~(unsigned int)FUSE_CAP_READDIRPLUS_AUTO;
	if (m->opens)
		mount_opens_init(m->opens, conn);
	conn->max_background = 64;
	conn->congestion_threshold = 48;
	atomic_store(&m->greeted, true);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mount *m = fuse_req_userdata(req);
	struct fuse_entry_param e = {.entry_timeout = MOUNT_REMEMBER_SECS};
	struct forest_attr a;
	uint64_t number;
	int r;

	forest_enter(m->forest);
	r = forest_lookup(m->forest, parent, name, strlen(name), &number);
	if (!r) {
		r = forest_attr(m->forest, number, &a);
		if (!r)
			mount_entry_fill(&a, &e);
		else
			mount_reply_code(req, r);
	} else if (r == VIEW_NOENT) {
		r = 0; /* an entry without a number: the absence is remembered */
	} else {
		mount_reply_code(req, r);
	}
	if (!r)
		fuse_reply_entry(req, &e);
	forest_leave(m->forest);
}

/* With a file handle it comes before a read, and must be the truth about its bytes. */
static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);
	struct forest_attr a = {.settled = true};

	if (fi) {
		forest_enter(m->forest);
		if (forest_attr(m->forest, ino, &a))
			a.settled = true; /* reply_attr() tells */
		forest_leave(m->forest);
	}
	if (a.settled)
		mount_reply_attr(m->forest, req, ino);
	else
		mount_bytes_ask(m->bytes, req, ino, MOUNT_ASK_ATTR, 0, 0);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct mount *m = fuse_req_userdata(req);
	char path[PATH_MAX];
	struct bytes target;
	int r;

	forest_enter(m->forest);
	r = forest_readlink(m->forest, ino, &target);
	if (!r && target.len >= sizeof(path))
		r = -ENAMETOOLONG;
	if (!r) {
		memcpy(path, target.at, target.len);
		path[target.len] = '\0';
	}
	forest_leave(m->forest);
	if (r)
		mount_reply_code(req, r);
	else
		fuse_reply_readlink(req, path);
}

/* Answering that there is no such call spares it, for good. */
static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);

	(void)fi;
	if (m->opens)
		mount_bytes_ask(m->bytes, req, ino, MOUNT_ASK_OPEN, 0, 0);
	else
		fuse_reply_err(req, ENOSYS);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);

	(void)fi;
	mount_opens_release(m->opens, req, ino);
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, ENOSYS);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	struct mount *m = fuse_req_userdata(req);

	(void)fi;
	mount_bytes_ask(m->bytes, req, ino, MOUNT_ASK_READ, size, offset);
}

/* One entry at `at`.  Returns what it takes, which may be more than `room`. */
static size_t dirent_add(struct mount *m, fuse_req_t req, const struct forest_dirent *entry,
			 bool plus, char *at, size_t room)
{
	struct fuse_entry_param e = {.attr = {.st_ino = entry->number, .st_mode = S_IFDIR}};
	char name[256];
	struct forest_attr a;

	memcpy(name, entry->name, entry->name_len);
	name[entry->name_len] = '\0';
	/* An entry without a number is a name alone: a view is not built for it, and
	 * one whose attributes are damaged is told when it is looked up. */
	if (!entry->view && !forest_attr(m->forest, entry->number, &a))
		mount_entry_fill(&a, &e);
	if (!plus)
		return fuse_add_direntry(req, at, room, name, &e.attr, (off_t)entry->cookie);
	return fuse_add_direntry_plus(req, at, room, name, &e, (off_t)entry->cookie);
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, bool plus)
{
	struct mount *m = fuse_req_userdata(req);
	cleanup(freep) char *buf = malloc(size);
	struct forest_dirent entry;
	uint64_t cookie = (uint64_t)offset;
	size_t used = 0;
	int r = 0;

	if (!buf) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	forest_enter(m->forest);
	while (!(r = forest_readdir(m->forest, ino, cookie, &entry))) {
		size_t n = dirent_add(m, req, &entry, plus, buf + used, size - used);

		if (n > size - used)
			break;
		used += n;
		cookie = entry.cookie;
	}
	if (r && r != VIEW_END && !used)
		mount_reply_code(req, r);
	else
		fuse_reply_buf(req, buf, used);
	forest_leave(m->forest);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		       struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, offset, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
			   struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, offset, true);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct mount *m = fuse_req_userdata(req);
	struct view_stats stats;
	struct statvfs st = {.f_bsize = 4096, .f_frsize = 4096, .f_namemax = 255};
	int r;

	forest_enter(m->forest);
	r = forest_stats(m->forest, ino, &stats);
	forest_leave(m->forest);
	if (r) {
		mount_reply_code(req, r);
		return;
	}
	st.f_blocks = (stats.bytes + 4095) / 4096;
	st.f_files = stats.files;
	fuse_reply_statfs(req, &st);
}

const struct fuse_lowlevel_ops mount_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.getattr = op_getattr,
	.readlink = op_readlink,
	.open = op_open,
	.read = op_read,
	.release = op_release,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.statfs = op_statfs,
};

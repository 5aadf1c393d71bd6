/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/mount_fuse.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

void mount_reply_code(fuse_req_t req, int r)
{
	static const int code[] = {
		[VIEW_NOENT] = ENOENT, [VIEW_NOTDIR] = ENOTDIR,
		[VIEW_STALE] = ESTALE, [VIEW_NAMETOOLONG] = ENAMETOOLONG,
		[VIEW_INVAL] = EINVAL, [VIEW_LOOP] = ELOOP,
	};

	fuse_reply_err(req, r < 0 ? -r : code[r]);
}

static void stat_fill(const struct forest_attr *a, struct stat *st)
{
	*st = (struct stat){
		.st_ino = a->number,
		.st_mode = a->attr.mode,
		.st_nlink = a->attr.nlink,
		.st_uid = a->attr.uid,
		.st_gid = a->attr.gid,
		.st_rdev = makedev(a->attr.rdev_major, a->attr.rdev_minor),
		.st_size = (off_t)a->attr.size,
		.st_blksize = 4096,
		.st_blocks = (blkcnt_t)((a->attr.size + 511) / 512),
		.st_atim = {a->attr.mtime.sec, a->attr.mtime.nsec},
		.st_mtim = {a->attr.mtime.sec, a->attr.mtime.nsec},
		.st_ctim = {a->attr.ctime.sec, a->attr.ctime.nsec},
	};
}

static double attr_secs(const struct forest_attr *a)
{
	return a->settled ? MOUNT_REMEMBER_SECS : 0;
}

void mount_entry_fill(const struct forest_attr *a, struct fuse_entry_param *e)
{
	*e = (struct fuse_entry_param){
		.ino = a->number,
		.attr_timeout = attr_secs(a),
		.entry_timeout = MOUNT_REMEMBER_SECS,
	};
	stat_fill(a, &e->attr);
}

void mount_reply_attr(struct forest *forest, fuse_req_t req, uint64_t number)
{
	struct forest_attr a;
	struct stat st;
	int r;

	forest_enter(forest);
	r = forest_attr(forest, number, &a);
	if (r) {
		mount_reply_code(req, r);
	} else {
		stat_fill(&a, &st);
		fuse_reply_attr(req, &st, attr_secs(&a));
	}
	forest_leave(forest);
}

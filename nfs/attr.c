/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nfs/attr.h"

#include <errno.h>
#include <sys/stat.h>

enum nfsstat3 attr_status(int r)
{
	switch (r) {
	case 0:
		return NFS3_OK;
	case VIEW_NOENT:
	case -ENOENT:
		return NFS3ERR_NOENT;
	case VIEW_NOTDIR:
	case -ENOTDIR:
		return NFS3ERR_NOTDIR;
	case VIEW_STALE:
	case -ESTALE:
		return NFS3ERR_STALE;
	case VIEW_NAMETOOLONG:
	case -ENAMETOOLONG:
		return NFS3ERR_NAMETOOLONG;
	case VIEW_INVAL:
	case -EINVAL:
		return NFS3ERR_INVAL;
	case -EISDIR:
		return NFS3ERR_ISDIR;
	case -EACCES:
		return NFS3ERR_ACCES;
	case -ENOMEM:
	case -EMFILE:
	case -ENFILE:
		return NFS3ERR_SERVERFAULT;
	default:
		return NFS3ERR_IO;
	}
}

static enum ftype3 attr_type(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return NF3DIR;
	case S_IFBLK:
		return NF3BLK;
	case S_IFCHR:
		return NF3CHR;
	case S_IFLNK:
		return NF3LNK;
	case S_IFSOCK:
		return NF3SOCK;
	case S_IFIFO:
		return NF3FIFO;
	default:
		return NF3REG;
	}
}

/* Hot: one bounds check for the whole structure. */
static uint8_t *put32(uint8_t *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, 4);
	return p + 4;
}

static uint8_t *put64(uint8_t *p, uint64_t v)
{
	return put32(put32(p, (uint32_t)(v >> 32)), (uint32_t)v);
}

static uint8_t *put_time(uint8_t *p, struct view_time t)
{
	/* nfstime3 is 32 bits unsigned: what lies outside is the nearest end. */
	if (t.sec < 0)
		return put64(p, 0);
	if (t.sec > UINT32_MAX)
		return put32(put32(p, UINT32_MAX), 999999999);
	return put32(put32(p, (uint32_t)t.sec), t.nsec);
}

void attr_put(struct writer *w, const struct view *view, const struct view_attr *attr)
{
	uint8_t *p = writer_room(w, ATTR_SIZE);

	if (!p)
		return;
	p = put32(p, attr_type(attr->mode));
	p = put32(p, attr->mode & 07777);
	p = put32(p, attr->nlink);
	p = put32(p, attr->uid);
	p = put32(p, attr->gid);
	p = put64(p, attr->size);
	p = put64(p, (attr->size + 4095) & ~UINT64_C(4095));
	p = put32(p, attr->rdev_major);
	p = put32(p, attr->rdev_minor);
	p = put64(p, view_fsid(view));
	p = put64(p, attr->node);
	p = put_time(p, attr->mtime); /* atime: nobody's reading is recorded */
	p = put_time(p, attr->mtime);
	put_time(p, attr->ctime);
}

void attr_put_post_op(struct writer *w, const struct view *view, const struct view_attr *attr)
{
	writer_be32(w, attr != NULL);
	if (attr)
		attr_put(w, view, attr);
}

void attr_put_wcc(struct writer *w, const struct view *view, const struct view_attr *attr)
{
	writer_be32(w, 0);
	attr_put_post_op(w, view, attr);
}

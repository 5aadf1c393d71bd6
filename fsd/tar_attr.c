/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/tar_attr.h"

#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/types.h>

#include <archive.h>

enum { XATTRS_MAX = 1024, ACLS_MAX = 1024 };

void tar_xattrs_fini(struct tar_xattrs *x)
{
	free(x->data);
}

static int xattrs_room(struct tar_xattrs *x, size_t n)
{
	size_t size = x->size ? x->size : 4096;
	uint8_t *bigger;

	while (size - x->len < n)
		size *= 2;
	if (size == x->size)
		return 0;
	bigger = realloc(x->data, size);
	if (!bigger)
		return -ENOMEM;
	x->data = bigger;
	x->size = size;
	return 0;
}

static bool xattrs_have(const struct tar_xattrs *x, const char *name)
{
	struct cursor c = cursor_of(x->data, x->len);

	while (cursor_left(&c)) {
		const char *have = (const char *)c.at;

		cursor_skip(&c, strlen(have) + 1);
		cursor_skip(&c, cursor_be32(&c));
		if (!strcmp(have, name))
			return true;
	}
	return false;
}

/* Writers tell an attribute in two ways at once; the first one stands. */
static int xattrs_add(struct tar_xattrs *x, const char *name, const void *value, size_t len)
{
	size_t need = strlen(name) + 1 + 4 + len;
	struct writer w;
	int r;

	if (xattrs_have(x, name))
		return 0;
	r = xattrs_room(x, need);
	if (r)
		return r;
	w = writer_of(x->data + x->len, need);
	writer_put(&w, name, strlen(name) + 1);
	writer_be32(&w, (uint32_t)len);
	writer_put(&w, value, len);
	x->len += need;
	return 0;
}

/* ---- ACLs ---- */

static uint16_t acl_tag(int tag)
{
	switch (tag) {
	case ARCHIVE_ENTRY_ACL_USER_OBJ:
		return ACL_USER_OBJ;
	case ARCHIVE_ENTRY_ACL_USER:
		return ACL_USER;
	case ARCHIVE_ENTRY_ACL_GROUP_OBJ:
		return ACL_GROUP_OBJ;
	case ARCHIVE_ENTRY_ACL_GROUP:
		return ACL_GROUP;
	case ARCHIVE_ENTRY_ACL_MASK:
		return ACL_MASK;
	case ARCHIVE_ENTRY_ACL_OTHER:
		return ACL_OTHER;
	default:
		return 0;
	}
}

static int acl_compare(const void *pa, const void *pb)
{
	const struct posix_acl_xattr_entry *a = pa;
	const struct posix_acl_xattr_entry *b = pb;

	if (a->e_tag != b->e_tag)
		return le16toh(a->e_tag) < le16toh(b->e_tag) ? -1 : 1;
	return (le32toh(a->e_id) > le32toh(b->e_id)) - (le32toh(a->e_id) < le32toh(b->e_id));
}

/* One of the two ACLs as the kernel's attribute, which has its entries in order.
 * While the header is read, *mode gets its group bits back: beside an ACL they are
 * the mask, which libarchive has put the owning group's in place of. */
static int acl_add(struct archive_entry *e, int type, const char *name, struct tar_xattrs *x,
		   uint32_t *mode)
{
	struct {
		struct posix_acl_xattr_header head;
		struct posix_acl_xattr_entry entry[ACLS_MAX];
	} acl = {.head.a_version = htole32(POSIX_ACL_XATTR_VERSION)};
	bool numbers = true;
	const char *who;
	size_t n = 0;
	int perm;
	int of;
	int tag;
	int id;

	if (!(archive_entry_acl_types(e) & type))
		return 0;
	archive_entry_acl_reset(e, type);
	while (archive_entry_acl_next(e, type, &of, &perm, &tag, &id, &who) == ARCHIVE_OK) {
		bool named = tag == ARCHIVE_ENTRY_ACL_USER || tag == ARCHIVE_ENTRY_ACL_GROUP;

		if (n == ACLS_MAX)
			return -E2BIG;
		numbers &= !named || id >= 0;
		acl.entry[n++] = (struct posix_acl_xattr_entry){
			.e_tag = htole16(acl_tag(tag)),
			.e_perm = htole16((uint16_t)(perm & 7)),
			.e_id = htole32(named ? (uint32_t)id : (uint32_t)ACL_UNDEFINED_ID),
		};
		if (tag == ARCHIVE_ENTRY_ACL_MASK && type == ARCHIVE_ENTRY_ACL_TYPE_ACCESS)
			*mode = (*mode & ~(uint32_t)070) | (uint32_t)(perm & 7) << 3;
	}
	if (!numbers)
		return 0;
	qsort(acl.entry, n, sizeof(acl.entry[0]), acl_compare);
	return xattrs_add(x, name, &acl, sizeof(acl.head) + n * sizeof(acl.entry[0]));
}

static int read_xattrs(struct archive_entry *e, struct tar_xattrs *x, uint32_t *mode)
{
	const char *name;
	const void *value;
	size_t len;
	int r = 0;

	x->len = 0;
	if (archive_entry_xattr_reset(e) > XATTRS_MAX)
		return -E2BIG;
	while (!r && archive_entry_xattr_next(e, &name, &value, &len) == ARCHIVE_OK) {
		if (!name || !name[0] || strlen(name) > XATTR_NAME_MAX || len > XATTR_SIZE_MAX)
			return -E2BIG;
		r = xattrs_add(x, name, value, len);
	}
	if (!r)
		r = acl_add(e, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, "system.posix_acl_access", x, mode);
	if (!r)
		r = acl_add(e, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, "system.posix_acl_default", x, mode);
	return r;
}

/* ---- the header ---- */

static void read_mtime(struct archive_entry *e, struct manifest_attr *attr)
{
	attr->mtime_sec = archive_entry_mtime(e);
	attr->mtime_nsec = (uint32_t)archive_entry_mtime_nsec(e);
	/* pax writes a decimal number, "-1.25"; libarchive takes it apart at the point. */
	if (attr->mtime_sec < 0 && attr->mtime_nsec) {
		attr->mtime_sec--;
		attr->mtime_nsec = 1000000000 - attr->mtime_nsec;
	}
}

static const char *read_target(struct archive_entry *e, struct bytes *out)
{
	const char *target = archive_entry_symlink(e);

	if (!target || !target[0])
		return "a symbolic link to nothing";
	if (strlen(target) >= PATH_MAX)
		return "a symbolic link of more than 4095 bytes";
	*out = (struct bytes){(const uint8_t *)target, strlen(target)};
	return NULL;
}

/* What goes with the type.  Returns what is wrong, or NULL. */
static const char *read_type(struct archive_entry *e, struct manifest_attr *attr)
{
	switch (attr->mode & S_IFMT) {
	case S_IFREG:
		attr->size = (uint64_t)archive_entry_size(e);
		return archive_entry_size(e) < 0 ? "a negative size" : NULL;
	case S_IFCHR:
	case S_IFBLK:
		attr->rdev_major = (uint32_t)archive_entry_rdevmajor(e);
		attr->rdev_minor = (uint32_t)archive_entry_rdevminor(e);
		return NULL;
	case S_IFLNK:
		return read_target(e, &attr->target);
	case S_IFDIR:
	case S_IFIFO:
	case S_IFSOCK:
		return NULL;
	default:
		return "of a type that no file has";
	}
}

int tar_attr_read(struct archive_entry *e, struct tar_xattrs *x, struct manifest_attr *out,
		  const char **words)
{
	int64_t uid = archive_entry_uid(e);
	int64_t gid = archive_entry_gid(e);
	struct manifest_attr attr = {
		.mode = archive_entry_filetype(e) | (archive_entry_perm(e) & 07777),
		.uid = (uint32_t)uid,
		.gid = (uint32_t)gid,
	};
	int r;

	if (uid < 0 || uid > UINT32_MAX || gid < 0 || gid > UINT32_MAX) {
		*words = "an owner that is no 32-bit number";
		return -EINVAL;
	}
	read_mtime(e, &attr);
	*words = read_type(e, &attr);
	if (*words)
		return -EINVAL;
	r = read_xattrs(e, x, &attr.mode);
	if (r == -E2BIG) {
		*words = "extended attributes beyond all limits";
		return -EINVAL;
	}
	attr.xattrs = (struct bytes){x->data, x->len};
	*out = attr;
	return r;
}

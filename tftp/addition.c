/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tftp/addition.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* tftp/overlay-root, as it is. */
__asm__(".section .rodata\n"
	".global addition_overlay_root\n"
	"addition_overlay_root:\n"
	".incbin \"" OVERLAY_ROOT "\"\n"
	".byte 0\n"
	".previous\n");
extern const char addition_overlay_root[];

/* initramfs-tools runs what ORDER runs; an image may have hooks here, but then its
 * ORDER is under ours. */
static const char order[] =
	"for hook in /scripts/nfs-bottom/*; do\n"
	"\t[ \"$hook\" = /scripts/nfs-bottom/ORDER ] || [ ! -x \"$hook\" ] || \"$hook\" \"$@\"\n"
	"\t[ ! -e /conf/param.conf ] || . /conf/param.conf\n"
	"done\n"
	"/rootstock/overlay-root \"$rootmnt\"\n";

/* dracut reads its hooks into its own shell, whose output goes to the journal alone. */
static const char hook[] = "/rootstock/overlay-root \"$NEWROOT\" >/dev/console 2>&1 || :\n";

struct member {
	enum boot_dialect dialect; /* or every one, BOOT_KERNEL: that has no initrd */
	unsigned int mode;
	const char *name;
	const char *text; /* NULL: a directory */
};

/* No directory that the initrd may have as a link, as /lib: unpacking would put the
 * directory in its place.  Where a folder is missing, its file is passed over. */
static const struct member members[] = {
	{BOOT_KERNEL, S_IFDIR | 0755, "rootstock", NULL},
	{BOOT_KERNEL, S_IFREG | 0755, "rootstock/overlay-root", addition_overlay_root},
	{BOOT_KLIBC, S_IFDIR | 0755, "scripts/nfs-bottom", NULL},
	{BOOT_KLIBC, S_IFREG | 0644, "scripts/nfs-bottom/ORDER", order},
	{BOOT_DRACUT, S_IFREG | 0755, "lib/dracut/hooks/pre-pivot/99-rootstock.sh", hook},
	/* since dracut 103 */
	{BOOT_DRACUT, S_IFREG | 0755, "var/lib/dracut/hooks/pre-pivot/99-rootstock.sh", hook},
};

bool addition_knows(enum boot_dialect dialect)
{
	return dialect == BOOT_KLIBC || dialect == BOOT_DRACUT;
}

static size_t pad4(size_t n)
{
	return (n + 3) & ~(size_t)3;
}

/* Header, name and body, each padded (kernel: initramfs buffer format). */
static size_t member_size(const char *name, size_t len)
{
	return pad4(110 + strlen(name) + 1) + pad4(len);
}

static size_t put_member(char *out, unsigned int ino, unsigned int mode, const char *name,
			 const char *text, size_t len)
{
	size_t name_len = strlen(name) + 1;

	/* magic, ino, mode, uid, gid, nlink, mtime, size, 4 device numbers, name, check */
	sprintf(out, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", ino, mode, 0, 0,
		1, 0, (unsigned int)len, 0, 0, 0, 0, (unsigned int)name_len, 0);
	memcpy(out + 110, name, name_len);
	if (len)
		memcpy(out + pad4(110 + name_len), text, len);
	return member_size(name, len);
}

int addition_render(enum boot_dialect dialect, char **out, size_t *len)
{
	static const char last[] = "TRAILER!!!";
	size_t size = member_size(last, 0);
	size_t at = 0;
	char *buf;

	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		size += member_size(members[i].name, members[i].text ? strlen(members[i].text) : 0);
	buf = calloc(1, size);
	if (!buf)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		const struct member *m = &members[i];

		if (m->dialect == BOOT_KERNEL || m->dialect == dialect)
			at += put_member(buf + at, (unsigned int)i + 1, m->mode, m->name, m->text,
					 m->text ? strlen(m->text) : 0);
	}
	at += put_member(buf + at, 0, 0, last, NULL, 0);
	*out = buf;
	*len = at;
	return 0;
}

/* ---- the two as one file ---- */

struct appended {
	struct tftp_file file;
	struct tftp_file *first;
	char *tail;
	uint64_t tail_at;
};

static ssize_t appended_pread(struct tftp_file *file, void *buf, size_t len, uint64_t offset)
{
	struct appended *a = (struct appended *)file;
	size_t done = 0;

	if (offset < a->first->size) {
		size_t want = len;
		ssize_t n;

		if (want > a->first->size - offset)
			want = (size_t)(a->first->size - offset);
		n = tftp_file_pread(a->first, buf, want, offset);
		if (n < (ssize_t)want)
			return n;
		done = want;
	}
	for (; done < len && offset + done < file->size; done++)
		((char *)buf)[done] =
			offset + done < a->tail_at ? '\0' : a->tail[offset + done - a->tail_at];
	return (ssize_t)done;
}

static void appended_close(struct tftp_file *file)
{
	struct appended *a = (struct appended *)file;

	tftp_file_close(a->first);
	free(a->tail);
	free(a);
}

int addition_append(enum boot_dialect dialect, struct tftp_file *initrd, struct tftp_file **out)
{
	static const struct tftp_file_ops ops = {appended_pread, appended_close};
	struct appended *a = calloc(1, sizeof(*a));
	size_t len;

	if (!a) {
		tftp_file_close(initrd);
		return -ENOMEM;
	}
	a->file.ops = &ops;
	a->first = initrd;
	if (addition_render(dialect, &a->tail, &len)) {
		appended_close(&a->file);
		return -ENOMEM;
	}
	a->tail_at = (initrd->size + 3) & ~UINT64_C(3);
	a->file.size = a->tail_at + len;
	*out = &a->file;
	return 0;
}

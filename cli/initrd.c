/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/initrd.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { FILE_MOST = 8 << 20, INITRD_MOST = 512 << 20, ARCHIVES_MOST = 16 };

/* ---- reading ---- */

static int read_node(struct cli_view *v, uint32_t node, size_t most, char **out, size_t *out_len)
{
	cleanup(content_unrefp) struct content *content = NULL;
	cleanup(freep) char *text = NULL;
	size_t size;
	size_t len = 0;
	int r = contents_open_wait(v->contents, v->view, node, &content);

	if (r)
		return r < 0 ? r : -ESTALE;
	if (content_size(content) > most)
		return -EFBIG;
	size = (size_t)content_size(content);
	text = malloc(size + 1);
	if (!text)
		return -ENOMEM;
	while (len < size) {
		ssize_t n = content_pread(content, text + len, size - len, len);

		if (n <= 0)
			return n ? (int)n : -EIO;
		len += (size_t)n;
	}
	text[len] = '\0';
	*out = take(&text);
	*out_len = len;
	return 0;
}

char *initrd_read_first(struct cli_view *v, const char *version, const char *const *before,
			const char *const *behind)
{
	for (size_t i = 0; before[i]; i++) {
		char path[2 * BOOT_PATH];
		uint32_t node;
		char *text;
		size_t len;

		snprintf(path, sizeof(path), "%s%s%s", before[i], version, behind[i]);
		if (!view_resolve(v->view, VIEW_ROOT, path, true, &node) &&
		    !read_node(v, node, FILE_MOST, &text, &len))
			return text;
	}
	return NULL;
}

/* ---- names ---- */

static bool ends(const char *text, const char *end)
{
	size_t n = strlen(text);
	size_t m = strlen(end);

	return n >= m && !strcmp(text + n - m, end);
}

/* A module's file by its name, compressed or not. */
static bool is_module(const char *path, const char *name)
{
	const char *base = strrchr(path, '/');
	size_t n = strlen(name);

	base = base ? base + 1 : path;
	return !strncmp(base, name, n) && !strncmp(base + n, ".ko", 3);
}

static bool is_driver(const char *path)
{
	static const char *const others[] = {"virtio_net", "vmxnet3", "xen-netfront", "hv_netvsc",
					     "r8152",	   "asix",    "ax88179_178a", "smsc95xx",
					     "cdc_ether",  "lan78xx"};

	if (strstr(path, "drivers/net/ethernet/") && strstr(path, ".ko"))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (is_module(path, others[i]))
			return true;
	return false;
}

static void note(struct initrd *initrd, const char *path)
{
	initrd->names++;
	initrd->modular |= strstr(path, ".ko") != NULL;
	initrd->network |= is_driver(path);
	initrd->nfs |= is_module(path, "nfs");
	initrd->nfsv3 |= is_module(path, "nfsv3");
	initrd->tool |=
		ends(path, "/nfsmount") || ends(path, "/mount.nfs") || ends(path, "/mount.nfs4");
}

/* ---- the archives of an initrd ---- */

static bool cpio_number(const char *at, size_t *out)
{
	char text[9];
	char *end;

	memcpy(text, at, 8);
	text[8] = '\0';
	*out = strtoul(text, &end, 16);
	return *end == '\0';
}

/* An archive as it is.  Returns what of it was taken; 0: it is damaged. */
static size_t plain_names(const char *data, size_t len, struct initrd *initrd)
{
	size_t at = 0;

	while (len - at >= 110 && !memcmp(data + at, "07070", 5)) {
		size_t size;
		size_t name_len;
		size_t next;
		const char *name = data + at + 110;

		if (!cpio_number(data + at + 54, &size) ||
		    !cpio_number(data + at + 94, &name_len) || !name_len ||
		    name_len > len - at - 110 || name[name_len - 1])
			return 0;
		next = (at + 110 + name_len + 3) & ~(size_t)3;
		if (next > len || size > len - next)
			return 0;
		at = (next + size + 3) & ~(size_t)3;
		if (!strcmp(name, "TRAILER!!!"))
			return at < len ? at : len;
		note(initrd, name);
		if (at > len)
			return 0;
	}
	return 0;
}

/* The rest, compressed. */
static int packed_names(const char *data, size_t len, struct initrd *initrd)
{
	struct archive *a = archive_read_new();
	struct archive_entry *entry;
	int r;

	if (!a)
		return -ENOMEM;
	archive_read_support_filter_all(a);
	archive_read_support_format_cpio(a);
	r = archive_read_open_memory(a, data, len);
	while (r == ARCHIVE_OK && (r = archive_read_next_header(a, &entry)) == ARCHIVE_OK)
		if (archive_entry_pathname(entry))
			note(initrd, archive_entry_pathname(entry));
	archive_read_free(a);
	return r == ARCHIVE_EOF ? 0 : -EBADMSG;
}

static int initrd_names(const char *data, size_t len, struct initrd *initrd)
{
	size_t at = 0;

	for (int i = 0; i < ARCHIVES_MOST; i++) {
		size_t n;

		while (at < len && !data[at])
			at++;
		if (at == len)
			return initrd->names ? 0 : -EBADMSG;
		if (len - at < 6 || memcmp(data + at, "07070", 5))
			return packed_names(data + at, len - at, initrd);
		n = plain_names(data + at, len - at, initrd);
		if (!n)
			return -EBADMSG;
		at += n;
	}
	return 0;
}

/* ---- all of it ---- */

static void note_built_in(struct initrd *initrd, char *list)
{
	char *save = NULL;

	for (char *line = strtok_r(list, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		bool modular = initrd->modular;

		note(initrd, line);
		initrd->modular = modular;
	}
}

const char *initrd_version(const struct boot_files *files)
{
	const char *base = strrchr(files->kernel_path, '/');
	const char *version = strchr(base ? base : files->kernel_path, '-');

	return version ? version + 1 : "";
}

int initrd_look(struct cli_view *v, const struct boot_files *files, struct initrd *out)
{
	static const char *const before[] = {"lib/modules/", "usr/lib/modules/", NULL};
	static const char *const behind[] = {"/modules.builtin", "/modules.builtin", NULL};
	cleanup(freep) char *data = NULL;
	cleanup(freep) char *built_in = NULL;
	size_t len;
	int r = read_node(v, files->initrd, INITRD_MOST, &data, &len);

	*out = (struct initrd){.names = 0};
	if (!r)
		r = initrd_names(data, len, out);
	if (r)
		return r;
	built_in = initrd_read_first(v, initrd_version(files), before, behind);
	if (built_in)
		note_built_in(out, built_in);
	return 0;
}

const char *initrd_lacks(const struct initrd *initrd, enum boot_dialect dialect)
{
	if (dialect == BOOT_LIVE)
		return NULL;
	if (initrd->modular && !initrd->network)
		return "has no driver of a network card: it gets no address, and finds no root";
	if (initrd->modular && !initrd->nfs)
		return "has no module nfs: it cannot mount its root";
	if (initrd->modular && !initrd->nfsv3)
		return "has no module nfsv3: it cannot mount its root";
	if (dialect != BOOT_MKINITCPIO && !initrd->tool)
		return dialect == BOOT_DRACUT ? "has no mount.nfs: it cannot mount its root"
					      : "has no nfsmount: it cannot mount its root";
	return NULL;
}

const char *initrd_rebuild(enum boot_dialect dialect)
{
	switch (dialect) {
	case BOOT_DRACUT:
		return "in the image: dracut --force --no-hostonly --add 'network nfs'; then "
		       "rootstock image add NAME DIR --activate";
	case BOOT_MKINITCPIO:
		return "in the image: add net to HOOKS in /etc/mkinitcpio.conf; mkinitcpio -P; "
		       "then "
		       "rootstock image add NAME DIR --activate";
	default:
		return "in the image: MODULES=most in /etc/initramfs-tools/initramfs.conf; "
		       "update-initramfs -u; then rootstock image add NAME DIR --activate";
	}
}

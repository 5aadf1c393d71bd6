/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a host's kernel and initrd are able to: by the kernel's configuration and the list
 * of what it has built in, where the image keeps them, and by the names in the initrd.
 *
 *	initrd: cpio archives one behind another, some compressed --> names
 *
 * Where an image tells nothing, nothing is claimed.
 */
#include "cli/doctor_parts.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { FILE_MOST = 8 << 20, INITRD_MOST = 512 << 20, ARCHIVES_MOST = 16 };

/* What was seen of the things that a boot by NFS needs. */
struct able {
	bool modular; /* there are modules at all */
	bool network; /* a driver of some network card */
	bool nfs;
	bool nfsv3;
	bool tool; /* that mounts: nfsmount, mount.nfs */
	unsigned int names;
};

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

/* The first of these that is there; NULL: none. */
static char *read_first(struct cli_view *v, const char *version, const char *const *before,
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

static void note(struct able *able, const char *path)
{
	able->names++;
	able->modular |= strstr(path, ".ko") != NULL;
	able->network |= is_driver(path);
	able->nfs |= is_module(path, "nfs");
	able->nfsv3 |= is_module(path, "nfsv3");
	able->tool |=
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
static size_t plain_names(const char *data, size_t len, struct able *able)
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
		note(able, name);
		if (at > len)
			return 0;
	}
	return 0;
}

/* The rest, compressed. */
static int packed_names(const char *data, size_t len, struct able *able)
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
			note(able, archive_entry_pathname(entry));
	archive_read_free(a);
	return r == ARCHIVE_EOF ? 0 : -EBADMSG;
}

static int initrd_names(const char *data, size_t len, struct able *able)
{
	size_t at = 0;

	for (int i = 0; i < ARCHIVES_MOST; i++) {
		size_t n;

		while (at < len && !data[at])
			at++;
		if (at == len)
			return able->names ? 0 : -EBADMSG;
		if (len - at < 6 || memcmp(data + at, "07070", 5))
			return packed_names(data + at, len - at, able);
		n = plain_names(data + at, len - at, able);
		if (!n)
			return -EBADMSG;
		at += n;
	}
	return 0;
}

/* ---- what is said ---- */

static bool config_is(const char *config, const char *option, const char *values)
{
	char key[64];
	const char *at;

	snprintf(key, sizeof(key), "\nCONFIG_%s=", option);
	at = strstr(config, key);
	return at && strchr(values, at[strlen(key)]);
}

static void tell_config(struct doctor *d, const char *config, const struct boot_files *files)
{
	static const char *const needs[] = {"IP_PNP", "IP_PNP_DHCP", "NFS_FS", "ROOT_NFS",
					    "NFS_V3"};

	if (!config_is(config, "NFS_V3", "ym")) {
		finding(d->f, FINDING_ERROR, "kernel",
			"build it with CONFIG_NFS_V3=y, or install the distribution's kernel",
			"%s: its kernel has no NFS version 3%s, and no other is served",
			files->kernel_path,
			config_is(config, "NFS_V2", "ym") ? ", only version 2" : "");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(needs) && files->dialect == BOOT_KERNEL; i++) {
		char mend[100];

		if (config_is(config, needs[i], "y"))
			continue;
		snprintf(mend, sizeof(mend), "build it with CONFIG_%s=y, or give it an initrd",
			 needs[i]);
		finding(d->f, FINDING_ERROR, "kernel", mend,
			"%s: boots without an initrd, but CONFIG_%s is not built in: it cannot "
			"mount "
			"its root by NFS",
			files->kernel_path, needs[i]);
		return;
	}
	finding(d->f, FINDING_OK, "kernel", NULL, "%s: its kernel has NFS version 3",
		files->kernel_path);
}

static const char *rebuild(enum boot_dialect dialect)
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

static void tell_initrd(struct doctor *d, const struct able *able, const struct boot_files *files)
{
	const char *lacks = NULL;

	if (able->modular && !able->network)
		lacks = "has no driver of a network card: it gets no address, and finds no root";
	else if (able->modular && !able->nfs)
		lacks = "has no module nfs: it cannot mount its root";
	else if (able->modular && !able->nfsv3)
		lacks = "has no module nfsv3: it cannot mount its root";
	else if (files->dialect != BOOT_MKINITCPIO && !able->tool)
		lacks = files->dialect == BOOT_DRACUT ? "has no mount.nfs: it cannot mount its root"
						      : "has no nfsmount: it cannot mount its root";
	if (lacks)
		finding(d->f, FINDING_ERROR, "initrd", rebuild(files->dialect), "%s %s",
			files->initrd_path, lacks);
	else
		finding(d->f, FINDING_OK, "initrd", NULL,
			"%s: has what mounts a root by NFS, in the way of %s", files->initrd_path,
			boot_dialect_word(files->dialect));
}

static void note_built_in(struct able *able, char *list)
{
	char *save = NULL;

	for (char *line = strtok_r(list, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		bool modular = able->modular;

		note(able, line);
		able->modular = modular;
	}
}

void doctor_kernel(struct doctor *d, struct cli_view *v, const struct boot_files *files)
{
	static const char *const config_before[] = {"boot/config-", "usr/lib/modules/",
						    "lib/modules/", NULL};
	static const char *const config_behind[] = {"", "/config", "/config", NULL};
	static const char *const list_before[] = {"lib/modules/", "usr/lib/modules/", NULL};
	static const char *const list_behind[] = {"/modules.builtin", "/modules.builtin", NULL};
	const char *base = strrchr(files->kernel_path, '/');
	const char *version = strchr(base ? base : files->kernel_path, '-');
	cleanup(freep) char *config = NULL;
	cleanup(freep) char *built_in = NULL;
	cleanup(freep) char *initrd = NULL;
	struct able able = {false};
	size_t len;
	int r;

	version = version ? version + 1 : "";
	config = read_first(v, version, config_before, config_behind);
	if (config)
		tell_config(d, config, files);
	else if (files->dialect == BOOT_KERNEL)
		finding(d->f, FINDING_WARN, "kernel", NULL,
			"%s: boots without an initrd, and the image does not say how it was "
			"configured: it needs CONFIG_ROOT_NFS, CONFIG_NFS_V3 and "
			"CONFIG_IP_PNP_DHCP",
			files->kernel_path);
	if (!files->initrd)
		return;
	r = read_node(v, files->initrd, INITRD_MOST, &initrd, &len);
	if (!r)
		r = initrd_names(initrd, len, &able);
	if (r) {
		finding(d->f, FINDING_ERROR, "initrd", rebuild(files->dialect), "%s: %s",
			files->initrd_path,
			r == -EBADMSG ? "is no initrd, or a damaged one" : strerror(-r));
		return;
	}
	built_in = read_first(v, version, list_before, list_behind);
	if (built_in)
		note_built_in(&able, built_in);
	if (files->dialect != BOOT_LIVE)
		tell_initrd(d, &able, files);
}

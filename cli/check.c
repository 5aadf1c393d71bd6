/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whether and how an image can boot over NFS, and what it loses on the way, read
 * off its own files: kernel configuration, modules, initrd, extended attributes.
 */
#include "cli/cmd.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <archive.h>
#include <archive_entry.h>

#include "cli/check_bytes.h"
#include "cli/table.h"
#include "fsd/view_source.h"
#include "tftp/bootfiles.h"

enum { CHECK_TEXT_MAX = 4 << 20, CHECK_NAMED = 20 };

enum verdict { CHECK_OK, CHECK_NOTE, CHECK_LACKS };

struct check {
	struct cli_view v;
	struct table *table;
	struct boot_files files;
	char release[128]; /* of the kernel; "" when its name does not tell */
	char *config;	   /* /boot/config-RELEASE, or NULL */
	char *builtin;	   /* modules.builtin, or NULL */
	char *depends;	   /* modules.dep: one module a line, or NULL */
	bool fails;
};

static void say(struct check *c, enum verdict verdict, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void say(struct check *c, enum verdict verdict, const char *format, ...)
{
	static const char *const words[] = {"ok", "note", "lacks"};
	char text[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	table_row(c->table);
	table_text(c->table, words[verdict]);
	table_text(c->table, text);
	c->fails |= verdict == CHECK_LACKS;
}

static bool has(const struct check *c, const char *path)
{
	uint32_t node;

	return !view_resolve(c->v.view, VIEW_ROOT, path, true, &node);
}

/* A text file of the image, ended; NULL when it is not there or too large. */
static char *text_of(struct check *c, const char *path)
{
	cleanup(content_unrefp) struct content *content = NULL;
	uint32_t node;
	char *text;

	if (view_resolve(c->v.view, VIEW_ROOT, path, true, &node) ||
	    contents_open_at_wait(c->v.contents, c->v.view, node, 0, 0, &content) ||
	    content_size(content) > CHECK_TEXT_MAX)
		return NULL;
	text = malloc(content_size(content) + 1);
	if (!text)
		return NULL;
	if (contents_read(c->v.contents, &content, text, content_size(content), 0) !=
	    (ssize_t)content_size(content)) {
		free(text);
		return NULL;
	}
	text[content_size(content)] = '\0';
	return text;
}

/* ---- the kernel ---- */

/* Is "NAME=y" a line of the configuration? */
static bool config_has(const struct check *c, const char *name)
{
	char line[64];
	size_t len = (size_t)snprintf(line, sizeof(line), "%s=y\n", name);

	for (const char *at = c->config; at && (at = strstr(at, line)); at += len)
		if (at == c->config || at[-1] == '\n')
			return true;
	return false;
}

/* Does a list of modules name this one ("…/name.ko", maybe compressed)? */
static bool module_in(const char *list, const char *name)
{
	char file[64];
	size_t len = (size_t)snprintf(file, sizeof(file), "/%s.ko", name);

	for (const char *at = list; at && (at = strstr(at, file)); at += len)
		if (at[len] == '\n' || at[len] == ':' || at[len] == '.' || at[len] == '\0')
			return true;
	return false;
}

static void check_kernel(struct check *c)
{
	static const char *const wants[] = {"CONFIG_ROOT_NFS", "CONFIG_IP_PNP",
					    "CONFIG_IP_PNP_DHCP", "CONFIG_NFS_V3"};
	const char *base = strrchr(c->files.kernel_path, '/');
	const char *dash = base ? strchr(base, '-') : NULL;
	char path[PATH_MAX];
	char lack[128] = "";

	say(c, CHECK_OK, "kernel: %s", c->files.kernel_path);
	if (dash && strlen(dash) < sizeof(c->release))
		snprintf(c->release, sizeof(c->release), "%s", dash + 1);
	if (!c->release[0])
		return;
	snprintf(path, sizeof(path), "/boot/config-%s", c->release);
	c->config = text_of(c, path);
	snprintf(path, sizeof(path), "/lib/modules/%s/modules.builtin", c->release);
	c->builtin = text_of(c, path);
	snprintf(path, sizeof(path), "/lib/modules/%s/modules.dep", c->release);
	c->depends = text_of(c, path);
	if (c->files.initrd)
		return;
	if (!c->config) {
		say(c, CHECK_NOTE,
		    "no %s: whether this kernel can mount its root by NFS itself is "
		    "not known",
		    path);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(wants); i++)
		if (!config_has(c, wants[i])) {
			size_t len = strlen(lack);

			snprintf(lack + len, sizeof(lack) - len, " %s", wants[i]);
		}
	if (lack[0])
		say(c, CHECK_LACKS, "there is no initrd, and the kernel was built without%s", lack);
	else
		say(c, CHECK_OK, "no initrd: the kernel mounts its root by NFS itself");
}

static void check_module(struct check *c, const char *name, const char *what, enum verdict missing)
{
	if (module_in(c->builtin, name))
		say(c, CHECK_OK, "%s: built into the kernel", what);
	else if (module_in(c->depends, name))
		say(c, CHECK_OK, "%s: a module", what);
	else if (c->builtin || c->depends)
		say(c, missing, "%s: neither built in nor a module", what);
}

/* ---- the initrd ---- */

struct initrd {
	struct contents *contents;
	struct content *content;
	uint64_t at;
	uint8_t block[65536];
};

static la_ssize_t initrd_read(struct archive *a, void *ctx, const void **buf)
{
	struct initrd *in = ctx;
	ssize_t n = contents_read(in->contents, &in->content, in->block, sizeof(in->block), in->at);

	if (n < 0) {
		archive_set_error(a, (int)-n, "read");
		return -1;
	}
	in->at += (uint64_t)n;
	*buf = in->block;
	return n;
}

/* Collect the file names of one cpio at `start`; *end is behind it. */
static int initrd_part(struct initrd *in, uint64_t start, uint64_t *end, char **names, size_t *len)
{
	struct archive *a = archive_read_new();
	struct archive_entry *entry;
	int r;

	if (!a)
		return -ENOMEM;
	in->at = start;
	archive_read_support_filter_all(a);
	archive_read_support_format_cpio(a);
	r = archive_read_open(a, in, NULL, initrd_read, NULL);
	while (r == ARCHIVE_OK && (r = archive_read_next_header(a, &entry)) == ARCHIVE_OK) {
		const char *name = archive_entry_pathname(entry);
		size_t n = name ? strlen(name) : 0;
		char *bigger = *len + n + 3 < CHECK_TEXT_MAX ? realloc(*names, *len + n + 3) : NULL;

		if (!bigger)
			break;
		*names = bigger;
		bigger[(*len)++] = '/';
		memcpy(bigger + *len, name, n);
		*len += n;
		bigger[(*len)++] = '\n';
		bigger[*len] = '\0';
	}
	*end = start + (uint64_t)archive_filter_bytes(a, -1);
	archive_read_free(a);
	return r == ARCHIVE_EOF ? 0 : -EINVAL;
}

/* An initrd is one or more cpio archives, each compressed or not, with zeros
 * between: microcode first, then the real one. */
static char *initrd_names(struct check *c)
{
	cleanup(freep) struct initrd *in = calloc(1, sizeof(*in));
	char *names = NULL;
	uint64_t at = 0;
	size_t len = 0;

	if (!in ||
	    contents_open_at_wait(c->v.contents, c->v.view, c->files.initrd, 0, 1, &in->content))
		return NULL;
	in->contents = c->v.contents;
	for (int part = 0; part < 8 && at < content_size(in->content); part++) {
		uint8_t byte = 0;

		if (initrd_part(in, at, &at, &names, &len))
			break;
		while (contents_read(in->contents, &in->content, &byte, 1, at) == 1 && !byte)
			at++;
	}
	content_unref(in->content);
	return names;
}

/* dracut 059 with networkd (Debian 12's choice) gets an address, and nothing in it
 * then mounts a root by NFS (measured). */
static bool dracut_never_mounts(const char *names)
{
	return strstr(names, "/systemd-networkd\n") && !strstr(names, "networkd-run.sh\n") &&
	       !strstr(names, "/ifup\n") && !strstr(names, "/nm-initrd-generator\n");
}

static void check_initrd(struct check *c)
{
	static const char most[] = "MODULES=most in /etc/initramfs-tools/initramfs.conf";
	static const struct {
		const char *name;
		const char *nfs; /* how NFS gets into it */
	} makers[] = {
		[BOOT_KERNEL] = {"a kind that is not known", "the kernel may have it itself"},
		[BOOT_KLIBC] = {"initramfs-tools", most},
		[BOOT_DRACUT] = {"dracut", "dracut --add nfs"},
		[BOOT_MKINITCPIO] = {"mkinitcpio", "HOOKS=(... net ...) in /etc/mkinitcpio.conf"},
		[BOOT_LIVE] = {"live-boot", most},
	};
	static const char *const drivers[] = {"e1000e", "igb",	"igc",	    "ixgbe",	 "r8169",
					      "tg3",	"bnx2", "atlantic", "virtio_net"};
	cleanup(freep) char *names = NULL;
	char have[256] = "";
	char lack[256] = "";

	if (!c->files.initrd)
		return;
	say(c, CHECK_OK, "initrd: %s, of %s", c->files.initrd_path, makers[c->files.dialect].name);
	names = initrd_names(c);
	if (!names) {
		say(c, CHECK_NOTE, "the initrd cannot be looked into");
		return;
	}
	if (!module_in(names, "nfs") && !module_in(c->builtin, "nfs"))
		say(c, CHECK_LACKS, "the initrd has no NFS: %s", makers[c->files.dialect].nfs);
	if (c->files.dialect == BOOT_DRACUT && dracut_never_mounts(names))
		say(c, CHECK_LACKS,
		    "the initrd's networkd never mounts a root by NFS: "
		    "dracut --add network-legacy");
	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++) {
		char *list = module_in(names, drivers[i]) || module_in(c->builtin, drivers[i])
				     ? have
				     : lack;
		size_t len = strlen(list);

		snprintf(list + len, 256 - len, " %s", drivers[i]);
	}
	if (have[0])
		say(c, CHECK_OK, "network drivers in the initrd:%s", have);
	if (lack[0])
		say(c, have[0] ? CHECK_NOTE : CHECK_LACKS, "not in the initrd:%s", lack);
}

/* ---- what NFSv3 does not carry ---- */

struct attribute {
	const char *name;
	const char *what;
	unsigned int n;
	char named[1024];
};

static bool xattr_has(struct bytes packed, const char *name)
{
	struct cursor c = cursor_of(packed.at, packed.len);

	while (cursor_left(&c)) {
		const uint8_t *end = memchr(c.at, '\0', cursor_left(&c));
		const char *have = (const char *)c.at;

		if (!end)
			return false;
		cursor_skip(&c, (size_t)(end - c.at) + 1);
		cursor_skip(&c, cursor_be32(&c));
		if (!strcmp(have, name))
			return true;
	}
	return false;
}

static void check_lost(struct check *c)
{
	struct attribute lost[] = {
		{"security.capability", "file capabilities are lost over NFS (setuid is not)", 0,
		 ""},
		{"system.posix_acl_access", "ACLs are lost over NFS", 0, ""},
		{"security.selinux", "SELinux labels are lost over NFS", 0, ""},
	};
	const struct manifest *m = version_manifest(tree_version(view_tree(c->v.view)));

	for (uint32_t pos = 0; pos < manifest_count(m); pos++) {
		const struct manifest_node *n = manifest_at(m, pos);
		char path[PATH_MAX];

		if (!n || !n->xattr || n->link != pos)
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(lost); i++) {
			size_t len = strlen(lost[i].named);

			if (!xattr_has(manifest_xattrs(m, n), lost[i].name))
				continue;
			if (lost[i].n++ < CHECK_NAMED &&
			    manifest_path(m, pos, path, sizeof(path)) > 0)
				snprintf(lost[i].named + len, sizeof(lost[i].named) - len, " /%s",
					 path);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(lost); i++)
		if (lost[i].n)
			say(c, CHECK_NOTE, "%s: %u files:%s%s", lost[i].what, lost[i].n,
			    lost[i].named, lost[i].n > CHECK_NAMED ? " ..." : "");
}

static void check_programs(struct check *c)
{
	if (c->files.dialect == BOOT_LIVE) {
		say(c, CHECK_NOTE,
		    "a live system's medium: overlays reach the medium, not the "
		    "system in /live/filesystem.squashfs");
		return;
	}
	if (has(c, "/sbin/init"))
		say(c, CHECK_OK, "init: /sbin/init");
	else
		say(c, CHECK_LACKS, "no /sbin/init");
	if (!has(c, "/bin/sh"))
		say(c, CHECK_LACKS, "no /bin/sh: /linuxrc cannot run");
	if (!has(c, "/bin/mount") && !has(c, "/sbin/mount"))
		say(c, CHECK_LACKS, "no mount: /linuxrc cannot make memory writable");
}

static const struct option check_options[] = {{"bytes", no_argument, NULL, 'b'}, {0}};

static int check_run(struct cli *cli)
{
	static const char *const columns[] = {"result", "what"};
	const struct boot_wish wish = {0};
	struct check c = {0};
	struct why why = {""};
	int r;

	if (cli_option(cli, 'b'))
		return check_bytes(cli, cli->nargs ? cli->args[0] : NULL);
	if (!cli->nargs)
		return cli_usage(cli);
	r = cli_view_open(cli, cli->args[0], &c.v);
	if (r)
		return r;
	c.table = table_new(columns, ARRAY_SIZE(columns));
	r = boot_files_find(c.v.view, &wish, &c.files, &why);
	if (r == BOOT_NONE) {
		say(&c, CHECK_LACKS, "%s", why.text);
	} else if (!r) {
		check_kernel(&c);
		check_initrd(&c);
		check_module(&c, "overlay", "overlayfs, for mode=overlay", CHECK_NOTE);
	}
	if (r >= 0) {
		check_programs(&c);
		check_lost(&c);
	}
	table_print(c.table, cli->json);
	free(c.config);
	free(c.builtin);
	free(c.depends);
	cli_view_close(&c.v);
	return r < 0 ? why_set(&cli->why, r, "%s", why_text(&why, r)) : c.fails;
}

const struct command command_image_check = {
	.words = "image check",
	.usage = "[--bytes] [NAME[@N]]",
	.run = check_run,
	.db = CLI_READ,
	.max = 1,
	.options = check_options,
};

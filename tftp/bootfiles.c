/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tftp/bootfiles.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/setting.h"

/* In the order of the setting's words. */
const char *boot_dialect_word(enum boot_dialect dialect)
{
	return setting_find("dialect")->words[dialect];
}

static int order(char c)
{
	if (c == '~')
		return -1;
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
		return c;
	return c ? c + 256 : 0;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

int boot_version_cmp(const char *a, const char *b)
{
	while (*a || *b) {
		int first = 0;

		while ((*a && !is_digit(*a)) || (*b && !is_digit(*b))) {
			int x = is_digit(*a) ? 0 : order(*a);
			int y = is_digit(*b) ? 0 : order(*b);

			if (x != y)
				return x - y;
			a++;
			b++;
		}
		while (*a == '0')
			a++;
		while (*b == '0')
			b++;
		while (is_digit(*a) && is_digit(*b)) {
			if (!first)
				first = *a - *b;
			a++;
			b++;
		}
		if (is_digit(*a))
			return 1;
		if (is_digit(*b))
			return -1;
		if (first)
			return first;
	}
	return 0;
}

/* A regular file at `path`, links followed inside the view: its node and, where it
 * really is. */
static int find(const struct view *view, const char *path, uint32_t *node, char real[BOOT_PATH])
{
	struct view_attr attr;
	ssize_t n;
	int r;

	r = view_resolve(view, VIEW_ROOT, path, true, node);
	if (!r)
		r = view_attr(view, *node, &attr);
	if (r)
		return r < 0 ? r : BOOT_NONE;
	if (!S_ISREG(attr.mode))
		return BOOT_NONE;
	n = view_path(view, *node, real, BOOT_PATH);
	return n < 0 ? BOOT_NONE : 0;
}

/* Of the names in `folder` that start with `prefix`, the one with the highest rest. */
static int find_newest(const struct view *view, const char *folder, const char *prefix,
		       uint32_t *node, char real[BOOT_PATH])
{
	struct view_dirent entry = {.cookie = 0};
	size_t prefix_len = strlen(prefix);
	char best[BOOT_PATH] = "";
	uint32_t boot;
	int r;

	r = view_resolve(view, VIEW_ROOT, folder, true, &boot);
	while (!r && !(r = view_readdir(view, boot, entry.cookie, &entry))) {
		char name[BOOT_PATH];
		char path[BOOT_PATH + 8];
		char at[BOOT_PATH];
		uint32_t found;

		if (entry.name_len <= prefix_len || memcmp(entry.name, prefix, prefix_len))
			continue;
		memcpy(name, entry.name, entry.name_len);
		name[entry.name_len] = '\0';
		if (strstr(name, "rescue") || strstr(name, ".old") || strstr(name, ".hmac") ||
		    strstr(name, ".sig"))
			continue;
		if (*best && boot_version_cmp(name + prefix_len, best + prefix_len) <= 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, name);
		if (find(view, path, &found, at))
			continue;
		strcpy(best, name);
		strcpy(real, at);
		*node = found;
	}
	if (r < 0)
		return r;
	return *best ? 0 : BOOT_NONE;
}

static int find_kernel(const struct view *view, struct boot_files *f)
{
	/* The distribution's own choice first: links that its packages keep. */
	static const char *const named[] = {"boot/vmlinuz", "vmlinuz"};
	static const char *const prefixes[] = {"vmlinuz-", "kernel-", "bzImage-"};
	static const char *const plain[] = {"boot/bzImage", "boot/kernel", "boot/Image", "kernel",
					    "live/vmlinuz"};
	int r = BOOT_NONE;

	for (size_t i = 0; i < ARRAY_SIZE(named) && r == BOOT_NONE; i++)
		r = find(view, named[i], &f->kernel, f->kernel_path);
	for (size_t i = 0; i < ARRAY_SIZE(prefixes) && r == BOOT_NONE; i++)
		r = find_newest(view, "boot", prefixes[i], &f->kernel, f->kernel_path);
	for (size_t i = 0; i < ARRAY_SIZE(plain) && r == BOOT_NONE; i++)
		r = find(view, plain[i], &f->kernel, f->kernel_path);
	if (r == BOOT_NONE)
		r = find_newest(view, "live", "vmlinuz-", &f->kernel, f->kernel_path);
	return r;
}

/* The initrd that goes with `kernel_path`: beside it, with its version. */
static int find_initrd(const struct view *view, struct boot_files *f)
{
	static const char *const versioned[] = {
		"initrd.img-%s", "initramfs-%s.img", "initrd-%s", "initrd-%s.img", "initramfs-%s",
	};
	static const char *const plain[] = {
		"boot/initrd.img",    "initrd.img",  "boot/initramfs-linux.img",
		"boot/initramfs.img", "boot/initrd", "boot/initramfs",
		"live/initrd.img",    "live/initrd",
	};
	const char *base = strrchr(f->kernel_path, '/');
	int dir_len = base ? (int)(base - f->kernel_path) : 0;
	const char *version;
	int r = BOOT_NONE;

	base = base ? base + 1 : f->kernel_path;
	version = strchr(base, '-');
	if (version) {
		for (size_t i = 0; i < ARRAY_SIZE(versioned) && r == BOOT_NONE; i++) {
			char path[2 * BOOT_PATH];
			int n = snprintf(path, sizeof(path), "%.*s/", dir_len, f->kernel_path);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
			snprintf(path + n, sizeof(path) - (size_t)n, versioned[i], version + 1);
#pragma GCC diagnostic pop
			r = find(view, path, &f->initrd, f->initrd_path);
		}
		return r; /* one of another version has the wrong modules */
	}
	for (size_t i = 0; i < ARRAY_SIZE(plain) && r == BOOT_NONE; i++)
		r = find(view, plain[i], &f->initrd, f->initrd_path);
	return r;
}

/* Debian keeps device trees beside the modules, others below /boot. */
static void find_device_trees(const struct view *view, struct boot_files *f)
{
	static const char *const formats[] = {"usr/lib/linux-image-%s", "boot/dtbs/%s",
					      "boot/dtb-%s", "boot/dtbs"};
	const char *base = strrchr(f->kernel_path, '/');
	const char *version = strchr(base ? base : f->kernel_path, '-');
	struct view_attr attr;
	uint32_t node;

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(f->fdtdir, sizeof(f->fdtdir), formats[i], version ? version + 1 : "");
#pragma GCC diagnostic pop
		if (!view_resolve(view, VIEW_ROOT, f->fdtdir, true, &node) &&
		    !view_attr(view, node, &attr) && S_ISDIR(attr.mode))
			return;
	}
	f->fdtdir[0] = '\0';
}

static bool is_there(const struct view *view, const char *path)
{
	uint32_t node;

	return !view_resolve(view, VIEW_ROOT, path, true, &node);
}

static enum boot_dialect find_dialect(const struct view *view)
{
	if (is_there(view, "live/filesystem.squashfs"))
		return BOOT_LIVE;
	if (is_there(view, "usr/share/initramfs-tools/init"))
		return BOOT_KLIBC;
	if (is_there(view, "usr/lib/dracut"))
		return BOOT_DRACUT;
	if (is_there(view, "usr/lib/initcpio/hooks/net"))
		return BOOT_MKINITCPIO;
	/* Left behind where dracut took its place; or all that is left of a slim image. */
	if (is_there(view, "etc/initramfs-tools"))
		return BOOT_KLIBC;
	return BOOT_KERNEL;
}

static int choose_dialect(const struct view *view, const char *wish, struct boot_files *f,
			  struct why *why)
{
	unsigned int word;

	if (!wish) {
		f->dialect = find_dialect(view);
		return 0;
	}
	if (setting_word("dialect", wish, &word, why))
		return BOOT_NONE;
	f->dialect = (enum boot_dialect)word;
	return 0;
}

int boot_files_find(const struct view *view, const struct boot_wish *wish, struct boot_files *out,
		    struct why *why)
{
	struct boot_files f = {0};
	int r;

	r = wish->kernel ? find(view, wish->kernel, &f.kernel, f.kernel_path)
			 : find_kernel(view, &f);
	if (r == BOOT_NONE && wish->kernel)
		return why_set(why, r, "kernel=%s: no such file in its view", wish->kernel);
	if (r == BOOT_NONE)
		return why_set(why, r,
			       "no kernel in its view: none of /boot/vmlinuz*, /vmlinuz, "
			       "/boot/kernel-*, /boot/bzImage*, /live/vmlinuz*");
	if (!r)
		r = choose_dialect(view, wish->dialect, &f, why);
	if (r)
		return r;
	if (wish->initrd && strcmp(wish->initrd, "none")) {
		r = find(view, wish->initrd, &f.initrd, f.initrd_path);
		if (r == BOOT_NONE)
			return why_set(why, r, "initrd=%s: no such file in its view", wish->initrd);
	} else if (!wish->initrd && f.dialect != BOOT_KERNEL) {
		r = find_initrd(view, &f);
	}
	if (r < 0)
		return r;
	if (r == BOOT_NONE || !f.initrd) {
		f.initrd = 0;
		f.initrd_path[0] = '\0';
		if (!wish->dialect)
			f.dialect = BOOT_KERNEL;
	}
	find_device_trees(view, &f);
	f.rpi_config = is_there(view, "boot/firmware/config.txt");
	f.rpi_kernel = !wish->kernel && (is_there(view, "boot/firmware/kernel8.img") ||
					 is_there(view, "boot/firmware/kernel_2712.img") ||
					 is_there(view, "boot/firmware/kernel7l.img"));
	*out = f;
	return 0;
}

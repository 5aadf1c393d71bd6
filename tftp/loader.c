/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tftp/loader.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* Served name (a pattern without '/' crossing), folder, name there (NULL: the last
 * component of what was asked), package, and whether a ROM starts it. */
static const struct place {
	const char *pattern;
	const char *folder;
	const char *file;
	const char *package;
	bool first;
} places[] = {
	{"pxelinux.0", "/usr/lib/PXELINUX", NULL, "pxelinux", true},
	{"lpxelinux.0", "/usr/lib/PXELINUX", NULL, "pxelinux", true},
	{"*.c32", "/usr/lib/syslinux/modules/bios", NULL, "syslinux-common", false},
	{"bios/*.c32", "/usr/lib/syslinux/modules/bios", NULL, "syslinux-common", false},
	{"memdisk", "/usr/lib/syslinux", NULL, "syslinux-common", false},
	{"syslinux.efi", "/usr/lib/SYSLINUX.EFI/efi64", NULL, "syslinux-efi", true},
	{"ldlinux.e64", "/usr/lib/syslinux/modules/efi64", NULL, "syslinux-common", false},
	{"efi64/*.c32", "/usr/lib/syslinux/modules/efi64", NULL, "syslinux-common", false},
	{"undionly.kpxe", "/usr/lib/ipxe", NULL, "ipxe", true},
	{"ipxe.pxe", "/usr/lib/ipxe", NULL, "ipxe", true},
	{"*.kpxe", "/usr/lib/ipxe", NULL, "ipxe", true},
	{"ipxe.efi", "/usr/lib/ipxe", NULL, "ipxe", true},
	{"snponly.efi", "/usr/lib/ipxe", NULL, "ipxe", true},
	{"ipxe-arm64.efi", "/usr/lib/ipxe", NULL, "ipxe", true},
	{"shimx64.efi", "/usr/lib/shim", "shimx64.efi.signed", "shim-signed", true},
	{"shimx64.efi.signed", "/usr/lib/shim", NULL, "shim-signed", true},
	{"shimaa64.efi", "/usr/lib/shim", "shimaa64.efi.signed", "shim-signed", true},
	{"mmx64.efi", "/usr/lib/shim", "mmx64.efi.signed", "shim-helpers-amd64-signed", false},
	{"fbx64.efi", "/usr/lib/shim", "fbx64.efi.signed", "shim-helpers-amd64-signed", false},
	/* shim asks for the second stage by this name, beside itself. */
	{"grubx64.efi", "/usr/lib/grub/x86_64-efi-signed", "grubnetx64.efi.signed",
	 "grub-efi-amd64-signed", true},
	{"grubnetx64.efi", "/usr/lib/grub/x86_64-efi-signed", "grubnetx64.efi.signed",
	 "grub-efi-amd64-signed", true},
	{"grubnetx64.efi.signed", "/usr/lib/grub/x86_64-efi-signed", NULL, "grub-efi-amd64-signed",
	 true},
	{"grubaa64.efi", "/usr/lib/grub/arm64-efi-signed", "grubnetaa64.efi.signed",
	 "grub-efi-arm64-signed", true},
	{"grubnetaa64.efi.signed", "/usr/lib/grub/arm64-efi-signed", NULL, "grub-efi-arm64-signed",
	 true},
	{"*grub/x86_64-efi/*", "/usr/lib/grub/x86_64-efi", NULL, "grub-efi-amd64-bin", false},
	{"*grub/i386-pc/*", "/usr/lib/grub/i386-pc", NULL, "grub-pc-bin", false},
	{"*grub/arm64-efi/*", "/usr/lib/grub/arm64-efi", NULL, "grub-efi-arm64-bin", false},
	{"memtest*.bin", "/boot", NULL, "memtest86+", false},
	{"memtest*.efi", "/boot", NULL, "memtest86+", false},
};

struct loaders {
	int *folders; /* the user's, then -1 */
	unsigned int nfolders;
};

static int open_folder(const char *path)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int loaders_new(const char *const *folders, struct loaders **out, struct why *why)
{
	cleanup(loaders_freep) struct loaders *ls = calloc(1, sizeof(*ls));
	unsigned int n = 0;

	while (folders && folders[n])
		n++;
	if (!ls)
		return -ENOMEM;
	ls->folders = calloc(n + 1, sizeof(*ls->folders));
	if (!ls->folders)
		return -ENOMEM;
	for (; ls->nfolders < n; ls->nfolders++) {
		int fd = open_folder(folders[ls->nfolders]);

		if (fd < 0)
			return why_set(why, fd, "loader folder %s: %s", folders[ls->nfolders],
				       strerror(-fd));
		ls->folders[ls->nfolders] = fd;
	}
	*out = take(&ls);
	return 0;
}

void loaders_free(struct loaders *ls)
{
	if (!ls)
		return;
	for (unsigned int i = 0; i < ls->nfolders; i++)
		close(ls->folders[i]);
	free(ls->folders);
	free(ls);
}

static int open_beneath(int folder, const char *name, struct tftp_file **out)
{
	/* O_NONBLOCK: a fifo must not hold up the server. */
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	int fd = (int)syscall(SYS_openat2, folder, name, &how, sizeof(how));
	struct stat st;

	if (fd < 0)
		switch (errno) {
		case ENOENT:
		case ENOTDIR:
		case ENAMETOOLONG:
			return LOADER_NONE;
		case EXDEV: /* out of the folder */
		case ELOOP:
		case ENXIO:
			return -EACCES;
		default:
			return -errno;
		}
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return -EACCES;
	}
	return tftp_file_of_fd(fd, (uint64_t)st.st_size, out);
}

static const char *last_component(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash ? slash + 1 : name;
}

/* Shim looks beside itself and GRUB below its prefix: let a known name stand in
 * any folder of up to two levels, but a module only where its pattern says. */
static const struct place *place_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (!fnmatch(places[i].pattern, name, FNM_PATHNAME) ||
		    (places[i].pattern[0] == '*' && !fnmatch(places[i].pattern, name, 0)))
			return &places[i];
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (places[i].first && !strcmp(places[i].pattern, last_component(name)))
			return &places[i];
	return NULL;
}

const char *loader_package(const char *name)
{
	const struct place *place = place_of(name);

	return place ? place->package : NULL;
}

int loader_open(const struct loaders *ls, const char *name, bool *first, struct tftp_file **out)
{
	cleanup(closep) int folder = -1;
	const struct place *place = place_of(name);
	int r = LOADER_NONE;

	*first = place && place->first;
	for (unsigned int i = 0; i < ls->nfolders && r == LOADER_NONE; i++)
		r = open_beneath(ls->folders[i], name, out);
	if (r != LOADER_NONE || !place)
		return r;
	folder = open_folder(place->folder);
	if (folder < 0) {
		folder = -1;
		return LOADER_NONE;
	}
	return open_beneath(folder, place->file ? place->file : last_component(name), out);
}

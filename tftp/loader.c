/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tftp/loader.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* Served name, folder, name there (NULL: the last component of what was asked),
 * package, and whether a ROM starts it.  Names with a '*' are patterns over the
 * whole path; others stand in any folder, since a loader looks beside itself.  Of
 * several places for a name the first that is there serves. */
static const struct place {
	const char *name;
	const char *folder;
	const char *file;
	const char *package;
	bool first;
	const char *with; /* only if this is there too */
} places[] = {
#define X64_SIGNED "/usr/lib/grub/x86_64-efi-signed"
#define X64 "/usr/lib/grub/x86_64-efi/monolithic"
#define ARM64 "/usr/lib/grub/arm64-efi/monolithic"
#define ARM64_SIGNED "/usr/lib/grub/arm64-efi-signed"
	{"pxelinux.0", "/usr/lib/PXELINUX", NULL, "pxelinux", true, NULL},
	{"lpxelinux.0", "/usr/lib/PXELINUX", NULL, "pxelinux", true, NULL},
	{"efi64/*.c32", "/usr/lib/syslinux/modules/efi64", NULL, "syslinux-common", false, NULL},
	{"efi32/*.c32", "/usr/lib/syslinux/modules/efi32", NULL, "syslinux-common", false, NULL},
	{"*.c32", "/usr/lib/syslinux/modules/bios", NULL, "syslinux-common", false, NULL},
	{"memdisk", "/usr/lib/syslinux", NULL, "syslinux-common", false, NULL},
	{"syslinux.efi", "/usr/lib/SYSLINUX.EFI/efi64", NULL, "syslinux-efi", true, NULL},
	{"ldlinux.e64", "/usr/lib/syslinux/modules/efi64", NULL, "syslinux-common", false, NULL},
	{"*.kpxe", "/usr/lib/ipxe", NULL, "ipxe", true, NULL},
	{"*.kkpxe", "/usr/lib/ipxe", NULL, "ipxe", true, NULL},
	{"ipxe.pxe", "/usr/lib/ipxe", NULL, "ipxe", true, NULL},
	{"ipxe.efi", "/usr/lib/ipxe", NULL, "ipxe", true, NULL},
	{"snponly.efi", "/usr/lib/ipxe", NULL, "ipxe", true, NULL},
	{"ipxe-arm64.efi", "/usr/lib/ipxe", NULL, "ipxe", true, NULL},
	/* What UEFI machines are told to ask: Secure Boot's chain where it is whole, for
	 * it starts without Secure Boot too. */
	{"bootx64.efi", "/usr/lib/shim", "shimx64.efi.signed", "shim-signed", true,
	 X64_SIGNED "/grubnetx64.efi.signed"},
	{"bootx64.efi", X64_SIGNED, "grubnetx64.efi.signed", "grub-efi-amd64-signed", true, NULL},
	{"bootx64.efi", X64, "grubnetx64.efi", "grub-efi-amd64-bin", true, NULL},
	{"bootx64.efi", "/usr/lib/ipxe", "snponly.efi", "ipxe", true, NULL},
	{"bootx64.efi", "/usr/lib/ipxe", "ipxe.efi", "ipxe", true, NULL},
	{"bootx64.efi", "/usr/lib/SYSLINUX.EFI/efi64", "syslinux.efi", "syslinux-efi", true, NULL},
	{"bootaa64.efi", "/usr/lib/shim", "shimaa64.efi.signed", "shim-signed", true,
	 ARM64_SIGNED "/grubnetaa64.efi.signed"},
	{"bootaa64.efi", ARM64_SIGNED, "grubnetaa64.efi.signed", "grub-efi-arm64-signed", true,
	 NULL},
	{"bootaa64.efi", ARM64, "grubnetaa64.efi", "grub-efi-arm64-bin", true, NULL},
	{"bootaa64.efi", "/usr/lib/ipxe", "ipxe-arm64.efi", "ipxe", true, NULL},
	{"bootia32.efi", "/usr/lib/SYSLINUX.EFI/efi32", "syslinux.efi", "syslinux-efi", true, NULL},
	{"ldlinux.e32", "/usr/lib/syslinux/modules/efi32", NULL, "syslinux-common", false, NULL},
	{"shimx64.efi", "/usr/lib/shim", "shimx64.efi.signed", "shim-signed", true, NULL},
	{"shimx64.efi.signed", "/usr/lib/shim", NULL, "shim-signed", true, NULL},
	{"shimaa64.efi", "/usr/lib/shim", "shimaa64.efi.signed", "shim-signed", true, NULL},
	{"mmx64.efi", "/usr/lib/shim", "mmx64.efi.signed", "shim-helpers-amd64-signed", false,
	 NULL},
	{"fbx64.efi", "/usr/lib/shim", "fbx64.efi.signed", "shim-helpers-amd64-signed", false,
	 NULL},
	/* shim asks for its second stage by this name, beside itself. */
	{"grubx64.efi", X64_SIGNED, "grubnetx64.efi.signed", "grub-efi-amd64-signed", true, NULL},
	{"grubnetx64.efi", X64_SIGNED, "grubnetx64.efi.signed", "grub-efi-amd64-signed", true,
	 NULL},
	{"grubnetx64.efi", X64, NULL, "grub-efi-amd64-bin", true, NULL},
	{"grubnetx64.efi.signed", X64_SIGNED, NULL, "grub-efi-amd64-signed", true, NULL},
	{"grubaa64.efi", ARM64_SIGNED, "grubnetaa64.efi.signed", "grub-efi-arm64-signed", true,
	 NULL},
	{"grubnetaa64.efi", ARM64_SIGNED, "grubnetaa64.efi.signed", "grub-efi-arm64-signed", true,
	 NULL},
	{"grubnetaa64.efi", ARM64, NULL, "grub-efi-arm64-bin", true, NULL},
	{"grubnetaa64.efi.signed", ARM64_SIGNED, NULL, "grub-efi-arm64-signed", true, NULL},
	{"*grub/x86_64-efi/*", "/usr/lib/grub/x86_64-efi", NULL, "grub-efi-amd64-bin", false, NULL},
	{"*grub/i386-pc/*", "/usr/lib/grub/i386-pc", NULL, "grub-pc-bin", false, NULL},
	{"*grub/arm64-efi/*", "/usr/lib/grub/arm64-efi", NULL, "grub-efi-arm64-bin", false, NULL},
	{"memtest.bin", "/boot", "memtest86+x64.bin", "memtest86+", false, NULL},
	{"memtest.efi", "/boot", "memtest86+x64.efi", "memtest86+", false, NULL},
};

struct loaders {
	int *folders; /* the user's */
	const char *const *names;
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
	ls->names = folders;
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

/* The place for `name` at or after `i`, or NULL. */
static const struct place *place_next(const char *name, size_t i)
{
	for (; i < ARRAY_SIZE(places); i++) {
		const struct place *p = &places[i];

		if (strchr(p->name, '*') ? !fnmatch(p->name, name, 0)
					 : !strcmp(p->name, last_component(name)))
			return p;
	}
	return NULL;
}

const char *loader_package(const char *name)
{
	const struct place *place = place_next(name, 0);

	return place ? place->package : NULL;
}

static int open_place(const struct place *p, const char *name, struct tftp_file **out)
{
	cleanup(closep) int folder = -1;
	int r;

	if (p->with && access(p->with, R_OK))
		return LOADER_NONE;
	r = open_folder(p->folder);
	if (r < 0)
		return LOADER_NONE;
	folder = r;
	return open_beneath(folder, p->file ? p->file : last_component(name), out);
}

int loader_open(const struct loaders *ls, const char *name, struct loader *loader,
		struct tftp_file **out)
{
	const struct place *place = place_next(name, 0);
	int r = LOADER_NONE;

	*loader = (struct loader){.first = place && place->first};
	for (unsigned int i = 0; i < ls->nfolders && r == LOADER_NONE; i++) {
		r = open_beneath(ls->folders[i], name, out);
		if (!r)
			snprintf(loader->path, sizeof(loader->path), "%s/%s", ls->names[i], name);
	}
	for (; r == LOADER_NONE && place; place = place_next(name, (size_t)(place - places) + 1)) {
		r = open_place(place, name, out);
		if (!r)
			snprintf(loader->path, sizeof(loader->path), "%s/%s", place->folder,
				 place->file ? place->file : last_component(name));
	}
	return r;
}

bool loader_there(const struct loaders *ls, const char *name)
{
	struct loader loader;
	struct tftp_file *file;

	if (loader_open(ls, name, &loader, &file))
		return false;
	tftp_file_close(file);
	return true;
}

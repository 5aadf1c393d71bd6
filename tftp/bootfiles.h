/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which kernel and which initrd a view boots, and in which words its early user
 * space wants to be told where the root is.
 *
 *	/boot/vmlinuz, /vmlinuz, newest /boot/vmlinuz-VERSION, /boot/kernel-VERSION,
 *	/boot/bzImage      -->  VERSION  -->  initrd.img-VERSION, initramfs-VERSION.img, ...
 *	/live/vmlinuz      -->  /live/initrd.img, where a live system's medium is the image
 *
 * A view without an initrd, or whose initrd speaks no dialect of these, boots its
 * kernel alone: the kernel's own nfsroot.
 */
#ifndef TFTP_BOOTFILES_H
#define TFTP_BOOTFILES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/why.h"
#include "fsd/view.h"

enum boot_dialect {
	BOOT_KERNEL, /* CONFIG_ROOT_NFS and CONFIG_IP_PNP, no initrd */
	BOOT_KLIBC,  /* initramfs-tools: klibc's ipconfig and nfsmount */
	BOOT_DRACUT,
	BOOT_MKINITCPIO, /* its net hook */
	BOOT_LIVE	 /* live-boot: the system is a squashfs below /live */
};

/* "kernel", "klibc", "dracut", "mkinitcpio", "live" */
const char *boot_dialect_word(enum boot_dialect dialect);

/* What a host's settings ask for; NULL: found by itself. */
struct boot_wish {
	const char *kernel;  /* a path in the view */
	const char *initrd;  /* the same, or "none" */
	const char *dialect; /* a word of above */
};

enum { BOOT_PATH = 256 };

struct boot_files {
	uint32_t kernel;
	uint32_t initrd; /* 0: none */
	enum boot_dialect dialect;
	char kernel_path[BOOT_PATH];
	char initrd_path[BOOT_PATH]; /* "": none */
	char fdtdir[BOOT_PATH];	     /* of device trees for this kernel; "": none */
	bool rpi_kernel; /* /boot/firmware has kernels that a Raspberry Pi picks itself */
	bool rpi_config; /* and a config.txt */
};

enum { BOOT_NONE = 1 };

/* Returns 0; BOOT_NONE with words in `why` when there is no kernel, or a wish names
 * what is not there; or a negative errno. */
int boot_files_find(const struct view *view, const struct boot_wish *wish, struct boot_files *out,
		    struct why *why);

/* Order of version texts: "6.1.0-9-amd64" before "6.1.0-18-amd64", "6.1~rc1" before
 * "6.1" (Debian policy 5.6.12, without epochs). */
int boot_version_cmp(const char *a, const char *b);

#endif

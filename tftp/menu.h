/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a host is offered, and its rendering in each loader's own words.  A menu
 * is a pure function of `struct menu`.
 */
#ifndef TFTP_MENU_H
#define TFTP_MENU_H

#include <stdbool.h>
#include <stddef.h>

#include "tftp/cmdline.h"

struct menu_entry {
	const char *image;   /* "debian@3" */
	const char *kernel;  /* as served: "kernel" */
	const char *initrd;  /* NULL: none */
	const char *cmdline; /* without BOOTIF for pxelinux and iPXE, which add it */
};

struct menu {
	const char *host; /* name */
	struct menu_entry own;
	const struct menu_entry *maintenance; /* shown where one may choose; NULL: none */

	const char *console; /* "ttyS0,115200" or NULL */

	const char *fdtdir;	/* device trees, as served; NULL: none */
	const char *rpi_config; /* the image's own config.txt, as served; NULL: none */
	bool rpi_kernel;	/* the image has a kernel that a Pi finds by itself */
	bool ask;		/* show it to the person at the machine */
	unsigned int wait_secs;
	bool memtest; /* served as "memtest.bin" and "memtest.efi" */
};

/* Room for any menu: two of the longest command lines, each byte quoted by four. */
enum { MENU_MAX = 2 * 4 * CMDLINE_MAX + 4096 };

/* Each returns the length of the text, or 0 when `size` is too small. */
size_t menu_pxelinux(const struct menu *m, char *out, size_t size);
size_t menu_ipxe(const struct menu *m, char *out, size_t size);
size_t menu_grub(const struct menu *m, char *out, size_t size);
size_t menu_extlinux(const struct menu *m, char *out, size_t size);
enum { MENU_UBOOT_TEXT = 72 }; /* bytes of an image's header before it */
size_t menu_uboot(const struct menu *m, char *out, size_t size);
size_t menu_rpi_config(const struct menu *m, char *out, size_t size);
size_t menu_rpi_cmdline(const struct menu *m, char *out, size_t size);

/* "ttyS1,9600n8" is line 1 at 9600 baud.  False when it is no ttyS. */
bool menu_serial(const char *console, unsigned int *line, unsigned int *baud);

#endif

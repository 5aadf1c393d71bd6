/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What one host boots, whole: its kernel and initrd found in its view, its
 * settings read, its command line built.  Menus are rendered from it, the kernel
 * is opened by it, `boot plan` prints it.
 */
#ifndef TFTP_OFFER_H
#define TFTP_OFFER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/inventory.h"
#include "common/why.h"
#include "fsd/view.h"
#include "tftp/bootfiles.h"
#include "tftp/cmdline.h"
#include "tftp/name.h"

struct offer_ask {
	const struct inventory *inventory;
	const struct host *host;
	const struct view *view;
	uint32_t version;
	enum root_mode mode;   /* that a boot pinned; NONE: by the settings */
	uint32_t server;       /* where NFS answers */
	const struct mac *mac; /* of the card that boots; NULL: not known */
	bool memtest;	       /* a memory test is among the loaders */
	bool maintenance;      /* `view` is of the maintenance image, which has its own kernel */
};

/* Below this the kernel, the initrd and the NFS root of the maintenance image are. */
#define OFFER_MAINTENANCE "maintenance"

/* The image's own config.txt goes by this name: config.txt is rendered. */
#define OFFER_RPI_CONFIG "config-image.txt"

struct offer {
	const struct host *host; /* borrowed from the inventory */
	char image[80];		 /* "debian@3" */
	struct boot_files files;
	char cmdline[CMDLINE_MAX];	   /* as pxelinux appends BOOTIF by itself */
	char cmdline_boot_if[CMDLINE_MAX]; /* with BOOTIF where the MAC is known */
	const char *console;		   /* borrowed; NULL: not set */
	bool addition;			   /* the initrd gets tftp/addition.h's behind it */
	bool memtest;
	bool ask;
	unsigned int wait_secs;
	struct offer *maintenance; /* the maker's; NULL: none */
};

/* Returns 0; BOOT_NONE or another code with words in `why`; or a negative errno. */
int offer_make(const struct offer_ask *ask, struct offer *out, struct why *why);

/* Render the menu that `kind` asks for.  Returns 0 with *text (malloc'd, the
 * caller's) and *len, or a negative errno. */
int offer_render(const struct offer *offer, enum tftp_kind kind, char **text, size_t *len);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Names as clients write them, made into paths of the served tree.  Nothing is
 * decoded: a percent sign is a percent sign.
 */
#ifndef TFTP_NAME_H
#define TFTP_NAME_H

#include <stddef.h>

#include "common/mac.h"

enum { TFTP_NAME_MAX = 512 }; /* with its end */

/* "\Boot\x", "//a/./b" and "/a" are "Boot/x", "a/b" and "a".
 * Returns 0, or -EINVAL with what is wrong with it in *what: empty, too long, a
 * control character, "..". */
int tftp_name_clean(const char *name, size_t len, char out[static TFTP_NAME_MAX],
		    const char **what);

/* What a clean name asks for. */
enum tftp_kind {
	TFTP_KIND_FILE,	    /* a loader, or a file of the view */
	TFTP_KIND_PXELINUX, /* pxelinux.cfg/ANY; *mac is set when the name holds one */
	TFTP_KIND_EXTLINUX, /* extlinux/extlinux.conf */
	TFTP_KIND_UBOOT,    /* boot.scr.uimg */
	TFTP_KIND_IPXE,	    /* boot.ipxe, autoexec.ipxe */
	TFTP_KIND_GRUB,	    /* grub.cfg, grub.cfg-01-MAC and so on */
	TFTP_KIND_RPI_CONFIG,
	TFTP_KIND_RPI_CMDLINE,
	TFTP_KIND_KERNEL,
	TFTP_KIND_INITRD
};

enum tftp_kind tftp_name_kind(const char *name, struct mac *mac, bool *has_mac);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What kind of client asks, told from its packet by one table; each row names the
 * program that forced it.  A row decides the stage of the boot, which loader is
 * named, and which of the two consistent sets of PXE options goes with it.
 */
#ifndef DHCP_CLASS_H
#define DHCP_CLASS_H

#include "dhcp/message.h"

/* Which entry of the configuration names the loader. */
enum dhcp_firmware {
	FIRMWARE_NONE, /* wants an address alone */
	FIRMWARE_BIOS,
	FIRMWARE_IA32,
	FIRMWARE_X64,
	FIRMWARE_ARM32,
	FIRMWARE_ARM64,
	FIRMWARE_IPXE_BIOS, /* iPXE that came from a BIOS ROM or is one */
	FIRMWARE_IPXE_UEFI,
	FIRMWARE_UBOOT,
	FIRMWARE_OTHER, /* a PXE ROM of another architecture */
	FIRMWARE_KINDS
};

enum dhcp_stage {
	STAGE_ROM,    /* the first program after power-on: opens a boot */
	STAGE_LOADER, /* iPXE: the ROM itself, or what the ROM loaded */
	STAGE_KERNEL, /* ip=dhcp: a kernel has just started */
	STAGE_INITRD, /* likewise, its initrd */
	STAGE_OS      /* anything else */
};

enum dhcp_menu {
	MENU_NONE, /* no 60, no 43: siaddr and file alone */
	MENU_RPI   /* 60 and 43 with the menu entry that the Pi's ROM looks for */
};

struct dhcp_class {
	const char *name;
	enum dhcp_stage stage;
	enum dhcp_firmware firmware;
	enum dhcp_menu menu;
	bool ipxe;	     /* understands option 175 */
	bool offer_is_final; /* never REQUESTs: the lease is committed with the OFFER */
	const char *refusal; /* why it is not served unless a loader is named for it */
};

/* Never NULL: the last row takes everybody. */
const struct dhcp_class *dhcp_class_of(const struct dhcp_message *m);

/* Option 93, or -1 where it did not come. */
int dhcp_class_arch(const struct dhcp_message *m);
const char *dhcp_stage_word(enum dhcp_stage stage);

#endif

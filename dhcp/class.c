/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dhcp/class.h"

#include "common/cleanup.h"

enum { ARCH_ANY = -2, ARCH_NONE = -1 };

struct row {
	/* What must hold; empty fields ask nothing.  The first row that fits wins. */
	int arch;	    /* option 93 */
	const char *vendor; /* option 60 starts with it */
	bool (*also)(const struct dhcp_message *m);
	struct dhcp_class class;
};

static bool option_starts(struct bytes option, const char *text)
{
	size_t len = strlen(text);

	return option.len >= len && !memcmp(option.at, text, len);
}

/* Option 77 is raw "iPXE", not length-prefixed; some builds leave it out and show
 * themselves by the encapsulated option 175 alone. */
static bool is_ipxe(const struct dhcp_message *m)
{
	struct bytes user = m->option[OPTION_USER_CLASS];

	return option_starts(user, "iPXE") || option_starts(user, "\4iPXE") ||
	       option_starts(user, "gPXE") || m->option[OPTION_IPXE].at;
}

static bool is_rpi_4_or_5(const struct dhcp_message *m)
{
	struct bytes uuid = m->option[OPTION_UUID];

	/* A type byte, then the FourCC. */
	return uuid.len >= 5 &&
	       (!memcmp(uuid.at + 1, "RPi4", 4) || !memcmp(uuid.at + 1, "RPi5", 4));
}

static bool is_rpi_3(const struct dhcp_message *m)
{
	return m->mac.octet[0] == 0xb8 && m->mac.octet[1] == 0x27 && m->mac.octet[2] == 0xeb;
}

/* net/ipv4/ipconfig.c names itself only by what it asks; 42 came with 4.19. */
static bool is_kernel(const struct dhcp_message *m)
{
	static const uint8_t asks[] = {1, 3, 6, 12, 15, 17, 26, 40, 42};
	struct bytes asked = m->option[OPTION_PARAMETERS];

	return (asked.len == sizeof(asks) || asked.len == sizeof(asks) - 1) &&
	       !memcmp(asked.at, asks, asked.len) && !m->option[OPTION_CLASS_ID].len;
}

/* net/bootp.c of GRUB 2: a DISCOVER of nothing but its type, a REQUEST with this. */
static bool is_grub(const struct dhcp_message *m)
{
	static const uint8_t asks[] = {1, 3, 6, 15, 12, 17, 18};
	static const uint8_t absent[] = {OPTION_CLASS_ID, OPTION_CLIENT_ID, OPTION_HOSTNAME,
					 OPTION_ARCH, OPTION_MAX_SIZE};
	struct bytes asked = m->option[OPTION_PARAMETERS];

	for (unsigned int i = 0; i < ARRAY_SIZE(absent); i++)
		if (m->option[absent[i]].at)
			return false;
	if (m->type == DHCP_DISCOVER)
		return !asked.at && !m->option[OPTION_REQUESTED_ADDRESS].at;
	return asked.len == sizeof(asks) && !memcmp(asked.at, asks, sizeof(asks));
}

static const char pxe[] = "PXEClient";
static const char no_http[] = "UEFI HTTP boot is not served; choose PXE (IPv4) in the firmware";
static const char no_loader[] = "no loader is known for this architecture";

#define CLASS(name_, stage_, ...)                                                                  \
	{                                                                                          \
		.name = name_, .stage = stage_, __VA_ARGS__                                        \
	}

static const struct row rows[] = {
	/* iPXE: in a network card, in QEMU, or loaded by any ROM below. */
	{6, NULL, is_ipxe,
	 CLASS("ipxe", STAGE_LOADER, .firmware = FIRMWARE_IPXE_UEFI, .ipxe = true)},
	{7, NULL, is_ipxe,
	 CLASS("ipxe", STAGE_LOADER, .firmware = FIRMWARE_IPXE_UEFI, .ipxe = true)},
	{9, NULL, is_ipxe,
	 CLASS("ipxe", STAGE_LOADER, .firmware = FIRMWARE_IPXE_UEFI, .ipxe = true)},
	{10, NULL, is_ipxe,
	 CLASS("ipxe", STAGE_LOADER, .firmware = FIRMWARE_IPXE_UEFI, .ipxe = true)},
	{11, NULL, is_ipxe,
	 CLASS("ipxe", STAGE_LOADER, .firmware = FIRMWARE_IPXE_UEFI, .ipxe = true)},
	{ARCH_ANY, NULL, is_ipxe,
	 CLASS("ipxe", STAGE_LOADER, .firmware = FIRMWARE_IPXE_BIOS, .ipxe = true)},

	/* EDK2's HTTP boot wants a URI and "HTTPClient" back. */
	{ARCH_ANY, "HTTPClient", NULL, CLASS("uefi-http", STAGE_ROM, .refusal = no_http)},
	{15, NULL, NULL, CLASS("uefi-http", STAGE_ROM, .refusal = no_http)},
	{16, NULL, NULL, CLASS("uefi-http", STAGE_ROM, .refusal = no_http)},
	{19, NULL, NULL, CLASS("uefi-http", STAGE_ROM, .refusal = no_http)},

	/* Raspberry Pi 4 and 5: arch 0 like a BIOS, told apart by the FourCC. */
	{ARCH_ANY, NULL, is_rpi_4_or_5, CLASS("rpi", STAGE_ROM, .menu = MENU_RPI)},
	/* Raspberry Pi 3's mask ROM takes the OFFER as final. */
	{0, pxe, is_rpi_3, CLASS("rpi3", STAGE_ROM, .menu = MENU_RPI, .offer_is_final = true)},

	/* U-Boot: ARM32, ARM64; old ones 0x100. */
	{0x15, NULL, NULL, CLASS("uboot", STAGE_ROM, .firmware = FIRMWARE_UBOOT)},
	{0x16, NULL, NULL, CLASS("uboot", STAGE_ROM, .firmware = FIRMWARE_UBOOT)},
	{0x100, NULL, NULL, CLASS("uboot", STAGE_ROM, .firmware = FIRMWARE_UBOOT)},
	{ARCH_ANY, "U-Boot", NULL, CLASS("uboot", STAGE_ROM, .firmware = FIRMWARE_UBOOT)},

	/* EDK2 and its descendants; 9 is what RFC 4578 calls EBC and all use for x64. */
	{6, pxe, NULL, CLASS("uefi-ia32", STAGE_ROM, .firmware = FIRMWARE_IA32)},
	{7, pxe, NULL, CLASS("uefi-x64", STAGE_ROM, .firmware = FIRMWARE_X64)},
	{9, pxe, NULL, CLASS("uefi-x64", STAGE_ROM, .firmware = FIRMWARE_X64)},
	{10, pxe, NULL, CLASS("uefi-arm32", STAGE_ROM, .firmware = FIRMWARE_ARM32)},
	{11, pxe, NULL, CLASS("uefi-arm64", STAGE_ROM, .firmware = FIRMWARE_ARM64)},

	/* PXE 2.1 on a BIOS; the oldest leave 93 out. */
	{0, pxe, NULL, CLASS("bios", STAGE_ROM, .firmware = FIRMWARE_BIOS)},
	{ARCH_NONE, pxe, NULL, CLASS("bios", STAGE_ROM, .firmware = FIRMWARE_BIOS)},
	{ARCH_ANY, pxe, NULL,
	 CLASS("pxe", STAGE_ROM, .firmware = FIRMWARE_OTHER, .refusal = no_loader)},

	/* GRUB's net_dhcp; most often it takes the ROM's address instead. */
	{ARCH_ANY, NULL, is_grub, CLASS("grub", STAGE_LOADER)},

	/* initramfs-tools: klibc's ipconfig. */
	{ARCH_ANY, "Linux ipconfig", NULL, CLASS("klibc", STAGE_INITRD)},
	/* nfsroot without an initrd. */
	{ARCH_ANY, NULL, is_kernel, CLASS("kernel", STAGE_KERNEL)},
	{ARCH_ANY, NULL, NULL, CLASS("other", STAGE_OS)},
};

int dhcp_class_arch(const struct dhcp_message *m)
{
	/* A list of 16-bit numbers; the first is the one that runs. */
	struct bytes o = m->option[OPTION_ARCH];

	return o.len >= 2 ? o.at[0] << 8 | o.at[1] : ARCH_NONE;
}

const struct dhcp_class *dhcp_class_of(const struct dhcp_message *m)
{
	int arch = dhcp_class_arch(m);
	const struct row *row = rows;

	for (;; row++) {
		if (row->arch != ARCH_ANY && row->arch != arch)
			continue;
		if (row->vendor && !option_starts(m->option[OPTION_CLASS_ID], row->vendor))
			continue;
		if (row->also && !row->also(m))
			continue;
		return &row->class;
	}
}

const char *dhcp_stage_word(enum dhcp_stage stage)
{
	static const char *const word[] = {
		[STAGE_ROM] = "rom",	   [STAGE_LOADER] = "loader", [STAGE_KERNEL] = "kernel",
		[STAGE_INITRD] = "initrd", [STAGE_OS] = "os",
	};

	return (unsigned int)stage < ARRAY_SIZE(word) ? word[stage] : "other";
}

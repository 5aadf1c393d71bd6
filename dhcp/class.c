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

#define UEFI(arch_, name_, firmware_)                                                              \
	{                                                                                          \
		.arch = (arch_), .vendor = "PXEClient", .class = {                                 \
			.name = (name_),                                                           \
			.stage = STAGE_ROM,                                                        \
			.firmware = (firmware_)                                                    \
		}                                                                                  \
	}
#define HTTP(arch_)                                                                                \
	{                                                                                          \
		.arch = (arch_), .class = {                                                        \
			.name = "uefi-http",                                                       \
			.stage = STAGE_ROM,                                                        \
			.refusal = "UEFI HTTP boot is not served; choose PXE "                     \
				   "(IPv4) in the firmware"                                        \
		}                                                                                  \
	}
#define IPXE_UEFI(arch_)                                                                           \
	{                                                                                          \
		.arch = (arch_), .also = is_ipxe, .class = {                                       \
			.name = "ipxe",                                                            \
			.stage = STAGE_LOADER,                                                     \
			.firmware = FIRMWARE_IPXE_UEFI                                             \
		}                                                                                  \
	}

static const struct row rows[] = {
	/* iPXE: in a network card, in QEMU, or loaded by any ROM below. */
	IPXE_UEFI(6),
	IPXE_UEFI(7),
	IPXE_UEFI(9),
	IPXE_UEFI(10),
	IPXE_UEFI(11),
	{.arch = ARCH_ANY,
	 .also = is_ipxe,
	 .class = {.name = "ipxe", .stage = STAGE_LOADER, .firmware = FIRMWARE_IPXE_BIOS}},
	/* EDK2's HTTP boot wants a URI and "HTTPClient" back. */
	{.arch = ARCH_ANY,
	 .vendor = "HTTPClient",
	 .class = {.name = "uefi-http",
		   .stage = STAGE_ROM,
		   .refusal = "UEFI HTTP boot is not served; choose PXE (IPv4) in the firmware"}},
	HTTP(15),
	HTTP(16),
	HTTP(19),
	/* Raspberry Pi 4 and 5: arch 0 like a BIOS, told apart by the FourCC. */
	{.arch = ARCH_ANY,
	 .also = is_rpi_4_or_5,
	 .class = {.name = "rpi", .stage = STAGE_ROM, .menu = MENU_RPI}},
	/* Raspberry Pi 3's mask ROM: takes the OFFER as final. */
	{.arch = 0,
	 .vendor = "PXEClient",
	 .also = is_rpi_3,
	 .class = {.name = "rpi3", .stage = STAGE_ROM, .menu = MENU_RPI, .offer_is_final = true}},
	/* U-Boot: 0x15 (ARM32), 0x16 (ARM64); old ones 0x100. */
	{.arch = 0x15, .class = {.name = "uboot", .stage = STAGE_ROM, .firmware = FIRMWARE_UBOOT}},
	{.arch = 0x16, .class = {.name = "uboot", .stage = STAGE_ROM, .firmware = FIRMWARE_UBOOT}},
	{.arch = 0x100, .class = {.name = "uboot", .stage = STAGE_ROM, .firmware = FIRMWARE_UBOOT}},
	{.arch = ARCH_ANY,
	 .vendor = "U-Boot",
	 .class = {.name = "uboot", .stage = STAGE_ROM, .firmware = FIRMWARE_UBOOT}},
	/* EDK2 and its descendants; 9 is what RFC 4578 calls EBC and all use for x64. */
	UEFI(6, "uefi-ia32", FIRMWARE_IA32),
	UEFI(7, "uefi-x64", FIRMWARE_X64),
	UEFI(9, "uefi-x64", FIRMWARE_X64),
	UEFI(10, "uefi-arm32", FIRMWARE_ARM32),
	UEFI(11, "uefi-arm64", FIRMWARE_ARM64),
	/* PXE 2.1 on a BIOS; the oldest leave 93 out. */
	{.arch = 0,
	 .vendor = "PXEClient",
	 .class = {.name = "bios", .stage = STAGE_ROM, .firmware = FIRMWARE_BIOS}},
	{.arch = ARCH_NONE,
	 .vendor = "PXEClient",
	 .class = {.name = "bios", .stage = STAGE_ROM, .firmware = FIRMWARE_BIOS}},
	{.arch = ARCH_ANY,
	 .vendor = "PXEClient",
	 .class = {.name = "pxe",
		   .stage = STAGE_ROM,
		   .refusal = "no loader is known for this architecture"}},
	/* initramfs-tools: klibc's ipconfig. */
	{.arch = ARCH_ANY,
	 .vendor = "Linux ipconfig",
	 .class = {.name = "klibc", .stage = STAGE_INITRD}},
	/* nfsroot without an initrd. */
	{.arch = ARCH_ANY, .also = is_kernel, .class = {.name = "kernel", .stage = STAGE_KERNEL}},
	{.arch = ARCH_ANY, .class = {.name = "other", .stage = STAGE_OS}},
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

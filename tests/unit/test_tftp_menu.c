/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

#include <zlib.h>

#include "common/bytes.h"
#include "tftp/menu.h"

static const struct menu plain = {
	.host = "h7",
	.own = {"debian@3", "kernel", "initrd", "root=/dev/nfs ip=dhcp"},
	.wait_secs = 10,
};

static char out[MENU_MAX];

static void pxelinux_boots_at_once(void **state)
{
	size_t len = menu_pxelinux(&plain, out, sizeof(out));

	(void)state;
	assert_int_equal(len, strlen(out));
	assert_string_equal(out, "# h7, debian@3\nPROMPT 0\nTIMEOUT 1\nDEFAULT rootstock\n"
				 "LABEL rootstock\n  MENU LABEL h7 (debian@3)\n  KERNEL kernel\n"
				 "  INITRD initrd\n  APPEND root=/dev/nfs ip=dhcp\n  IPAPPEND 2\n");
}

static void pxelinux_asks_where_a_host_wants_it(void **state)
{
	struct menu m = plain;

	(void)state;
	m.ask = m.memtest = true;
	m.own.initrd = NULL;
	m.console = "tty0 ttyS1,115200n8";
	menu_pxelinux(&m, out, sizeof(out));
	assert_int_equal(strncmp(out, "SERIAL 1 115200\n", 16), 0);
	assert_non_null(strstr(out, "UI menu.c32\n"));
	assert_non_null(strstr(out, "TIMEOUT 100\n"));
	assert_non_null(strstr(out, "LOCALBOOT 0\n"));
	assert_non_null(strstr(out, "KERNEL memtest.bin\n"));
	assert_null(strstr(out, "INITRD"));
}

static void ipxe_names_the_initrd_to_efi_kernels(void **state)
{
	(void)state;
	menu_ipxe(&plain, out, sizeof(out));
	assert_int_equal(strncmp(out, "#!ipxe\n", 7), 0);
	assert_non_null(strstr(out, "kernel --name kernel kernel initrd=initrd root=/dev/nfs "
				    "ip=dhcp BOOTIF=01-${netX/mac:hexhyp} || goto again_rootstock\n"
				    "initrd --name initrd initrd || goto again_rootstock\nboot"));
}

static void grub_reads_words_of_meaning_quoted(void **state)
{
	struct menu m = plain;

	(void)state;
	m.own.cmdline = "a=b x=$y;reboot it's {}";
	m.console = "ttyS0,115200";
	menu_grub(&m, out, sizeof(out));
	assert_non_null(strstr(out, "\tlinux /kernel a=b 'x=$y;reboot' 'it'\\''s' '{}'\n"
				    "\tinitrd /initrd\n}\n"));
	assert_non_null(strstr(out, "= pc ]; then\n\tserial --unit=0 --speed=115200\n"));
	assert_non_null(strstr(out, "set timeout=0\nset timeout_style=hidden\n"));
}

static const struct menu_entry rescue = {"rescue@2", "maintenance/kernel", "maintenance/initrd",
					 "nfsroot=10.0.0.1:/maintenance"};

/* In every loader's menu, once a host asks for one, and after its own image. */
static void a_maintenance_image_is_an_entry(void **state)
{
	static const struct {
		size_t (*render)(const struct menu *m, char *text, size_t size);
		const char *expected;
	} menus[] = {
		{menu_pxelinux, "LABEL maintenance\n  MENU LABEL Maintenance (rescue@2)\n"
				"  KERNEL maintenance/kernel\n  INITRD maintenance/initrd\n"
				"  APPEND nfsroot=10.0.0.1:/maintenance\n  IPAPPEND 2\n"},
		{menu_extlinux, "LABEL maintenance\n  MENU LABEL Maintenance (rescue@2)\n"
				"  KERNEL maintenance/kernel\n  INITRD maintenance/initrd\n"
				"  APPEND nfsroot=10.0.0.1:/maintenance\n"},
		{menu_grub, "menuentry 'Maintenance (rescue@2)' --id maintenance {\n"
			    "\techo 'Loading rescue@2 ...'\n"
			    "\tlinux /maintenance/kernel nfsroot=10.0.0.1:/maintenance\n"
			    "\tinitrd /maintenance/initrd\n}\n"},
		{menu_ipxe, ":maintenance\nimgfree\nkernel --name kernel maintenance/kernel "
			    "initrd=initrd nfsroot=10.0.0.1:/maintenance "},
	};
	struct menu m = plain;

	(void)state;
	m.maintenance = &rescue;
	for (size_t i = 0; i < ARRAY_SIZE(menus); i++) {
		m.ask = false;
		assert_true(menus[i].render(&m, out, sizeof(out)) > 0);
		assert_null(strstr(out, "rescue"));
		m.ask = true;
		assert_true(menus[i].render(&m, out, sizeof(out)) > 0);
		assert_non_null(strstr(out, menus[i].expected));
	}
	assert_non_null(strstr(out, "item maintenance Maintenance (rescue@2)\n"));
	assert_non_null(strstr(out, "--default rootstock "));
}

static void u_boot_is_told_where_device_trees_are(void **state)
{
	struct menu m = plain;

	(void)state;
	m.fdtdir = "usr/lib/linux-image-6.1.0-18-arm64";
	menu_extlinux(&m, out, sizeof(out));
	assert_non_null(strstr(out, "  FDTDIR usr/lib/linux-image-6.1.0-18-arm64\n"));
	assert_null(strstr(out, "IPAPPEND"));
}

/* As include/image.h of U-Boot has it; mkimage -l reads it too. */
static void u_boots_script_is_an_image(void **state)
{
	static const char text[] = "# h7, debian@3\nif pxe get; then pxe boot; fi\n";
	size_t len = menu_uboot(&plain, out, sizeof(out));
	struct cursor c = cursor_of(out, len);
	uint32_t header_sum;
	uint32_t data_sum;

	(void)state;
	assert_int_equal(len, 72 + strlen(text));
	assert_int_equal(cursor_be32(&c), 0x27051956);
	header_sum = cursor_be32(&c);
	cursor_skip(&c, 4);
	assert_int_equal(cursor_be32(&c), 8 + strlen(text));
	cursor_skip(&c, 8);
	data_sum = cursor_be32(&c);
	assert_int_equal(cursor_be32(&c), 0x05020600);
	assert_int_equal(data_sum, crc32(0, (const uint8_t *)out + 64, (unsigned int)len - 64));
	assert_memory_equal(out + 64, "\0\0\0\x2d\0\0\0\0# h7", 12);
	assert_memory_equal(out + MENU_UBOOT_TEXT, text, strlen(text));
	memset(out + 4, 0, 4);
	assert_int_equal(header_sum, crc32(0, (const uint8_t *)out, 64));
	for (size_t size = 0; size < len; size++)
		assert_int_equal(menu_uboot(&plain, out, size), 0);
}

static void a_pi_keeps_its_own_kernel_and_settings(void **state)
{
	struct menu m = plain;

	(void)state;
	menu_rpi_config(&m, out, sizeof(out));
	assert_string_equal(out, "# h7, debian@3\n[all]\ncmdline=cmdline.txt\narm_64bit=1\n"
				 "kernel=kernel\ninitramfs initrd followkernel\n");
	m.rpi_kernel = true;
	m.rpi_config = "config-image.txt";
	menu_rpi_config(&m, out, sizeof(out));
	assert_string_equal(out, "# h7, debian@3\ninclude config-image.txt\n[all]\n"
				 "cmdline=cmdline.txt\nauto_initramfs=1\n");
	menu_rpi_cmdline(&m, out, sizeof(out));
	assert_string_equal(out, "root=/dev/nfs ip=dhcp\n");
}

static void a_menu_that_does_not_fit_is_none(void **state)
{
	(void)state;
	for (size_t size = 0; size < 100; size++) {
		assert_int_equal(menu_pxelinux(&plain, out, size), 0);
		assert_int_equal(menu_ipxe(&plain, out, size), 0);
		assert_int_equal(menu_grub(&plain, out, size), 0);
	}
}

static void two_of_the_longest_command_lines_fit(void **state)
{
	static char cmdline[CMDLINE_MAX];
	struct menu_entry other = {"other@1", "maintenance/kernel", "maintenance/initrd", cmdline};
	struct menu m = plain;

	(void)state;
	memset(cmdline, '\'', sizeof(cmdline) - 1);
	m.own.cmdline = cmdline;
	m.maintenance = &other;
	m.console = "tty0 ttyS1,115200n8";
	m.ask = m.memtest = true;
	assert_in_range(menu_grub(&m, out, sizeof(out)), 2 * 4 * (CMDLINE_MAX - 1), MENU_MAX);
	assert_in_range(menu_pxelinux(&m, out, sizeof(out)), 2 * (CMDLINE_MAX - 1), MENU_MAX);
	assert_in_range(menu_ipxe(&m, out, sizeof(out)), 2 * (CMDLINE_MAX - 1), MENU_MAX);
	assert_in_range(menu_extlinux(&m, out, sizeof(out)), 2 * (CMDLINE_MAX - 1), MENU_MAX);
	assert_in_range(menu_rpi_cmdline(&m, out, sizeof(out)), CMDLINE_MAX - 1, MENU_MAX);
}

static void only_a_serial_console_is_a_serial_line(void **state)
{
	unsigned int line;
	unsigned int baud;

	(void)state;
	assert_true(menu_serial("ttyS0", &line, &baud));
	assert_int_equal(baud, 9600);
	assert_false(menu_serial("ttyAMA0,115200", &line, &baud));
	assert_false(menu_serial(NULL, &line, &baud));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pxelinux_boots_at_once),
		cmocka_unit_test(pxelinux_asks_where_a_host_wants_it),
		cmocka_unit_test(ipxe_names_the_initrd_to_efi_kernels),
		cmocka_unit_test(grub_reads_words_of_meaning_quoted),
		cmocka_unit_test(a_maintenance_image_is_an_entry),
		cmocka_unit_test(u_boot_is_told_where_device_trees_are),
		cmocka_unit_test(u_boots_script_is_an_image),
		cmocka_unit_test(a_pi_keeps_its_own_kernel_and_settings),
		cmocka_unit_test(a_menu_that_does_not_fit_is_none),
		cmocka_unit_test(two_of_the_longest_command_lines_fit),
		cmocka_unit_test(only_a_serial_console_is_a_serial_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

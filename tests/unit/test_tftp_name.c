/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

#include "tftp/name.h"

static const char *clean(const char *name)
{
	static char out[TFTP_NAME_MAX];
	const char *what;

	return tftp_name_clean(name, strlen(name), out, &what) ? NULL : out;
}

static void slashes_of_either_kind_lead_to_the_same_name(void **state)
{
	(void)state;
	assert_string_equal(clean("pxelinux.0"), "pxelinux.0");
	assert_string_equal(clean("/pxelinux.0"), "pxelinux.0");
	assert_string_equal(clean("\\Boot\\x"), "Boot/x");
	assert_string_equal(clean("//a/./b//c/"), "a/b/c");
	assert_string_equal(clean("a/..b/...c"), "a/..b/...c");
	assert_string_equal(clean("%2e%2e/x"), "%2e%2e/x"); /* nothing is decoded */
}

static void names_that_lead_out_are_refused(void **state)
{
	(void)state;
	assert_null(clean(".."));
	assert_null(clean("../etc/shadow"));
	assert_null(clean("a/../../b"));
	assert_null(clean("a\\..\\b"));
	assert_null(clean("/.."));
	assert_null(clean("a/.."));
	assert_null(clean(""));
	assert_null(clean("/"));
	assert_null(clean("./"));
	assert_null(clean("a\nb"));
	assert_null(clean("a\033[2Jb"));
	assert_null(clean("a\177b"));
}

static void a_name_too_long_is_refused(void **state)
{
	char name[TFTP_NAME_MAX + 1];
	char out[TFTP_NAME_MAX];
	const char *what;

	(void)state;
	memset(name, 'a', sizeof(name));
	assert_int_equal(tftp_name_clean(name, TFTP_NAME_MAX - 1, out, &what), 0);
	assert_int_equal(strlen(out), TFTP_NAME_MAX - 1);
	assert_int_equal(tftp_name_clean(name, TFTP_NAME_MAX, out, &what), -EINVAL);
	assert_string_equal(what, "name too long");
}

static void kinds_are_known_by_the_names_that_clients_ask(void **state)
{
	static const struct {
		const char *name;
		enum tftp_kind kind;
	} cases[] = {
		{"pxelinux.0", TFTP_KIND_FILE},
		{"kernel", TFTP_KIND_KERNEL},
		{"initrd", TFTP_KIND_INITRD},
		{"initrd.img", TFTP_KIND_FILE},
		{"pxelinux.cfg/default", TFTP_KIND_PXELINUX},
		{"pxelinux.cfg/0A000007", TFTP_KIND_PXELINUX},
		{"pxelinux.cfg/44454c4c-5900-1031-8033-b8c04f533532", TFTP_KIND_PXELINUX},
		{"xpxelinux.cfg/default", TFTP_KIND_FILE},
		{"extlinux/extlinux.conf", TFTP_KIND_EXTLINUX},
		{"boot.ipxe", TFTP_KIND_IPXE},
		{"boot.scr.uimg", TFTP_KIND_UBOOT},
		{"autoexec.ipxe", TFTP_KIND_IPXE},
		{"grub/grub.cfg", TFTP_KIND_GRUB},
		{"boot/grub/grub.cfg", TFTP_KIND_GRUB},
		{"grub/grub.cfg-0A000007", TFTP_KIND_GRUB},
		{"grub/x86_64-efi/command.lst", TFTP_KIND_FILE},
		{"config.txt", TFTP_KIND_RPI_CONFIG},
		{"1234abcd/cmdline.txt", TFTP_KIND_RPI_CMDLINE},
	};
	struct mac mac;
	bool has_mac;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(tftp_name_kind(cases[i].name, &mac, &has_mac), cases[i].kind);
		assert_false(has_mac);
	}
	assert_int_equal(tftp_name_kind("pxelinux.cfg/01-52-54-00-12-34-01", &mac, &has_mac),
			 TFTP_KIND_PXELINUX);
	assert_true(has_mac);
	assert_memory_equal(&mac, "\x52\x54\x00\x12\x34\x01", 6);
	tftp_name_kind("grub/grub.cfg-01-52-54-00-12-34-01", &mac, &has_mac);
	assert_true(has_mac);
	tftp_name_kind("pxelinux.cfg/01-ff-ff-ff-ff-ff-ff", &mac, &has_mac);
	assert_false(has_mac);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slashes_of_either_kind_lead_to_the_same_name),
		cmocka_unit_test(names_that_lead_out_are_refused),
		cmocka_unit_test(a_name_too_long_is_refused),
		cmocka_unit_test(kinds_are_known_by_the_names_that_clients_ask),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

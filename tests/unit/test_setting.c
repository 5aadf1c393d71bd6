/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

#include "common/inventory.h"
#include "common/setting.h"

static void every_setting_takes_what_it_may_be(void **state)
{
	static const struct {
		const char *key;
		const char *value;
	} good[] = {
		{"mode", "tmpfs"},
		{"mode", "overlay"},
		{"console", "ttyS0,115200"},
		{"console", "tty0 ttyS0,115200n8 uart8250,io,0x3f8,9600n8"},
		{"cmdline", "quiet splash module.key=\"a b\" -- \xc3\xbc"},
		{"kernel", "/boot/vmlinuz-6.1.0-18-amd64"},
		{"initrd", "/boot/initrd.img"},
		{"initrd", "none"},
		{"dialect", "live"},
		{"init", "/sbin/init"},
		{"loader", "grubnetx64.efi"},
		{"loader", "efi/snponly.efi"},
		{"menu", "yes"},
		{"menu", "no"},
		{"menu_secs", "0"},
		{"menu_secs", "3600"},
		{"attr_secs", "86400"},
		{"maintenance", "rescue@2"},
		{"option-150", "ip:10.0.0.1"},
		{"option-12", "plain words"},
		{"anything", "menu=maybe\n"},
	};
	struct why why = {""};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		if (setting_check_value(good[i].key, good[i].value, &why))
			fail_msg("%s", why.text);
}

static void whatever_else_is_refused_by_name(void **state)
{
	static const struct {
		const char *key;
		const char *value;
		const char *allowed; /* as the words end */
	} bad[] = {
		{"mode", "ramdisk", "not one of tmpfs, overlay"},
		{"console", "ttyS0;reboot", "(tty0 ttyS0,115200)"},
		{"cmdline", "quiet\nsplash", "in one line"},
		{"kernel", "boot/vmlinuz", "not an absolute path of at most 255 bytes"},
		{"kernel", "none", "not an absolute path of at most 255 bytes"},
		{"initrd", "nothing", ", or none"},
		{"dialect", "casper", "not one of kernel, klibc, dracut, mkinitcpio, live"},
		{"init", "sbin/init", "without spaces"},
		{"init", "/sbin/init 3", "without spaces"},
		{"loader", "a b.efi", "without spaces"},
		{"menu", "maybe", "not one of no, yes"},
		{"menu", "1", "not one of no, yes"},
		{"menu_secs", "3601", "not 0 to 3600 seconds"},
		{"menu_secs", "-1", "not 0 to 3600 seconds"},
		{"menu_secs", " 5", "not 0 to 3600 seconds"},
		{"menu_secs", "4294967296", "not 0 to 3600 seconds"},
		{"attr_secs", "1h", "not 0 to 86400 seconds"},
		{"option-150", "ip:10.0.0", "at most 255 bytes"},
		{"option-26", "u16:65536", "at most 255 bytes"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct why why = {""};
		char both[64];

		assert_int_equal(setting_check_value(bad[i].key, bad[i].value, &why), -EINVAL);
		snprintf(both, sizeof(both), "%s=%.4s", bad[i].key, bad[i].value);
		assert_memory_equal(why.text, both, strlen(both));
		if (!strstr(why.text, bad[i].allowed))
			fail_msg("'%s' does not say '%s'", why.text, bad[i].allowed);
	}
}

static void long_values_do_not_hide_what_is_allowed(void **state)
{
	struct why why = {""};
	char value[4000];

	(void)state;
	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	assert_int_equal(setting_check_value("cmdline", value, &why), -EINVAL);
	assert_non_null(strstr(why.text, "...: not words for a kernel, at most 2047 bytes"));
	why = (struct why){""};
	assert_int_equal(setting_check_value("option-150", value, &why), -EINVAL);
	assert_non_null(strstr(why.text, "...: not text, or"));
}

static void words_are_in_the_order_of_their_meaning(void **state)
{
	(void)state;
	assert_string_equal(root_mode_word(ROOT_MODE_TMPFS), "tmpfs");
	assert_string_equal(root_mode_word(ROOT_MODE_OVERLAY), "overlay");
	assert_null(root_mode_word(ROOT_MODE_NONE));
	assert_int_equal(root_mode_parse("overlay"), ROOT_MODE_OVERLAY);
	assert_int_equal(root_mode_parse("else"), ROOT_MODE_NONE);
	assert_int_equal(root_mode_parse(NULL), ROOT_MODE_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_setting_takes_what_it_may_be),
		cmocka_unit_test(whatever_else_is_refused_by_name),
		cmocka_unit_test(long_values_do_not_hide_what_is_allowed),
		cmocka_unit_test(words_are_in_the_order_of_their_meaning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

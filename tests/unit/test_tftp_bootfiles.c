/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

#include "tests/unit/test_tftp_fake.h"
#include "tftp/bootfiles.h"

static const struct boot_wish no_wish;

static struct boot_files found(const struct fake_file *files, size_t n,
			       const struct boot_wish *wish)
{
	struct view v = {files, (uint32_t)n};
	struct boot_files f;
	struct why why = {0};

	if (boot_files_find(&v, wish, &f, &why))
		fail_msg("%s", why.text);
	return f;
}

#define FOUND(table, wish) found(table, ARRAY_SIZE(table), wish)

static void versions_sort_as_packages_do(void **state)
{
	(void)state;
	assert_true(boot_version_cmp("6.1.0-9-amd64", "6.1.0-18-amd64") < 0);
	assert_true(boot_version_cmp("6.1.0-18-amd64", "6.1.0-18-amd64") == 0);
	assert_true(boot_version_cmp("6.10.1", "6.9.12") > 0);
	assert_true(boot_version_cmp("6.1~rc1", "6.1") < 0);
	assert_true(boot_version_cmp("6.1", "6.1.1") < 0);
	assert_true(boot_version_cmp("5.10.0", "5.010.0") == 0);
}

static void debian_boots_its_newest_kernel_with_its_own_initrd(void **state)
{
	static const struct fake_file files[] = {
		{"", D, NULL, false},
		{"boot", D, NULL, false},
		{"boot/vmlinuz-6.1.0-9-amd64", F, "k9", false},
		{"boot/initrd.img-6.1.0-9-amd64", F, "i9", false},
		{"boot/vmlinuz-6.1.0-18-amd64", F, "k18", false},
		{"boot/initrd.img-6.1.0-18-amd64", F, "i18", false},
		{"boot/vmlinuz-6.1.0-18-amd64.old", F, "x", false},
		{"etc", D, NULL, false},
		{"etc/initramfs-tools", D, NULL, false},
	};
	struct boot_files f = FOUND(files, &no_wish);

	(void)state;
	assert_string_equal(f.kernel_path, "/boot/vmlinuz-6.1.0-18-amd64");
	assert_string_equal(f.initrd_path, "/boot/initrd.img-6.1.0-18-amd64");
	assert_int_equal(f.dialect, BOOT_KLIBC);
}

static void the_distributions_own_link_comes_first(void **state)
{
	static const struct fake_file files[] = {
		{"", D, NULL, false},
		{"boot", D, NULL, false},
		{"boot/vmlinuz-6.1.0-9-amd64", F, "k9", false},
		{"boot/initrd.img-6.1.0-9-amd64", F, "i9", false},
		{"boot/vmlinuz-6.1.0-18-amd64", F, "k18", false},
		{"vmlinuz", L, "boot/vmlinuz-6.1.0-9-amd64", false},
		{"usr", D, NULL, false},
		{"usr/share", D, NULL, false},
		{"usr/share/initramfs-tools", D, NULL, false},
		{"usr/share/initramfs-tools/init", F, "#!", false},
	};
	struct boot_files f = FOUND(files, &no_wish);

	(void)state;
	assert_string_equal(f.kernel_path, "/boot/vmlinuz-6.1.0-9-amd64");
	assert_string_equal(f.initrd_path, "/boot/initrd.img-6.1.0-9-amd64");
}

static void a_gentoo_kernel_boots_alone(void **state)
{
	static const struct fake_file files[] = {
		{"", D, NULL, false},
		{"boot", D, NULL, false},
		{"boot/kernel-genkernel-x86_64-6.6.13-gentoo", F, "k", false},
		{"boot/initramfs-genkernel-x86_64-6.6.13-gentoo", F, "i", false},
	};
	static const struct fake_file seed[] = {
		{"", D, NULL, false},
		{"boot", D, NULL, false},
		{"boot/vmlinuz-2.6.24-gentoo-r8", F, "k", false},
	};
	struct boot_files f = FOUND(files, &no_wish);

	(void)state;
	assert_string_equal(f.kernel_path, "/boot/kernel-genkernel-x86_64-6.6.13-gentoo");
	assert_int_equal(f.initrd, 0);
	assert_int_equal(f.dialect, BOOT_KERNEL);
	f = FOUND(seed, &no_wish);
	assert_string_equal(f.kernel_path, "/boot/vmlinuz-2.6.24-gentoo-r8");
	assert_int_equal(f.dialect, BOOT_KERNEL);
}

static void dracut_and_arch_names_are_known(void **state)
{
	static const struct fake_file fedora[] = {
		{"", D, NULL, false},
		{"boot", D, NULL, false},
		{"boot/vmlinuz-6.7.4-200.fc39.x86_64", F, "k", false},
		{"boot/vmlinuz-0-rescue-abc", F, "k", false},
		{"boot/initramfs-6.7.4-200.fc39.x86_64.img", F, "i", false},
		{"usr", D, NULL, false},
		{"usr/lib", D, NULL, false},
		{"usr/lib/dracut", D, NULL, false},
	};
	static const struct fake_file arch[] = {
		{"", D, NULL, false},
		{"boot", D, NULL, false},
		{"boot/vmlinuz-linux", F, "k", false},
		{"boot/initramfs-linux.img", F, "i", false},
		{"usr", D, NULL, false},
		{"usr/lib", D, NULL, false},
		{"usr/lib/dracut", D, NULL, false},
	};
	struct boot_files f = FOUND(fedora, &no_wish);

	(void)state;
	assert_string_equal(f.kernel_path, "/boot/vmlinuz-6.7.4-200.fc39.x86_64");
	assert_string_equal(f.initrd_path, "/boot/initramfs-6.7.4-200.fc39.x86_64.img");
	assert_int_equal(f.dialect, BOOT_DRACUT);
	f = FOUND(arch, &no_wish);
	assert_string_equal(f.initrd_path, "/boot/initramfs-linux.img");
}

static void an_initrd_of_another_version_is_not_taken(void **state)
{
	static const struct fake_file files[] = {
		{"", D, NULL, false},
		{"boot", D, NULL, false},
		{"boot/vmlinuz-6.1.0-18-amd64", F, "k18", false},
		{"boot/initrd.img-6.1.0-9-amd64", F, "i9", false},
		{"boot/initrd.img", F, "i9", false},
		{"etc", D, NULL, false},
		{"etc/initramfs-tools", D, NULL, false},
	};
	struct boot_files f = FOUND(files, &no_wish);

	(void)state;
	assert_int_equal(f.initrd, 0);
	assert_int_equal(f.dialect, BOOT_KERNEL);
}

static void settings_override_what_is_found(void **state)
{
	static const struct fake_file files[] = {
		{"", D, NULL, false},
		{"boot", D, NULL, false},
		{"boot/vmlinuz-6.1.0-18-amd64", F, "k18", false},
		{"boot/initrd.img-6.1.0-18-amd64", F, "i18", false},
		{"boot/mine", F, "m", false},
		{"etc", D, NULL, false},
		{"etc/initramfs-tools", D, NULL, false},
	};
	struct boot_wish wish = {.kernel = "/boot/mine"};
	struct view v = FAKE_VIEW(files);
	struct boot_files f = FOUND(files, &wish);
	struct why why = {0};

	(void)state;
	assert_string_equal(f.kernel_path, "/boot/mine");
	assert_int_equal(f.initrd, 0);
	wish.initrd = "boot/initrd.img-6.1.0-18-amd64";
	f = FOUND(files, &wish);
	assert_string_equal(f.initrd_path, "/boot/initrd.img-6.1.0-18-amd64");
	assert_int_equal(f.dialect, BOOT_KLIBC);
	wish = (struct boot_wish){.initrd = "none"};
	f = FOUND(files, &wish);
	assert_int_equal(f.initrd, 0);
	assert_int_equal(f.dialect, BOOT_KERNEL);
	wish = (struct boot_wish){.kernel = "/boot/gone"};
	assert_int_equal(boot_files_find(&v, &wish, &f, &why), BOOT_NONE);
	assert_string_equal(why.text, "kernel=/boot/gone: no such file in its view");
	wish = (struct boot_wish){.dialect = "basic"};
	why = (struct why){0};
	assert_int_equal(boot_files_find(&v, &wish, &f, &why), BOOT_NONE);
}

static void what_dracut_replaced_is_not_believed(void **state)
{
	static const struct fake_file files[] = {
		{"", D, NULL, false},
		{"boot", D, NULL, false},
		{"boot/vmlinuz-6.1", F, "k", false},
		{"boot/initrd.img-6.1", F, "i", false},
		{"etc", D, NULL, false},
		{"etc/initramfs-tools", D, NULL, false},
		{"usr", D, NULL, false},
		{"usr/lib", D, NULL, false},
		{"usr/lib/dracut", D, NULL, false},
	};

	(void)state;
	assert_int_equal(FOUND(files, &no_wish).dialect, BOOT_DRACUT);
}

static void a_live_mediums_own_folder_is_looked_into(void **state)
{
	static const struct fake_file files[] = {
		{"", D, NULL, false},
		{"live", D, NULL, false},
		{"live/filesystem.squashfs", F, "hsqs", false},
		{"live/vmlinuz-6.1.0-18-amd64", F, "k18", false},
		{"live/initrd.img-6.1.0-18-amd64", F, "i18", false},
		{"live/initrd.img", F, "i", false},
	};
	struct boot_files f = FOUND(files, &no_wish);

	(void)state;
	assert_string_equal(f.kernel_path, "/live/vmlinuz-6.1.0-18-amd64");
	assert_string_equal(f.initrd_path, "/live/initrd.img-6.1.0-18-amd64");
	assert_int_equal(f.dialect, BOOT_LIVE);
}

static void mkinitcpio_is_known_by_its_net_hook(void **state)
{
	static const struct fake_file files[] = {
		{"", D, NULL, false},
		{"boot", D, NULL, false},
		{"boot/vmlinuz-linux", F, "k", false},
		{"boot/initramfs-linux.img", F, "i", false},
		{"usr", D, NULL, false},
		{"usr/lib", D, NULL, false},
		{"usr/lib/initcpio", D, NULL, false},
		{"usr/lib/initcpio/hooks", D, NULL, false},
		{"usr/lib/initcpio/hooks/net", F, "#", false},
	};
	struct boot_files f = FOUND(files, &no_wish);

	(void)state;
	assert_string_equal(f.initrd_path, "/boot/initramfs-linux.img");
	assert_int_equal(f.dialect, BOOT_MKINITCPIO);
}

static void a_view_without_a_kernel_says_where_it_looked(void **state)
{
	static const struct fake_file files[] = {{"", D, NULL, false}, {"boot", D, NULL, false}};
	struct view v = FAKE_VIEW(files);
	struct boot_files f;
	struct why why = {0};

	(void)state;
	assert_int_equal(boot_files_find(&v, &no_wish, &f, &why), BOOT_NONE);
	assert_non_null(strstr(why.text, "/boot/vmlinuz"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions_sort_as_packages_do),
		cmocka_unit_test(debian_boots_its_newest_kernel_with_its_own_initrd),
		cmocka_unit_test(the_distributions_own_link_comes_first),
		cmocka_unit_test(a_gentoo_kernel_boots_alone),
		cmocka_unit_test(dracut_and_arch_names_are_known),
		cmocka_unit_test(an_initrd_of_another_version_is_not_taken),
		cmocka_unit_test(settings_override_what_is_found),
		cmocka_unit_test(what_dracut_replaced_is_not_believed),
		cmocka_unit_test(a_live_mediums_own_folder_is_looked_into),
		cmocka_unit_test(mkinitcpio_is_known_by_its_net_hook),
		cmocka_unit_test(a_view_without_a_kernel_says_where_it_looked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

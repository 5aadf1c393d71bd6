/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

#include <sys/stat.h>

#include "tftp/loader.h"

static void put(const char *dir, const char *name, const char *text)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int size_of(const struct loaders *ls, const char *name, struct loader *loader)
{
	struct tftp_file *file;
	int r = loader_open(ls, name, loader, &file);

	if (r)
		return r == LOADER_NONE ? -1 : r;
	r = (int)file->size;
	tftp_file_close(file);
	return r;
}

static void a_folder_of_the_users_is_served_with_its_folders(void **state)
{
	const char *folders[] = {*state, NULL};
	cleanup(loaders_freep) struct loaders *ls = NULL;
	struct loader loader;
	char path[512];

	snprintf(path, sizeof(path), "%s/sub", (char *)*state);
	mkdir(path, 0755);
	put(*state, "sub/x", "12");
	put(*state, "bootx64.efi", "123");
	snprintf(path, sizeof(path), "%s/inside", (char *)*state);
	assert_int_equal(symlink("sub/x", path), 0);
	snprintf(path, sizeof(path), "%s/outside", (char *)*state);
	assert_int_equal(symlink("/etc/hostname", path), 0);
	assert_int_equal(loaders_new(folders, &ls, NULL), 0);
	assert_int_equal(size_of(ls, "sub/x", &loader), 2);
	assert_false(loader.first);
	assert_int_equal(size_of(ls, "inside", &loader), 2);
	assert_int_equal(size_of(ls, "bootx64.efi", &loader), 3);
	assert_true(loader.first);
	assert_int_equal(size_of(ls, "outside", &loader), -EACCES);
	assert_int_equal(size_of(ls, "sub", &loader), -EACCES);
	assert_int_equal(size_of(ls, "none", &loader), -1);
	assert_int_equal(size_of(ls, "sub/x/y", &loader), -1);
}

static void a_folder_that_is_not_there_is_named(void **state)
{
	const char *folders[] = {"/nonexistent/loaders", NULL};
	struct loaders *ls;
	struct why why = {0};

	(void)state;
	assert_int_equal(loaders_new(folders, &ls, &why), -ENOENT);
	assert_string_equal(why.text,
			    "loader folder /nonexistent/loaders: No such file or directory");
}

static void packages_are_known_by_the_names_they_bring(void **state)
{
	(void)state;
	assert_string_equal(loader_package("pxelinux.0"), "pxelinux");
	assert_string_equal(loader_package("bios/menu.c32"), "syslinux-common");
	assert_string_equal(loader_package("undionly.kpxe"), "ipxe");
	assert_string_equal(loader_package("EFI/boot/grubx64.efi"), "grub-efi-amd64-signed");
	assert_string_equal(loader_package("boot/grub/x86_64-efi/normal.mod"),
			    "grub-efi-amd64-bin");
	assert_null(loader_package("kernel"));
	assert_null(loader_package("etc/passwd"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_folder_of_the_users_is_served_with_its_folders,
						unit_dir_setup, unit_dir_teardown),
		cmocka_unit_test(a_folder_that_is_not_there_is_named),
		cmocka_unit_test(packages_are_known_by_the_names_they_bring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * libarchive reads what was rendered.
 */
#include "tests/unit/unit.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>

#include "tftp/addition.h"

/* "mode name\n" of each member; the body of `want` goes to `body`. */
static void list(enum boot_dialect dialect, char *out, const char *want, char *body, size_t size)
{
	struct archive *a = archive_read_new();
	struct archive_entry *entry;
	char *data;
	size_t len;

	assert_int_equal(addition_render(dialect, &data, &len), 0);
	assert_int_equal(len % 4, 0);
	archive_read_support_format_cpio(a);
	assert_int_equal(archive_read_open_memory(a, data, len), ARCHIVE_OK);
	*out = '\0';
	while (archive_read_next_header(a, &entry) == ARCHIVE_OK) {
		out += sprintf(out, "%o %s\n", (unsigned int)archive_entry_mode(entry),
			       archive_entry_pathname(entry));
		if (want && !strcmp(archive_entry_pathname(entry), want)) {
			ssize_t n = archive_read_data(a, body, size - 1);

			assert_true(n > 0);
			body[n] = '\0';
		}
	}
	assert_int_equal(archive_errno(a), 0);
	archive_read_free(a);
	free(data);
}

static void each_initrd_gets_its_makers_hook(void **state)
{
	char names[1024];
	char body[8192];

	(void)state;
	list(BOOT_KLIBC, names, "scripts/nfs-bottom/ORDER", body, sizeof(body));
	assert_string_equal(names, "40755 rootstock\n100755 rootstock/overlay-root\n"
				   "40755 scripts/nfs-bottom\n100644 scripts/nfs-bottom/ORDER\n");
	assert_non_null(strstr(body, "/rootstock/overlay-root \"$rootmnt\"\n"));
	list(BOOT_DRACUT, names, "rootstock/overlay-root", body, sizeof(body));
	assert_string_equal(names, "40755 rootstock\n100755 rootstock/overlay-root\n"
				   "100755 lib/dracut/hooks/pre-pivot/99-rootstock.sh\n"
				   "100755 var/lib/dracut/hooks/pre-pivot/99-rootstock.sh\n");
	assert_int_equal(strncmp(body, "#!/bin/sh\n", 10), 0);
	assert_string_equal(body + strlen(body) - 5, "ory'\n");
	assert_true(addition_knows(BOOT_KLIBC) && addition_knows(BOOT_DRACUT));
	assert_false(addition_knows(BOOT_KERNEL) || addition_knows(BOOT_LIVE));
}

/* Every part of the seam, read in every length. */
static void the_two_read_as_one(void **state)
{
	char *data;
	size_t len;

	(void)state;
	assert_int_equal(addition_render(BOOT_KLIBC, &data, &len), 0);
	for (size_t first = 0; first < 6; first++) {
		size_t at = (first + 3) & ~(size_t)3;
		char whole[16 << 10] = "";
		char got[16 << 10];
		struct tftp_file *file;

		assert_true(at + len <= sizeof(whole));
		memcpy(whole, "abcdef", first);
		memcpy(whole + at, data, len);
		assert_int_equal(tftp_file_of_text(strndup("abcdef", first), first, &file), 0);
		assert_int_equal(addition_append(BOOT_KLIBC, file, &file), 0);
		assert_int_equal(file->size, at + len);
		for (size_t offset = 0; offset < 16; offset++)
			for (size_t want = 0; want < 16; want++) {
				assert_int_equal(tftp_file_pread(file, got, want, offset), want);
				assert_memory_equal(got, whole + offset, want);
			}
		assert_int_equal(tftp_file_pread(file, got, sizeof(got), 0), file->size);
		assert_memory_equal(got, whole, file->size);
		assert_int_equal(tftp_file_pread(file, got, 10, file->size - 3), 3);
		assert_int_equal(tftp_file_pread(file, got, 10, file->size), 0);
		tftp_file_close(file);
	}
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_initrd_gets_its_makers_hook),
		cmocka_unit_test(the_two_read_as_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

#include "tftp/file.h"

static struct tftp_file *text(const char *s, size_t len)
{
	char *copy = malloc(len + 1);
	struct tftp_file *f;

	memcpy(copy, s, len);
	assert_int_equal(tftp_file_of_text(copy, len, &f), 0);
	return f;
}

static void netascii_turns_ends_of_lines_and_carriage_returns(void **state)
{
	static const struct {
		const char *in;
		size_t in_len;
		const char *out;
		size_t out_len;
	} cases[] = {
		{"", 0, "", 0},
		{"a\nb", 3, "a\r\nb", 4},
		{"\n\n", 2, "\r\n\r\n", 4},
		{"a\rb", 3, "a\r\0b", 4},
		{"a\r\nb", 4, "a\r\0\r\nb", 6},
		{"\0\r", 2, "\0\r\0", 3},
	};
	char buf[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tftp_file *f;

		assert_int_equal(tftp_file_netascii(text(cases[i].in, cases[i].in_len), &f), 0);
		assert_int_equal(f->size, cases[i].out_len);
		assert_int_equal(tftp_file_pread(f, buf, sizeof(buf), 0), cases[i].out_len);
		assert_memory_equal(buf, cases[i].out, cases[i].out_len);
		tftp_file_close(f);
	}
}

static void a_text_is_read_from_any_place(void **state)
{
	struct tftp_file *f = text("0123456789", 10);
	char buf[16];

	(void)state;
	assert_int_equal(tftp_file_pread(f, buf, 4, 3), 4);
	assert_memory_equal(buf, "3456", 4);
	assert_int_equal(tftp_file_pread(f, buf, 16, 8), 2);
	assert_int_equal(tftp_file_pread(f, buf, 16, 10), 0);
	assert_int_equal(tftp_file_pread(f, buf, 16, UINT64_MAX), 0);
	tftp_file_close(f);
}

static void too_large_a_file_is_no_text(void **state)
{
	FILE *sparse = tmpfile();
	struct tftp_file *f;
	int fd = dup(fileno(sparse));

	(void)state;
	assert_int_equal(tftp_file_of_fd(fd, TFTP_NETASCII_MAX + 1, &f), 0);
	assert_int_equal(tftp_file_netascii(f, &f), -EFBIG);
	/* a file that is shorter than it was when it was opened */
	assert_int_equal(tftp_file_of_fd(dup(fileno(sparse)), 10, &f), 0);
	assert_int_equal(tftp_file_netascii(f, &f), -EIO);
	fclose(sparse);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(netascii_turns_ends_of_lines_and_carriage_returns),
		cmocka_unit_test(a_text_is_read_from_any_place),
		cmocka_unit_test(too_large_a_file_is_no_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

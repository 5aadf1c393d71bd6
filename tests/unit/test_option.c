/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

#include "common/option.h"

static void assert_value(const char *text, const void *bytes, int len)
{
	uint8_t out[255];

	assert_int_equal(option_parse(text, out, sizeof(out), NULL), len);
	if (len > 0)
		assert_memory_equal(out, bytes, (size_t)len);
}

static void typed_values_become_bytes(void **state)
{
	struct why why = {""};
	char longer[300];
	uint8_t out[255];

	(void)state;
	assert_value("ip:10.0.0.1, 10.0.0.2", "\x0a\0\0\1\x0a\0\0\2", 8);
	assert_value("u8:255", "\xff", 1);
	assert_value("u16:1500", "\5\xdc", 2);
	assert_value("u32:60", "\0\0\0\x3c", 4);
	assert_value("hex:0a:0b 0c", "\x0a\x0b\x0c", 3);
	assert_value("text:ip:no", "ip:no", 5);
	assert_value("plain words", "plain words", 11);
	assert_value("routes:10.1.0.0/16 10.0.0.1,0.0.0.0/0 10.0.0.254",
		     "\x10\x0a\1\x0a\0\0\1\0\x0a\0\0\xfe", 12);
	assert_value("domains:a.example,b", "\1a\7example\0\1b\0", 14);
	assert_value("u8:256", NULL, -EINVAL);
	assert_value("u8:-1", NULL, -EINVAL);
	assert_value("u8:", NULL, -EINVAL);
	assert_value("ip:10.0.0", NULL, -EINVAL);
	assert_value("ip:", NULL, -EINVAL);
	assert_value("hex:0", NULL, -EINVAL);
	assert_value("hex:zz", NULL, -EINVAL);
	assert_value("routes:10.1.0.0/33 10.0.0.1", NULL, -EINVAL);
	assert_value("routes:10.1.0.0/16", NULL, -EINVAL);
	assert_value("domains:a..b", NULL, -EINVAL);
	memset(longer, 'x', sizeof(longer));
	longer[299] = '\0';
	assert_int_equal(option_parse(longer, out, sizeof(out), &why), -EINVAL);
	assert_non_null(strstr(why.text, "longer than 255"));
}

static void one_spelling_names_an_option(void **state)
{
	static const struct {
		const char *key;
		const char *words; /* of the refusal */
	} bad[] = {
		{"option.150", "write it as option-150"},
		{"option-", "not option-1 to option-254"},
		{"option-0150", "not option-1"},
		{"option-255", "not option-1"},
		{"option-1500", "not option-1"},
		{"option-4294967446", "not option-1"},
		{"option-x", "not option-1"},
		{"option-0", "not option-1"},
		{"option-53", "is the protocol's own"},
		{"option-82", "the protocol's own"},
	};
	unsigned int code = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct why why = {""};

		assert_int_equal(option_code(bad[i].key, &code, &why), -EINVAL);
		assert_non_null(strstr(why.text, bad[i].words));
		assert_int_equal(code, 0);
	}
	assert_int_equal(option_code("options", &code, NULL), OPTION_NO_KEY);
	assert_int_equal(option_code("option-150", &code, NULL), 0);
	assert_int_equal(code, 150);
	assert_int_equal(option_code("option-254", &code, NULL), 0);
	assert_int_equal(code, 254);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(typed_values_become_bytes),
		cmocka_unit_test(one_spelling_names_an_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

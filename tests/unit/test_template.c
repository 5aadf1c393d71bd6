/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

#include "fsd/template.h"

static const char *lookup(void *ctx, const char *key)
{
	(void)ctx;
	return !strcmp(key, "name") ? "amy" : !strcmp(key, "empty") ? "" : NULL;
}

static int render(const char *text, char **out, size_t *len, struct why *why)
{
	return template_render((struct bytes){(const uint8_t *)text, strlen(text)}, lookup, NULL,
			       out, len, why);
}

static void keys_are_put_in(void **state)
{
	static const char *const cases[][2] = {
		{"", ""},
		{"plain", "plain"},
		{"{{name}}", "amy"},
		{"{{ name\t}}!", "amy!"},
		{"a{{name}}{{name}}b", "aamyamyb"},
		{"{{empty}}", ""},
		{"{ {name} }", "{ {name} }"},
		{"}} {", "}} {"},
		{"{{name}}}}", "amy}}"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *out;
		size_t len;

		assert_int_equal(render(cases[i][0], &out, &len, NULL), 0);
		assert_string_equal(out, cases[i][1]);
		assert_int_equal(len, strlen(cases[i][1]));
		free(out);
	}
}

static void what_is_wrong_is_named(void **state)
{
	static const char *const cases[][2] = {
		{"{{nobody}}", "{{nobody}}: unknown key"},
		{"a {{name", "{{ without }}"},
		{"{{", "{{ without }}"},
		{"{{}}", "{{}}: not a key"},
		{"{{ }}", "{{}}: not a key"},
		{"{{a b}}", "{{a b}}: not a key"},
		{"{{{{name}}}}", "{{{{name}}: not a key"},
		{"{{a\001b}}", "{{a\\x01b}}: not a key"},
	};
	char *out = NULL;
	size_t len = 7;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct why why = {""};

		assert_int_equal(render(cases[i][0], &out, &len, &why), -EINVAL);
		assert_string_equal(why.text, cases[i][1]);
		assert_null(out);
		assert_int_equal(len, 7);
	}
}

static void size_has_an_end(void **state)
{
	enum { EACH = 120 };
	static char huge[TEMPLATE_SIZE_MAX + 16];
	char *out = NULL;
	size_t len;

	(void)state;
	memset(huge, 'x', sizeof(huge) - 1);
	assert_int_equal(render(huge, &out, &len, NULL), -EFBIG);
	huge[TEMPLATE_SIZE_MAX] = '\0';
	assert_int_equal(render(huge, &out, &len, NULL), 0);
	assert_int_equal(len, TEMPLATE_SIZE_MAX);
	free(out);
	out = NULL;
	/* and many keys; not too many for TSan, whose memmem() goes through all of the rest */
	for (size_t i = 0; i + EACH < sizeof(huge); i += EACH)
		memcpy(huge + i, "{{name}}", 8);
	huge[TEMPLATE_SIZE_MAX / EACH * EACH] = '\0';
	assert_int_equal(render(huge, &out, &len, NULL), 0);
	assert_int_equal(len,
			 TEMPLATE_SIZE_MAX / EACH * (EACH - strlen("{{name}}") + strlen("amy")));
	free(out);
}

static void keys_have_a_form(void **state)
{
	char longest[TEMPLATE_KEY_MAX + 2];

	(void)state;
	memset(longest, 'k', sizeof(longest));
	assert_true(template_key_ok("a-b_c.D9", 8));
	assert_false(template_key_ok("", 0));
	assert_false(template_key_ok("a b", 3));
	assert_true(template_key_ok(longest, TEMPLATE_KEY_MAX));
	assert_false(template_key_ok(longest, TEMPLATE_KEY_MAX + 1));
	assert_true(template_uses((struct bytes){(const uint8_t *)"x {{ name }}", 12}, "name"));
	assert_false(template_uses((struct bytes){(const uint8_t *)"x name", 6}, "name"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_put_in),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(size_has_an_end),
		cmocka_unit_test(keys_have_a_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

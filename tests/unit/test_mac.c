/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

#include "common/mac.h"

static void mac_accepts_the_usual_spellings(void **state)
{
	static const char *const good[] = {"52:54:00:12:34:01", "52-54-00-12-34-01", "525400123401",
					   "52:54:00:12:34:01"};
	char text[MAC_TEXT];
	struct mac mac;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(mac_parse(good[i], &mac), 0);
		assert_string_equal(mac_format(&mac, text), "52:54:00:12:34:01");
	}
}

static void mac_refuses_what_no_machine_has(void **state)
{
	static const char *const bad[] = {"",
					  "5",
					  "52:54:00:12:34",
					  "52:54:00:12:34:0",
					  "52:54:00:12:34:01:",
					  "52:54:00:12:34:011",
					  "52:54-00:12:34:01",
					  "5254:00:12:34:01",
					  "52540:0123401",
					  "zz:54:00:12:34:01",
					  "00:00:00:00:00:00",
					  "ff:ff:ff:ff:ff:ff",
					  "01:00:5e:00:00:01",
					  " 52:54:00:12:34:01"};
	struct mac mac = {{1, 2, 3, 4, 5, 6}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(mac_parse(bad[i], &mac), -EINVAL);
	assert_int_equal(mac.octet[5], 6); /* untouched */
}

static void ip4_is_dotted_quad_in_host_order(void **state)
{
	char text[IP4_TEXT];
	uint32_t addr;

	(void)state;
	assert_int_equal(ip4_parse("10.77.0.1", &addr), 0);
	assert_int_equal(addr, 0x0a4d0001);
	assert_string_equal(ip4_format(addr, text), "10.77.0.1");
	assert_int_equal(ip4_parse("10.77.1", &addr), -EINVAL);
	assert_int_equal(ip4_parse("10.77.0.256", &addr), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mac_accepts_the_usual_spellings),
		cmocka_unit_test(mac_refuses_what_no_machine_has),
		cmocka_unit_test(ip4_is_dotted_quad_in_host_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

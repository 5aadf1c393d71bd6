/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/test_dhcp_fixture.h"

static struct dhcp_message parsed;

static int parse(const struct packet *p)
{
	memset(&parsed, 0xaa, sizeof(parsed));
	return dhcp_message_parse(p->at, p->len, &parsed);
}

static void short_foreign_and_group_packets_are_refused(void **state)
{
	struct packet p = packet_of(DHCP_DISCOVER, BETA, 1);
	uint8_t big[DHCP_RECEIVE_MAX + 1] = {0};

	(void)state;
	assert_int_equal(parse(&p), 0);
	p.len = 235;
	assert_int_equal(parse(&p), DHCP_FAULT_SHORT);
	p.len = 243;
	p.at[1] = 6; /* token ring */
	assert_int_equal(parse(&p), DHCP_FAULT_HARDWARE);
	p.at[1] = 1;
	p.at[2] = 16;
	assert_int_equal(parse(&p), DHCP_FAULT_HARDWARE);
	p.at[2] = 6;
	p.at[28] = 0xff;
	assert_int_equal(parse(&p), DHCP_FAULT_HARDWARE);
	memset(p.at + 28, 0, 6);
	assert_int_equal(parse(&p), DHCP_FAULT_HARDWARE);
	assert_int_equal(dhcp_message_parse(big, sizeof(big), &parsed), DHCP_FAULT_LONG);
}

static void no_cookie_is_bootp(void **state)
{
	struct packet p = packet_of(DHCP_DISCOVER, BETA, 1);

	(void)state;
	p.at[236] = 0;
	assert_int_equal(parse(&p), 0);
	assert_int_equal(parsed.type, DHCP_BOOTP);
	assert_null(parsed.option[53].at);
	p.len = 236;
	assert_int_equal(parse(&p), 0);
	assert_int_equal(parsed.type, DHCP_BOOTP);
}

static void an_option_that_passes_the_end_is_malformed(void **state)
{
	struct packet p = packet_of(DHCP_DISCOVER, BETA, 1);

	(void)state;
	p.at[p.len++] = 12;
	assert_int_equal(parse(&p), DHCP_FAULT_OPTIONS);
	p.at[p.len++] = 1;
	assert_int_equal(parse(&p), DHCP_FAULT_OPTIONS);
	p.at[p.len++] = 'x';
	assert_int_equal(parse(&p), 0); /* whole, and no END is fine */
	p.at[p.len++] = 255;
	p.at[p.len++] = 12; /* what follows END is padding */
	assert_int_equal(parse(&p), 0);
	assert_int_equal(parsed.option[12].len, 1);
}

static void a_number_of_a_wrong_size_is_malformed(void **state)
{
	static const uint8_t codes[] = {50, 51, 54, 57};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(codes); i++) {
		struct packet p = packet_of(DHCP_DISCOVER, BETA, 1);

		add_option(&p, codes[i], "abc", 3);
		assert_int_equal(parse(&p), DHCP_FAULT_OPTIONS);
		p = packet_of(DHCP_DISCOVER, BETA, 1);
		add_option(&p, codes[i], "", 0);
		assert_int_equal(parse(&p), DHCP_FAULT_OPTIONS);
	}
}

static void pieces_of_an_option_are_joined_across_fields(void **state)
{
	struct packet p = packet_of(DHCP_DISCOVER, BETA, 1);

	(void)state;
	add_option(&p, 60, "PXE", 3);
	add_option(&p, 12, "host", 4);
	add_option(&p, 60, "Cli", 3);
	add_option(&p, 52, "\3", 1);
	memcpy(p.at + 108, "\x3c\2en\xff", 5);	     /* file */
	memcpy(p.at + 44, "\x3c\1t\x34\1\3\xff", 7); /* sname, with a 52 that means nothing */
	assert_int_equal(parse(&p), 0);
	assert_int_equal(parsed.option[60].len, 9);
	assert_memory_equal(parsed.option[60].at, "PXEClient", 9);
	assert_memory_equal(parsed.option[12].at, "host", 4);
	assert_string_equal(parsed.file, "");
	assert_string_equal(parsed.sname, "");
	/* and a fault inside them is one */
	memcpy(p.at + 108 + 120, "\x3c\x10", 2);
	memset(p.at + 108, 0, 120);
	assert_int_equal(parse(&p), DHCP_FAULT_OPTIONS);
}

static void the_most_pieces_that_fit_are_joined_in_bounds(void **state)
{
	uint8_t raw[DHCP_RECEIVE_MAX] = {1, 1, 6};
	size_t len = 240;
	const struct mac mac = BETA;

	(void)state;
	memcpy(raw + 28, &mac, 6);
	put32(raw + 236, DHCP_COOKIE);
	memset(raw + 44, 1, 192); /* sname and file: code 1, length 1, a byte */
	raw[len++] = 52;
	raw[len++] = 1;
	raw[len++] = 3;
	while (len + 3 <= sizeof(raw)) {
		raw[len++] = 1;
		raw[len++] = 1;
		raw[len++] = 1;
	}
	memset(raw + len, 0, sizeof(raw) - len);
	assert_int_equal(dhcp_message_parse(raw, sizeof(raw), &parsed), DHCP_FAULT_OPTIONS);
	raw[108 + 126] = raw[108 + 127] = 0; /* 128 is no multiple of three */
	raw[44 + 63] = 0;
	assert_int_equal(dhcp_message_parse(raw, sizeof(raw), &parsed), 0);
	assert_true(parsed.option[1].len > 1200);
}

/* ---- writing ---- */

static struct dhcp_message blank(void)
{
	struct dhcp_message m = {.op = 2, .xid = 7};
	const struct mac mac = BETA;

	memcpy(m.chaddr, &mac, 6);
	return m;
}

static void what_is_written_reads_the_same(void **state)
{
	struct dhcp_message m = blank();
	struct dhcp_options list;
	uint8_t out[DHCP_MAX_SIZE];
	uint8_t big[600];
	size_t len;

	(void)state;
	for (unsigned int i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)i;
	dhcp_options_init(&list);
	dhcp_options_add_u8(&list, OPTION_TYPE, DHCP_OFFER);
	dhcp_options_add(&list, 43, big, sizeof(big));
	dhcp_options_add_text(&list, 12, "host");
	dhcp_options_add_text(&list, 12, "again"); /* the first one wins */
	snprintf(m.file, sizeof(m.file), "pxelinux.0");
	len = dhcp_message_write(&m, &list, out, sizeof(out));
	assert_int_equal(dhcp_message_parse(out, len, &parsed), 0);
	assert_int_equal(parsed.type, DHCP_OFFER);
	assert_int_equal(parsed.option[43].len, sizeof(big));
	assert_memory_equal(parsed.option[43].at, big, sizeof(big));
	assert_int_equal(parsed.option[12].len, 4);
	assert_string_equal(parsed.file, "pxelinux.0");
}

static void a_small_reply_is_padded_to_300_bytes(void **state)
{
	struct dhcp_message m = blank();
	struct dhcp_options list;
	uint8_t out[DHCP_MAX_SIZE];

	(void)state;
	memset(out, 0xee, sizeof(out));
	dhcp_options_init(&list);
	dhcp_options_add_u8(&list, OPTION_TYPE, DHCP_OFFER);
	assert_int_equal(dhcp_message_write(&m, &list, out, 548), 300);
	for (unsigned int i = 244; i < 300; i++)
		assert_int_equal(out[i], 0);
}

static void options_overflow_into_file_and_sname_and_82_stays_last(void **state)
{
	struct dhcp_message m = blank();
	struct dhcp_options list;
	uint8_t out[DHCP_MAX_SIZE];
	uint8_t value[100];
	size_t len;
	const uint8_t *p;

	(void)state;
	memset(value, 'v', sizeof(value));
	dhcp_options_init(&list);
	dhcp_options_add_u8(&list, OPTION_TYPE, DHCP_OFFER);
	dhcp_options_add_text(&list, OPTION_RELAY, "relay information");
	dhcp_options_add(&list, 200, value, 100);
	dhcp_options_add(&list, 201, value, 100);
	dhcp_options_add(&list, 202, value, 100); /* file */
	dhcp_options_add(&list, 203, value, 60);  /* the field again, or sname */
	dhcp_options_add(&list, 204, value, 50);
	dhcp_options_add(&list, 205, value, 100); /* nowhere */
	len = dhcp_message_write(&m, &list, out, 548);
	assert_true(len <= 548);
	assert_int_equal(dhcp_message_parse(out, len, &parsed), 0);
	assert_int_equal(parsed.option[52].len, 1);
	for (unsigned int code = 200; code < 205; code++)
		assert_true(parsed.option[code].len >= 50);
	assert_null(parsed.option[205].at);
	p = parsed.option[OPTION_RELAY].at;
	assert_memory_equal(p, "relay information\xff", 18);
	/* where a file name stands, nothing overwrites it */
	snprintf(m.file, sizeof(m.file), "pxelinux.0");
	len = dhcp_message_write(&m, &list, out, 548);
	assert_int_equal(dhcp_message_parse(out, len, &parsed), 0);
	assert_string_equal(parsed.file, "pxelinux.0");
	assert_null(parsed.option[202].at);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(short_foreign_and_group_packets_are_refused),
		cmocka_unit_test(no_cookie_is_bootp),
		cmocka_unit_test(an_option_that_passes_the_end_is_malformed),
		cmocka_unit_test(a_number_of_a_wrong_size_is_malformed),
		cmocka_unit_test(pieces_of_an_option_are_joined_across_fields),
		cmocka_unit_test(the_most_pieces_that_fit_are_joined_in_bounds),
		cmocka_unit_test(what_is_written_reads_the_same),
		cmocka_unit_test(a_small_reply_is_padded_to_300_bytes),
		cmocka_unit_test(options_overflow_into_file_and_sname_and_82_stays_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

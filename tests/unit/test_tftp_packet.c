/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"
#include "tests/tftp_client.h"

#include "tftp/packet.h"

#define WIRE(text) (&(const struct bytes){(const uint8_t *)(text), sizeof(text) - 1})

static void a_plain_request_has_no_options(void **state)
{
	struct tftp_request req;

	(void)state;
	assert_int_equal(tftp_request_parse(WIRE("\0\1pxelinux.0\0octet\0"), &req), 0);
	assert_int_equal(req.op, TFTP_RRQ);
	assert_string_equal(req.name, "pxelinux.0");
	assert_int_equal(req.name_len, 10);
	assert_int_equal(req.mode, TFTP_OCTET);
	assert_int_equal(req.options.blksize, 0);
	assert_int_equal(req.options.windowsize, 0);
	assert_int_equal(req.options.timeout, 0);
	assert_false(req.options.has_tsize);
}

static void options_and_modes_are_read_in_any_case(void **state)
{
	struct tftp_request req;

	(void)state;
	assert_int_equal(tftp_request_parse(WIRE("\0\1f\0NetASCII\0BLKSIZE\0001468\0TSize\0000\0"
						 "timeout\0005\0windowsize\0004\0multicast\0\0"),
					    &req),
			 0);
	assert_int_equal(req.mode, TFTP_NETASCII);
	assert_int_equal(req.options.blksize, 1468);
	assert_int_equal(req.options.windowsize, 4);
	assert_int_equal(req.options.timeout, 5);
	assert_true(req.options.has_tsize);
	assert_int_equal(req.options.tsize, 0);
}

static void a_bad_value_counts_as_not_asked(void **state)
{
	struct tftp_request req;

	(void)state;
	assert_int_equal(tftp_request_parse(WIRE("\0\1f\0octet\0blksize\0007\0windowsize\0000\0"
						 "timeout\000256\0tsize\0-1\0"),
					    &req),
			 0);
	assert_int_equal(req.options.blksize, 0);
	assert_int_equal(req.options.windowsize, 0);
	assert_int_equal(req.options.timeout, 0);
	assert_false(req.options.has_tsize);
	assert_int_equal(tftp_request_parse(WIRE("\0\1f\0octet\0blksize\0001e3\0windowsize\0\0"
						 "timeout\0 5\0tsize\00099999999999999999999\0"),
					    &req),
			 0);
	assert_int_equal(req.options.blksize, 0);
	assert_int_equal(req.options.windowsize, 0);
	assert_int_equal(req.options.timeout, 0);
	assert_false(req.options.has_tsize);
}

static void values_over_the_limit_are_cut_to_it(void **state)
{
	struct tftp_request req;

	(void)state;
	assert_int_equal(
		tftp_request_parse(WIRE("\0\1f\0octet\0blksize\00099999\0windowsize\00070000"
					"\0"),
				   &req),
		0);
	assert_int_equal(req.options.blksize, 65464);
	assert_int_equal(req.options.windowsize, 65535);
}

static void a_request_padded_after_its_options_is_read(void **state)
{
	struct tftp_request req;

	(void)state;
	assert_int_equal(
		tftp_request_parse(WIRE("\0\1f\0octet\0blksize\0001024\0\0\0\0\0garbage"), &req),
		0);
	assert_int_equal(req.options.blksize, 1024);
}

static void what_is_no_request_is_refused(void **state)
{
	struct tftp_request req;

	(void)state;
	assert_int_equal(tftp_request_parse(WIRE(""), &req), -EBADMSG);
	assert_int_equal(tftp_request_parse(WIRE("\0"), &req), -EBADMSG);
	assert_int_equal(tftp_request_parse(WIRE("\0\1"), &req), -EBADMSG);
	assert_int_equal(tftp_request_parse(WIRE("\0\1name"), &req), -EBADMSG);
	assert_int_equal(tftp_request_parse(WIRE("\0\1name\0octet"), &req), -EBADMSG);
	assert_int_equal(tftp_request_parse(WIRE("\0\3name\0octet\0"), &req), -EBADMSG);
	assert_int_equal(tftp_request_parse(WIRE("\1\1name\0octet\0"), &req), -EBADMSG);
	assert_int_equal(tftp_request_parse(WIRE("\0\1name\0mail\0"), &req), -ENOTSUP);
	assert_int_equal(tftp_request_parse(WIRE("\0\2name\0octet\0"), &req), 0);
	assert_int_equal(req.op, TFTP_WRQ);
}

static void acks_and_errors_are_read_as_clients_send_them(void **state)
{
	struct tftp_packet p;

	(void)state;
	assert_int_equal(tftp_packet_parse(WIRE("\0\4\1\2"), &p), 0);
	assert_int_equal(p.op, TFTP_ACK);
	assert_int_equal(p.block, 0x102);
	assert_int_equal(tftp_packet_parse(WIRE("\0\4\1\2padding"), &p), 0);
	assert_int_equal(tftp_packet_parse(WIRE("\0\4\1"), &p), -EBADMSG);
	assert_int_equal(tftp_packet_parse(WIRE("\0\5\0\10User aborted the transfer\0"), &p), 0);
	assert_int_equal(p.code, TFTP_BAD_OPTION);
	assert_int_equal(p.message.len, 25);
	assert_int_equal(tftp_packet_parse(WIRE("\0\5\0\0closed"), &p), 0);
	assert_int_equal(p.message.len, 6);
	assert_int_equal(tftp_packet_parse(WIRE("\0\5\0\0"), &p), 0);
	assert_int_equal(p.message.len, 0);
	assert_int_equal(tftp_packet_parse(WIRE("\0\1f\0octet\0"), &p), -EBADMSG);
	assert_int_equal(tftp_packet_parse(WIRE("\0\11\0\0"), &p), -EBADMSG);
}

static void what_is_built_is_read_back(void **state)
{
	static const struct tftp_options all = {1468, 64, 3, true, UINT64_C(5000000000)};
	struct tftp_request req = {TFTP_RRQ, "kernel", 6, TFTP_OCTET, all};
	struct tftp_packet p;
	uint8_t buf[TFTP_SMALL_MAX];
	struct bytes b = {buf, 0};

	(void)state;
	b.len = tftp_client_request(buf, &req);
	assert_int_equal(tftp_request_parse(&b, &req), 0);
	assert_string_equal(req.name, "kernel");
	assert_int_equal(req.options.tsize, UINT64_C(5000000000));
	b.len = tftp_oack_build(buf, sizeof(buf), &all);
	assert_int_equal(tftp_packet_parse(&b, &p), 0);
	assert_memory_equal(&p.options, &all, sizeof(all));
	assert_int_equal(tftp_oack_build(buf, 20, &all), 0);
	b.len = tftp_error_build(buf, sizeof(buf), TFTP_NOT_FOUND, "none");
	assert_int_equal(b.len, 9);
	assert_memory_equal(buf, "\0\5\0\1none", 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_request_has_no_options),
		cmocka_unit_test(options_and_modes_are_read_in_any_case),
		cmocka_unit_test(a_bad_value_counts_as_not_asked),
		cmocka_unit_test(values_over_the_limit_are_cut_to_it),
		cmocka_unit_test(a_request_padded_after_its_options_is_read),
		cmocka_unit_test(what_is_no_request_is_refused),
		cmocka_unit_test(acks_and_errors_are_read_as_clients_send_them),
		cmocka_unit_test(what_is_built_is_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

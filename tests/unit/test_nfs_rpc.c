/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * RPC itself: what closes a connection, which error comes first, credentials; and the port
 * mapper.
 */
#include "tests/unit/nfs_call_unit.h"

enum { PMAP = 100000, NFSACL = 100227, NLM = 100021 };

static void what_is_no_call_closes(void **state)
{
	struct unit_nfs *u = *state;
	struct writer w;

	for (size_t len = 0; len < 24; len++) {
		w = begin(u, 2, NFS3_PROGRAM, 3, 0);
		w.at = w.start + len;
		finish(u, &w);
		assert_int_equal(u->verdict, RPC_CLOSE);
		assert_int_equal(u->len, 0);
	}
	w = begin(u, 2, NFS3_PROGRAM, 3, 0);
	u->call[7] = REPLY;
	finish(u, &w);
	assert_int_equal(u->verdict, RPC_CLOSE);
}

static void errors_come_in_their_order(void **state)
{
	struct unit_nfs *u = *state;
	struct writer w;

	/* each call is wrong in all that comes later too */
	w = begin(u, 3, 1, 9, 99);
	finish(u, &w);
	assert_words(u, REPLY, MSG_DENIED, RPC_MISMATCH, 2, 2);
	w = begin(u, 2, 1, 9, 99);
	finish(u, &w);
	assert_words(u, REPLY, MSG_ACCEPTED, 0, 0, PROG_UNAVAIL);
	w = begin(u, 2, NFS3_PROGRAM, 9, 99);
	finish(u, &w);
	assert_words(u, REPLY, MSG_ACCEPTED, 0, 0, PROG_MISMATCH, 3, 3);
	w = begin(u, 2, NFS3_PROGRAM, 3, 99);
	finish(u, &w);
	assert_words(u, REPLY, MSG_ACCEPTED, 0, 0, PROC_UNAVAIL);
	w = begin(u, 2, NFS3_PROGRAM, 3, NFSPROC3_GETATTR);
	finish(u, &w);
	assert_words(u, REPLY, MSG_DENIED, AUTH_ERROR, AUTH_BADCRED);
	send_plain(u, NFS3_PROGRAM, 3, NFSPROC3_GETATTR);
	assert_words(u, REPLY, MSG_ACCEPTED, 0, 0, GARBAGE_ARGS);
}

static void versions_that_are_not_spoken_name_those_that_are(void **state)
{
	struct unit_nfs *u = *state;
	struct event e;

	send_plain(u, NFS3_PROGRAM, 2, 0);
	assert_words(u, REPLY, MSG_ACCEPTED, 0, 0, PROG_MISMATCH, 3, 3);
	e = unit_event(u);
	assert_int_equal(e.kind, EVENT_REFUSED);
	assert_int_equal(e.host, 1);
	assert_string_equal(e.text, "NFS version 2: add vers=3 to the mount options");
	send_plain(u, NFS3_PROGRAM, 4, 0);
	assert_words(u, REPLY, MSG_ACCEPTED, 0, 0, PROG_MISMATCH, 3, 3);
	send_plain(u, MOUNT_PROGRAM, 4, 0);
	assert_words(u, REPLY, MSG_ACCEPTED, 0, 0, PROG_MISMATCH, 1, 3);
	send_plain(u, PMAP, 5, 0);
	assert_words(u, REPLY, MSG_ACCEPTED, 0, 0, PROG_MISMATCH, 2, 4);
	send_plain(u, NFSACL, 3, 0);
	assert_words(u, REPLY, MSG_ACCEPTED, 0, 0, PROG_UNAVAIL);
	send_plain(u, NLM, 4, 0);
	assert_words(u, REPLY, MSG_ACCEPTED, 0, 0, PROG_UNAVAIL);
	/* each socket has its own programs */
	u->caller.programs = RPC_PORTMAP;
	send_plain(u, NFS3_PROGRAM, 3, 0);
	assert_words(u, REPLY, MSG_ACCEPTED, 0, 0, PROG_UNAVAIL);
}

static void null_takes_any_credential(void **state)
{
	struct unit_nfs *u = *state;
	struct writer w;

	for (uint32_t flavor = 0; flavor < 10; flavor++) {
		w = begin(u, 2, NFS3_PROGRAM, 3, 0);
		writer_be32(&w, flavor);
		writer_be32(&w, 8);
		writer_zero(&w, 8);
		writer_zero(&w, 8);
		finish(u, &w);
		assert_words(u, REPLY, MSG_ACCEPTED, 0, 0, SUCCESS);
	}
	/* but it has to be one */
	w = begin(u, 2, NFS3_PROGRAM, 3, 0);
	writer_be32(&w, 0);
	writer_be32(&w, 401);
	writer_zero(&w, 412);
	finish(u, &w);
	assert_words(u, REPLY, MSG_DENIED, AUTH_ERROR, AUTH_BADCRED);
	w = begin(u, 2, NFS3_PROGRAM, 3, 0);
	writer_zero(&w, 8);
	writer_be32(&w, 0);
	writer_be32(&w, 400);
	finish(u, &w);
	assert_words(u, REPLY, MSG_DENIED, AUTH_ERROR, AUTH_BADVERF);
}

static void send_auth_sys(struct unit_nfs *u, uint32_t name_len, uint32_t ngids, size_t cut)
{
	struct writer w = begin(u, 2, NFS3_PROGRAM, 3, NFSPROC3_GETATTR);
	size_t padded = (name_len + 3U) & ~3U;
	size_t len = 4 + 4 + padded + 4 + 4 + 4 + 4 * ngids - cut;

	writer_be32(&w, AUTH_SYS);
	writer_be32(&w, (uint32_t)len);
	writer_be32(&w, 0); /* stamp */
	writer_be32(&w, name_len);
	writer_zero(&w, padded);
	writer_be32(&w, 0);
	writer_be32(&w, 0);
	writer_be32(&w, ngids);
	writer_zero(&w, 4 * ngids);
	w.at -= cut;
	writer_zero(&w, 8);
	writer_be32(&w, HANDLE_SIZE);
	writer_put(&w, unit_handle(u, "/").data.data_val, HANDLE_SIZE);
	finish(u, &w);
}

static void auth_sys_is_bounded(void **state)
{
	struct unit_nfs *u = *state;
	struct writer w;

	send_auth_sys(u, 0, 0, 0); /* U-Boot: an empty host name */
	assert_int_equal(unit_status(u), NFS3_OK);
	send_auth_sys(u, 255, 16, 0);
	assert_int_equal(unit_status(u), NFS3_OK);
	send_auth_sys(u, 256, 0, 0);
	assert_words(u, REPLY, MSG_DENIED, AUTH_ERROR, AUTH_BADCRED);
	send_auth_sys(u, 8, 17, 0);
	assert_words(u, REPLY, MSG_DENIED, AUTH_ERROR, AUTH_BADCRED);
	for (size_t cut = 4; cut <= 80; cut += 4) {
		send_auth_sys(u, 8, 14, cut);
		assert_words(u, REPLY, MSG_DENIED, AUTH_ERROR, AUTH_BADCRED);
	}
	/* AUTH_NONE is nobody; a flavor that is not spoken is refused */
	w = begin(u, 2, NFS3_PROGRAM, 3, NFSPROC3_GETATTR);
	writer_zero(&w, 16);
	writer_be32(&w, HANDLE_SIZE);
	writer_put(&w, unit_handle(u, "/").data.data_val, HANDLE_SIZE);
	finish(u, &w);
	assert_int_equal(unit_status(u), NFS3_OK);
	w = begin(u, 2, NFS3_PROGRAM, 3, NFSPROC3_GETATTR);
	writer_be32(&w, 6);
	writer_zero(&w, 12);
	finish(u, &w);
	assert_words(u, REPLY, MSG_DENIED, AUTH_ERROR, AUTH_REJECTEDCRED);
}

/* ---- port mapper ---- */

static uint32_t getport(struct unit_nfs *u, uint32_t prog, uint32_t vers, uint32_t proto)
{
	struct writer w = begin(u, 2, PMAP, 2, 3);
	struct cursor c;

	writer_zero(&w, 16);
	writer_be32(&w, prog);
	writer_be32(&w, vers);
	writer_be32(&w, proto);
	writer_be32(&w, 0);
	finish(u, &w);
	assert_int_equal(u->len, 28);
	c = cursor_of(u->buf + 24, 4);
	return cursor_be32(&c);
}

static void getport_is_exact(void **state)
{
	struct unit_nfs *u = *state;

	assert_int_equal(getport(u, NFS3_PROGRAM, 3, 6), NFS_PORT);
	assert_int_equal(getport(u, NFS3_PROGRAM, 3, 17), NFS_PORT);
	assert_int_equal(getport(u, MOUNT_PROGRAM, 3, 6), NFS_PORT);
	assert_int_equal(getport(u, MOUNT_PROGRAM, 1, 17), NFS_PORT);
	assert_int_equal(getport(u, PMAP, 2, 17), 111);
	assert_int_equal(getport(u, NFS3_PROGRAM, 2, 6), 0);
	assert_int_equal(getport(u, NFS3_PROGRAM, 4, 6), 0);
	assert_int_equal(getport(u, NFS3_PROGRAM, 3, 132), 0);
	assert_int_equal(getport(u, NLM, 4, 6), 0);
}

static void nothing_can_be_registered_or_reflected(void **state)
{
	struct unit_nfs *u = *state;

	for (uint32_t proc = 1; proc <= 2; proc++) {
		send_plain(u, PMAP, 2, proc);
		assert_words(u, REPLY, MSG_ACCEPTED, 0, 0, SUCCESS, 0);
		send_plain(u, PMAP, 4, proc);
		assert_words(u, REPLY, MSG_ACCEPTED, 0, 0, SUCCESS, 0);
	}
	for (uint32_t vers = 2; vers <= 4; vers++) {
		send_plain(u, PMAP, vers, 5);
		assert_int_equal(u->verdict, RPC_DROP);
	}
	send_plain(u, PMAP, 3, 9);
	assert_words(u, REPLY, MSG_ACCEPTED, 0, 0, PROC_UNAVAIL);
	send_plain(u, PMAP, 2, 6);
	assert_words(u, REPLY, MSG_ACCEPTED, 0, 0, PROC_UNAVAIL);
}

static void getaddr_names_the_address_that_was_asked(void **state)
{
	struct unit_nfs *u = *state;

	for (uint32_t vers = 3; vers <= 4; vers++) {
		struct writer w = begin(u, 2, PMAP, vers, 3);

		writer_zero(&w, 16);
		writer_be32(&w, NFS3_PROGRAM);
		writer_be32(&w, 3);
		writer_be32(&w, 3);
		writer_put(&w, "tcp", 4);
		writer_be32(&w, 0);
		writer_be32(&w, 0);
		finish(u, &w);
		assert_int_equal(u->len, 24 + 4 + 12);
		assert_memory_equal(u->buf + 28, "10.0.0.1.8.1", 12);
	}
}

static void the_list_goes_over_udp_only_to_those_we_know(void **state)
{
	struct unit_nfs *u = *state;

	for (uint32_t vers = 2; vers <= 4; vers++) {
		u->caller.tcp = false;
		unit_from(u, STRANGER, 700);
		send_plain(u, PMAP, vers, 4);
		assert_words(u, REPLY, MSG_ACCEPTED, 0, 0, SUCCESS, 0);
		unit_from(u, HOST1, 700);
		send_plain(u, PMAP, vers, 4);
		assert_true(u->len > 100);
		u->caller.tcp = true;
		unit_from(u, STRANGER, 700);
		send_plain(u, PMAP, vers, 4);
		assert_true(u->len > 100);
	}
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, unit_nfs_setup, unit_nfs_teardown)
	const struct CMUnitTest tests[] = {
		T(what_is_no_call_closes),
		T(errors_come_in_their_order),
		T(versions_that_are_not_spoken_name_those_that_are),
		T(null_takes_any_credential),
		T(auth_sys_is_bounded),
		T(getport_is_exact),
		T(nothing_can_be_registered_or_reflected),
		T(getaddr_names_the_address_that_was_asked),
		T(the_list_goes_over_udp_only_to_those_we_know),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

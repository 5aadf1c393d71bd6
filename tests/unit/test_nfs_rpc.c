/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/nfs_unit.h"

#define xdr_nothing ((xdrproc_t)(void (*)(void))xdr_void)

enum { PMAP = 100000, NFSACL = 100227, NLM = 100021 };

/* A call by hand, AUTH_NONE. */
static struct writer begin(struct unit_nfs *u, uint32_t rpcvers, uint32_t prog, uint32_t vers,
			   uint32_t proc)
{
	struct writer w = writer_of(u->call, sizeof(u->call));

	writer_be32(&w, ++u->xid);
	writer_be32(&w, CALL);
	writer_be32(&w, rpcvers);
	writer_be32(&w, prog);
	writer_be32(&w, vers);
	writer_be32(&w, proc);
	return w;
}

static void finish(struct unit_nfs *u, struct writer *w)
{
	u->call_len = writer_len(w);
	unit_send(u, false);
}

static void send_plain(struct unit_nfs *u, uint32_t prog, uint32_t vers, uint32_t proc)
{
	struct writer w = begin(u, 2, prog, vers, proc);

	writer_zero(&w, 16);
	finish(u, &w);
}

/* The reply is these words after the xid, and nothing else. */
#define assert_words(u, ...)                                                                       \
	assert_words_(u, (const uint32_t[]){__VA_ARGS__},                                          \
		      sizeof((const uint32_t[]){__VA_ARGS__}) / 4)

static void assert_words_(struct unit_nfs *u, const uint32_t *words, size_t n)
{
	struct cursor c = cursor_of(u->buf, u->len);

	assert_int_equal(u->verdict, RPC_SEND);
	assert_int_equal(cursor_be32(&c), u->xid);
	assert_int_equal(u->len, 4 + 4 * n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(cursor_be32(&c), words[i]);
}

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

/* ---- MOUNT ---- */

static uint32_t mnt(struct unit_nfs *u, const char *path, fhandle3 *out)
{
	mountres3 res = {0};
	char *p = (char *)path;

	unit_call(u, MOUNT_PROGRAM, 3, MOUNTPROC3_MNT, XDR_OF(xdr_dirpath), &p,
		  XDR_OF(xdr_mountres3), &res);
	if (!res.fhs_status) {
		assert_int_equal(res.mountres3_u.mountinfo.fhandle.fhandle3_len, HANDLE_SIZE);
		assert_int_equal(res.mountres3_u.mountinfo.auth_flavors.auth_flavors_len, 1);
		assert_int_equal(res.mountres3_u.mountinfo.auth_flavors.auth_flavors_val[0],
				 AUTH_SYS);
		if (out) {
			*out = res.mountres3_u.mountinfo.fhandle;
			res.mountres3_u.mountinfo.fhandle = (fhandle3){0};
		}
		xdr_free(XDR_OF(xdr_mountres3), &res);
		return MNT3_OK;
	}
	return res.fhs_status;
}

static void assert_mounts_in(struct unit_nfs *u, const char *path, uint32_t boot)
{
	const struct handle handle = {1, FAKE_VERSION, fake_node(path), boot};
	fhandle3 fh = {0};

	assert_int_equal(mnt(u, path, &fh), MNT3_OK);
	assert_memory_equal(fh.fhandle3_val, unit_handle_made(u, &handle).data.data_val,
			    HANDLE_SIZE);
	xdr_free(XDR_OF(xdr_fhandle3), &fh);
}

static void assert_mounts(struct unit_nfs *u, const char *path, uint32_t host, const char *inside)
{
	fhandle3 fh = {0};

	assert_int_equal(mnt(u, path, &fh), MNT3_OK);
	assert_memory_equal(fh.fhandle3_val,
			    unit_handle_of(u, host, FAKE_VERSION, fake_node(inside)).data.data_val,
			    HANDLE_SIZE);
	xdr_free(XDR_OF(xdr_fhandle3), &fh);
}

static void mnt_gives_the_callers_own_root(void **state)
{
	struct unit_nfs *u = *state;
	struct event e;

	assert_mounts(u, "/", 1, "/");
	e = unit_event(u);
	assert_int_equal(e.kind, EVENT_MOUNT);
	assert_int_equal(e.host, 1);
	assert_string_equal(e.text, "/");
	assert_mounts(u, "//", 1, "/");
	assert_mounts(u, "", 1, "/");
	assert_mounts(u, "/dir", 1, "/dir");
	assert_mounts(u, "//dir//sub//", 1, "/dir/sub");
	assert_mounts(u, "/bin", 1, "/usr/bin"); /* a link, inside the root */
	assert_mounts(u, "/bin/../../dir", 1, "/dir");
	assert_mounts(u, "/../../../dir", 1, "/dir");
	assert_mounts(u, "/hosts/host1", 1, "/");
	assert_mounts(u, "/hosts/host1/dir/", 1, "/dir");
	unit_from(u, HOST2, 700);
	assert_mounts(u, "/", 2, "/");
}

static unsigned int told(struct unit_nfs *u, uint32_t kind)
{
	struct event e;
	unsigned int n = 0;

	while (!event_receive(u->events[0], &e))
		n += e.kind == kind;
	return n;
}

static void mounts_without_end_are_told_with_one_but_each_boot_once(void **state)
{
	struct unit_nfs *u = *state;
	unsigned int n = 0;

	for (unsigned int i = 0; i < 2000; i++) {
		assert_mounts(u, "/", 1, "/");
		n += told(u, EVENT_MOUNT);
	}
	assert_in_range(n, 1, 500);
	/* without waiting for the budget */
	for (unsigned int i = 0; i < 100; i++)
		mounts_add(u->nfs.mounts, HOST1, 1, 0, "/");
	told(u, EVENT_MOUNT);
	mounts_add(u->nfs.mounts, HOST1, 1, 77, "/");
	assert_int_equal(told(u, EVENT_MOUNT), 1);

	n = 0;
	for (unsigned int i = 0; i < 2000; i++) {
		mounts_secret_read(u->nfs.mounts, HOST1, 1, "/secret");
		n += told(u, EVENT_FILE);
	}
	assert_in_range(n, 1, 500);
}

static void getattr_root(struct unit_nfs *u)
{
	GETATTR3args args = {unit_handle_of(u, 1, FAKE_VERSION, fake_node("/"))};
	GETATTR3res res = {0};

	unit_nfs3(u, NFSPROC3_GETATTR, XDR_OF(xdr_GETATTR3args), &args, XDR_OF(xdr_GETATTR3res),
		  &res);
	assert_int_equal(res.status, NFS3_OK);
}

/* Anybody can send it in another's name. */
static void a_mnt_by_udp_counts_when_its_handle_comes_back(void **state)
{
	struct unit_nfs *u = *state;

	u->caller.tcp = false;
	assert_mounts(u, "/", 1, "/");
	assert_int_equal(told(u, EVENT_MOUNT), 0);
	u->caller.tcp = true;
	unit_from(u, HOST1, 702);
	getattr_root(u);
	assert_int_equal(told(u, EVENT_MOUNT), 1);
	unit_from(u, HOST1, 703);
	getattr_root(u);
	assert_int_equal(told(u, EVENT_MOUNT), 0);
	/* by UDP alone, as U-Boot does */
	u->caller.tcp = false;
	unit_from(u, HOST1, 704);
	assert_mounts(u, "/", 1, "/");
	getattr_root(u);
	assert_int_equal(told(u, EVENT_MOUNT), 1);
	getattr_root(u);
	assert_int_equal(told(u, EVENT_MOUNT), 0);
}

/* A kernel mounts a few milliseconds behind its ACK, sooner than the next poll. */
static void mnt_is_of_a_boot_that_was_not_polled_yet(void **state)
{
	struct unit_nfs *u = *state;
	fhandle3 fh = {0};

	assert_int_equal(db_exec(u->leases,
				 "INSERT INTO lease (address, mac, state, started, expires) VALUES"
				 " (167772165, x'525400000001', 2, 0, 0);"
				 "INSERT INTO boot (mac, address, version, change, opened, mounted)"
				 " VALUES (x'525400000001', 167772165, 7, 3, 0, 1)"),
			 0);
	exports_poll(u->nfs.exports);
	nfs_refresh(&u->nfs);
	assert_int_equal(db_exec(u->leases,
				 "INSERT INTO boot (mac, address, version, change, opened)"
				 " VALUES (x'525400000001', 167772165, 5, 5, 0)"),
			 0);
	assert_int_equal(mnt(u, "/", &fh), MNT3_OK);
	assert_memory_equal(
		fh.fhandle3_val,
		unit_handle_made(u, &(struct handle){1, 5, fake_node("/"), 2}).data.data_val,
		HANDLE_SIZE);
	xdr_free(XDR_OF(xdr_fhandle3), &fh);
}

static void mnt_gives_the_maintenance_image_that_the_host_has(void **state)
{
	struct unit_nfs *u = *state;
	fhandle3 fh = {0};

	assert_int_equal(mnt(u, "/maintenance", NULL), MNT3ERR_NOENT);
	assert_int_equal(
		db_exec(u->db, "INSERT INTO image (id, name) VALUES (2, 'rescue');"
			       "INSERT INTO version (id, image, number, origin_kind, origin, added)"
			       " VALUES (5, 2, 1, 'dir', '/r', 0);"
			       "UPDATE image SET active = 5 WHERE id = 2;"
			       "INSERT INTO setting VALUES (2, 1, 'maintenance', 'rescue');"),
		0);
	exports_poll(u->nfs.exports);
	assert_int_equal(mnt(u, "/maintenance", &fh), MNT3_OK);
	assert_memory_equal(fh.fhandle3_val, unit_handle_of(u, 1, 5, fake_node("/")).data.data_val,
			    HANDLE_SIZE);
	xdr_free(XDR_OF(xdr_fhandle3), &fh);
	assert_mounts(u, "/", 1, "/");
	unit_from(u, HOST2, 700);
	assert_int_equal(mnt(u, "/maintenance", NULL), MNT3ERR_NOENT);
	assert_int_equal(db_exec(u->db, "INSERT INTO setting VALUES (0, 0, 'maintenance', 'gone')"),
			 0);
	exports_poll(u->nfs.exports);
	assert_int_equal(mnt(u, "/maintenance", NULL), MNT3ERR_NOENT);
}

static void mnt_refuses_at_once_and_says_why_once(void **state)
{
	struct unit_nfs *u = *state;
	char deep[300] = "/";
	struct event e;

	assert_int_equal(mnt(u, "/none", NULL), MNT3ERR_NOENT);
	assert_int_equal(mnt(u, "/dir/a", NULL), MNT3ERR_NOTDIR);
	memset(deep + 1, 'x', 260);
	assert_int_equal(mnt(u, deep, NULL), MNT3ERR_NAMETOOLONG);
	assert_int_equal(mnt(u, "/hosts/host2", NULL), MNT3ERR_ACCES);
	assert_int_equal(mnt(u, "/hosts/nobody", NULL), MNT3ERR_ACCES);
	assert_int_equal(mnt(u, "/images/debian", NULL), MNT3ERR_ACCES);
	while (unit_event(u).kind)
		;
	unit_from(u, STRANGER, 700);
	assert_int_equal(mnt(u, "/", NULL), MNT3ERR_ACCES);
	e = unit_event(u);
	assert_int_equal(e.kind, EVENT_REFUSED);
	assert_int_equal(e.address, STRANGER);
	assert_int_equal(mnt(u, "/", NULL), MNT3ERR_ACCES);
	assert_int_equal(unit_event(u).kind, 0); /* once */
	unit_from(u, PENDING, 700);
	assert_int_equal(mnt(u, "/", NULL), MNT3ERR_ACCES);
	unit_from(u, HOST1, 5000);
	assert_int_equal(mnt(u, "/", NULL), MNT3ERR_ACCES);
}

static void a_lease_without_a_host_is_told_to_the_supervisor(void **state)
{
	struct unit_nfs *u = *state;
	static const struct mac mac = {{0x52, 0x54, 0, 0, 0, 0x99}};
	struct event e;

	unit_from(u, LEASE_ONLY, 700);
	assert_int_equal(mnt(u, "/", NULL), MNT3ERR_ACCES);
	e = unit_event(u);
	assert_int_equal(e.kind, EVENT_UNKNOWN);
	assert_int_equal(e.address, LEASE_ONLY);
	assert_true(mac_equal(&e.mac, &mac));
	/* which registers it; the next try does not wait for the poll */
	assert_int_equal(db_exec(u->db, "INSERT INTO host_mac VALUES (x'525400000099', 4)"), 0);
	assert_mounts(u, "/", 4, "/");
}

static void its_call_is_held_where_that_can_be(void **state)
{
	struct unit_nfs *u = *state;
	char root[] = "/";
	dirpath path = root;

	uint64_t calls = atomic_load(&u->nfs.calls);

	unit_from(u, LEASE_ONLY, 700);
	u->nfs.may_hold = true;
	unit_write(u, MOUNT_PROGRAM, MOUNT_V3, MOUNTPROC3_MNT, XDR_OF(xdr_dirpath), &path);
	unit_send(u, false);
	assert_int_equal(u->verdict, RPC_HOLD);
	assert_int_equal(atomic_load(&u->nfs.calls), calls);
	assert_int_equal(unit_event(u).kind, EVENT_UNKNOWN);
	assert_int_equal(unit_event(u).kind, 0); /* and no refusal yet */
	assert_int_equal(db_exec(u->db, "INSERT INTO host_mac VALUES (x'525400000099', 4)"), 0);
	unit_send(u, false); /* the same bytes again */
	assert_int_equal(unit_status(u), MNT3_OK);
	assert_int_equal(atomic_load(&u->nfs.calls), calls + 1); /* it is one call */
	/* A stranger has nothing to wait for. */
	unit_from(u, STRANGER, 700);
	assert_int_equal(mnt(u, "/", NULL), MNT3ERR_ACCES);
}

static void an_admin_may_have_any_tree(void **state)
{
	struct unit_nfs *u = *state;

	unit_from(u, ADMIN, 700);
	assert_int_equal(mnt(u, "/", NULL), MNT3ERR_ACCES); /* it is no host itself */
	assert_mounts(u, "/hosts/host2", 2, "/");
	assert_mounts(u, "/hosts/host2/dir", 2, "/dir");
	assert_mounts(u, "/images/debian", 0, "/");
	assert_mounts(u, "/images/debian@1/dir/sub", 0, "/dir/sub");
	assert_int_equal(mnt(u, "/images/debian@5", NULL), MNT3ERR_NOENT);
	assert_int_equal(mnt(u, "/images/none", NULL), MNT3ERR_NOENT);
	assert_int_equal(mnt(u, "/hosts/none", NULL), MNT3ERR_NOENT);
}

static unsigned int dump_count(struct unit_nfs *u, uint32_t version)
{
	mountlist list = NULL;
	unsigned int n = 0;

	unit_call(u, MOUNT_PROGRAM, version, MOUNTPROC3_DUMP, NULL, NULL, XDR_OF(xdr_mountlist),
		  &list);
	for (mountbody *b = list; b; b = b->ml_next)
		n++;
	xdr_free(XDR_OF(xdr_mountlist), &list);
	return n;
}

static void dump_lists_what_was_granted(void **state)
{
	struct unit_nfs *u = *state;
	char *path = (char *)"/";

	assert_int_equal(dump_count(u, 3), 0);
	assert_int_equal(mnt(u, "/none", NULL), MNT3ERR_NOENT);
	assert_int_equal(dump_count(u, 3), 0); /* a refusal leaves nothing */
	mnt(u, "/", NULL);
	assert_int_equal(dump_count(u, 3), 1);
	assert_int_equal(dump_count(u, 1), 1);
	unit_from(u, HOST2, 700);
	assert_int_equal(dump_count(u, 3), 0); /* one's own, */
	unit_from(u, ADMIN, 700);
	assert_int_equal(dump_count(u, 3), 1); /* an admin all */
	unit_from(u, STRANGER, 700);
	assert_int_equal(dump_count(u, 3), 0);
	unit_from(u, HOST1, 700);
	unit_call(u, MOUNT_PROGRAM, 3, MOUNTPROC3_UMNT, XDR_OF(xdr_dirpath), &path, xdr_nothing,
		  NULL);
	assert_int_equal(dump_count(u, 3), 0);
	mnt(u, "/", NULL);
	unit_call(u, MOUNT_PROGRAM, 1, MOUNTPROC3_UMNTALL, NULL, NULL, xdr_nothing, NULL);
	assert_int_equal(dump_count(u, 3), 0);
}

static void export_lists_what_the_caller_may_have(void **state)
{
	struct unit_nfs *u = *state;
	exportlist list = NULL;

	unit_call(u, MOUNT_PROGRAM, 3, MOUNTPROC3_EXPORT, NULL, NULL, XDR_OF(xdr_exportlist),
		  &list);
	assert_string_equal(list->ex_dir, "/");
	assert_null(list->ex_next);
	xdr_free(XDR_OF(xdr_exportlist), &list);
	list = NULL;
	unit_from(u, ADMIN, 700);
	unit_call(u, MOUNT_PROGRAM, 1, MOUNTPROC3_EXPORT, NULL, NULL, XDR_OF(xdr_exportlist),
		  &list);
	assert_string_equal(list->ex_next->ex_dir, "/images/debian");
	assert_string_equal(list->ex_next->ex_next->ex_dir, "/hosts/host1");
	xdr_free(XDR_OF(xdr_exportlist), &list);
}

static void mount_version_1_is_told_what_to_do(void **state)
{
	struct unit_nfs *u = *state;
	char *path = (char *)"/";
	struct event e;

	unit_write(u, MOUNT_PROGRAM, 1, MOUNTPROC3_MNT, XDR_OF(xdr_dirpath), &path);
	unit_send(u, false);
	assert_words(u, REPLY, MSG_ACCEPTED, 0, 0, PROC_UNAVAIL);
	e = unit_event(u);
	assert_int_equal(e.kind, EVENT_REFUSED);
	assert_non_null(strstr(e.text, "vers=3"));
}

static void only_a_handle_of_its_own_shows_that_a_client_lives(void **state)
{
	struct unit_nfs *u = *state;
	GETATTR3args args = {unit_handle_of(u, 2, FAKE_VERSION, fake_node("/"))};

	send_plain(u, NFS3_PROGRAM, 3, NFSPROC3_NULL);
	send_plain(u, MOUNT_PROGRAM, 3, 0);
	send_plain(u, NFS3_PROGRAM, 3, NFSPROC3_GETATTR); /* garbage */
	assert_int_equal(unit_event(u).kind, 0);
	unit_write(u, NFS3_PROGRAM, 3, NFSPROC3_GETATTR, XDR_OF(xdr_GETATTR3args), &args);
	unit_send(u, false);
	assert_int_equal(unit_status(u), NFS3ERR_ACCES);
	assert_int_equal(unit_event(u).kind, EVENT_REFUSED);
	args.object = unit_handle(u, "/");
	args.object.data.data_val[HANDLE_SIZE - 1] ^= 1;
	unit_write(u, NFS3_PROGRAM, 3, NFSPROC3_GETATTR, XDR_OF(xdr_GETATTR3args), &args);
	unit_send(u, false);
	assert_int_equal(unit_status(u), NFS3ERR_BADHANDLE);
	assert_int_equal(unit_event(u).kind, 0);
	args.object = unit_handle(u, "/");
	unit_write(u, NFS3_PROGRAM, 3, NFSPROC3_GETATTR, XDR_OF(xdr_GETATTR3args), &args);
	unit_send(u, false);
	assert_int_equal(unit_event(u).kind, EVENT_ALIVE);
	assert_int_equal(unit_event(u).kind, 0);
}

/* The change that a handle shows to the client at HOST1, over a new connection, and the boot
 * that it is told to be alive in; `mounts` is how many mounts were told. */
static uint64_t change_seen(struct unit_nfs *u, const struct handle *handle, uint32_t *boot,
			    unsigned int *mounts)
{
	GETATTR3args args = {unit_handle_made(u, handle)};
	struct event e;

	exports_poll(u->nfs.exports);
	nfs_refresh(&u->nfs);
	u->nfs.now_ns += 61 * NS_PER_SEC;
	unit_from(u, HOST1, 700);
	unit_write(u, NFS3_PROGRAM, 3, NFSPROC3_GETATTR, XDR_OF(xdr_GETATTR3args), &args);
	unit_send(u, false);
	assert_int_equal(unit_status(u), NFS3_OK);
	*boot = UINT32_MAX;
	*mounts = 0;
	while ((e = unit_event(u)).kind) {
		if (e.kind == EVENT_ALIVE)
			*boot = e.boot;
		*mounts += e.kind == EVENT_MOUNT;
	}
	return fake_change;
}

static void assert_shows(struct unit_nfs *u, const struct handle *handle, uint64_t change)
{
	unsigned int mounts;
	uint32_t boot;

	assert_int_equal(change_seen(u, handle, &boot, &mounts), change);
	assert_int_equal(boot, handle->boot);
	assert_int_equal(mounts, 0);
}

/* What MNT gives to HOST1, and then LOOKUP: all of one boot. */
static struct handle mounted_handle(struct unit_nfs *u)
{
	LOOKUP3args args = {.what.name = (char *)"dir"};
	LOOKUP3res res = {0};
	struct handle found;
	struct handle out;
	fhandle3 fh = {0};

	assert_int_equal(mnt(u, "/", &fh), MNT3_OK);
	assert_int_equal(fh.fhandle3_len, HANDLE_SIZE);
	assert_int_equal(handle_read(&u->nfs.key,
				     (struct bytes){(uint8_t *)fh.fhandle3_val, HANDLE_SIZE}, &out),
			 0);
	xdr_free(XDR_OF(xdr_fhandle3), &fh);
	args.what.dir = unit_handle_made(u, &out);
	unit_nfs3(u, NFSPROC3_LOOKUP, XDR_OF(xdr_LOOKUP3args), &args, XDR_OF(xdr_LOOKUP3res), &res);
	assert_int_equal(res.status, NFS3_OK);
	assert_int_equal(
		handle_read(
			&u->nfs.key,
			(struct bytes){(uint8_t *)res.LOOKUP3res_u.resok.object.data.data_val,
				       HANDLE_SIZE},
			&found),
		0);
	xdr_free(XDR_OF(xdr_LOOKUP3res), &res);
	assert_int_equal(found.boot, out.boot);
	return out;
}

/* A boot is opened, at `change`, as a DISCOVER and a REQUEST do that anybody can forge. */
static void boot_opens(struct unit_nfs *u, unsigned int change)
{
	char sql[200];

	snprintf(sql, sizeof(sql),
		 "INSERT INTO boot (mac, address, version, change, opened) VALUES"
		 " (x'525400000001', 167772165, 7, %u, 0)",
		 change);
	assert_int_equal(db_exec(u->leases, sql), 0);
}

static void a_handle_shows_the_change_of_its_boot(void **state)
{
	struct unit_nfs *u = *state;
	struct handle none;
	struct handle first;
	struct handle second;

	assert_int_equal(db_exec(u->leases,
				 "INSERT INTO lease (address, mac, state, started, expires) VALUES"
				 " (167772165, x'525400000001', 2, 0, 0)"),
			 0);
	none = mounted_handle(u);
	assert_int_equal(none.boot, 0);
	assert_int_equal(told(u, EVENT_MOUNT), 1);
	assert_shows(u, &none, UINT64_MAX);
	/* its MNT opens one, which is what it sees from then on */
	boot_opens(u, 3);
	assert_int_equal(db_exec(u->leases, "UPDATE boot SET mounted = 1"), 0);
	assert_shows(u, &none, 3);
	first = mounted_handle(u);
	assert_int_equal(first.boot, 1);
	told(u, EVENT_MOUNT);
	assert_shows(u, &first, 3);
	boot_opens(u, 5);
	assert_shows(u, &first, 3);
	second = mounted_handle(u);
	assert_int_equal(second.boot, 2);
	assert_int_equal(told(u, EVENT_MOUNT), 1);
	assert_shows(u, &second, 5);
	assert_shows(u, &first, 3);
	assert_shows(u, &none, 3);
	/* nothing is remembered: the process was killed, and leases.db has nothing of the mount */
	mounts_free(u->nfs.mounts);
	assert_int_equal(mounts_new(u->events[1], &u->nfs.mounts), 0);
	assert_shows(u, &second, 5);
	assert_shows(u, &first, 3);
	/* of a boot that is over: what the newest sees that has mounted */
	assert_int_equal(db_exec(u->leases, "UPDATE boot SET mounted = 2 WHERE id = 2;"
					    "UPDATE boot SET ended = 1 WHERE id = 1"),
			 0);
	assert_shows(u, &first, 5);
	assert_int_equal(db_exec(u->leases, "UPDATE boot SET ended = 1"), 0);
	assert_shows(u, &first, UINT64_MAX);
	assert_shows(u, &second, UINT64_MAX);
}

static void a_handle_does_not_claim_what_was_offered_to_another_boot(void **state)
{
	struct unit_nfs *u = *state;
	struct handle first;
	struct handle second;
	unsigned int mounts;
	uint32_t boot;

	assert_int_equal(db_exec(u->leases,
				 "INSERT INTO lease (address, mac, state, started, expires) VALUES"
				 " (167772165, x'525400000001', 2, 0, 0)"),
			 0);
	boot_opens(u, 3);
	first = mounted_handle(u);
	assert_int_equal(told(u, EVENT_MOUNT), 1);
	boot_opens(u, 3);
	u->caller.tcp = false;
	unit_from(u, HOST1, 701);
	second = mounted_handle(u);
	u->caller.tcp = true;
	assert_int_equal(told(u, EVENT_MOUNT), 1); /* its LOOKUP */
	boot_opens(u, 3);
	u->caller.tcp = false;
	assert_mounts_in(u, "/", 3);
	u->caller.tcp = true;
	assert_shows(u, &first, 3);
	assert_shows(u, &second, 3);
	second.boot = 3;
	assert_int_equal(change_seen(u, &second, &boot, &mounts), 3);
	assert_int_equal(mounts, 1);
	assert_int_equal(boot, 3);
}

static void an_init_is_of_the_boot_whose_handle_read_it(void **state)
{
	struct unit_nfs *u = *state;
	struct mounts *m = u->nfs.mounts;
	struct event e;

	mounts_add(m, HOST1, 1, 2, "/");
	assert_int_equal(unit_event(u).boot, 2);
	mounts_init_read(m, HOST1, 1, 2, 10);
	e = unit_event(u);
	assert_int_equal(e.kind, EVENT_INIT);
	assert_int_equal(e.boot, 2);
	mounts_init_read(m, HOST1, 1, 2, 10);
	mounts_init_read(m, HOST1, 1, 1, 10); /* old news, as often as it likes */
	assert_int_equal(unit_event(u).kind, 0);
	mounts_alive(m, HOST1, 1, 1, 2, 1);
	e = unit_event(u);
	assert_int_equal(e.boot, 1);
	assert_int_equal(e.step, STEP_ROOT);
	mounts_alive(m, HOST1, 1, 2, 2, 61 * NS_PER_SEC);
	e = unit_event(u);
	assert_int_equal(e.boot, 2);
	assert_int_equal(e.step, STEP_INIT);
	mounts_init_read(m, HOST1, 1, 3, 10); /* whose mount another process saw */
	assert_int_equal(unit_event(u).boot, 3);
}

static void that_a_boot_mounted_is_told_until_it_is_on_record(void **state)
{
	struct unit_nfs *u = *state;
	struct mounts *m = u->nfs.mounts;
	int64_t now = 1000 * NS_PER_SEC;
	struct event e;

	mounts_add(m, HOST1, 1, 2, "/");
	assert_int_equal(unit_event(u).kind, EVENT_MOUNT);
	for (int i = 0; i < 3; i++, now += NS_PER_SEC) {
		assert_int_equal(mounts_alive(m, HOST1, 1, 2, 1, now), now + NS_PER_SEC);
		e = unit_event(u);
		assert_int_equal(e.kind, EVENT_ALIVE);
		assert_int_equal(e.boot, 2);
		assert_int_equal(mounts_alive(m, HOST1, 1, 2, 1, now + 1), now + NS_PER_SEC);
		assert_int_equal(unit_event(u).kind, 0);
	}
	assert_int_equal(mounts_alive(m, HOST1, 1, 2, 2, now), now + 59 * NS_PER_SEC);
	assert_int_equal(unit_event(u).kind, 0);
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
		T(mnt_gives_the_callers_own_root),
		T(mounts_without_end_are_told_with_one_but_each_boot_once),
		T(a_mnt_by_udp_counts_when_its_handle_comes_back),
		T(only_a_handle_of_its_own_shows_that_a_client_lives),
		T(a_handle_shows_the_change_of_its_boot),
		T(a_handle_does_not_claim_what_was_offered_to_another_boot),
		T(an_init_is_of_the_boot_whose_handle_read_it),
		T(that_a_boot_mounted_is_told_until_it_is_on_record),
		T(mnt_is_of_a_boot_that_was_not_polled_yet),
		T(mnt_gives_the_maintenance_image_that_the_host_has),
		T(mnt_refuses_at_once_and_says_why_once),
		T(a_lease_without_a_host_is_told_to_the_supervisor),
		T(its_call_is_held_where_that_can_be),
		T(an_admin_may_have_any_tree),
		T(dump_lists_what_was_granted),
		T(export_lists_what_the_caller_may_have),
		T(mount_version_1_is_told_what_to_do),
		T(getport_is_exact),
		T(nothing_can_be_registered_or_reflected),
		T(getaddr_names_the_address_that_was_asked),
		T(the_list_goes_over_udp_only_to_those_we_know),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

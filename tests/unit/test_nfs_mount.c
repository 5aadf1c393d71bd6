/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * MOUNT: what a client is granted by its address, what it is refused and told, what it may list.
 */
#include "tests/unit/nfs_mount_unit.h"

#define xdr_nothing ((xdrproc_t)(void (*)(void))xdr_void)

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

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, unit_nfs_setup, unit_nfs_teardown)
	const struct CMUnitTest tests[] = {
		T(mnt_gives_the_callers_own_root),
		T(mnt_gives_the_maintenance_image_that_the_host_has),
		T(mnt_refuses_at_once_and_says_why_once),
		T(a_lease_without_a_host_is_told_to_the_supervisor),
		T(its_call_is_held_where_that_can_be),
		T(an_admin_may_have_any_tree),
		T(dump_lists_what_was_granted),
		T(export_lists_what_the_caller_may_have),
		T(mount_version_1_is_told_what_to_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Mounts and the boots that they are of: what a handle shows and to whom, and what the dhcp
 * child is told of mounts, inits and life.
 */
#include "tests/unit/nfs_mount_unit.h"

static void assert_mounts_in(struct unit_nfs *u, const char *path, uint32_t boot)
{
	const struct handle handle = {1, FAKE_VERSION, fake_node(path), boot};
	fhandle3 fh = {0};

	assert_int_equal(mnt(u, path, &fh), MNT3_OK);
	assert_memory_equal(fh.fhandle3_val, unit_handle_made(u, &handle).data.data_val,
			    HANDLE_SIZE);
	xdr_free(XDR_OF(xdr_fhandle3), &fh);
}

static void getattr_root(struct unit_nfs *u)
{
	GETATTR3args args = {unit_handle_of(u, 1, FAKE_VERSION, fake_node("/"))};
	GETATTR3res res = {0};

	unit_nfs3(u, NFSPROC3_GETATTR, XDR_OF(xdr_GETATTR3args), &args, XDR_OF(xdr_GETATTR3res),
		  &res);
	assert_int_equal(res.status, NFS3_OK);
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
		handle_read(&u->nfs.key,
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

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, unit_nfs_setup, unit_nfs_teardown)
	const struct CMUnitTest tests[] = {
		T(mounts_without_end_are_told_with_one_but_each_boot_once),
		T(a_mnt_by_udp_counts_when_its_handle_comes_back),
		T(only_a_handle_of_its_own_shows_that_a_client_lives),
		T(a_handle_shows_the_change_of_its_boot),
		T(a_handle_does_not_claim_what_was_offered_to_another_boot),
		T(an_init_is_of_the_boot_whose_handle_read_it),
		T(that_a_boot_mounted_is_told_until_it_is_on_record),
		T(mnt_is_of_a_boot_that_was_not_polled_yet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

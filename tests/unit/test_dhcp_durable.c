/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A power cut, simulated: a layer below SQLite copies a file to a second
 * directory, "the disk", whenever it is synced, and at no other time.  What
 * lies there at any moment is what a machine would find after the cut.
 */
#include "tests/unit/test_dhcp_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>

static char disk[PATH_MAX];
static unsigned int syncs;
static bool disk_full;

struct shim_file {
	sqlite3_file base;
	char *name;
	sqlite3_file real[];
};

static sqlite3_file *real_of(sqlite3_file *f)
{
	return ((struct shim_file *)f)->real;
}

static void copy_to_disk(const char *name)
{
	const char *slash = strrchr(name, '/');
	char to[2 * PATH_MAX];
	char buf[65536];
	int in = open(name, O_RDONLY);
	int out;
	ssize_t n;

	snprintf(to, sizeof(to), "%s%s", disk, slash ? slash : "/x");
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(in >= 0 && out >= 0);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		assert_int_equal(write(out, buf, (size_t)n), n);
	close(in);
	close(out);
}

static int shim_close(sqlite3_file *f)
{
	int r = real_of(f)->pMethods->xClose(real_of(f));

	free(((struct shim_file *)f)->name);
	return r;
}

static int shim_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	return real_of(f)->pMethods->xRead(real_of(f), p, n, at);
}

static int shim_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	return disk_full ? SQLITE_FULL : real_of(f)->pMethods->xWrite(real_of(f), p, n, at);
}

static int shim_truncate(sqlite3_file *f, sqlite3_int64 n)
{
	return real_of(f)->pMethods->xTruncate(real_of(f), n);
}

static int shim_sync(sqlite3_file *f, int flags)
{
	int r = real_of(f)->pMethods->xSync(real_of(f), flags);

	syncs++;
	if (((struct shim_file *)f)->name)
		copy_to_disk(((struct shim_file *)f)->name);
	return r;
}

static int shim_size(sqlite3_file *f, sqlite3_int64 *n)
{
	return real_of(f)->pMethods->xFileSize(real_of(f), n);
}

static int shim_lock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xLock(real_of(f), level);
}

static int shim_unlock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int shim_reserved(sqlite3_file *f, int *out)
{
	return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out);
}

static int shim_control(sqlite3_file *f, int op, void *arg)
{
	return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int shim_sector(sqlite3_file *f)
{
	return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int shim_device(sqlite3_file *f)
{
	/* No promise that a write survives unless it was synced. */
	(void)f;
	return 0;
}

static int shim_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
	return real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, out);
}

static int shim_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
	return real_of(f)->pMethods->xShmLock(real_of(f), offset, n, flags);
}

static void shim_shm_barrier(sqlite3_file *f)
{
	real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int shim_shm_unmap(sqlite3_file *f, int remove_it)
{
	return real_of(f)->pMethods->xShmUnmap(real_of(f), remove_it);
}

static const sqlite3_io_methods shim_methods = {
	.iVersion = 2,
	.xClose = shim_close,
	.xRead = shim_read,
	.xWrite = shim_write,
	.xTruncate = shim_truncate,
	.xSync = shim_sync,
	.xFileSize = shim_size,
	.xLock = shim_lock,
	.xUnlock = shim_unlock,
	.xCheckReservedLock = shim_reserved,
	.xFileControl = shim_control,
	.xSectorSize = shim_sector,
	.xDeviceCharacteristics = shim_device,
	.xShmMap = shim_shm_map,
	.xShmLock = shim_shm_lock,
	.xShmBarrier = shim_shm_barrier,
	.xShmUnmap = shim_shm_unmap,
};

static sqlite3_vfs shim_vfs;
static sqlite3_vfs *real_vfs;

static int shim_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out_flags)
{
	struct shim_file *file = (struct shim_file *)f;
	int r;

	(void)vfs;
	file->name =
		name && strstr(name, "/leases.db") && !strstr(name, disk) ? strdup(name) : NULL;
	r = real_vfs->xOpen(real_vfs, name, file->real, flags, out_flags);
	file->base.pMethods = r ? NULL : &shim_methods;
	if (r)
		free(file->name);
	return r;
}

static int durable_setup(void **state)
{
	void *dir = NULL;

	if (unit_dir_setup(&dir))
		return -1;
	snprintf(disk, sizeof(disk), "%s", (char *)dir);
	free(dir);
	syncs = 0;
	disk_full = false;
	real_vfs = sqlite3_vfs_find(NULL);
	shim_vfs = *real_vfs;
	shim_vfs.zName = "shim";
	shim_vfs.szOsFile = (int)sizeof(struct shim_file) + real_vfs->szOsFile;
	shim_vfs.xOpen = shim_open;
	sqlite3_vfs_register(&shim_vfs, 1);
	return site_setup(state);
}

static int durable_teardown(void **state)
{
	int r = site_teardown(state);
	void *dir = strdup(disk);

	sqlite3_vfs_unregister(&shim_vfs);
	return unit_dir_teardown(&dir) || r;
}

/* What a server that starts after the cut would know.  The copy goes to a third
 * place, since opening it changes it. */
static int64_t after_the_cut(const char *sql)
{
	static const char *const files[] = {"leases.db", "leases.db-wal"};
	char saved[PATH_MAX];
	char name[2 * PATH_MAX];
	struct why why = {""};
	sqlite3_stmt *stmt;
	struct db *db;
	void *dir = NULL;
	int64_t n;

	assert_int_equal(unit_dir_setup(&dir), 0);
	memcpy(saved, disk, sizeof(saved));
	memcpy(disk, dir, strlen(dir) + 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(files); i++) {
		struct stat st;

		snprintf(name, sizeof(name), "%s/%s", saved, files[i]);
		if (!stat(name, &st))
			copy_to_disk(name);
	}
	assert_int_equal(db_open(dir, &schema_leases, DB_WRITE, &db, &why), 0);
	stmt = db_stmt(db, sql);
	assert_int_equal(db_query(db, stmt, ""), DB_ROW);
	n = sqlite3_column_int64(stmt, 0);
	db_close(db);
	memcpy(disk, saved, sizeof(saved));
	unit_dir_teardown(&dir);
	return n;
}

static void every_acknowledged_lease_is_there_after_a_power_cut(void **state)
{
	struct site *site = *state;

	/* A checkpoint every few pages: the cut may fall beside any of them. */
	assert_int_equal(db_exec(site->leases, "PRAGMA wal_autocheckpoint = 8"), 0);
	for (unsigned int i = 0; i < 60; i++) {
		assert_int_not_equal(acquire(site, STRANGER(i)), 0);
		/* here its ACK leaves */
		assert_int_equal(after_the_cut("SELECT count(*) FROM lease WHERE state = 2"),
				 i + 1);
		assert_int_equal(after_the_cut("SELECT count(*) FROM boot"), i + 1);
	}
	assert_true(syncs >= 60);
}

static void a_whole_batch_costs_one_sync(void **state)
{
	struct site *site = *state;
	uint32_t address[40];
	unsigned int before;

	for (unsigned int i = 0; i < 40; i++)
		address[i] = discover(site, STRANGER(i), i);
	before = syncs;
	for (unsigned int i = 0; i < 40; i++)
		assert_reply(request(site, STRANGER(i), i, address[i]), DHCP_ACK, address[i]);
	site_commit(site);
	assert_true(syncs - before <= 2);
	assert_int_equal(after_the_cut("SELECT count(*) FROM lease WHERE state = 2"), 40);
}

static void a_full_disk_refuses_leases_and_goes_on_when_there_is_room(void **state)
{
	struct site *site = *state;
	uint32_t first = acquire(site, BETA);
	uint32_t address = discover(site, STRANGER(1), 1);

	disk_full = true;
	assert_reply(request(site, STRANGER(1), 1, address), DHCP_ACK, address);
	assert_int_equal(dhcp_server_commit(site->server, site->now), -ENOSPC);
	/* offers go on, and the address is not given to another meanwhile */
	assert_int_not_equal(discover(site, STRANGER(2), 2), address);
	assert_int_equal(dhcp_server_commit(site->server, site->now), -ENOSPC);
	disk_full = false;
	assert_reply(request(site, STRANGER(1), 1, address), DHCP_ACK, address);
	site_commit(site);
	assert_int_equal(after_the_cut("SELECT count(*) FROM lease WHERE state = 2"), 2);
	site_restart(site);
	assert_int_equal(acquire(site, BETA), first);
	assert_int_equal(acquire(site, STRANGER(1)), address);
}

#define DURABLE(fn) cmocka_unit_test_setup_teardown(fn, durable_setup, durable_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DURABLE(every_acknowledged_lease_is_there_after_a_power_cut),
		DURABLE(a_whole_batch_costs_one_sync),
		DURABLE(a_full_disk_refuses_leases_and_goes_on_when_there_is_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where the key of handles comes from: drawn once, or moved out of a database that had it.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "common/handle_key.h"
#include "common/sandbox.h"
#include "common/schema.h"
#include "common/state.h"

static const struct handle_key old = {"0123456789abcde"};

static struct handle_key key_of(const char *dir)
{
	struct handle_key key;

	assert_int_equal(handle_key_read(dir, &key, NULL), 0);
	return key;
}

static void settled(const char *dir)
{
	cleanup(db_closep) struct db *db = NULL;
	struct why why = {""};

	assert_int_equal(state_open(dir, &db, &why), 0);
}

static int64_t rows(struct db *db)
{
	sqlite3_stmt *stmt = db_stmt(db, "SELECT count(*) FROM site WHERE key = 'handle_key'");
	int64_t n;

	assert_int_equal(db_query(db, stmt, ""), DB_ROW);
	n = sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	return n;
}

/* The row, as versions before the file had it, in a database of schema `nsteps`. */
static void put_row(const char *dir, unsigned int nsteps)
{
	cleanup(db_closep) struct db *db = NULL;
	struct db_schema before = schema_rootstock;

	before.nsteps = nsteps;
	assert_int_equal(db_open(dir, &before, DB_CREATE, &db, NULL), 0);
	assert_int_equal(db_run(db, "INSERT INTO site VALUES ('handle_key', ?)", "b",
				(struct bytes){old.bytes, sizeof(old.bytes)}),
			 0);
}

static bool has_key_bytes(const char *dir, const char *name)
{
	static uint8_t buf[1 << 20];
	char path[512];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, buf, sizeof(buf));
	close(fd);
	return n > 0 && memmem(buf, (size_t)n, old.bytes, sizeof(old.bytes));
}

static void it_is_drawn_once(void **state)
{
	char *dir = *state;
	struct sandbox nfs;
	struct handle_key first;
	struct handle_key second;
	char path[512];
	struct stat st;

	settled(dir);
	first = key_of(dir);
	settled(dir);
	second = key_of(dir);
	assert_memory_equal(&first, &second, sizeof(first));
	assert_memory_not_equal(&first, &old, sizeof(first));
	snprintf(path, sizeof(path), "%s/" HANDLE_KEY_FILE, dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0400);
	assert_int_equal(sandbox_identity(SANDBOX_NFS, &nfs, NULL), 0);
	if (!geteuid())
		assert_int_equal(st.st_uid, nfs.uid);
}

static void a_key_in_the_database_stays_the_key_and_leaves_it(void **state)
{
	cleanup(db_closep) struct db *db = NULL;
	char *dir = *state;
	struct handle_key key;

	put_row(dir, 1);
	assert_true(has_key_bytes(dir, "rootstock.db"));
	settled(dir);
	key = key_of(dir);
	assert_memory_equal(&key, &old, sizeof(key));
	assert_false(has_key_bytes(dir, "rootstock.db"));
	assert_false(has_key_bytes(dir, "rootstock.db-wal"));
	assert_int_equal(db_open(dir, &schema_rootstock, DB_READ, &db, NULL), 0);
	assert_int_equal(rows(db), 0);
}

/* Cut off between the file and the row, with a draft left by one before. */
static void who_was_cut_off_in_between_goes_on(void **state)
{
	cleanup(db_closep) struct db *db = NULL;
	char *dir = *state;
	struct handle_key key;
	char path[512];
	int fd;

	settled(dir);
	put_row(dir, schema_rootstock.nsteps);
	snprintf(path, sizeof(path), "%s/" HANDLE_KEY_FILE ".new", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0400);
	assert_int_equal(write(fd, "half", 4), 4);
	close(fd);
	settled(dir);
	key = key_of(dir);
	assert_memory_equal(&key, &old, sizeof(key));
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(db_open(dir, &schema_rootstock, DB_READ, &db, NULL), 0);
	assert_int_equal(rows(db), 0);
}

static void what_is_no_key_is_refused(void **state)
{
	char *dir = *state;
	struct why why = {""};
	struct handle_key key;
	char path[512];

	settled(dir);
	snprintf(path, sizeof(path), "%s/" HANDLE_KEY_FILE, dir);
	assert_int_equal(truncate(path, 15), 0);
	assert_int_equal(handle_key_read(dir, &key, &why), -EUCLEAN);
	assert_non_null(strstr(why.text, "damaged"));
	assert_int_equal(truncate(path, 17), 0);
	assert_int_equal(handle_key_read(dir, &key, NULL), -EUCLEAN);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(handle_key_read(dir, &key, NULL), -ENOENT);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, unit_dir_setup, unit_dir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_is_drawn_once),
		TEST(a_key_in_the_database_stays_the_key_and_leaves_it),
		TEST(who_was_cut_off_in_between_goes_on),
		TEST(what_is_no_key_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/schema.h"

static int scratch_db(void **state, enum db_mode mode, struct db **db, struct why *why)
{
	return db_open(*state, &schema_rootstock, mode, db, why);
}

static void a_fresh_database_is_migrated_and_opens_again(void **state)
{
	struct db *db;

	assert_int_equal(scratch_db(state, DB_WRITE, &db, NULL), -ENOENT);
	assert_int_equal(scratch_db(state, DB_CREATE, &db, NULL), 0);
	assert_int_equal(db_run(db, "INSERT INTO image (name) VALUES (?)", "s", "debian"), 0);
	db_close(db);
	assert_int_equal(scratch_db(state, DB_WRITE, &db, NULL), 0);
	assert_int_equal(db_run(db, "INSERT INTO image (name) VALUES (?)", "s", "debian"), -EEXIST);
	db_close(db);
}

static void a_newer_database_is_refused_and_left_alone(void **state)
{
	struct why why = {""};
	struct db *db;

	assert_int_equal(scratch_db(state, DB_CREATE, &db, NULL), 0);
	assert_int_equal(db_exec(db, "PRAGMA user_version = 99"), 0);
	db_close(db);
	assert_int_equal(scratch_db(state, DB_WRITE, &db, &why), -EPROTONOSUPPORT);
	assert_non_null(strstr(why.text, "newer rootstock (version 99"));
	assert_int_equal(scratch_db(state, DB_READ, &db, NULL), -EPROTONOSUPPORT);
}

static void a_foreign_or_broken_file_is_refused(void **state)
{
	char path[PATH_MAX];
	struct why why = {""};
	struct db *db;
	sqlite3 *raw;
	FILE *f;

	snprintf(path, sizeof(path), "%s/rootstock.db", (char *)*state);
	assert_int_equal(sqlite3_open(path, &raw), 0);
	assert_int_equal(sqlite3_exec(raw, "CREATE TABLE t (x)", NULL, NULL, NULL), 0);
	sqlite3_close(raw);
	assert_int_equal(scratch_db(state, DB_WRITE, &db, &why), -EMEDIUMTYPE);
	f = fopen(path, "w");
	assert_non_null(f);
	for (int i = 0; i < 4096; i++)
		fputc("garbage"[i % 7], f);
	fclose(f);
	assert_int_equal(scratch_db(state, DB_WRITE, &db, NULL), -EMEDIUMTYPE);
}

static void a_damaged_page_is_found_by_a_look_through_all(void **state)
{
	static const char sql[] =
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
		" WHERE i < 2000) INSERT INTO image (name) SELECT 'n' || i FROM n";
	char path[PATH_MAX];
	struct why why = {""};
	struct stat st;
	struct db *db;
	FILE *f;

	assert_int_equal(scratch_db(state, DB_CREATE, &db, NULL), 0);
	assert_int_equal(db_exec(db, sql), 0);
	assert_int_equal(db_check(db, &why), 0);
	db_close(db);
	snprintf(path, sizeof(path), "%s/rootstock.db", (char *)*state);
	f = fopen(path, "r+");
	assert_non_null(f);
	assert_int_equal(fstat(fileno(f), &st), 0);
	fseek(f, st.st_size - 4096, SEEK_SET);
	for (int i = 0; i < 4096; i++)
		fputc("garbage"[i % 7], f);
	fclose(f);
	assert_int_equal(scratch_db(state, DB_WRITE, &db, &why), 0);
	assert_int_equal(db_check(db, &why), -EUCLEAN);
	assert_non_null(strstr(why.text, path));
	db_close(db);
}

static void a_reader_sees_that_a_writer_committed(void **state)
{
	struct db *w;
	struct db *r;
	int64_t before;

	assert_int_equal(scratch_db(state, DB_CREATE, &w, NULL), 0);
	assert_int_equal(scratch_db(state, DB_READ, &r, NULL), 0);
	before = db_data_version(r);
	assert_int_equal(db_data_version(r), before);
	assert_int_equal(db_run(w, "INSERT INTO image (name) VALUES (?)", "s", "a"), 0);
	assert_int_not_equal(db_data_version(r), before);
	assert_int_equal(db_run(r, "INSERT INTO image (name) VALUES (?)", "s", "b"), -EROFS);
	db_close(r);
	db_close(w);
}

static int early_return(struct db *db)
{
	cleanup(txn_abortp) struct txn *txn = NULL;

	if (txn_begin(db, &txn))
		return -1;
	return db_run(db, "INSERT INTO image (name) VALUES (?)", "s", "x"); /* not committed */
}

static void an_early_return_rolls_back(void **state)
{
	sqlite3_stmt *stmt;
	struct db *db;

	assert_int_equal(scratch_db(state, DB_CREATE, &db, NULL), 0);
	assert_int_equal(early_return(db), 0);
	stmt = db_stmt(db, "SELECT count(*) FROM image");
	assert_int_equal(db_query(db, stmt, ""), DB_ROW);
	assert_int_equal(sqlite3_column_int(stmt, 0), 0);
	db_close(db);
}

static void a_statement_that_cannot_be_prepared_says_why(void **state)
{
	struct db *db;

	assert_int_equal(scratch_db(state, DB_CREATE, &db, NULL), 0);
	assert_int_equal(db_exec(db, "DROP TABLE image"), 0);
	assert_int_equal(db_query(db, db_stmt(db, "SELECT id FROM image"), ""), -EIO);
	assert_non_null(strstr(db_error(db), "no such table"));
	assert_int_equal(db_run(db, "DELETE FROM image", ""), -EIO);
	/* The next one's reason is its own. */
	assert_int_equal(db_query(db, db_stmt(db, "SELECT 1"), ""), DB_ROW);
	db_close(db);
}

/* One that dhcp, taken over, puts in place of its own table, for the others to read. */
static void a_view_in_place_of_a_table_is_not_run(void **state)
{
	char path[PATH_MAX];
	sqlite3 *raw;
	struct db *db;

	assert_int_equal(scratch_db(state, DB_CREATE, &db, NULL), 0);
	db_close(db);
	snprintf(path, sizeof(path), "%s/rootstock.db", (char *)*state);
	assert_int_equal(sqlite3_open(path, &raw), SQLITE_OK);
	assert_int_equal(
		sqlite3_exec(raw,
			     "PRAGMA foreign_keys = OFF; DROP TABLE site;"
			     " CREATE VIEW site (key, value) AS WITH RECURSIVE r (x) AS (SELECT 1"
			     " UNION ALL SELECT x + 1 FROM r) SELECT x, x FROM r",
			     NULL, NULL, NULL),
		SQLITE_OK);
	sqlite3_close(raw);
	assert_int_equal(scratch_db(state, DB_WRITE, &db, NULL), 0);
	assert_int_equal(
		db_query(db, db_stmt(db, "SELECT value FROM site WHERE key = 'secret'"), ""), -EIO);
	db_close(db);
}

/* A transaction that stays open keeps its lock, or sees one state for ever. */
static void a_mac_of_another_length_is_refused(void **state)
{
	static const char *const wrong[] = {"NULL", "x''", "x'5254000000'", "x'52540000000102'"};
	static const struct mac mac = {{0x52, 0x54, 0, 0, 0, 1}};
	struct mac found;
	char sql[64];
	struct db *db;

	assert_int_equal(scratch_db(state, DB_CREATE, &db, NULL), 0);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		sqlite3_stmt *stmt;

		snprintf(sql, sizeof(sql), "SELECT 1, %s", wrong[i]);
		stmt = db_stmt(db, sql);
		assert_int_equal(db_query(db, stmt, ""), DB_ROW);
		found = mac;
		assert_int_equal(db_column_mac(stmt, 1, &found), -EUCLEAN);
		assert_true(mac_equal(&found, &mac)); /* untouched */
		sqlite3_reset(stmt);
	}
	found = (struct mac){0};
	sqlite3_stmt *stmt = db_stmt(db, "SELECT ?");
	assert_int_equal(db_query(db, stmt, "b", mac_bytes(&mac)), DB_ROW);
	assert_int_equal(db_column_mac(stmt, 0, &found), 0);
	assert_true(mac_equal(&found, &mac));
	sqlite3_reset(stmt);
	db_close(db);
}

static void a_transaction_ends_without_memory(void **state)
{
	struct db *db;

	assert_int_equal(scratch_db(state, DB_CREATE, &db, NULL), 0);
	assert_int_equal(db_begin(db), 0);
	assert_int_equal(db_run(db, "INSERT INTO image (name) VALUES (?)", "s", "debian"), 0);
	sqlite3_hard_heap_limit64(1);
	assert_int_not_equal(db_exec(db, "COMMIT"), 0);
	assert_true(db_in_transaction(db));
	db_rollback(db);
	assert_false(db_in_transaction(db));
	sqlite3_hard_heap_limit64(0);
	db_close(db);
}

/* ---- a reader who may not write to the WAL's index, as no service may ---- */

struct reader {
	pid_t pid;
	int go;
};

static void reader_step(const struct reader *reader)
{
	char byte;

	assert_int_equal(send(reader->go, "", 1, 0), 1);
	assert_int_equal(recv(reader->go, &byte, 1, 0), 1);
}

/* A step opens it, another reads; or one does both.  Made before this process opens the
 * database: what SQLite knows of it goes along with a fork. */
static struct reader reader_new(const char *dir, bool opens_first)
{
	struct why why = {""};
	struct db *db = NULL;
	struct reader reader;
	int go[2];
	char byte;
	int r;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, go), 0);
	reader = (struct reader){fork(), go[0]};
	if (reader.pid) {
		close(go[1]);
		return reader;
	}
	close(go[0]);
	if ((!geteuid() && (setgid(65534) || setuid(65534))) || recv(go[1], &byte, 1, 0) != 1)
		_exit(2);
	if (!opens_first)
		send(go[1], "", 1, 0);
	r = db_open(dir, &schema_rootstock, DB_READ, &db, &why);
	if (opens_first && (send(go[1], "", 1, 0) != 1 || recv(go[1], &byte, 1, 0) != 1 ||
			    send(go[1], "", 1, 0) != 1))
		_exit(2);
	if (r)
		fprintf(stderr, "%s\n", why.text);
	if (!r && db_query(db, db_stmt(db, "SELECT name FROM image"), "") != DB_ROW) {
		fprintf(stderr, "%s\n", db_error(db));
		r = -1;
	}
	_exit(r ? 1 : 0);
}

/* It looks while a writer is in the middle of a change to the index: these bytes are not yet
 * what they will be. */
static void meets_a_writer(const char *dir, bool opens_first, off_t at)
{
	const struct reader reader = reader_new(dir, opens_first);
	uint8_t whole[16];
	uint8_t part[16];
	char path[PATH_MAX];
	struct db *db;
	int status;
	int shm;

	assert_int_equal(db_open(dir, &schema_rootstock, DB_CREATE, &db, NULL), 0);
	assert_int_equal(db_run(db, "INSERT INTO image (name) VALUES ('a')", ""), 0);
	for (const char *const *name = (const char *const[]){"", "-wal", "-shm", NULL}; *name;
	     name++) {
		snprintf(path, sizeof(path), "%s/rootstock.db%s", dir, *name);
		assert_int_equal(chmod(path, 0444), 0);
	}
	if (opens_first)
		reader_step(&reader);
	shm = open(path, O_RDWR | O_CLOEXEC);
	assert_true(shm >= 0);
	memset(part, 0xff, sizeof(part));
	assert_int_equal(pread(shm, whole, sizeof(whole), at), sizeof(whole));
	assert_memory_not_equal(whole, part, sizeof(whole));
	assert_int_equal(pwrite(shm, part, sizeof(part), at), sizeof(part));
	reader_step(&reader);
	usleep(300000);
	assert_int_equal(waitpid(reader.pid, &status, WNOHANG), 0);
	assert_int_equal(pwrite(shm, whole, sizeof(whole), at), sizeof(whole));
	assert_int_equal(waitpid(reader.pid, &status, 0), reader.pid);
	assert_int_equal(status, 0);
	assert_int_equal(db_run(db, "DELETE FROM image", ""), 0);
	db_close(db);
	close(shm); /* not before: the database's locks are this process's, too */
	close(reader.go);
}

/* The index has its header (48 bytes) twice; then how much is back in the database, and five
 * marks of readers, the first of which is always 0. */
static void a_reader_that_may_not_write_meets_a_writer(void **state)
{
	assert_int_equal(chmod(*state, 0755), 0);
	for (int opens_first = 0; opens_first < 2; opens_first++) {
		meets_a_writer(*state, opens_first, 48);
		meets_a_writer(*state, opens_first, 104);
	}
}

#define SCRATCH(fn) cmocka_unit_test_setup_teardown(fn, unit_dir_setup, unit_dir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCRATCH(a_fresh_database_is_migrated_and_opens_again),
		SCRATCH(a_newer_database_is_refused_and_left_alone),
		SCRATCH(a_foreign_or_broken_file_is_refused),
		SCRATCH(a_damaged_page_is_found_by_a_look_through_all),
		SCRATCH(a_reader_sees_that_a_writer_committed),
		SCRATCH(a_reader_that_may_not_write_meets_a_writer),
		SCRATCH(an_early_return_rolls_back),
		SCRATCH(a_statement_that_cannot_be_prepared_says_why),
		SCRATCH(a_view_in_place_of_a_table_is_not_run),
		SCRATCH(a_mac_of_another_length_is_refused),
		SCRATCH(a_transaction_ends_without_memory),
	};

	/* No memory set aside that would outlast the last of it. */
	sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

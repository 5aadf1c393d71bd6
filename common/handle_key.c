/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/handle_key.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"

static int path_of(const char *state_dir, char out[static PATH_MAX])
{
	int n = snprintf(out, PATH_MAX, "%s/" HANDLE_KEY_FILE, state_dir);

	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* Of a database from before there was the file.  Returns DB_ROW, 0 or a negative errno. */
static int row_read(struct db *db, struct handle_key *key)
{
	sqlite3_stmt *stmt = db_stmt(db, "SELECT value FROM site WHERE key = 'handle_key'");
	int r = db_query(db, stmt, "");
	struct bytes value;

	if (r != DB_ROW)
		return r;
	value = db_column_bytes(stmt, 0);
	if (value.len == sizeof(key->bytes))
		memcpy(key->bytes, value.at, value.len);
	else
		r = -EUCLEAN;
	sqlite3_reset(stmt);
	return r;
}

/* The bytes are on the disk before the name is, and the name before this returns. */
static int file_write(const char *state_dir, const struct handle_key *key)
{
	static const char name[] = "handle-key";
	static const char draft[] = "handle-key.new";
	cleanup(closep) int dir = -1;
	cleanup(closep) int fd = -1;
	char path[PATH_MAX];
	struct stat st;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/secrets", state_dir);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || fstat(dir, &st))
		return -errno;
	unlinkat(dir, draft, 0); /* of one that was killed */
	fd = openat(dir, draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
	if (fd < 0)
		return -errno;
	n = write(fd, key->bytes, sizeof(key->bytes));
	if (n != sizeof(key->bytes))
		return n < 0 ? -errno : -ENOSPC;
	if (fchown(fd, st.st_uid, st.st_gid) || fsync(fd) || renameat(dir, draft, dir, name) ||
	    fsync(dir))
		return -errno;
	return 0;
}

/* Within a transaction, so that two who begin at once draw one key. */
static int settle(struct db *db, const char *state_dir, const char *path)
{
	struct handle_key key;
	int r = row_read(db, &key);

	if (r < 0 || (!r && !access(path, F_OK)))
		return r;
	if (!r && getrandom(key.bytes, sizeof(key.bytes), 0) != sizeof(key.bytes))
		return -errno;
	r = file_write(state_dir, &key);
	return r ? r : db_run(db, "DELETE FROM site WHERE key = 'handle_key'", "");
}

int handle_key_settle(struct db *db, const char *state_dir, struct why *why)
{
	struct handle_key key;
	char path[PATH_MAX];
	bool row;
	int r = path_of(state_dir, path);

	if (!r)
		r = row_read(db, &key);
	row = r == DB_ROW;
	/* Who may not look into secrets/ has no business with it. */
	if (!r && (!access(path, F_OK) || errno != ENOENT))
		return 0;
	if (r >= 0 && row) /* its bytes go, and not the row alone */
		r = db_exec(db, "PRAGMA secure_delete = ON");
	if (r >= 0)
		r = db_begin(db);
	if (!r) {
		r = settle(db, state_dir, path);
		if (!r)
			r = db_commit(db);
		else
			db_rollback(db);
	}
	if (r)
		return why_set(why, r, "%s: %s", path, strerror(-r));
	/* As far as others who read let it be done now. */
	if (row)
		db_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)");
	return 0;
}

int handle_key_read(const char *state_dir, struct handle_key *out, struct why *why)
{
	cleanup(closep) int fd = -1;
	uint8_t bytes[sizeof(out->bytes) + 1];
	char path[PATH_MAX];
	ssize_t n;

	if (path_of(state_dir, path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	n = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));
	if (n < 0)
		return why_set(why, -errno, "%s: %m", path);
	if (n != sizeof(out->bytes))
		return why_set(why, -EUCLEAN, "%s: damaged: not %zu bytes", path,
			       sizeof(out->bytes));
	memcpy(out->bytes, bytes, sizeof(out->bytes));
	return 0;
}

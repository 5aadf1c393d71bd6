/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include <sodium.h>

#include "common/clock.h"
#include "fsd/objects.h"
#include "fsd/overlay.h"

#define KEY "etc/ssh/ssh_host_ed25519_key"

enum { KEY_BLOCKS = 4 }; /* that a pair of keys needs, at most */

extern char **environ;

/* The last line that comes out of `fd`, which is closed; "" for none. */
static void last_words(int fd, char *out, size_t size)
{
	cleanup(fclosep) FILE *file = fdopen(fd, "r");
	char line[256];

	out[0] = '\0';
	if (!file)
		close(fd);
	while (file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		snprintf(out, size, "%s", line);
	}
}

/* Run ssh-keygen in `dir`.  -ENOENT when there is none. */
static int keygen(const char *dir, const char *name, struct why *why)
{
	posix_spawn_file_actions_t actions;
	char file[PATH_MAX];
	char comment[128];
	char words[256];
	const char *const argv[] = {"ssh-keygen", "-q",	   "-t", "ed25519", "-N", "",
				    "-C",	  comment, "-f", file,	    NULL};
	struct statvfs fs;
	int says[2];
	pid_t pid;
	int status;
	int r;

	snprintf(file, sizeof(file), "%s/key", dir);
	snprintf(comment, sizeof(comment), "root@%s", name);
	if (pipe2(says, O_CLOEXEC))
		return -errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, says[1], 2);
	r = -posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(says[1]);
	last_words(says[0], words, sizeof(words));
	if (r)
		return r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return -ENOENT;
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	/* It has one status for all; that one reason is worth telling apart. */
	if (!statvfs(dir, &fs) && fs.f_bavail < KEY_BLOCKS)
		return -ENOSPC;
	return why_set(why, -EIO, "%s: ssh-keygen: %s", name, words[0] ? words : "killed");
}

/* Put the body of a file from `dir` into a store, and say what to put for it. */
static int take_file(const char *dir, const char *file, struct objects *store, mode_t mode,
		     uint8_t flags, struct entry_spec *spec)
{
	cleanup(closep) int fd = -1;
	char path[PATH_MAX];
	int r;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	*spec = (struct entry_spec){
		.kind = ENTRY_FILE,
		.flags = (uint8_t)(ENTRY_MODE_SET | ENTRY_OWNER_SET | flags),
		.mode = (uint16_t)mode,
		.mtime_ns = wall_now_ns(),
	};
	r = objects_put(store, fd, &spec->hash, &spec->size);
	/* An empty key is worse than none. */
	return !r && !spec->size ? -EIO : r;
}

struct keys {
	bool there;
	struct entry_spec private;
	struct entry_spec public;
};

/* Held from before a body is put until its row is there. */
struct stores {
	struct objects *objects;
	struct objects *secrets;
};

static int store_open(const char *state_dir, enum store store, bool wait, struct objects **out,
		      struct why *why)
{
	int r = objects_open(state_dir, store, true, out, why);

	if (r)
		return r;
	return wait ? objects_hold(*out, false) : objects_try_hold(*out);
}

static void stores_close(struct stores *s)
{
	objects_close(s->objects);
	objects_close(s->secrets);
}

/* ssh-keygen writes into a directory of the secrets' own: what a kill leaves is as
 * safe there as the rest, and swept. */
static int keys_make(const char *state_dir, const struct stores *stores, const char *name,
		     struct keys *keys, struct why *why)
{
	char dir[PATH_MAX - 16];
	char path[PATH_MAX];
	int r;

	keys->there = false;
	if (snprintf(dir, sizeof(dir), "%s/secrets/tmp/pkey.XXXXXX", state_dir) >= (int)sizeof(dir))
		return -ENAMETOOLONG;
	if (!mkdtemp(dir)) /* 0700 */
		return -errno;
	r = keygen(dir, name, why);
	if (!r)
		r = take_file(dir, "key", stores->secrets, 0600, ENTRY_SECRET, &keys->private);
	if (!r)
		r = take_file(dir, "key.pub", stores->objects, 0644, 0, &keys->public);
	keys->there = !r;
	snprintf(path, sizeof(path), "%s/key", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/key.pub", dir);
	unlink(path);
	rmdir(dir);
	return r == -ENOENT ? 0 : r;
}

/* From the host's number and the site's secret: the same whenever it is asked, and
 * told to nobody else (machine-id(5) wants it confidential). */
static int machine_id(struct db *db, uint32_t host, char out[static 34])
{
	sqlite3_stmt *stmt = db_stmt(db, "SELECT value FROM site WHERE key = 'secret'");
	struct bytes secret;
	uint8_t mac[crypto_auth_hmacsha256_BYTES];
	crypto_auth_hmacsha256_state hmac;
	char subject[32];
	int r = db_query(db, stmt, "");

	if (r != DB_ROW)
		return r ? r : -EUCLEAN;
	secret = db_column_bytes(stmt, 0);
	snprintf(subject, sizeof(subject), "machine-id %u", host);
	crypto_auth_hmacsha256_init(&hmac, secret.at, secret.len);
	crypto_auth_hmacsha256_update(&hmac, (const uint8_t *)subject, strlen(subject));
	crypto_auth_hmacsha256_final(&hmac, mac);
	sqlite3_reset(stmt);
	/* RFC 4122 version 4 bits, as systemd sets them. */
	mac[6] = (mac[6] & 0x0f) | 0x40;
	mac[8] = (mac[8] & 0x3f) | 0x80;
	for (int i = 0; i < 16; i++)
		snprintf(out + 2 * i, 3, "%02x", mac[i]);
	out[32] = '\n';
	out[33] = '\0';
	return 0;
}

static int has_entry(struct db *db, uint32_t host, const char *path, bool *out)
{
	sqlite3_stmt *stmt = db_stmt(
		db,
		"SELECT 1 FROM entry e JOIN path p ON p.id = e.path JOIN scope s ON s.id ="
		" e.scope WHERE s.kind = 2 AND s.owner = ? AND p.path = ? AND e.retired IS NULL");
	int r = db_query(db, stmt, "ub", host, (struct bytes){(const uint8_t *)path, strlen(path)});

	*out = r == DB_ROW;
	sqlite3_reset(stmt);
	return r < 0 ? r : 0;
}

struct identity {
	struct stores stores;
	bool borrowed; /* the stores */
	struct keys keys;
};

int identity_prepare_within(const char *state_dir, struct objects *objects, struct objects *secrets,
			    const char *name, struct identity **out, struct why *why)
{
	cleanup(identity_freep) struct identity *id = calloc(1, sizeof(*id));
	int r;

	if (!id)
		return -ENOMEM;
	id->stores = (struct stores){objects, secrets};
	id->borrowed = true;
	r = keys_make(state_dir, &id->stores, name, &id->keys, why);
	if (r)
		return why_set(why, r, "%s: SSH host key: %s", name, strerror(-r));
	*out = take(&id);
	return 0;
}

static int prepare(const char *state_dir, const char *name, bool wait, struct identity **out,
		   struct why *why)
{
	cleanup(identity_freep) struct identity *id = calloc(1, sizeof(*id));
	int r;

	if (!id)
		return -ENOMEM;
	r = store_open(state_dir, STORE_OBJECTS, wait, &id->stores.objects, why);
	if (!r)
		r = store_open(state_dir, STORE_SECRETS, wait, &id->stores.secrets, why);
	if (!r)
		r = keys_make(state_dir, &id->stores, name, &id->keys, why);
	if (r)
		return why_set(why, r, "%s: SSH host key: %s", name, strerror(-r));
	*out = take(&id);
	return 0;
}

int identity_prepare(const char *state_dir, const char *name, struct identity **out,
		     struct why *why)
{
	return prepare(state_dir, name, true, out, why);
}

void identity_free(struct identity *id)
{
	if (!id)
		return;
	if (!id->borrowed)
		stores_close(&id->stores);
	free(id);
}

bool identity_has_keys(const struct identity *id)
{
	return id && id->keys.there;
}

int identity_put(struct db *db, uint32_t host, const struct identity *id, struct why *why)
{
	const struct scope scope = {SCOPE_HOST, host};
	bool has_keys = identity_has_keys(id);
	bool key_there = false;
	bool id_there = false;
	char text[34];
	/* Its text is in the row: registering a machine syncs nothing but that. */
	struct entry_spec machine = {.kind = ENTRY_TEMPLATE,
				     .flags = ENTRY_MODE_SET | ENTRY_OWNER_SET,
				     .mode = 0444,
				     .size = 33,
				     .body = {(const uint8_t *)text, 33},
				     .mtime_ns = wall_now_ns()};
	int r;

	r = has_entry(db, host, KEY, &key_there);
	if (!r)
		r = has_entry(db, host, "etc/machine-id", &id_there);
	if (!r)
		r = machine_id(db, host, text);
	if (!r && !id_there)
		r = overlay_change(db, scope, "etc/machine-id", &machine, NULL, why);
	if (!r && has_keys && !key_there)
		r = overlay_change(db, scope, KEY, &id->keys.private, NULL, why);
	if (!r && has_keys && !key_there)
		r = overlay_change(db, scope, KEY ".pub", &id->keys.public, NULL, why);
	return r ? why_set(why, r, "identity: %s", strerror(-r)) : 0;
}

static int host_there(struct db *db, uint32_t host)
{
	sqlite3_stmt *stmt = db_stmt(db, "SELECT 1 FROM host WHERE id = ?");
	int r = db_query(db, stmt, "u", host);

	if (r != DB_ROW)
		return r ? r : -ENOENT;
	sqlite3_reset(stmt);
	return 0;
}

int identity_create(struct db *db, const char *state_dir, uint32_t host, const char *name,
		    bool *has_keys, struct why *why)
{
	cleanup(identity_freep) struct identity *id = NULL;
	cleanup(txn_abortp) struct txn *txn = NULL;
	bool key_there = false;
	int r;

	r = has_entry(db, host, KEY, &key_there);
	if (!r)
		r = prepare(state_dir, name, false, &id, why);
	if (r)
		return r;
	*has_keys = key_there || id->keys.there;
	r = txn_begin(db, &txn);
	if (!r)
		r = host_there(db, host);
	if (r == -ENOENT)
		return 0; /* removed meanwhile: keys of nobody would stay for ever */
	if (!r)
		r = identity_put(db, host, id, why);
	if (!r)
		r = txn_commit(take(&txn));
	return r ? why_set(why, r, "%s", db_error(db)) : 0;
}

int identity_lacking(struct db *db, uint32_t after, uint32_t *host,
		     char name[static NAME_MAX_LEN + 1])
{
	sqlite3_stmt *stmt =
		db_stmt(db, "SELECT h.id, h.name FROM host h WHERE h.id > ? AND NOT EXISTS"
			    " (SELECT 1 FROM scope s JOIN entry e ON e.scope = s.id JOIN path p ON"
			    " p.id = e.path WHERE s.kind = 2 AND s.owner = h.id AND p.path = ?)"
			    " ORDER BY h.id LIMIT 1");
	int r = db_query(db, stmt, "ub", after, (struct bytes){(const uint8_t *)KEY, strlen(KEY)});

	if (r != DB_ROW)
		return r ? r : -ENOENT;
	*host = (uint32_t)sqlite3_column_int64(stmt, 0);
	db_column_text(stmt, 1, name, NAME_MAX_LEN + 1);
	sqlite3_reset(stmt);
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A whole site for one test: a state directory with its database, an origin, hosts,
 * and a copier on a thread.
 */
#ifndef TESTS_UNIT_SITE_H
#define TESTS_UNIT_SITE_H

#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/schema.h"
#include "common/state.h"
#include "fsd/contents.h"
#include "fsd/copier.h"
#include "fsd/image.h"
#include "fsd/objects.h"
#include "fsd/overlay.h"

struct site {
	char dir[128];	  /* all of it */
	char state[160];  /* dir/state */
	char origin[160]; /* dir/origin, empty at first */
	struct db *db;
	struct objects *objects;
	unsigned int patience_ms; /* of its copiers; 0: as always */
};

static inline void site_init_below(struct site *s, const char *place)
{
	struct why why = {""};

	memset(s, 0, sizeof(*s));
	snprintf(s->dir, sizeof(s->dir), "%s/rootstock-site.XXXXXX", place);
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->state, sizeof(s->state), "%s/state", s->dir);
	snprintf(s->origin, sizeof(s->origin), "%s/origin", s->dir);
	assert_int_equal(mkdir(s->origin, 0755), 0);
	if (state_open(s->state, &s->db, &why))
		fail_msg("%s", why.text);
	assert_int_equal(objects_open(s->state, STORE_OBJECTS, true, &s->objects, NULL), 0);
}

/* In memory where there is such a place: a test of logic need not wait for the disk's
 * syncs. */
static inline void site_init(struct site *s)
{
	site_init_below(s, access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
}

static inline void site_fini(struct site *s)
{
	objects_close(s->objects);
	db_close(s->db);
	nftw(s->dir, unit_unlink, 16, FTW_DEPTH | FTW_PHYS);
}

static inline uint32_t site_image(struct site *s, bool strict)
{
	const struct image_add add = {.name = "img", .source = s->origin, .strict = strict};
	struct why why = {""};
	uint32_t version;
	uint32_t number;

	if (image_add(s->db, s->state, &add, &version, &number, &why))
		fail_msg("%s", why.text);
	return version;
}

static inline void site_write(const char *dir, const char *name, const void *data, size_t len)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

/* What the supervisor does in earnest: its own connection, the copier's thread. */
static inline void site_sealed(void *ctx, uint32_t version, const struct hash *digest)
{
	struct site *s = ctx;
	cleanup(db_closep) struct db *db = NULL;

	if (!db_open(s->state, &schema_rootstock, DB_WRITE, &db, NULL))
		image_sealed(db, version, digest);
}

struct site_copier {
	struct copier *copier;
	int listen_fd;
	int lock_fd;
};

static inline void site_copier_start(struct site *s, struct site_copier *c)
{
	struct copier_config config = {.state_dir = s->state,
				       .sealed = site_sealed,
				       .ctx = s,
				       .patience_ms = s->patience_ms};
	struct why why = {""};

	if (copier_listen(s->state, &config.listen_fd, &config.lock_fd, &why) ||
	    copier_start(&config, &c->copier, &why))
		fail_msg("%s", why.text);
	c->listen_fd = config.listen_fd;
	c->lock_fd = config.lock_fd;
}

static inline void site_copier_stop(struct site_copier *c)
{
	copier_stop(c->copier);
	close(c->listen_fd);
	close(c->lock_fd);
}

static inline bool site_is_sealed(struct site *s, uint32_t version)
{
	sqlite3_stmt *stmt = db_stmt(s->db, "SELECT sealed IS NOT NULL FROM version WHERE id = ?");
	bool sealed;

	assert_int_equal(db_query(s->db, stmt, "u", version), DB_ROW);
	sealed = sqlite3_column_int(stmt, 0);
	sqlite3_reset(stmt);
	return sealed;
}

/* One change in its own transaction.  Returns what overlay_change() does. */
static inline int site_change(struct site *s, struct scope scope, const char *path,
			      const struct entry_spec *spec, uint32_t *id, struct why *why)
{
	cleanup(txn_abortp) struct txn *txn = NULL;
	int r;

	assert_int_equal(txn_begin(s->db, &txn), 0);
	r = overlay_change(s->db, scope, path, spec, id, why);
	return r ? r : txn_commit(take(&txn));
}

static inline int site_reset(struct site *s, struct scope scope, const char *path, bool next_boot)
{
	cleanup(txn_abortp) struct txn *txn = NULL;
	int r;

	assert_int_equal(txn_begin(s->db, &txn), 0);
	r = overlay_reset(s->db, scope, path, next_boot);
	return r ? r : txn_commit(take(&txn));
}

/* A file's body into the store, and what to put for it. */
static inline struct entry_spec site_file(struct site *s, const char *text)
{
	struct entry_spec spec = {.kind = ENTRY_FILE, .size = strlen(text), .mtime_ns = 1};

	assert_int_equal(objects_put_bytes(s->objects, text, strlen(text), &spec.hash), 0);
	return spec;
}

static inline uint64_t site_last_change(struct site *s)
{
	sqlite3_stmt *stmt = db_stmt(s->db, "SELECT value FROM counter WHERE name = 'change'");
	uint64_t change;

	assert_int_equal(db_query(s->db, stmt, ""), DB_ROW);
	change = (uint64_t)sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	return change;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/image.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/inventory.h"
#include "common/schema.h"
#include "fsd/objects.h"
#include "fsd/origin.h"
#include "fsd/version.h"

int name_check(const char *what, const char *name, bool is_host, struct why *why)
{
	size_t len = strlen(name);
	const char *fine = is_host ? "abcdefghijklmnopqrstuvwxyz0123456789-"
				   : "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "0123456789._-";

	if (!len || len > NAME_MAX_LEN || strspn(name, fine) != len || name[0] == '-' ||
	    name[0] == '.' || (is_host && name[len - 1] == '-'))
		return why_set(
			why, -EINVAL,
			is_host ? "%s: unfit as a name of %ss (1 to 63 of a-z, 0-9 and '-', not at "
				  "either end)"
				: "%s: unfit as a name of %ss (1 to 63 letters, digits, '.', '_', "
				  "'-')",
			name, what);
	return 0;
}

static int image_row(struct db *db, const char *name, int64_t *id, int64_t *number, bool *first,
		     struct why *why)
{
	sqlite3_stmt *stmt;
	int r = db_run(db, "INSERT INTO image (name) VALUES (?) ON CONFLICT DO NOTHING", "s", name);

	if (!r)
		r = db_run(db, "UPDATE image SET last_number = last_number + 1 WHERE name = ?", "s",
			   name);
	if (r)
		return why_set(why, r, "%s", db_error(db));
	stmt = db_stmt(db, "SELECT id, last_number, active IS NULL FROM image WHERE name = ?");
	r = db_query(db, stmt, "s", name);
	if (r != DB_ROW)
		return r ? r : -EUCLEAN;
	*id = sqlite3_column_int64(stmt, 0);
	*number = sqlite3_column_int64(stmt, 1);
	*first = sqlite3_column_int(stmt, 2);
	sqlite3_reset(stmt);
	return 0;
}

static int activate_row(struct db *db, int64_t version)
{
	return db_run(db,
		      "UPDATE image SET previous = active, active = ?1 WHERE id ="
		      " (SELECT image FROM version WHERE id = ?1) AND active IS NOT ?1",
		      "i", version);
}

/* Where an image comes from, while it is added. */
struct source {
	char path[PATH_MAX];
	enum origin_kind kind;
	struct manifest_builder *builder;
};

static const char *const kind_words[] = {
	[ORIGIN_DIR] = "dir", [ORIGIN_TAR] = "tar", [ORIGIN_OCI] = "oci"};

static int version_seal(struct db *db, const char *manifests, int64_t version, struct why *why)
{
	cleanup(manifest_closep) struct manifest *m = NULL;
	int r = manifest_open(manifests, (uint32_t)version, &m, why);

	return r ? r : image_sealed(db, (uint32_t)version, manifest_digest(m));
}

/* The manifest is written while its row waits in the transaction: a crash leaves at
 * worst a file of a number that is given again, and then replaced. */
static int version_add(struct db *db, const char *state_dir, const struct image_add *add,
		       const struct source *source, int64_t *version, int64_t *number,
		       struct why *why)
{
	char manifests[PATH_MAX];
	cleanup(txn_abortp) struct txn *txn = NULL;
	bool sealed = source->kind != ORIGIN_DIR;
	int64_t image = 0;
	bool first = false;
	int r;

	r = txn_begin(db, &txn);
	if (r)
		return why_set(why, r, "%s", db_error(db));
	r = image_row(db, add->name, &image, number, &first, why);
	if (!r)
		r = db_run(db,
			   "INSERT INTO version (image, number, origin_kind, origin, strict, added)"
			   " VALUES (?, ?, ?, ?, ?, ?)",
			   "iissui", image, *number, kind_words[source->kind], source->path,
			   (uint32_t)add->strict, wall_now_ns());
	if (r)
		return why_set(why, r, "%s", db_error(db));
	*version = db_last_id(db);
	snprintf(manifests, sizeof(manifests), "%s/manifests", state_dir);
	r = manifest_builder_write(source->builder, manifests, (uint32_t)*version, sealed);
	if (r)
		return why_set(why, r, "%s/%lld: %s", manifests, (long long)*version, strerror(-r));
	if (sealed)
		r = version_seal(db, manifests, *version, why);
	if (!r && (first || add->activate))
		r = activate_row(db, *version);
	if (r) {
		char path[PATH_MAX + 24];

		why_set(why, r, "%s", db_error(db));
		snprintf(path, sizeof(path), "%s/%lld", manifests, (long long)*version);
		unlink(path);
		return r;
	}
	/* A commit that failed may still be found after a crash (its sync failed, not its
	 * writes): the manifest stays for that. */
	r = txn_commit(take(&txn));
	return r ? why_set(why, r, "%s", db_error(db)) : 0;
}

static bool known_hash(void *ctx, uint32_t pos, struct hash *hash)
{
	struct fill_record record;

	/* Drift that the sealed manifest has taken in is no difference any more. */
	if (!version_known(ctx, pos, &record) || !hash_known(&record.hash) ||
	    ((record.flags & FILL_DRIFT) && !manifest_sealed(version_manifest(ctx))))
		return false;
	*hash = record.hash;
	return true;
}

/* Take over what the image's newest version has copied already. */
static int reuse_previous(struct db *db, const char *state_dir, const char *name,
			  struct manifest_builder *builder)
{
	cleanup(version_unrefp) struct version *previous = NULL;
	sqlite3_stmt *stmt = db_stmt(db, "SELECT max(v.id) FROM version v JOIN image i ON i.id ="
					 " v.image WHERE i.name = ?");
	uint32_t id;
	int r = db_query(db, stmt, "s", name);

	id = r == DB_ROW ? (uint32_t)sqlite3_column_int64(stmt, 0) : 0;
	sqlite3_reset(stmt);
	if (r < 0)
		return r;
	/* One that cannot be read only costs the copies. */
	if (id && !version_open(state_dir, id, &previous, NULL))
		manifest_builder_reuse(builder, version_manifest(previous), known_hash, previous);
	return 0;
}

/* Bodies and all. */
static int source_read_whole(const char *state_dir, const struct image_add *add,
			     const struct source *source, struct why *why)
{
	cleanup(objects_closep) struct objects *objects = NULL;
	cleanup(intake_freep) struct intake *intake = NULL;
	struct origin_sink sink = {.builder = source->builder, .tell = add->tell, .ctx = add->ctx};
	int r;

	r = objects_open(state_dir, STORE_OBJECTS, true, &objects, why);
	if (!r)
		r = intake_new(objects, &intake);
	if (r)
		return r;
	sink.intake = intake;
	r = source->kind == ORIGIN_OCI ? origin_oci_read(source->path, &sink, why)
				       : origin_tar_read(source->path, &sink, why);
	if (!r)
		r = intake_finish(intake);
	return r ? why_set(why, r, "%s/objects: %s", state_dir, strerror(-r)) : 0;
}

static int source_read(struct db *db, const char *state_dir, const struct image_add *add,
		       const struct source *source, struct why *why)
{
	int r;

	if (source->kind != ORIGIN_DIR)
		return source_read_whole(state_dir, add, source, why);
	r = origin_dir_scan(source->path, state_dir, source->builder, why);
	if (!r && !add->strict)
		r = reuse_previous(db, state_dir, add->name, source->builder);
	return r;
}

/* Whole or not at all: who interrupts the command in its last step waits for the end
 * of that. */
static int source_add(struct db *db, const char *state_dir, const struct image_add *add,
		      const struct source *source, int64_t *version, int64_t *number,
		      struct why *why)
{
	sigset_t before;
	sigset_t held;
	int r;

	sigemptyset(&held);
	sigaddset(&held, SIGINT);
	sigaddset(&held, SIGTERM);
	sigaddset(&held, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &held, &before);
	r = version_add(db, state_dir, add, source, version, number, why);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

int image_add(struct db *db, const char *state_dir, const struct image_add *add, uint32_t *version,
	      uint32_t *number, struct why *why)
{
	cleanup(manifest_builder_freep) struct manifest_builder *builder = NULL;
	cleanup(objects_closep) struct objects *store = NULL;
	struct source source;
	int64_t id = 0;
	int64_t n = 0;
	int r;

	r = name_check("image", add->name, false, why);
	if (r)
		return r;
	if (!realpath(add->source, source.path))
		return why_set(why, -errno, "%s: %m", add->source);
	r = origin_kind(source.path, &source.kind, why);
	if (!r)
		r = manifest_builder_new(&builder);
	if (r)
		return r;
	/* Objects that it takes over or puts must not be swept before its row is there. */
	r = objects_open_held(state_dir, STORE_OBJECTS, true, &store, why);
	if (!r && source.kind != ORIGIN_DIR)
		r = objects_mark(store);
	if (r)
		return why_set(why, r, "%s/objects: %s", state_dir, strerror(-r));
	source.builder = builder;
	r = source_read(db, state_dir, add, &source, why);
	if (!r)
		r = source_add(db, state_dir, add, &source, &id, &n, why);
	if (r)
		return r;
	*version = (uint32_t)id;
	*number = (uint32_t)n;
	return 0;
}

int image_activate(struct db *db, uint32_t version, struct why *why)
{
	int r = activate_row(db, version);

	return r ? why_set(why, r, "%s", db_error(db)) : 0;
}

int image_rollback(struct db *db, const char *name, uint32_t *number, struct why *why)
{
	cleanup(txn_abortp) struct txn *txn = NULL;
	sqlite3_stmt *stmt;
	int r;

	r = txn_begin(db, &txn);
	if (r)
		return why_set(why, r, "%s", db_error(db));
	stmt = db_stmt(db, "SELECT v.number FROM image i JOIN version v ON v.id = i.previous"
			   " WHERE i.name = ?");
	r = db_query(db, stmt, "s", name);
	if (!r)
		return why_set(why, -ENOENT, "%s: no earlier active version", name);
	if (r < 0)
		return why_set(why, r, "%s", db_error(db));
	*number = (uint32_t)sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	r = db_run(db, "UPDATE image SET active = previous, previous = active WHERE name = ?", "s",
		   name);
	if (!r)
		r = txn_commit(take(&txn));
	return r ? why_set(why, r, "%s", db_error(db)) : 0;
}

int image_sealed(struct db *db, uint32_t version, const struct hash *digest)
{
	return db_run(db,
		      "UPDATE version SET sealed = ?, digest = ? WHERE id = ? AND sealed IS NULL",
		      "ibu", wall_now_ns(), (struct bytes){digest->octet, HASH_LEN}, version);
}

/* Who holds a version back; "" for nobody. */
static int version_holder(struct db *db, const char *state_dir, int64_t version, char *out,
			  size_t size)
{
	cleanup(db_closep) struct db *leases = NULL;
	sqlite3_stmt *stmt;
	int r;

	out[0] = '\0';
	stmt = db_stmt(db,
		       "SELECT 'it is active' FROM image WHERE active = ?1 UNION ALL"
		       " SELECT 'host ' || name || ' is set to it' FROM host WHERE version = ?1");
	r = db_query(db, stmt, "i", version);
	if (r == DB_ROW)
		db_column_text(stmt, 0, out, size);
	sqlite3_reset(stmt);
	if (r)
		return r < 0 ? r : 0;
	r = db_open(state_dir, &schema_leases, DB_WRITE, &leases, NULL);
	if (r)
		return r == -ENOENT ? 0 : r; /* never served: no boot */
	stmt = db_stmt(leases, "SELECT mac FROM boot WHERE version = ? AND ended IS NULL");
	r = db_query(leases, stmt, "i", version);
	if (r == DB_ROW) {
		char text[MAC_TEXT] = "?";
		struct mac mac;

		if (!db_column_mac(stmt, 0, &mac))
			mac_format(&mac, text);
		snprintf(out, size, "a boot of %s is pinned to it", text);
	}
	sqlite3_reset(stmt);
	return r < 0 ? r : 0;
}

int image_remove(struct db *db, const char *state_dir, uint32_t version, struct why *why)
{
	cleanup(txn_abortp) struct txn *txn = NULL;
	char path[PATH_MAX];
	char holder[128];
	int r = txn_begin(db, &txn);

	if (!r)
		r = version_holder(db, state_dir, version, holder, sizeof(holder));
	if (!r && holder[0])
		return why_set(why, -EBUSY, "%s", holder);
	if (!r)
		r = db_run(db, "UPDATE image SET previous = NULL WHERE previous = ?", "u", version);
	if (!r)
		r = db_run(db, "DELETE FROM version WHERE id = ?", "u", version);
	if (!r)
		r = txn_commit(take(&txn));
	if (r)
		return why_set(why, r, "%s", db_error(db));
	/* Without its row nobody opens it; who has it mapped keeps it. */
	snprintf(path, sizeof(path), "%s/manifests", state_dir);
	fill_remove(path, version);
	snprintf(path, sizeof(path), "%s/manifests/%u", state_dir, version);
	if (unlink(path) && errno != ENOENT)
		return why_set(why, -errno, "%s: %m", path);
	return 0;
}

int image_prune(struct db *db, const char *state_dir, const char *name, unsigned int keep,
		unsigned int *removed, struct why *why)
{
	uint32_t ids[1024];
	unsigned int n = 0;
	sqlite3_stmt *stmt;
	int r;

	*removed = 0;
	stmt = db_stmt(db, "SELECT v.id FROM version v JOIN image i ON i.id = v.image"
			   " WHERE i.name = ? ORDER BY v.number");
	for (r = db_query(db, stmt, "s", name); r == DB_ROW; r = db_next(db, stmt))
		if (n < ARRAY_SIZE(ids))
			ids[n++] = (uint32_t)sqlite3_column_int64(stmt, 0);
	if (r)
		return why_set(why, r, "%s", db_error(db));
	if (!n)
		return why_set(why, -ENOENT, "%s: no such image", name);
	for (unsigned int i = 0; i + keep < n; i++) {
		struct why held = {""};

		r = image_remove(db, state_dir, ids[i], &held);
		if (r && r != -EBUSY)
			return why_set(why, r, "%s", why_text(&held, r));
		*removed += !r;
	}
	return 0;
}

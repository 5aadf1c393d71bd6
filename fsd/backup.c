/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/backup.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "common/array.h"
#include "common/handle_key.h"
#include "common/schema.h"
#include "fsd/named.h"
#include "fsd/objects.h"

CLEANUP_DEFINE(EVP_MD_CTX *, EVP_MD_CTX_free);

enum { CHUNK = 1 << 18 };

struct body {
	struct hash hash;
	bool secret;
	char *name; /* of the first who names it, where it is to be told */
};

struct making {
	struct backup *b;
	struct archive *tar;
	struct objects *objects;
	struct objects *secrets;
	struct body *bodies;
	size_t nbodies;
	uint8_t *buf;
	struct why *why;
};

static int tar_fail(struct making *m)
{
	int err = archive_errno(m->tar);

	return why_set(m->why, err > 0 ? -err : -EIO, "%s", archive_error_string(m->tar));
}

static int header(struct making *m, const char *name, mode_t mode, const struct stat *st)
{
	struct archive_entry *e = archive_entry_new();
	int r;

	if (!e)
		return -ENOMEM;
	archive_entry_set_pathname(e, name);
	archive_entry_set_mode(e, mode);
	archive_entry_set_uid(e, st->st_uid);
	archive_entry_set_gid(e, st->st_gid);
	archive_entry_set_mtime(e, st->st_mtim.tv_sec, 0);
	archive_entry_set_size(e, S_ISREG(mode) ? st->st_size : 0);
	r = archive_write_header(m->tar, e);
	archive_entry_free(e);
	return r < ARCHIVE_WARN ? tar_fail(m) : 0;
}

/* A directory of the state's. */
static int add_dir(struct making *m, const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", m->b->state_dir, name);
	if (stat(path, &st))
		return errno == ENOENT ? 0 : why_set(m->why, -errno, "%s: %m", path);
	return header(m, name, S_IFDIR | (st.st_mode & 07777), &st);
}

/* An open file, as long as it is now.  Its hash, where that is wanted. */
static int add_file(struct making *m, const char *name, int fd, mode_t mode, struct hash *hash)
{
	cleanup(EVP_MD_CTX_freep) EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint64_t offset = 0;
	struct stat st;
	int r;

	if (!md || !EVP_DigestInit_ex(md, EVP_sha256(), NULL))
		return -ENOMEM;
	if (fstat(fd, &st))
		return -errno;
	r = header(m, name, S_IFREG | mode, &st);
	while (!r && offset < (uint64_t)st.st_size) {
		uint64_t left = (uint64_t)st.st_size - offset;
		ssize_t n = pread(fd, m->buf, left < CHUNK ? left : CHUNK, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return why_set(m->why, n ? -errno : -EIO, "%s: %s", name,
				       n ? strerror(errno) : "shorter than it was");
		if (archive_write_data(m->tar, m->buf, (size_t)n) != n)
			return tar_fail(m);
		EVP_DigestUpdate(md, m->buf, (size_t)n);
		offset += (uint64_t)n;
	}
	if (r)
		return r;
	if (hash)
		EVP_DigestFinal_ex(md, hash->octet, NULL);
	m->b->files++;
	m->b->bytes += offset;
	return 0;
}

/* ---- databases ---- */

/* A copy, in a file that is nobody's: it is a database while `*copy` is open, and bytes for
 * the archive.  In secrets/tmp, where a sweep finds it should this be killed. */
static int add_db(struct making *m, struct db *db, const struct db_schema *schema, struct db **copy)
{
	cleanup(closep) int fd = -1;
	char dir[PATH_MAX];
	char path[PATH_MAX + 64];
	int r;

	if (snprintf(dir, sizeof(dir), "%s/secrets/tmp/pbackup.XXXXXX", m->b->state_dir) >=
	    (int)sizeof(dir))
		return -ENAMETOOLONG;
	if (!mkdtemp(dir)) /* 0700 */
		return why_set(m->why, -errno, "%s: %m", dir);
	snprintf(path, sizeof(path), "%s/%s", dir, schema->name);
	r = db_copy(db, path);
	if (r)
		why_set(m->why, r, "%s: %s", schema->name, strerror(-r));
	if (!r && copy)
		r = db_open(dir, schema, DB_WRITE, copy, m->why);
	if (!r && copy)
		r = db_check(*copy, m->why);
	fd = r ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (!r && fd < 0)
		r = -errno;
	if (!r)
		r = add_file(m, schema->name, fd, 0640, NULL);
	unlink(path);
	for (unsigned int i = 0; i < 2; i++) {
		char side[PATH_MAX + 80];

		snprintf(side, sizeof(side), "%s%s", path, i ? "-wal" : "-shm");
		unlink(side);
	}
	rmdir(dir);
	return r;
}

static int add_leases(struct making *m)
{
	cleanup(db_closep) struct db *leases = NULL;
	char path[PATH_MAX];
	int r;

	snprintf(path, sizeof(path), "%s/%s", m->b->state_dir, schema_leases.name);
	if (access(path, F_OK) && errno == ENOENT)
		return 0; /* nothing was served yet */
	r = db_open(m->b->state_dir, &schema_leases, geteuid() ? DB_READ : DB_WRITE, &leases,
		    m->why);
	return r ? r : add_db(m, leases, &schema_leases, NULL);
}

/* ---- manifests ---- */

/* A manifest and its journal of one moment: a seal replaces the one and takes the other
 * away. */
static int add_manifest(struct making *m, uint32_t version)
{
	char base[PATH_MAX];
	char name[64];

	snprintf(base, sizeof(base), "%s/manifests/%u", m->b->state_dir, version);
	for (;;) {
		cleanup(closep) int manifest = open(base, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		cleanup(closep) int fill = -1;
		char path[PATH_MAX + 8];
		struct stat mine;
		struct stat now;
		int r;

		if (manifest < 0)
			return why_set(m->why, -errno, "%s: %m", base);
		snprintf(path, sizeof(path), "%s.fill", base);
		fill = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (fill < 0 && errno != ENOENT)
			return why_set(m->why, -errno, "%s: %m", path);
		if (fstat(manifest, &mine) || stat(base, &now))
			return why_set(m->why, -errno, "%s: %m", base);
		if (mine.st_ino != now.st_ino)
			continue; /* sealed just now */
		snprintf(name, sizeof(name), "manifests/%u", version);
		r = add_file(m, name, manifest, 0640, NULL);
		snprintf(name, sizeof(name), "manifests/%u.fill", version);
		return r || fill < 0 ? r : add_file(m, name, fill, 0640, NULL);
	}
}

static int add_manifests(struct making *m, struct db *copy)
{
	sqlite3_stmt *stmt = db_stmt(copy, "SELECT id FROM version ORDER BY id");
	int r = add_dir(m, "manifests");

	if (r)
		return r;
	for (r = db_query(copy, stmt, ""); r == DB_ROW; r = db_next(copy, stmt)) {
		r = add_manifest(m, (uint32_t)sqlite3_column_int64(stmt, 0));
		if (r)
			break;
	}
	sqlite3_reset(stmt);
	return r;
}

/* ---- bodies ---- */

static int body_note(void *ctx, const struct named *named)
{
	struct making *m = ctx;
	struct objects *store = named->secret ? m->secrets : m->objects;
	struct body *body;
	char text[512];

	/* What its origin can give again need not be there. */
	if (!named_for_good(named) && !objects_has(store, &named->hash))
		return 0;
	if (array_grow(&m->bodies, m->nbodies, sizeof(*m->bodies)))
		return -ENOMEM;
	body = &m->bodies[m->nbodies];
	*body = (struct body){.hash = named->hash, .secret = named->secret};
	/* Who is told of must be known when it is found, and that is seldom. */
	if (!named->version || !objects_has(store, &named->hash)) {
		body->name = strdup(named_text(named, text, sizeof(text)));
		if (!body->name)
			return -ENOMEM;
	}
	m->nbodies++;
	return 0;
}

static int body_cmp(const void *a, const void *b)
{
	const struct body *x = a;
	const struct body *y = b;

	return x->secret != y->secret ? x->secret - y->secret
				      : memcmp(&x->hash, &y->hash, sizeof(x->hash));
}

static enum store body_store(const struct body *body)
{
	return body->secret ? STORE_SECRETS : STORE_OBJECTS;
}

static void body_tell(struct making *m, const struct body *body, const char *what)
{
	char hex[2 * HASH_LEN + 1];
	char line[768];

	m->b->damaged++;
	hash_format(&body->hash, hex);
	snprintf(line, sizeof(line),
		 "%s/%.2s/%s%s%s%s: %s: rootstock image check --bytes tells more",
		 store_name(body_store(body)), hex, hex + 2, body->name ? " (" : "",
		 body->name ? body->name : "", body->name ? ")" : "", what);
	if (m->b->tell)
		m->b->tell(m->b->ctx, line);
}

static int add_body(struct making *m, const struct body *body)
{
	struct objects *store = body->secret ? m->secrets : m->objects;
	cleanup(closep) int fd = objects_open_raw(store, &body->hash);
	char hex[2 * HASH_LEN + 1];
	char name[2 * HASH_LEN + 16];
	struct hash hash;
	int r;

	if (fd == -ENOENT) {
		body_tell(m, body, "not in the store, and not in the backup");
		return 0;
	}
	hash_format(&body->hash, hex);
	snprintf(name, sizeof(name), "%s/%.2s/%s", store_name(body_store(body)), hex, hex + 2);
	r = fd < 0 ? fd : add_file(m, name, fd, body->secret ? 0600 : 0640, &hash);
	if (!r && memcmp(&hash, &body->hash, sizeof(hash)) != 0)
		body_tell(m, body, "damaged, and so in the backup");
	return r;
}

static int add_prefix(struct making *m, const struct body *body)
{
	char name[32];

	snprintf(name, sizeof(name), "%s/%02x", store_name(body_store(body)), body->hash.octet[0]);
	return add_dir(m, name);
}

/* Without it no client of a restored server would know its root again. */
static int add_handle_key(struct making *m)
{
	cleanup(closep) int fd = -1;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/" HANDLE_KEY_FILE, m->b->state_dir);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return why_set(m->why, -errno, "%s: %m", path);
	return add_file(m, HANDLE_KEY_FILE, fd, 0400, NULL);
}

static int add_bodies(struct making *m, struct db *copy)
{
	int r = named_each(copy, m->b->state_dir, body_note, m, m->why);

	if (!r && m->nbodies)
		qsort(m->bodies, m->nbodies, sizeof(*m->bodies), body_cmp);
	for (int secret = 0; !r && secret < 2; secret++) {
		r = add_dir(m, store_name(secret ? STORE_SECRETS : STORE_OBJECTS));
		if (!r && secret)
			r = add_handle_key(m);
		for (size_t i = 0; !r && i < m->nbodies; i++) {
			const struct body *body = &m->bodies[i];

			if (body->secret != secret || (i && !body_cmp(body, body - 1)))
				continue;
			/* Its own owner may make others in it later. */
			if (!i || body[-1].secret != secret ||
			    body[-1].hash.octet[0] != body->hash.octet[0])
				r = add_prefix(m, body);
			if (!r)
				r = add_body(m, body);
		}
	}
	return r;
}

/* ---- all of it ---- */

static int add_all(struct making *m, struct db *db)
{
	cleanup(db_closep) struct db *copy = NULL;
	int r = add_db(m, db, &schema_rootstock, &copy);

	if (!r)
		r = add_leases(m);
	if (!r)
		r = add_manifests(m, copy);
	return r ? r : add_bodies(m, copy);
}

int backup_write(struct db *db, struct backup *b, struct why *why)
{
	struct making m = {.b = b, .why = why, .tar = archive_write_new(), .buf = malloc(CHUNK)};
	int r = m.tar && m.buf ? 0 : -ENOMEM;

	b->files = b->bytes = b->damaged = 0;
	if (!r)
		r = objects_open_held(b->state_dir, STORE_OBJECTS, true, &m.objects, why);
	if (!r)
		r = objects_open_held(b->state_dir, STORE_SECRETS, true, &m.secrets, why);
	if (!r && (archive_write_set_format_pax_restricted(m.tar) != ARCHIVE_OK ||
		   archive_write_add_filter_none(m.tar) != ARCHIVE_OK ||
		   archive_write_open_fd(m.tar, b->fd) != ARCHIVE_OK))
		r = tar_fail(&m);
	if (!r)
		r = add_all(&m, db);
	if (!r && archive_write_close(m.tar) != ARCHIVE_OK)
		r = tar_fail(&m);
	if (m.tar && r) /* no end: nobody takes it for whole */
		archive_write_fail(m.tar);
	archive_write_free(m.tar);
	for (size_t i = 0; i < m.nbodies; i++)
		free(m.bodies[i].name);
	free(m.bodies);
	free(m.buf);
	objects_close(m.objects);
	objects_close(m.secrets);
	return r ? why_set(why, r, "%s", strerror(-r)) : 0;
}

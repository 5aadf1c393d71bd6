/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * For the tests of archives: tar files made by hand, byte for byte, and a look at
 * the version that an image became.
 */
#ifndef TESTS_UNIT_ORIGIN_UNIT_H
#define TESTS_UNIT_ORIGIN_UNIT_H

#include "tests/unit/site.h"

#include <dirent.h>

#include "common/db.h"
#include "fsd/manifest.h"

/* ---- tar by hand ---- */

struct tarball {
	uint8_t data[1 << 18];
	size_t len;
};

struct tar_header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100];
	char magic[8], uname[32], gname[32], major[8], minor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct tar_header) == 512, "a block");

static inline void tarball_header(struct tarball *t, const struct tar_header *wanted)
{
	struct tar_header h = *wanted;
	unsigned int sum = 0;

	memcpy(h.magic, "ustar\00000", 8);
	memset(h.sum, ' ', sizeof(h.sum));
	for (size_t i = 0; i < sizeof(h); i++)
		sum += ((uint8_t *)&h)[i];
	snprintf(h.sum, sizeof(h.sum), "%06o", sum);
	assert_true(t->len + sizeof(h) <= sizeof(t->data));
	memcpy(t->data + t->len, &h, sizeof(h));
	t->len += sizeof(h);
}

static inline void tarball_body(struct tarball *t, const void *body, size_t len)
{
	size_t padded = (len + 511) / 512 * 512;

	assert_true(t->len + padded <= sizeof(t->data));
	memset(t->data + t->len, 0, padded);
	if (len)
		memcpy(t->data + t->len, body, len);
	t->len += padded;
}

/* An entry of `type`: '0' a file with `text` in it, '1' and '2' links to `text`, '5' a
 * directory, 'x' pax records, 'L' a long name, '3' device 1,3. */
static inline void tarball_add(struct tarball *t, char type, const char *name, const char *text)
{
	bool body = type == '0' || type == 'x' || type == 'L';
	struct tar_header h = {.type = type, .mode = "0000755", .mtime = "00000000007"};

	memcpy(h.name, name, strnlen(name, sizeof(h.name)));
	snprintf(h.uid, sizeof(h.uid), "%07o", 3);
	snprintf(h.gid, sizeof(h.gid), "%07o", 4);
	snprintf(h.size, sizeof(h.size), "%011o", body ? (unsigned int)strlen(text) : 0);
	if (type == '1' || type == '2')
		memcpy(h.link, text, strnlen(text, sizeof(h.link)));
	if (type == '3') {
		snprintf(h.major, sizeof(h.major), "%07o", 1);
		snprintf(h.minor, sizeof(h.minor), "%07o", 3);
	}
	tarball_header(t, &h);
	tarball_body(t, text, body ? strlen(text) : 0);
}

/* A pax record for the next entry. */
static inline void tarball_pax(struct tarball *t, const char *key, const char *value)
{
	char record[70000];
	size_t len = strlen(key) + strlen(value) + 3; /* ' ', '=', '\n' */
	size_t digits = 1;

	while (snprintf(NULL, 0, "%zu", len + digits) > (int)digits)
		digits++;
	snprintf(record, sizeof(record), "%zu %s=%s\n", len + digits, key, value);
	tarball_add(t, 'x', "pax", record);
}

static inline void tarball_end(struct tarball *t)
{
	static const uint8_t zeros[1024];

	tarball_body(t, zeros, sizeof(zeros));
}

/* ---- images ---- */

static inline int origin_try(struct site *s, const char *source, uint32_t *version, struct why *why)
{
	const struct image_add add = {.name = "img", .source = source};
	uint32_t number;

	*why = (struct why){""};
	return image_add(s->db, s->state, &add, version, &number, why);
}

static inline unsigned int dir_count(const char *path)
{
	cleanup(closedirp) DIR *dir = opendir(path);
	unsigned int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	return n - 2;
}

/* No row, no manifest, no draft. */
static inline void origin_left_nothing(struct site *s)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/manifests", s->state);
	assert_int_equal(dir_count(path), 0);
	snprintf(path, sizeof(path), "%s/objects/tmp", s->state);
	assert_int_equal(dir_count(path), 0);
	assert_int_equal(db_query(s->db, db_stmt(s->db, "SELECT 1 FROM version"), ""), 0);
	assert_int_equal(db_query(s->db, db_stmt(s->db, "SELECT 1 FROM image"), ""), 0);
}

static inline void origin_refused(struct site *s, const char *source, const char *words)
{
	struct why why;
	uint32_t version;

	assert_true(origin_try(s, source, &version, &why) < 0);
	if (!strstr(why.text, words))
		fail_msg("no \"%s\" in \"%s\"", words, why.text);
	origin_left_nothing(s);
}

/* The new version's manifest, which must be sealed, in the row too. */
static inline struct manifest *origin_add(struct site *s, const char *source)
{
	sqlite3_stmt *stmt;
	struct manifest *m;
	struct bytes digest;
	char path[300];
	uint32_t version;
	struct why why;

	if (origin_try(s, source, &version, &why))
		fail_msg("%s", why.text);
	snprintf(path, sizeof(path), "%s/manifests", s->state);
	assert_int_equal(manifest_open(path, version, &m, NULL), 0);
	assert_true(manifest_sealed(m));
	stmt = db_stmt(s->db, "SELECT digest FROM version WHERE id = ? AND sealed IS NOT NULL");
	assert_int_equal(db_query(s->db, stmt, "u", version), DB_ROW);
	digest = db_column_bytes(stmt, 0);
	assert_int_equal(digest.len, HASH_LEN);
	assert_memory_equal(digest.at, manifest_digest(m), HASH_LEN);
	sqlite3_reset(stmt);
	snprintf(path, sizeof(path), "%s/objects/tmp", s->state);
	assert_int_equal(dir_count(path), 0);
	return m;
}

/* NULL: not there. */
static inline const struct manifest_node *node_find(const struct manifest *m, const char *path)
{
	uint32_t pos = 0;

	for (const char *at = path; *at;) {
		size_t len = strcspn(at, "/");

		if (manifest_find(m, manifest_at(m, pos), at, len, &pos))
			return NULL;
		at += len + (at[len] == '/');
	}
	return manifest_at(m, pos);
}

static inline const struct manifest_node *node_of(const struct manifest *m, const char *path)
{
	const struct manifest_node *n = node_find(m, path);

	if (!n)
		fail_msg("%s: not there", path);
	return n;
}

static inline int body_open(struct site *s, const struct manifest *m, const char *path)
{
	const struct manifest_node *n = node_of(m, path);
	struct stat st;
	int fd;

	assert_true(S_ISREG(n->mode));
	fd = objects_get(s->objects, manifest_hash(m, n->data), (int64_t)n->size);
	if (fd < 0)
		fail_msg("%s: no object", path);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, n->size);
	return fd;
}

static inline void body_is(struct site *s, const struct manifest *m, const char *path,
			   const char *text)
{
	cleanup(closep) int fd = body_open(s, m, path);
	char have[4096];
	ssize_t n = read(fd, have, sizeof(have));

	assert_int_equal(n, strlen(text));
	assert_memory_equal(have, text, (size_t)n);
}

static inline void xattr_is(const struct manifest *m, const char *path, const char *name,
			    const void *value, size_t len)
{
	struct bytes all = manifest_xattrs(m, node_of(m, path));
	struct cursor c = cursor_of(all.at, all.len);
	unsigned int found = 0;

	while (cursor_left(&c)) {
		const char *have = (const char *)c.at;
		struct bytes v;

		cursor_skip(&c, strlen(have) + 1);
		v = cursor_take(&c, cursor_be32(&c));
		if (strcmp(have, name))
			continue;
		found++;
		assert_int_equal(v.len, len);
		assert_memory_equal(v.at, value, len);
	}
	assert_false(c.bad);
	assert_int_equal(found, 1);
}

/* ---- fixtures ---- */

static inline int origin_setup(void **state)
{
	struct site *s = malloc(sizeof(*s));

	if (!s)
		return -1;
	site_init(s);
	*state = s;
	return 0;
}

static inline int origin_teardown(void **state)
{
	site_fini(*state);
	free(*state);
	return 0;
}

#define WITH_SITE(fn) cmocka_unit_test_setup_teardown(fn, origin_setup, origin_teardown)

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Archives as images: what libarchive's writer makes comes back whole, and what a
 * hand made to do harm is refused by name.
 */
#include "tests/unit/origin_unit.h"

#include <archive.h>
#include <archive_entry.h>

static char *tar_path(struct site *s)
{
	static char path[200];

	snprintf(path, sizeof(path), "%s/test.tar", s->dir);
	return path;
}

static char *tar_save(struct site *s, const struct tarball *t)
{
	site_write(s->dir, "test.tar", t->data, t->len);
	return tar_path(s);
}

static struct tarball *tar_new(void)
{
	struct tarball *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	return t;
}

/* ---- by libarchive's writer ---- */

static struct archive *maker_open(struct site *s, int filter)
{
	struct archive *a = archive_write_new();

	assert_int_equal(archive_write_add_filter(a, filter), ARCHIVE_OK);
	archive_write_set_format_pax(a);
	assert_int_equal(archive_write_open_filename(a, tar_path(s)), ARCHIVE_OK);
	return a;
}

static struct archive_entry *maker_entry(const char *name, unsigned int mode)
{
	struct archive_entry *e = archive_entry_new();

	archive_entry_set_pathname(e, name);
	archive_entry_set_mode(e, mode);
	archive_entry_set_uid(e, 70000);
	archive_entry_set_gid(e, INT64_C(4000000000));
	archive_entry_set_mtime(e, INT64_C(40000000000), 123456789);
	return e;
}

static void maker_put(struct archive *a, struct archive_entry *e, const void *body, size_t len)
{
	if (len)
		archive_entry_set_size(e, (int64_t)len);
	assert_true(archive_write_header(a, e) >= ARCHIVE_WARN);
	if (len)
		assert_int_equal(archive_write_data(a, body, len), len);
	archive_entry_free(e);
}

static void maker_close(struct archive *a)
{
	assert_int_equal(archive_write_close(a), ARCHIVE_OK);
	archive_write_free(a);
}

static void every_type_and_attribute_comes_back(void **state)
{
	static const char capability[20] = {1, 0, 0, 2, 0, 32};
	struct site *s = *state;
	struct archive *a = maker_open(s, ARCHIVE_FILTER_NONE);
	const struct manifest_node *n;
	struct archive_entry *e;
	struct manifest *m;

	maker_put(a, maker_entry("./", S_IFDIR | 0751), NULL, 0);
	e = maker_entry("./usr/", S_IFDIR | 01777);
	archive_entry_xattr_add_entry(e, "user.empty", "", 0);
	maker_put(a, e, NULL, 0);
	e = maker_entry("./usr/ping", S_IFREG | 04755);
	archive_entry_xattr_add_entry(e, "security.capability", capability, sizeof(capability));
	archive_entry_xattr_add_entry(e, "user.x", "hello", 5);
	maker_put(a, e, "ping", 4);
	e = maker_entry("./usr/link", S_IFLNK | 0777);
	archive_entry_set_symlink(e, "../x y");
	maker_put(a, e, NULL, 0);
	e = maker_entry("./usr/pong", S_IFREG | 0);
	archive_entry_set_hardlink(e, "./usr/ping");
	maker_put(a, e, NULL, 0);
	e = maker_entry("./null", S_IFCHR | 0666);
	archive_entry_set_rdevmajor(e, 1);
	archive_entry_set_rdevminor(e, 300);
	maker_put(a, e, NULL, 0);
	e = maker_entry("./disk", S_IFBLK | 0660);
	archive_entry_set_rdevmajor(e, 259);
	archive_entry_set_rdevminor(e, 70000);
	maker_put(a, e, NULL, 0);
	maker_put(a, maker_entry("./fifo", S_IFIFO | 0600), NULL, 0);
	maker_put(a, maker_entry("./empty", S_IFREG | 0600), NULL, 0);
	maker_close(a);
	m = origin_add(s, tar_path(s));
	assert_int_equal(manifest_count(m), 9);
	assert_int_equal(manifest_at(m, 0)->mode, S_IFDIR | 0751);
	assert_int_equal(node_of(m, "usr")->mode, S_IFDIR | 01777);
	xattr_is(m, "usr", "user.empty", "", 0);
	n = node_of(m, "usr/ping");
	assert_int_equal(n->mode, S_IFREG | 04755);
	assert_int_equal(n->uid, 70000);
	assert_int_equal(n->gid, 4000000000);
	assert_int_equal(n->mtime_sec, 40000000000);
	assert_int_equal(n->mtime_nsec, 123456789);
	assert_int_equal(n->nlink, 2);
	assert_int_equal(n->link, node_of(m, "usr/pong")->link);
	xattr_is(m, "usr/ping", "security.capability", capability, sizeof(capability));
	xattr_is(m, "usr/pong", "user.x", "hello", 5);
	body_is(s, m, "usr/pong", "ping");
	body_is(s, m, "empty", "");
	n = node_of(m, "usr/link");
	assert_int_equal(n->size, 6);
	assert_memory_equal(manifest_target(m, n).at, "../x y", 6);
	n = node_of(m, "null");
	assert_int_equal(n->mode, S_IFCHR | 0666);
	assert_int_equal(n->data, 1);
	assert_int_equal(n->extra, 300);
	assert_int_equal(node_of(m, "disk")->data, 259);
	assert_int_equal(node_of(m, "disk")->extra, 70000);
	assert_int_equal(node_of(m, "fifo")->mode, S_IFIFO | 0600);
	manifest_close(m);
}

/* An ACL is kept as the kernel keeps it, and the mode's group bits are its mask. */
static void an_acl_is_an_attribute_like_the_kernels(void **state)
{
	static const uint8_t acl[] = {
		2, 0, 0,    0,	  1,	0,    6,  0, 0xff, 0xff, 0xff, 0xff, 2,	   0,	6,
		0, 5, 0,    0,	  0,	4,    0,  4, 0,	   0xff, 0xff, 0xff, 0xff, 16,	0,
		6, 0, 0xff, 0xff, 0xff, 0xff, 32, 0, 4,	   0,	 0xff, 0xff, 0xff, 0xff};
	struct site *s = *state;
	struct tarball *t = tar_new();
	struct manifest *m;

	tarball_pax(t, "SCHILY.acl.access", "user::rw-,user:5:rw-,group::r--,mask::rw-,other::r--");
	tarball_add(t, '0', "a", "text");
	tarball_pax(t, "SCHILY.acl.access",
		    "user::rw-,user:amy:rw-,group::r--,mask::rwx,other::r--");
	tarball_add(t, '0', "b", "text");
	tarball_end(t);
	m = origin_add(s, tar_save(s, t));
	assert_int_equal(node_of(m, "a")->mode & 070, 060);
	xattr_is(m, "a", "system.posix_acl_access", acl, sizeof(acl));
	assert_int_equal(node_of(m, "b")->mode & 070, 070);
	assert_int_equal(node_of(m, "b")->xattr, 0); /* whoever amy is */
	manifest_close(m);
	free(t);
}

static void every_packing_reads_the_same_and_a_cut_one_is_refused(void **state)
{
	static const int filters[] = {ARCHIVE_FILTER_NONE, ARCHIVE_FILTER_GZIP,
				      ARCHIVE_FILTER_BZIP2, ARCHIVE_FILTER_XZ, ARCHIVE_FILTER_ZSTD};
	struct site *s = *state;
	uint8_t body[3000];

	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = (uint8_t)(i * i >> 3);
	for (size_t f = 0; f < ARRAY_SIZE(filters); f++) {
		struct archive *a = maker_open(s, filters[f]);
		char cut[220];
		struct stat st;
		FILE *whole;
		uint8_t *data;

		for (int i = 0; i < 5; i++) {
			char name[16];

			snprintf(name, sizeof(name), "file%d", i);
			body[0] = (uint8_t)i;
			maker_put(a, maker_entry(name, S_IFREG | 0644), body, sizeof(body));
		}
		maker_close(a);
		whole = fopen(tar_path(s), "r");
		assert_int_equal(fstat(fileno(whole), &st), 0);
		data = malloc((size_t)st.st_size);
		assert_int_equal(fread(data, 1, (size_t)st.st_size, whole), st.st_size);
		fclose(whole);
		snprintf(cut, sizeof(cut), "%s/cut", s->dir);
		/* The last block of a plain one may lack its second half: what it has ends it. */
		for (off_t len = 0; len < st.st_size - (f ? 0 : 10240); len += f ? 97 : 512) {
			site_write(s->dir, "cut", data, (size_t)len);
			origin_refused(s, cut, len < 30 ? "cut: " : "cut short");
			if (f)
				continue;
			site_write(s->dir, "cut", data, (size_t)len + 97);
			origin_refused(s, cut, len < 512 ? "cut: " : "cut short");
		}
		free(data);
	}
	for (size_t f = 0; f < ARRAY_SIZE(filters); f++) {
		struct archive *a = maker_open(s, filters[f]);
		struct manifest *m;

		maker_put(a, maker_entry("etc/x", S_IFREG | 0644), body, sizeof(body));
		maker_close(a);
		m = origin_add(s, tar_path(s));
		assert_int_equal(manifest_count(m), 3);
		assert_int_equal(node_of(m, "etc/x")->size, sizeof(body));
		manifest_close(m);
	}
}

/* A flipped bit is found, or was in what does not matter, as the time in gzip's head. */
static void a_flipped_bit_is_found_by_the_packings_check_sum(void **state)
{
	static const int filters[] = {ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_BZIP2, ARCHIVE_FILTER_XZ};
	static uint8_t body[20000];
	struct site *s = *state;
	unsigned int found = 0;
	struct hash sum;

	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = (uint8_t)(i * i * 2654435761u >> 13);
	for (size_t f = 0; f < ARRAY_SIZE(filters); f++) {
		struct archive *a = maker_open(s, filters[f]);
		const struct manifest_node *n;
		struct manifest *m;
		uint8_t *data;
		struct stat st;
		FILE *file;

		maker_put(a, maker_entry("file", S_IFREG | 0644), body, sizeof(body));
		maker_close(a);
		m = origin_add(s, tar_path(s));
		n = node_of(m, "file");
		sum = *manifest_hash(m, n->data);
		manifest_close(m);
		file = fopen(tar_path(s), "r");
		assert_int_equal(fstat(fileno(file), &st), 0);
		data = malloc((size_t)st.st_size);
		assert_int_equal(fread(data, 1, (size_t)st.st_size, file), st.st_size);
		fclose(file);
		for (off_t at = 0; at < st.st_size;
		     at += at < 30 || at > st.st_size - 40 ? 1 : 499) {
			uint32_t version;
			struct why why;

			data[at] ^= 4;
			site_write(s->dir, "test.tar", data, (size_t)st.st_size);
			data[at] ^= 4;
			if (origin_try(s, tar_path(s), &version, &why)) {
				assert_non_null(strstr(why.text, "test.tar: "));
				found++;
				continue;
			}
			m = origin_add(s, tar_path(s));
			n = node_of(m, "file");
			assert_memory_equal(manifest_hash(m, n->data), &sum, sizeof(sum));
			manifest_close(m);
		}
		free(data);
	}
	assert_true(found > 150);
}

/* pigz writes several members, tar -A several archives, a tape drive zeros. */
static void what_stands_behind_the_end(void **state)
{
	struct site *s = *state;
	char command[800];
	struct tarball *t = tar_new();
	struct manifest *m;

	tarball_add(t, '0', "one", "1");
	tarball_end(t);
	tarball_end(t);
	tarball_add(t, '0', "two", "2");
	tarball_end(t);
	tar_save(s, t);
	for (int packed = 0; packed < 2; packed++) {
		m = origin_add(s, tar_path(s));
		body_is(s, m, "one", "1");
		body_is(s, m, "two", "2");
		manifest_close(m);
		snprintf(command, sizeof(command),
			 "cd %s && head -c 700 test.tar | gzip >x && tail -c +701 test.tar | gzip "
			 ">>x &&"
			 " head -c 1000 /dev/zero >>x && mv x test.tar",
			 s->dir);
		assert_int_equal(system(command), 0);
	}
	m = origin_add(s, tar_path(s));
	assert_int_equal(manifest_count(m), 3);
	manifest_close(m);
	free(t);
}

static void holes_are_zeros_and_a_file_may_pass_4_gib(void **state)
{
	const uint64_t size = (UINT64_C(4) << 30) + (1 << 20) + 5;
	struct site *s = *state;
	struct archive *a = maker_open(s, ARCHIVE_FILTER_NONE);
	struct archive_entry *e = maker_entry("big", S_IFREG | 0644);
	static char chunk[1 << 16];
	const struct manifest_node *n;
	struct manifest *m;
	struct stat st;
	char text[4];
	int fd;

	/* What the writer is not told to be data it does not store. */
	archive_entry_set_size(e, (int64_t)size);
	archive_entry_sparse_add_entry(e, 0, 3);
	archive_entry_sparse_add_entry(e, (int64_t)size - 3, 3);
	assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
	archive_entry_free(e);
	memcpy(chunk, "abc", 3);
	for (uint64_t at = 0; at < size;) {
		size_t len = size - at < sizeof(chunk) ? size - at : sizeof(chunk);

		if (at + len == size)
			memcpy(chunk + len - 3, "xyz", 3);
		assert_int_equal(archive_write_data(a, chunk, len), len);
		memset(chunk, 0, 3);
		at += len;
	}
	e = maker_entry("small", S_IFREG | 0644);
	archive_entry_set_size(e, 100000);
	archive_entry_sparse_add_entry(e, 50000, 10);
	assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
	archive_entry_free(e);
	memset(chunk, 0, sizeof(chunk));
	memset(chunk + 50000, 'x', 10);
	assert_int_equal(archive_write_data(a, chunk, sizeof(chunk)), sizeof(chunk));
	memset(chunk, 0, sizeof(chunk));
	assert_int_equal(archive_write_data(a, chunk, 100000 - sizeof(chunk)),
			 100000 - sizeof(chunk));
	maker_close(a);
	m = origin_add(s, tar_path(s));
	n = node_of(m, "big");
	assert_true(n->size == size);
	fd = body_open(s, m, "big");
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(st.st_blocks < 4096); /* holes in the store too */
	assert_int_equal(pread(fd, text, 4, 0), 4);
	assert_memory_equal(text, "abc", 4);
	assert_int_equal(pread(fd, text, 4, (off_t)size - 4), 4);
	assert_memory_equal(text, "\0xyz", 4);
	close(fd);
	fd = body_open(s, m, "small");
	assert_int_equal(pread(fd, chunk, sizeof(chunk), 0), sizeof(chunk));
	assert_memory_equal(chunk + 49998, "\0\0xxxxxxxxxx\0\0", 14);
	close(fd);
	manifest_close(m);
}

/* ---- by hand ---- */

static void names_are_bytes_of_any_kind(void **state)
{
	static const char utf8[] = "\xc3\xa9t\xc3\xa9";
	static const char bytes[] = "\xff\xfe\x01\n\\x";
	struct site *s = *state;
	struct tarball *t = tar_new();
	char longest[256];
	struct manifest *m;

	memset(longest, 'n', 255);
	longest[255] = '\0';
	longest[0] = '\xe9';
	tarball_add(t, '0', utf8, "ustar");
	tarball_add(t, '0', bytes, "bytes");
	tarball_pax(t, "path", "pax-\xc3\xa9");
	tarball_add(t, '0', "short", "pax");
	tarball_pax(t, "path", "pax-\xff\xfe");
	tarball_add(t, '0', "short", "pax, not UTF-8");
	tarball_pax(t, "path", longest);
	tarball_add(t, '0', "short", "long");
	longest[254] = 'g';
	tarball_add(t, 'L', "././@LongLink", longest);
	tarball_add(t, '0', "short", "gnu");
	tarball_pax(t, "linkpath", "to-\xff\xc3\xa9");
	tarball_add(t, '2', "link", "short");
	tarball_end(t);
	m = origin_add(s, tar_save(s, t));
	assert_int_equal(manifest_count(m), 8);
	body_is(s, m, utf8, "ustar");
	body_is(s, m, bytes, "bytes");
	body_is(s, m, "pax-\xc3\xa9", "pax");
	body_is(s, m, "pax-\xff\xfe", "pax, not UTF-8");
	body_is(s, m, longest, "gnu");
	longest[254] = 'n';
	body_is(s, m, longest, "long");
	assert_memory_equal(manifest_target(m, node_of(m, "link")).at, "to-\xff\xc3\xa9", 6);
	manifest_close(m);
	free(t);
}

static void times_before_1970_and_with_parts_of_a_second(void **state)
{
	struct site *s = *state;
	struct tarball *t = tar_new();
	struct manifest *m;

	tarball_pax(t, "mtime", "-1.25");
	tarball_add(t, '0', "a", "");
	tarball_pax(t, "mtime", "-7");
	tarball_add(t, '0', "b", "");
	tarball_pax(t, "mtime", "1700000000.000000001");
	tarball_add(t, '0', "c", "");
	tarball_end(t);
	m = origin_add(s, tar_save(s, t));
	assert_int_equal(node_of(m, "a")->mtime_sec, -2);
	assert_int_equal(node_of(m, "a")->mtime_nsec, 750000000);
	assert_int_equal(node_of(m, "b")->mtime_sec, -7);
	assert_int_equal(node_of(m, "b")->mtime_nsec, 0);
	assert_int_equal(node_of(m, "c")->mtime_nsec, 1);
	manifest_close(m);
	free(t);
}

static void a_tree_may_be_300_deep_and_more_is_refused_by_name(void **state)
{
	struct site *s = *state;
	struct tarball *t = tar_new();
	char path[4200] = "";
	struct manifest *m;

	for (int i = 0; i < 300; i++)
		strcat(path, "directory/");
	strcat(path, "file");
	tarball_pax(t, "path", path);
	tarball_add(t, '0', "short", "deep");
	tarball_end(t);
	m = origin_add(s, tar_save(s, t));
	assert_int_equal(manifest_count(m), 302);
	body_is(s, m, path, "deep");
	manifest_close(m);
	free(t);
}

static void what_lacks_above_is_made_and_slashes_and_dots_mean_nothing(void **state)
{
	struct site *s = *state;
	struct tarball *t = tar_new();
	const struct manifest_node *n;
	struct manifest *m;

	tarball_add(t, '0', ".//usr/./share//doc/x", "x");
	tarball_add(t, '5', "./usr/lib///", "");
	tarball_add(t, '0', "usr/lib/y", "y");
	tarball_add(t, '5', "./usr/share", "");
	tarball_end(t);
	m = origin_add(s, tar_save(s, t));
	assert_int_equal(manifest_count(m), 7);
	body_is(s, m, "usr/share/doc/x", "x");
	body_is(s, m, "usr/lib/y", "y");
	n = node_of(m, "usr");
	assert_int_equal(n->mode, S_IFDIR | 0755);
	assert_int_equal(n->uid, 0);
	assert_int_equal(n->mtime_sec, 0);
	assert_int_equal(node_of(m, "usr/share")->uid, 3); /* told later */
	assert_int_equal(node_of(m, "usr/share/doc")->uid, 0);
	manifest_close(m);
	free(t);
}

static void an_entry_that_comes_again_replaces_the_earlier_one(void **state)
{
	struct site *s = *state;
	struct tarball *t = tar_new();
	struct manifest *m;

	tarball_add(t, '0', "file", "old");
	tarball_add(t, '1', "other-name", "file");
	tarball_add(t, '0', "file", "new");
	tarball_add(t, '0', "was-dir/x", "x");
	tarball_add(t, '2', "was-dir", "elsewhere");
	tarball_add(t, '0', "was-file", "x");
	tarball_add(t, '5', "was-file/", "");
	tarball_add(t, '0', "was-file/in", "in");
	tarball_add(t, '2', "was-link", "/etc");
	tarball_add(t, '5', "was-link", "");
	tarball_add(t, '0', "was-link/passwd", "inside");
	tarball_add(t, '0', "dir/kept", "kept");
	tarball_add(t, '5', "dir", "");
	tarball_add(t, '1', "file", "file"); /* to itself */
	tarball_end(t);
	m = origin_add(s, tar_save(s, t));
	body_is(s, m, "file", "new");
	body_is(s, m, "other-name", "old");
	assert_int_equal(node_of(m, "other-name")->nlink, 1);
	assert_true(S_ISLNK(node_of(m, "was-dir")->mode));
	body_is(s, m, "was-file/in", "in");
	body_is(s, m, "was-link/passwd", "inside");
	body_is(s, m, "dir/kept", "kept");
	assert_int_equal(manifest_count(m), 10);
	manifest_close(m);
	free(t);
}

static void what_would_leave_the_tree_is_refused_by_name(void **state)
{
	static const struct {
		char type;
		const char *name;
		const char *text;
		const char *words;
	} bad[] = {
		{'0', "/etc/x", "x", "test.tar: /etc/x: an absolute name"},
		{'5', "/", "", "/: an absolute name"},
		{'0', "../x", "x", "../x: a name with '..'"},
		{'0', "dir/../x", "x", "dir/../x: a name with '..'"},
		{'0', "dir/..", "x", "dir/..: a name with '..'"},
		{'0', "link/x", "x", "link/x: below a symbolic link"},
		{'0', "dir/up/x", "x", "dir/up/x: below a symbolic link"},
		{'5', "link/d/e", "", "link/d/e: below a symbolic link"},
		{'0', "file/x", "x", "file/x: below a file"},
		{'1', "hard", "/etc/passwd", "hard: a hard link to /etc/passwd: an absolute name"},
		{'1', "hard", "../x", "hard: a hard link to ../x: a name with '..'"},
		{'1', "hard", "link/passwd",
		 "hard: a hard link to link/passwd: below a symbolic link"},
		{'1', "hard", "later", "hard: a hard link to later: not there"},
		{'1', "hard", "no/such", "hard: a hard link to no/such: not there"},
		{'1', "hard", "dir", "hard: a hard link to a directory"},
		{'1', "hard", ".", "hard: a hard link to .: not there"},
		{'1', "link/hard", "file", "link/hard: below a symbolic link"},
		{'1', "/hard", "file", "/hard: an absolute name"},
		{'2', "empty", "", "empty: a symbolic link to nothing"},
		{'2', ".", "x", ".: no directory, in the place of the root"},
		{'0', "", "x", "without a name"},
	};
	struct site *s = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct tarball *t = tar_new();

		tarball_add(t, '0', "file", "text");
		tarball_add(t, '5', "dir", "");
		tarball_add(t, '2', "link", "/etc");
		tarball_add(t, '2', "dir/up", "..");
		tarball_add(t, bad[i].type, bad[i].name, bad[i].text);
		tarball_add(t, '0', "later", "later");
		tarball_end(t);
		origin_refused(s, tar_save(s, t), bad[i].words);
		free(t);
	}
}

static void what_no_file_can_be_is_refused(void **state)
{
	char path[4200] = "";
	char name[300];
	struct site *s = *state;
	struct tarball *t = tar_new();

	memset(name, 'n', 256);
	name[256] = '\0';
	tarball_pax(t, "path", name);
	tarball_add(t, '0', "short", "x");
	tarball_end(t);
	origin_refused(s, tar_save(s, t), "a name of more than 255 bytes");
	t->len = 0;
	for (int i = 0; i < 2048; i++)
		strcat(path, "d/");
	tarball_pax(t, "path", path);
	tarball_add(t, '0', "short", "x");
	tarball_end(t);
	origin_refused(s, tar_save(s, t), "a path of more than 4095 bytes");
	t->len = 0;
	tarball_pax(t, "uid", "4294967296");
	tarball_add(t, '0', "owned", "x");
	tarball_end(t);
	origin_refused(s, tar_save(s, t), "owned: an owner that is no 32-bit number");
	t->len = 0;
	tarball_add(t, '2', "link", "x");
	tarball_pax(t, "size", "9223372036854775807");
	tarball_add(t, '0', "vast", "x");
	tarball_end(t);
	origin_refused(s, tar_save(s, t), "test.tar: ");
	t->len = 0;
	tarball_pax(t, "size", "4611686018427387904");
	tarball_add(t, '0', "vast", "x");
	tarball_end(t);
	origin_refused(s, tar_save(s, t), "vast: ");
	t->len = 0;
	tarball_add(t, '0', "fine", "x");
	tarball_add(t, '0', "flipped", "x");
	t->data[1024] ^= 1;
	tarball_end(t);
	origin_refused(s, tar_save(s, t), "test.tar: ");
	free(t);
}

static void what_is_no_archive_is_refused_by_name(void **state)
{
	struct site *s = *state;
	struct tarball *t = tar_new();

	site_write(s->dir, "test.tar", "not a tar archive, but words\n", 29);
	origin_refused(s, tar_path(s), "test.tar: not a tar archive");
	site_write(s->dir, "test.tar", "", 0);
	origin_refused(s, tar_path(s), "test.tar: not a tar archive");
	origin_refused(s, "/dev/null", "/dev/null: not a directory and not a tar archive");
	origin_refused(s, "/nowhere", "/nowhere: No such file");
	tarball_add(t, '0', "oci-layout", "{}");
	tarball_add(t, '0', "index.json", "{}");
	tarball_add(t, '5', "blobs", "");
	tarball_end(t);
	origin_refused(s, tar_save(s, t), "an OCI image layout in an archive");
	free(t);
}

/* More than one batch, with bodies that are there twice. */
static void many_bodies_are_all_there(void **state)
{
	enum { FILES = 1500 };
	struct site *s = *state;
	struct archive *a = maker_open(s, ARCHIVE_FILTER_NONE);
	struct manifest *m;
	char name[32];

	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "dir%d/file%d", i % 7, i);
		maker_put(a, maker_entry(name, S_IFREG | 0644), name + 9, (size_t)(i % 4) + 1);
	}
	maker_close(a);
	m = origin_add(s, tar_path(s));
	assert_int_equal(manifest_hash_count(m), FILES);
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "dir%d/file%d", i % 7, i);
		close(body_open(s, m, name));
	}
	manifest_close(m);
	/* Again: nothing is written, all is there. */
	m = origin_add(s, tar_path(s));
	close(body_open(s, m, "dir0/file0"));
	manifest_close(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SITE(every_type_and_attribute_comes_back),
		WITH_SITE(an_acl_is_an_attribute_like_the_kernels),
		WITH_SITE(every_packing_reads_the_same_and_a_cut_one_is_refused),
		WITH_SITE(a_flipped_bit_is_found_by_the_packings_check_sum),
		WITH_SITE(what_stands_behind_the_end),
		WITH_SITE(holes_are_zeros_and_a_file_may_pass_4_gib),
		WITH_SITE(names_are_bytes_of_any_kind),
		WITH_SITE(times_before_1970_and_with_parts_of_a_second),
		WITH_SITE(a_tree_may_be_300_deep_and_more_is_refused_by_name),
		WITH_SITE(what_lacks_above_is_made_and_slashes_and_dots_mean_nothing),
		WITH_SITE(an_entry_that_comes_again_replaces_the_earlier_one),
		WITH_SITE(what_would_leave_the_tree_is_refused_by_name),
		WITH_SITE(what_no_file_can_be_is_refused),
		WITH_SITE(what_is_no_archive_is_refused_by_name),
		WITH_SITE(many_bodies_are_all_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

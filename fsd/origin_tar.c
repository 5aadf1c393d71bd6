/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * libarchive takes the stream apart; what an entry may be and where it goes is
 * decided here.  The program never calls setlocale(): in the C locale libarchive
 * hands out names as the bytes that the archive has.
 */
#include "fsd/origin_tar.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

#include <archive.h>

#include "common/container.h"
#include "fsd/gunzip.h"
#include "fsd/tar_attr.h"

enum {
	TAR_BLOCK = 512,
	TAR_CHUNK = 256 * 1024,
	TAR_NAME_MAX = 255,
	TAR_LAYERS_MAX = UINT16_MAX,
	TAR_TOLD = 128 /* of a name, in an error */
};

struct tar_reader {
	const char *name;
	struct origin_sink sink;
	struct archive *archive;
	struct tar_stream *stream;
	int stream_error;
	bool stream_ended;
	const char *entry;  /* that is being read */
	unsigned int layer; /* 0: an archive */
	uint16_t *layers;   /* by the builder's index: the last layer that had it */
	size_t layers_size;
	struct tar_xattrs xattrs;
	uint64_t entries;
	uint64_t bytes;
	struct why *why;
};

/* ---- errors ---- */

/* Both ends of a name, so that what is wrong with it still fits behind. */
static const char *told(char out[static TAR_TOLD], const char *name)
{
	size_t len = strlen(name);

	if (len < TAR_TOLD)
		memcpy(out, name, len + 1);
	else
		snprintf(out, TAR_TOLD, "%.80s...%s", name, name + len - 40);
	return out;
}

static int tar_refuse(struct tar_reader *t, int err, const char *words)
{
	char entry[TAR_TOLD];

	if (!t->entry)
		return why_set(t->why, err, "%s: %s", t->name, words);
	return why_set(t->why, err, "%s: %s: %s", t->name, told(entry, t->entry), words);
}

/* What libarchive could not read. */
static int tar_damaged(struct tar_reader *t)
{
	const char *words = archive_error_string(t->archive);

	if (t->stream_error == -ENODATA)
		return tar_refuse(t, -EBADMSG, "cut short");
	if (t->stream_error == -EBADMSG)
		return tar_refuse(t, -EBADMSG, "damaged");
	if (t->stream_error)
		return tar_refuse(t, t->stream_error, strerror(-t->stream_error));
	if (archive_errno(t->archive) == ENOMEM)
		return -ENOMEM;
	if (!words || (t->stream_ended && strstr(words, "Damaged")))
		return tar_refuse(t, -EBADMSG, "damaged, or cut short");
	if (strcasestr(words, "unrecognized archive format"))
		return tar_refuse(t, -EBADMSG, "not a tar archive");
	if (strcasestr(words, "truncated") || strcasestr(words, "premature") ||
	    strcasestr(words, "no progress is possible")) /* liblzma's way to say it */
		return tar_refuse(t, -EBADMSG, "cut short");
	return tar_refuse(t, -EBADMSG, words);
}

/* ---- places in the tree ---- */

/* Why a path has no place. */
enum { WALK_ABSOLUTE = 1, WALK_UP, WALK_NAME, WALK_PATH, WALK_LINK, WALK_FILE, WALK_NONE };

static const char *const walk_words[] = {
	[WALK_ABSOLUTE] = "an absolute name",
	[WALK_UP] = "a name with '..'",
	[WALK_NAME] = "a name of more than 255 bytes",
	[WALK_PATH] = "a path of more than 4095 bytes",
	[WALK_LINK] = "below a symbolic link",
	[WALK_FILE] = "below a file",
	[WALK_NONE] = "not there (yet)",
};

struct place {
	uint32_t dir;
	const char *name;
	size_t len; /* 0: the root itself */
};

static int tar_mark(struct tar_reader *t, uint32_t index)
{
	if (!t->layer)
		return 0;
	if (index >= t->layers_size) {
		size_t size = t->layers_size ? t->layers_size : 1024;
		uint16_t *bigger;

		while (size <= index)
			size *= 2;
		bigger = realloc(t->layers, size * sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		memset(bigger + t->layers_size, 0, (size - t->layers_size) * sizeof(*bigger));
		t->layers = bigger;
		t->layers_size = size;
	}
	t->layers[index] = (uint16_t)t->layer;
	return 0;
}

/* Step into the directory that `at` names; with `make` one that lacks is made, and
 * all on the way count as this layer's. */
static int walk_enter(struct tar_reader *t, struct place *at, bool make)
{
	static const struct manifest_attr implied = {.mode = S_IFDIR | 0755};
	struct manifest_builder *b = t->sink.builder;
	uint32_t index;
	uint32_t mode;
	int r = manifest_builder_find(b, at->dir, at->name, at->len, &index);

	if (r && !make)
		return WALK_NONE;
	if (r)
		r = manifest_builder_add(b, at->dir, at->name, at->len, &implied, &index);
	if (r)
		return r;
	mode = manifest_builder_mode(b, index);
	if (!S_ISDIR(mode))
		return S_ISLNK(mode) ? WALK_LINK : WALK_FILE;
	at->dir = index;
	return make ? tar_mark(t, index) : 0;
}

/* Returns 0, WALK_... or a negative errno. */
static int tar_walk(struct tar_reader *t, const char *path, bool make, struct place *out)
{
	struct place at = {0};
	size_t len;
	int r;

	if (path[0] == '/')
		return WALK_ABSOLUTE;
	if (strlen(path) >= PATH_MAX)
		return WALK_PATH;
	for (const char *p = path; *p; p += len + (p[len] == '/')) {
		len = strcspn(p, "/");
		if (!len || (len == 1 && p[0] == '.'))
			continue;
		if (len == 2 && p[0] == '.' && p[1] == '.')
			return WALK_UP;
		if (len > TAR_NAME_MAX)
			return WALK_NAME;
		r = at.len ? walk_enter(t, &at, make) : 0;
		if (r)
			return r;
		at.name = p;
		at.len = len;
	}
	*out = at;
	return 0;
}

static int tar_place(struct tar_reader *t, const char *path, struct place *out)
{
	int r = tar_walk(t, path, true, out);

	return r > 0 ? tar_refuse(t, -EINVAL, walk_words[r]) : r;
}

/* ---- entries ---- */

static void tar_tell(struct tar_reader *t)
{
	if (t->sink.tell)
		t->sink.tell(t->sink.ctx, t->entries, t->bytes);
}

static int tar_body(struct tar_reader *t, struct manifest_attr *attr)
{
	const void *data;
	la_int64_t offset;
	size_t len;
	int got;
	int r = intake_begin(t->sink.intake, attr->size);

	while (!r) {
		got = archive_read_data_block(t->archive, &data, &len, &offset);
		if (got == ARCHIVE_EOF)
			break;
		if (got != ARCHIVE_OK)
			return tar_damaged(t);
		r = offset < 0 ? -EBADMSG : intake_put(t->sink.intake, data, len, (uint64_t)offset);
		t->bytes += len;
		tar_tell(t);
	}
	if (!r)
		r = intake_end(t->sink.intake, &attr->hash);
	return r ? tar_refuse(t, r, strerror(-r)) : 0;
}

/* Another name for what is there already. */
static int tar_link(struct tar_reader *t, const char *target)
{
	struct manifest_builder *b = t->sink.builder;
	char entry[TAR_TOLD];
	char to[TAR_TOLD];
	struct place from;
	struct place at;
	uint32_t index;
	int r = tar_walk(t, target, false, &from);

	if (!r && (!from.len || manifest_builder_find(b, from.dir, from.name, from.len, &index)))
		r = WALK_NONE;
	if (r > 0)
		return why_set(t->why, -EINVAL, "%s: %s: a hard link to %s: %s", t->name,
			       told(entry, t->entry), told(to, target), walk_words[r]);
	if (!r)
		r = tar_place(t, t->entry, &at);
	if (r)
		return r;
	if (S_ISDIR(manifest_builder_mode(b, index)))
		return tar_refuse(t, -EINVAL, "a hard link to a directory");
	if (!at.len)
		return tar_refuse(t, -EINVAL, "a hard link in the place of the root");
	if (at.dir == from.dir && at.len == from.len && !memcmp(at.name, from.name, at.len))
		return tar_mark(t, index); /* to itself */
	r = manifest_builder_link(b, at.dir, at.name, at.len, index, &index);
	return r ? tar_refuse(t, r, strerror(-r)) : tar_mark(t, index);
}

static int tar_node(struct tar_reader *t, struct archive_entry *e)
{
	const char *words = NULL;
	struct manifest_attr attr;
	struct place at;
	uint32_t index;
	int r = tar_attr_read(e, &t->xattrs, &attr, &words);

	if (words)
		return tar_refuse(t, r, words);
	if (!r)
		r = tar_place(t, t->entry, &at);
	if (!r && S_ISREG(attr.mode))
		r = tar_body(t, &attr);
	if (r)
		return r;
	if (!at.len) {
		if (!S_ISDIR(attr.mode))
			return tar_refuse(t, -EINVAL, "no directory, in the place of the root");
		manifest_builder_set(t->sink.builder, 0, &attr);
		return 0;
	}
	r = manifest_builder_add(t->sink.builder, at.dir, at.name, at.len, &attr, &index);
	return r ? tar_refuse(t, r, strerror(-r)) : tar_mark(t, index);
}

/* ---- whiteouts ---- */

static bool of_this_layer(void *ctx, uint32_t index)
{
	const struct tar_reader *t = ctx;

	return index < t->layers_size && t->layers[index] == t->layer;
}

/* A whiteout speaks of the layers before alone: what this one has stays, whichever
 * of the two comes first in the archive. */
static int tar_hide(struct tar_reader *t, const struct place *at, const char *name, size_t len)
{
	struct manifest_builder *b = t->sink.builder;
	uint32_t index;

	if (!strncmp("..", name, len)) /* "", "." and ".." */
		return tar_refuse(t, -EINVAL, "a whiteout of nothing");
	if (manifest_builder_find(b, at->dir, name, len, &index))
		return 0;
	if (!of_this_layer(t, index))
		return manifest_builder_remove(b, index);
	if (S_ISDIR(manifest_builder_mode(b, index)))
		manifest_builder_prune(b, index, of_this_layer, t);
	return 0;
}

/* Returns true with *r where the entry is a whiteout. */
static bool tar_whiteout(struct tar_reader *t, int *r)
{
	static const char mark[] = ".wh.";
	static const char opaque[] = ".wh..wh..opq";
	const size_t mark_len = sizeof(mark) - 1;
	const char *slash = strrchr(t->entry, '/');
	const char *base = slash ? slash + 1 : t->entry;
	struct place at;

	if (!t->layer || strncmp(base, mark, mark_len))
		return false;
	*r = tar_walk(t, t->entry, false, &at);
	if (*r == WALK_NONE) /* nothing there that it could hide */
		*r = 0;
	else if (*r > 0)
		*r = tar_refuse(t, -EINVAL, walk_words[*r]);
	else if (!*r && !strcmp(base, opaque))
		manifest_builder_prune(t->sink.builder, at.dir, of_this_layer, t);
	else if (!*r && strncmp(base, ".wh..wh.", 2 * mark_len)) /* aufs has more of these */
		*r = tar_hide(t, &at, at.name + mark_len, at.len - mark_len);
	return true;
}

/* ---- the archive ---- */

/* A warning is fine where it is about a name in no known character set: names are
 * bytes here.  Any other one means that something was not understood. */
static int tar_header_check(struct tar_reader *t, int got)
{
	const char *words = archive_error_string(t->archive);

	if (got == ARCHIVE_OK || (words && strstr(words, "can't be converted")))
		return 0;
	return tar_damaged(t);
}

static int tar_entry(struct tar_reader *t, struct archive_entry *e, int got)
{
	const char *link = archive_entry_hardlink(e);
	int r;

	t->entry = archive_entry_pathname(e);
	if (!t->entry || !t->entry[0])
		return tar_refuse(t, -EINVAL, "an entry without a name");
	r = tar_header_check(t, got);
	t->entries++;
	tar_tell(t);
	if (r || tar_whiteout(t, &r))
		return r;
	return link ? tar_link(t, link) : tar_node(t, e);
}

/* Two zero blocks end an archive, one will do.  Without any, the file was cut between
 * two entries. */
static bool tar_ended(struct tar_reader *t)
{
	return archive_filter_bytes(t->archive, 0) - archive_read_header_position(t->archive) >=
	       TAR_BLOCK;
}

static int tar_entries(struct tar_reader *t)
{
	struct archive_entry *e;
	int got;
	int r;

	for (;;) {
		t->entry = NULL; /* it goes with the header */
		got = archive_read_next_header(t->archive, &e);
		if (got != ARCHIVE_OK && got != ARCHIVE_WARN)
			break;
		r = tar_entry(t, e, got);
		if (r)
			return r;
	}
	if (got != ARCHIVE_EOF)
		return tar_damaged(t);
	if (!t->layer && !tar_ended(t))
		return tar_refuse(t, -EBADMSG, "cut short: it has no end mark");
	return 0;
}

static la_ssize_t tar_read(struct archive *a, void *ctx, const void **data)
{
	struct tar_reader *t = ctx;
	ssize_t n = t->stream->read(t->stream, data);

	t->stream_ended = !n;
	if (n >= 0)
		return n;
	t->stream_error = (int)n;
	archive_set_error(a, (int)-n, "%s", strerror((int)-n));
	return -1;
}

static int tar_run(struct tar_reader *t, const char *name, struct tar_stream *stream,
		   struct why *why)
{
	struct archive *a = archive_read_new();
	int r;

	if (!a)
		return -ENOMEM;
	t->name = name;
	t->archive = a;
	t->stream = stream;
	t->stream_error = 0;
	t->stream_ended = false;
	t->entry = NULL;
	t->why = why;
	archive_read_support_format_tar(a);
	/* An archive is read beyond its end mark, to the last check sum of what packs it;
	 * another archive behind it counts.  A layer's digest is as good. */
	if (!t->layer)
		archive_read_set_option(a, "tar", "read_concatenated_archives", "1");
	archive_read_support_filter_gzip(a);
	archive_read_support_filter_bzip2(a);
	archive_read_support_filter_xz(a);
	archive_read_support_filter_zstd(a);
	if (archive_read_open(a, t, NULL, tar_read, NULL) != ARCHIVE_OK)
		r = tar_damaged(t);
	else
		r = tar_entries(t);
	archive_read_free(a);
	t->archive = NULL;
	t->entry = NULL;
	return r;
}

int tar_reader_new(const struct origin_sink *sink, struct tar_reader **out)
{
	struct tar_reader *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->sink = *sink;
	*out = t;
	return 0;
}

void tar_reader_free(struct tar_reader *t)
{
	if (!t)
		return;
	free(t->layers);
	tar_xattrs_fini(&t->xattrs);
	free(t);
}

int tar_reader_archive(struct tar_reader *t, const char *name, struct tar_stream *stream,
		       struct why *why)
{
	t->layer = 0;
	return tar_run(t, name, stream, why);
}

int tar_reader_layer(struct tar_reader *t, const char *name, struct tar_stream *stream,
		     struct why *why)
{
	if (t->layer == TAR_LAYERS_MAX)
		return why_set(why, -E2BIG, "%s: too many layers", name);
	t->layer++;
	return tar_run(t, name, stream, why);
}

/* ---- a file ---- */

struct tar_file {
	struct tar_stream stream;
	int fd;
	uint8_t chunk[TAR_CHUNK];
};

static ssize_t file_read(struct tar_stream *stream, const void **data)
{
	struct tar_file *f = container(stream, struct tar_file, stream);
	ssize_t n;

	do
		n = read(f->fd, f->chunk, sizeof(f->chunk));
	while (n < 0 && errno == EINTR);
	*data = f->chunk;
	return n < 0 ? -errno : n;
}

/* An image layout that was packed would make an image of blobs. */
static bool is_layout(const struct manifest_builder *b)
{
	uint32_t index;

	return !manifest_builder_find(b, 0, "oci-layout", 10, &index) &&
	       !manifest_builder_find(b, 0, "index.json", 10, &index) &&
	       !manifest_builder_find(b, 0, "blobs", 5, &index);
}

static int file_archive(struct tar_file *f, const char *path, struct tar_reader *t, struct why *why)
{
	cleanup(gunzip_freep) struct gunzip *gunzip = NULL;
	struct tar_stream *stream = &f->stream;
	uint8_t head[2];
	ssize_t n = pread(f->fd, head, sizeof(head), 0);
	int r;

	if (n > 0 && gunzip_wants((struct bytes){head, (size_t)n})) {
		r = gunzip_new(stream, &gunzip);
		if (r)
			return r;
		stream = gunzip_bytes(gunzip);
	}
	return tar_reader_archive(t, path, stream, why);
}

int origin_tar_read(const char *path, const struct origin_sink *sink, struct why *why)
{
	cleanup(freep) struct tar_file *f = malloc(sizeof(*f));
	cleanup(tar_reader_freep) struct tar_reader *t = NULL;
	cleanup(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st))
		return why_set(why, -errno, "%s: %m", path);
	if (!S_ISREG(st.st_mode))
		return why_set(why, -EINVAL, "%s: not a regular file", path);
	if (!f)
		return -ENOMEM;
	f->stream.read = file_read;
	f->fd = fd;
	r = tar_reader_new(sink, &t);
	if (!r)
		r = file_archive(f, path, t, why);
	if (!r && is_layout(sink->builder))
		return why_set(why, -EINVAL,
			       "%s: an OCI image layout in an archive: unpack it first", path);
	return r;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/oci_blob.h"

#include <errno.h>
#include <stdio.h>

#include "common/container.h"

enum { OCI_CHUNK = 256 * 1024 };

static const char algorithm[] = "sha256:";

/* ---- descriptors ---- */

const char *oci_string(const cJSON *object, const char *key)
{
	return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
}

/* Lower case alone, as the specification has it: one blob, one name. */
static bool digest_parse(const char *text, struct hash *out)
{
	const size_t len = sizeof(algorithm) - 1;

	return !strncmp(text, algorithm, len) && !hash_parse(text + len, out);
}

/* JSON's numbers are floating: exact up to 2^53. */
static bool size_parse(const cJSON *item, uint64_t *out)
{
	double v = cJSON_GetNumberValue(item); /* NaN for none */

	if (!(v >= 0 && v <= 9007199254740992.0) || v != (double)(uint64_t)v)
		return false;
	*out = (uint64_t)v;
	return true;
}

int oci_blob_parse(struct oci_layout *l, const cJSON *descriptor, struct oci_blob *out)
{
	const char *digest = oci_string(descriptor, "digest");
	struct oci_blob blob = {.media = oci_string(descriptor, "mediaType")};

	if (!digest)
		return why_set(l->why, -EINVAL, "%s: a descriptor without a digest", l->path);
	if (!digest_parse(digest, &blob.hash))
		return why_set(l->why, -EINVAL, "%s: %.100s: not a sha256 digest", l->path, digest);
	memcpy(blob.digest, digest, OCI_DIGEST);
	if (!blob.media)
		return why_set(l->why, -EINVAL, "%s: %s: no media type", l->path, digest);
	if (!size_parse(cJSON_GetObjectItemCaseSensitive(descriptor, "size"), &blob.size))
		return why_set(l->why, -EINVAL, "%s: %s: no size", l->path, digest);
	*out = blob;
	return 0;
}

/* ---- streams ---- */

struct oci_stream {
	struct tar_stream stream;
	struct oci_layout *layout;
	struct oci_blob blob;
	int fd;
	struct hasher hasher;
	uint64_t got;
	uint8_t chunk[OCI_CHUNK];
};

static ssize_t read_some(int fd, void *data, size_t len)
{
	ssize_t n;

	do
		n = read(fd, data, len);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static ssize_t stream_read(struct tar_stream *stream, const void **data)
{
	struct oci_stream *s = container(stream, struct oci_stream, stream);
	ssize_t n = read_some(s->fd, s->chunk, sizeof(s->chunk));

	if (n > 0) {
		hasher_add(&s->hasher, s->chunk, (size_t)n);
		s->got += (uint64_t)n;
	}
	*data = s->chunk;
	return n;
}

static int blob_open(struct oci_layout *l, const struct oci_blob *blob)
{
	char path[16 + OCI_DIGEST];
	struct stat st = {0};
	int fd;

	snprintf(path, sizeof(path), "blobs/sha256/%s", blob->digest + sizeof(algorithm) - 1);
	fd = origin_dir_file(l->dir, path);
	if (fd == -ESTALE)
		return why_set(l->why, fd, "%s/%s: not a regular file", l->path, path);
	if (fd < 0)
		return why_set(l->why, fd, "%s/%s: %s", l->path, path, strerror(-fd));
	if (!fstat(fd, &st) && (uint64_t)st.st_size == blob->size)
		return fd;
	close(fd);
	return why_set(l->why, -EBADMSG, "%s: %s: has %lld bytes, not %llu", l->path, blob->digest,
		       (long long)st.st_size, (unsigned long long)blob->size);
}

int oci_stream_open(struct oci_layout *l, const struct oci_blob *blob, struct oci_stream **out)
{
	cleanup(oci_stream_closep) struct oci_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->stream.read = stream_read;
	s->layout = l;
	s->blob = *blob;
	s->fd = blob_open(l, blob);
	if (s->fd < 0)
		return s->fd;
	hasher_init(&s->hasher);
	*out = take(&s);
	return 0;
}

struct tar_stream *oci_stream_bytes(struct oci_stream *s)
{
	return &s->stream;
}

int oci_stream_check(struct oci_stream *s)
{
	struct oci_layout *l = s->layout;
	const void *data;
	struct hash hash;
	ssize_t n;

	while ((n = stream_read(&s->stream, &data)) > 0)
		;
	if (n < 0)
		return why_set(l->why, (int)n, "%s: %s: %s", l->path, s->blob.digest,
			       strerror((int)-n));
	hasher_end(&s->hasher, &hash);
	if (s->got != s->blob.size || memcmp(&hash, &s->blob.hash, sizeof(hash)))
		return why_set(l->why, -EBADMSG, "%s: %s: its bytes have another digest", l->path,
			       s->blob.digest);
	return 0;
}

void oci_stream_close(struct oci_stream *s)
{
	if (!s)
		return;
	closep(&s->fd);
	free(s);
}

/* ---- JSON ---- */

/* cJSON bounds the nesting itself. */
static int json_parse(struct oci_layout *l, const char *name, const char *text, size_t len,
		      cJSON **out)
{
	cJSON *json = cJSON_ParseWithLength(text, len);

	if (!cJSON_IsObject(json)) {
		cJSON_Delete(json);
		return why_set(l->why, -EBADMSG, "%s: %s: not a JSON object", l->path, name);
	}
	*out = json;
	return 0;
}

static int too_large(struct oci_layout *l, const char *name)
{
	return why_set(l->why, -EFBIG, "%s: %s: more than 4 MiB of JSON", l->path, name);
}

int oci_file_json(struct oci_layout *l, const char *name, cJSON **out)
{
	cleanup(freep) char *text = malloc(OCI_JSON_MAX + 1);
	cleanup(closep) int fd = origin_dir_file(l->dir, name);
	size_t len = 0;
	ssize_t n = 0;

	if (!text)
		return -ENOMEM;
	if (fd < 0)
		return why_set(l->why, fd, "%s/%s: %s", l->path, name,
			       fd == -ESTALE ? "not a regular file" : strerror(-fd));
	do {
		len += (size_t)n;
		n = read_some(fd, text + len, OCI_JSON_MAX + 1 - len);
	} while (n > 0);
	if (n < 0)
		return why_set(l->why, (int)n, "%s/%s: %s", l->path, name, strerror((int)-n));
	if (len > OCI_JSON_MAX)
		return too_large(l, name);
	return json_parse(l, name, text, len, out);
}

int oci_blob_json(struct oci_layout *l, const struct oci_blob *blob, cJSON **out)
{
	cleanup(oci_stream_closep) struct oci_stream *s = NULL;
	cleanup(freep) char *text = NULL;
	const void *data;
	size_t len = 0;
	ssize_t n;
	int r;

	if (blob->size > OCI_JSON_MAX)
		return too_large(l, blob->digest);
	r = oci_stream_open(l, blob, &s);
	if (r)
		return r;
	text = malloc(blob->size + 1);
	if (!text)
		return -ENOMEM;
	while ((n = stream_read(&s->stream, &data)) > 0 && (size_t)n <= blob->size - len) {
		memcpy(text + len, data, (size_t)n);
		len += (size_t)n;
	}
	r = oci_stream_check(s);
	return r ? r : json_parse(l, blob->digest, text, len, out);
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The files of an OCI image layout: blobs, each named by the SHA-256 of its bytes
 * and checked against that and its size while it is read, and the JSON in them.
 * None is read through a symbolic link or from outside of the layout.
 *
 * Source: the OCI Image Format Specification, image-layout.md and descriptor.md.
 */
#ifndef FSD_OCI_BLOB_H
#define FSD_OCI_BLOB_H

#include <cjson/cJSON.h>

#include "fsd/origin_tar.h"

CLEANUP_DEFINE(cJSON *, cJSON_Delete);

struct oci_layout {
	const char *path; /* in errors; borrowed */
	int dir;
	struct why *why;
};

enum { OCI_DIGEST = 7 + 2 * HASH_LEN + 1, OCI_JSON_MAX = 4 << 20 };

/* What a descriptor says. */
struct oci_blob {
	char digest[OCI_DIGEST]; /* "sha256:" and 64 hexadecimal digits: fit for a path */
	struct hash hash;
	uint64_t size;
	const char *media; /* borrowed from the descriptor */
};

/* -EINVAL with words unless all is there and in order. */
int oci_blob_parse(struct oci_layout *l, const cJSON *descriptor, struct oci_blob *out);

/* A member of an object: a string, or NULL. */
const char *oci_string(const cJSON *object, const char *key);

/* A file of the layout, or a blob, that is a JSON object.  The caller deletes *out. */
int oci_file_json(struct oci_layout *l, const char *name, cJSON **out);
int oci_blob_json(struct oci_layout *l, const struct oci_blob *blob, cJSON **out);

/* A blob as a stream. */
struct oci_stream;
int oci_stream_open(struct oci_layout *l, const struct oci_blob *blob, struct oci_stream **out);
struct tar_stream *oci_stream_bytes(struct oci_stream *s);
/* Read what is left of it, and compare.  -EBADMSG with words. */
int oci_stream_check(struct oci_stream *s);
void oci_stream_close(struct oci_stream *s);
CLEANUP_DEFINE(struct oci_stream *, oci_stream_close);

#endif

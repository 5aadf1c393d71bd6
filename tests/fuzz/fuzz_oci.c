/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The files of an OCI image layout, in one input and parted by the byte 0x1e:
 * index.json, then blobs.  Where the input has "%N", N from 1 to 9, stand the digest
 * and the size of blob N, if that comes later in the input: so what lies behind a
 * digest is reached.  Whatever is read, a refusal has words and a tree has names.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/sha.h>

#include "common/log.h"
#include "fsd/origin.h"
#include "tests/fuzz/no_intake.h"
#include "tests/fuzz/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PARTS = 10, MEMBERS = 128, PART_MAX = 65536 };

static const char *dir;

struct part {
	struct bytes in;
	char members[MEMBERS]; /* of a descriptor of it */
	char path[96];	       /* of its blob */
};

static void put(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert(fd >= 0 && write(fd, data, len) == (ssize_t)len);
	close(fd);
}

static void setup(void)
{
	static const char layout[] = "{\"imageLayoutVersion\": \"1.0.0\"}";
	char path[128];

	dir = scratch();
	snprintf(path, sizeof(path), "%s/blobs", dir);
	assert(!mkdir(path, 0700));
	snprintf(path, sizeof(path), "%s/blobs/sha256", dir);
	assert(!mkdir(path, 0700));
	snprintf(path, sizeof(path), "%s/oci-layout", dir);
	put(path, layout, strlen(layout));
}

/* The part's text with descriptors filled in.  Returns its length. */
static size_t fill_in(const struct part *parts, unsigned int self, unsigned int n, char *out)
{
	struct bytes in = parts[self].in;
	size_t len = 0;

	for (size_t i = 0; i < in.len && len + MEMBERS < PART_MAX; i++) {
		unsigned int k = i + 1 < in.len ? in.at[i + 1] - (unsigned int)'0' : PARTS;

		if (in.at[i] != '%' || k <= self || k >= n) {
			out[len++] = (char)in.at[i];
			continue;
		}
		memcpy(out + len, parts[k].members, strlen(parts[k].members));
		len += strlen(parts[k].members);
		i++;
	}
	return len;
}

static void blob(struct part *part, const char *text, size_t len)
{
	uint8_t sum[SHA256_DIGEST_LENGTH];
	char hex[2 * SHA256_DIGEST_LENGTH + 1];
	char path[160];

	SHA256((const uint8_t *)text, len, sum);
	for (size_t i = 0; i < sizeof(sum); i++)
		snprintf(hex + 2 * i, 3, "%02x", sum[i]);
	snprintf(part->members, sizeof(part->members), "\"digest\":\"sha256:%s\",\"size\":%zu", hex,
		 len);
	snprintf(part->path, sizeof(part->path), "blobs/sha256/%s", hex);
	snprintf(path, sizeof(path), "%s/%s", dir, part->path);
	put(path, text, len);
}

static void read_layout(void)
{
	struct intake intake = {0};
	struct origin_sink sink = {.intake = &intake};
	struct why why = {""};
	int r;

	assert(!manifest_builder_new(&sink.builder));
	r = origin_oci_read(dir, &sink, &why);
	assert(r <= 0 && (!r || r == -ENOMEM || why.text[0]));
	manifest_builder_free(sink.builder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[PART_MAX];
	struct part parts[PARTS] = {0};
	unsigned int n = 0;
	char path[160];

	log_init("fuzz", LOG_LEVEL_NONE);
	if (!dir)
		setup();
	for (size_t at = 0; at <= size && n < PARTS; n++) {
		const uint8_t *end = at < size ? memchr(data + at, 0x1e, size - at) : NULL;
		size_t len = end ? (size_t)(end - data) - at : size - at;

		parts[n].in = (struct bytes){data + at, len};
		at += len + 1;
	}
	for (unsigned int i = n; i-- > 0;) {
		size_t len = fill_in(parts, i, n, text);

		if (i) {
			blob(&parts[i], text, len);
			continue;
		}
		snprintf(path, sizeof(path), "%s/index.json", dir);
		put(path, text, len);
	}
	read_layout();
	for (unsigned int i = 1; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, parts[i].path);
		unlink(path); /* two that are equal are one */
	}
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An archive, read to its end or to its refusal: the first byte says how many
 * layers the rest is cut into (0: one archive).  Check sums are put right first, or
 * next to no change would get past them.  Bodies go nowhere; whatever tree comes of
 * it must be one that a manifest can hold.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/container.h"
#include "common/log.h"
#include "fsd/gunzip.h"
#include "tests/fuzz/no_intake.h"
#include "tests/fuzz/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct memory {
	struct tar_stream stream;
	struct bytes left;
};

static ssize_t memory_read(struct tar_stream *stream, const void **data)
{
	struct memory *m = container(stream, struct memory, stream);
	ssize_t n = (ssize_t)m->left.len;

	*data = m->left.at;
	m->left.len = 0;
	return n;
}

static void sums_mend(uint8_t *data, size_t size)
{
	for (uint8_t *h = data; size >= 512; h += 512, size -= 512) {
		unsigned int sum = 0;

		if (memcmp(h + 257, "ustar", 5))
			continue;
		memset(h + 148, ' ', 8);
		for (int i = 0; i < 512; i++)
			sum += h[i];
		snprintf((char *)h + 148, 8, "%06o", sum);
	}
}

/* Every node of it can be reached and named. */
static void check(struct manifest_builder *b)
{
	const char *dir = scratch();
	struct manifest *m;
	char path[64];

	assert(!manifest_builder_write(b, dir, 1, true));
	assert(!manifest_open(dir, 1, &m, NULL));
	for (uint32_t i = 0; i < manifest_count(m); i++) {
		const struct manifest_node *n = manifest_at(m, i);
		char name[8192];

		assert(n && n->nlink);
		assert(!i || manifest_name(m, n).len);
		assert(!S_ISLNK(n->mode) || manifest_target(m, n).len);
		assert(manifest_path(m, i, name, sizeof(name)) >= 0);
		assert(!n->xattr || manifest_xattrs(m, n).len);
	}
	manifest_close(m);
	snprintf(path, sizeof(path), "%s/1", dir);
	unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct intake intake = {0};
	struct origin_sink sink = {.intake = &intake};
	struct memory m = {.stream.read = memory_read};
	struct tar_reader *t;
	unsigned int layers;
	uint8_t *copy;
	int r = 0;

	if (!size)
		return 0;
	log_init("fuzz", LOG_LEVEL_NONE);
	layers = data[0] % 4;
	size--;
	copy = malloc(size + 1);
	assert(copy);
	memcpy(copy, data + 1, size);
	sums_mend(copy, size);
	assert(!manifest_builder_new(&sink.builder));
	assert(!tar_reader_new(&sink, &t));
	for (unsigned int i = 0; i < (layers ? layers : 1) && !r; i++) {
		size_t n = layers ? size / layers / 512 * 512 : size;
		struct why why = {""};

		cleanup(gunzip_freep) struct gunzip *gunzip = NULL;
		struct tar_stream *stream = &m.stream;

		m.left = (struct bytes){copy + i * n, n};
		if (gunzip_wants(m.left)) {
			assert(!gunzip_new(stream, &gunzip));
			stream = gunzip_bytes(gunzip);
		}
		r = layers ? tar_reader_layer(t, "fuzz", stream, &why)
			   : tar_reader_archive(t, "fuzz", stream, &why);
		assert(!r || r == -ENOMEM || why.text[0]);
	}
	check(sink.builder);
	tar_reader_free(t);
	manifest_builder_free(sink.builder);
	free(copy);
	return 0;
}

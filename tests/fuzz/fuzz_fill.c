/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A fill journal of any bytes beside a good manifest.  With a first byte that is odd
 * the rows' checks are put right, so that what a record says is reached.  Whatever
 * it says, a file stays a file, the counts are those of what is known, and the
 * journal can be appended to.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/sha.h>

#include "common/array.h"
#include "fsd/version.h"
#include "tests/fuzz/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROW = 80, ROW_HEAD = 8, ROW_MAGIC = 0x46494c31 };

static const char *dir;
static char manifests[80];

/* Files (one of two names, one that is known), and what is none. */
static void setup(void)
{
	struct manifest_attr file = {.mode = S_IFREG | 0644, .size = 5};
	const struct manifest_attr folder = {.mode = S_IFDIR | 0755};
	const struct manifest_attr link = {.mode = S_IFLNK | 0777,
					   .target = {(const uint8_t *)"a", 1}};
	struct manifest_builder *b;
	uint32_t below;
	uint32_t first;
	uint32_t i;

	dir = scratch();
	snprintf(manifests, sizeof(manifests), "%s/manifests", dir);
	assert(!mkdir(manifests, 0700));
	assert(!manifest_builder_new(&b));
	assert(!manifest_builder_add(b, 0, "a", 1, &file, &first));
	assert(!manifest_builder_add(b, 0, "b", 1, &folder, &below));
	assert(!manifest_builder_add(b, below, "c", 1, &file, &i));
	assert(!manifest_builder_link(b, below, "d", 1, first, &i));
	assert(!manifest_builder_add(b, 0, "e", 1, &link, &i));
	file.hash.octet[0] = 1;
	assert(!manifest_builder_add(b, 0, "f", 1, &file, &i));
	assert(!manifest_builder_write(b, manifests, 1, false));
	manifest_builder_free(b);
}

static void checks_mend(uint8_t *rows, size_t size)
{
	for (; size >= ROW; rows += ROW, size -= ROW) {
		const uint32_t magic = ROW_MAGIC;
		uint8_t sum[SHA256_DIGEST_LENGTH];

		SHA256(rows + ROW_HEAD, ROW - ROW_HEAD, sum);
		memcpy(rows, &magic, sizeof(magic));
		memcpy(rows + sizeof(magic), sum, sizeof(uint32_t));
	}
}

static void count(void *ctx, const struct fill_record *record)
{
	(void)record;
	++*(unsigned int *)ctx;
}

static void check(struct version *v)
{
	const struct manifest *m = version_manifest(v);
	struct version_progress want = {0};
	struct version_progress p;

	for (uint32_t pos = 0; pos <= manifest_count(m); pos++) {
		const struct manifest_node *n = manifest_at(m, pos);
		struct fill_record record;
		struct manifest_node node;

		assert(!n == (version_node(v, pos, &node) != 0));
		if (!n)
			continue;
		assert((node.mode & S_IFMT) == (n->mode & S_IFMT));
		assert(S_ISREG(n->mode) || !version_known(v, pos, &record));
		if (!S_ISREG(n->mode) || n->link != pos)
			continue;
		want.files++;
		if (!version_known(v, pos, &record))
			continue;
		want.gone += !!(record.flags & FILL_GONE);
		want.drifted += record.flags && !(record.flags & FILL_GONE);
	}
	version_progress(v, &p);
	assert(p.files == want.files && p.copied <= p.files);
	assert(p.gone == want.gone && p.drifted == want.drifted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct fill_record more = {.pos = 1, .size = 5, .hash = {{9}}};
	unsigned int before = 0;
	unsigned int after = 0;
	struct version *v;
	char path[128];
	uint64_t good;
	uint8_t *rows;
	int fd;

	if (!size)
		return 0;
	if (!dir)
		setup();
	rows = malloc(size);
	memcpy(rows, data + 1, --size);
	if (data[0] & 1)
		checks_mend(rows, size);
	snprintf(path, sizeof(path), "%s/1.fill", manifests);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert(fd >= 0 && write(fd, rows, size) == (ssize_t)size);
	close(fd);
	free(rows);
	assert(!version_open(dir, 1, &v, NULL));
	check(v);
	version_unref(v);
	assert(!fill_read(manifests, 1, count, &before, &good));
	assert(good == (uint64_t)before * ROW && good <= size);
	fd = fill_open(manifests, 1, good);
	assert(fd >= 0 && !fill_write(fd, &more, 1));
	close(fd);
	assert(!fill_read(manifests, 1, count, &after, &good));
	assert(after == before + 1);
	return 0;
}

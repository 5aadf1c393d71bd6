/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A manifest of any bytes: its sums are put right, so that what lies behind them is
 * reached.  Everything is then read, and a view built over it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/sha.h>

#include "fsd/manifest_format.h"
#include "fsd/tree.h"
#include "fsd/version.h"
#include "tests/fuzz/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *state(void)
{
	static char path[128];

	if (!path[0]) {
		snprintf(path, sizeof(path), "%s/manifests", scratch());
		if (mkdir(path, 0700))
			abort();
	}
	return scratch();
}

/* The input is the sections; the first 16 bytes say how long each is. */
static size_t lay_out(const uint8_t *data, size_t size, uint8_t **out)
{
	struct manifest_header h = {
		.magic = MANIFEST_MAGIC, .format = MANIFEST_FORMAT, .version = 1};
	uint64_t at = MANIFEST_HEADER;
	uint32_t lens[4];
	struct hash *sums;
	size_t nsums;
	uint8_t *file;

	if (size < 20)
		return 0;
	memcpy(lens, data, sizeof(lens));
	h.flags = data[16] & 3;
	data += 20;
	size -= 20;
	h.nnodes = (uint32_t)(lens[0] % 64 + 1);
	h.nhashes = lens[1] % 64;
	lens[0] = h.nnodes * (uint32_t)sizeof(struct manifest_node);
	lens[1] = h.nhashes * HASH_LEN;
	lens[2] %= 4096;
	lens[3] %= 4096;
	for (int s = 0; s < SECTIONS; s++) {
		h.section[s].at = at;
		h.section[s].len = lens[s];
		at += lens[s];
	}
	h.sums_at = at;
	nsums = (at - MANIFEST_HEADER + MANIFEST_BLOCK - 1) / MANIFEST_BLOCK;
	h.sums_len = nsums * HASH_LEN;
	file = calloc(1, at + h.sums_len);
	memcpy(file + MANIFEST_HEADER, data,
	       size < at - MANIFEST_HEADER ? size : at - MANIFEST_HEADER);
	sums = (struct hash *)(file + at);
	for (size_t i = 0; i < nsums; i++) {
		size_t from = MANIFEST_HEADER + i * MANIFEST_BLOCK;
		size_t len = at - from < MANIFEST_BLOCK ? at - from : MANIFEST_BLOCK;

		SHA256(file + from, len, sums[i].octet);
	}
	SHA256(file + at, h.sums_len, h.sums_hash.octet);
	SHA256((const uint8_t *)&h, sizeof(h), h.self.octet);
	memcpy(file, &h, sizeof(h));
	*out = file;
	return at + h.sums_len;
}

static void walk(const struct tree *t, uint32_t count)
{
	char path[4096];
	uint32_t id;

	for (uint32_t node = 0; node <= count + 1; node++) {
		const struct manifest *m = version_manifest(tree_version(t));
		const struct manifest_node *mn = manifest_at(m, node);
		struct view_dirent d = {0};
		struct tree_node n;
		uint64_t cookie = 2;

		if (mn) {
			manifest_xattrs(m, mn);
			manifest_name(m, mn);
			manifest_path(m, node, path, sizeof(path));
		}
		tree_node(t, node, &n);
		tree_node(t, TREE_NODE_ALONE + node, &n);
		tree_name(t, node);
		tree_parent(t, node);
		tree_child(t, node, "a", 1, &id);
		for (uint32_t i = 0; i <= count && !tree_next(t, node, cookie, &d); i++) {
			if (d.cookie <= cookie)
				abort();
			cookie = d.cookie;
			tree_child(t, node, d.name, d.name_len, &id);
		}
	}
	tree_walk(t, VIEW_ROOT, "a/../b/a/a/a", true, &id, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct entry entries[] = {
		{.id = 70000, .path_id = 70001, .kind = ENTRY_OPAQUE, .path = "a"},
		{.id = 70002, .path_id = 70003, .kind = ENTRY_WHITEOUT, .path = "b"},
		{.id = 70004, .path_id = 70005, .kind = ENTRY_DIR, .path = "c/a"},
		{.id = 70006,
		 .path_id = 70007,
		 .kind = ENTRY_ATTR,
		 .flags = ENTRY_MODE_SET,
		 .path = "a/b"},
	};
	struct version *v;
	struct tree *t;
	uint8_t *file;
	char path[128];
	size_t len;
	int fd;

	len = lay_out(data, size, &file);
	if (!len)
		return 0;
	snprintf(path, sizeof(path), "%s/manifests/1", state());
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, file, len) != (ssize_t)len)
		abort();
	close(fd);
	free(file);
	if (version_open(state(), 1, &v, NULL))
		return 0;
	if (!tree_new(v, 0, &t)) {
		for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
			tree_apply(t, &entries[i], UINT64_MAX, NULL, NULL);
		tree_freeze(t);
		walk(t, manifest_count(version_manifest(v)));
		tree_free(t);
	}
	version_unref(v);
	return 0;
}

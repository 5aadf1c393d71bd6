/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A view out of a table of paths, so that what reads views is tested without
 * images.  Parents stand before their children; node = index + 1.
 */
#ifndef TESTS_UNIT_TEST_TFTP_FAKE_H
#define TESTS_UNIT_TEST_TFTP_FAKE_H

#include <sys/stat.h>

#include "fsd/contents.h"
#include "fsd/view.h"

struct fake_file {
	const char *path; /* "" is the root */
	uint32_t mode;
	const char *text; /* body, or link target */
	bool secret;
};

struct view {
	const struct fake_file *files;
	uint32_t n;
};

#define FAKE_VIEW(table) ((struct view){(table), sizeof(table) / sizeof((table)[0])})

#define D S_IFDIR | 0755
#define F S_IFREG | 0644
#define L S_IFLNK | 0777

static uint32_t fake_find(const struct view *v, const char *path, size_t len)
{
	for (uint32_t i = 0; i < v->n; i++)
		if (strlen(v->files[i].path) == len && !memcmp(v->files[i].path, path, len))
			return i + 1;
	return 0;
}

int view_attr(const struct view *v, uint32_t node, struct view_attr *out)
{
	if (!node || node > v->n)
		return VIEW_STALE;
	*out = (struct view_attr){.node = node, .mode = v->files[node - 1].mode, .nlink = 1};
	out->size = v->files[node - 1].text ? strlen(v->files[node - 1].text) : 0;
	return 0;
}

int view_lookup(const struct view *v, uint32_t dir, const char *name, size_t len, uint32_t *node)
{
	const char *base = v->files[dir - 1].path;
	char path[1024];
	int n = snprintf(path, sizeof(path), "%s%s%.*s", base, *base ? "/" : "", (int)len, name);

	*node = fake_find(v, path, (size_t)n);
	return *node ? 0 : VIEW_NOENT;
}

/* Links are absolute or relative to their directory, without "..": enough here. */
int view_resolve(const struct view *v, uint32_t from, const char *path, bool follow, uint32_t *node)
{
	char whole[1024];
	uint32_t at = *path == '/' ? VIEW_ROOT : from;
	int depth = 0;

	snprintf(whole, sizeof(whole), "%s", path);
	for (char *p = whole; *p;) {
		size_t n = strcspn(p, "/");
		uint32_t next;

		if (!n) {
			p++;
			continue;
		}
		if (!S_ISDIR(v->files[at - 1].mode))
			return VIEW_NOTDIR;
		if (view_lookup(v, at, p, n, &next))
			return VIEW_NOENT;
		p += n;
		if (S_ISLNK(v->files[next - 1].mode) && (follow || *p)) {
			char rest[1024];

			if (++depth > 40)
				return VIEW_LOOP;
			snprintf(rest, sizeof(rest), "%s%s", v->files[next - 1].text, p);
			if (rest[0] == '/')
				at = VIEW_ROOT;
			strcpy(whole, rest);
			p = whole;
			continue;
		}
		at = next;
	}
	*node = at;
	return 0;
}

int view_readdir(const struct view *v, uint32_t dir, uint64_t cookie, struct view_dirent *out)
{
	const char *base = v->files[dir - 1].path;
	size_t len = strlen(base);

	if (!S_ISDIR(v->files[dir - 1].mode))
		return VIEW_NOTDIR;
	for (uint64_t i = cookie; i < v->n; i++) {
		const char *p = v->files[i].path;

		if (i + 1 == dir || strncmp(p, base, len) || (len && p[len] != '/'))
			continue;
		p += len ? len + 1 : 0;
		if (!*p || strchr(p, '/'))
			continue;
		*out = (struct view_dirent){i + 1, (uint32_t)i + 1, (uint8_t)strlen(p), p};
		return 0;
	}
	return VIEW_END;
}

ssize_t view_path(const struct view *v, uint32_t node, char *out, size_t size)
{
	int n = snprintf(out, size, "/%s", v->files[node - 1].path);

	return (size_t)n < size ? n : -ENAMETOOLONG;
}

bool view_secret(const struct view *v, uint32_t node)
{
	return v->files[node - 1].secret;
}

#endif

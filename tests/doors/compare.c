/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/doors/compare.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/log.h"

#define agree(s, condition, path, ...)                                                             \
	do {                                                                                       \
		if (!(condition))                                                                  \
			return differ(s, path, #condition, __VA_ARGS__);                           \
	} while (0)

static bool __attribute__((format(printf, 4, 5)))
differ(struct sight *s, const char *path, const char *condition, const char *fmt, ...)
{
	char text[256];
	va_list ap;
	int n;

	log_escape(text, sizeof(text), path, strlen(path));
	n = snprintf(s->why, sizeof(s->why), "%s: /%s: ", s->door->word, text);
	va_start(ap, fmt);
	n += vsnprintf(s->why + n, sizeof(s->why) - (size_t)n, fmt, ap);
	va_end(ap);
	snprintf(s->why + n, sizeof(s->why) - (size_t)n, " (%s)", condition);
	return false;
}

/* Which inode of the plain directory is which number of the door. */
struct pair {
	uint64_t inode;
	uint64_t fileid;
};

struct walk {
	struct sight *s;
	struct pair *pairs;
	size_t n;
};

static bool same_file(struct walk *w, uint64_t inode, uint64_t fileid, const char *path)
{
	struct pair *bigger;

	for (size_t i = 0; i < w->n; i++) {
		agree(w->s, (w->pairs[i].inode == inode) == (w->pairs[i].fileid == fileid), path,
		      "number %llu, and another name that is %s file has %llu",
		      (unsigned long long)fileid,
		      w->pairs[i].inode == inode ? "the same" : "another",
		      (unsigned long long)w->pairs[i].fileid);
		if (w->pairs[i].inode == inode)
			return true;
	}
	bigger = realloc(w->pairs, (w->n + 1) * sizeof(*bigger));
	if (!bigger)
		abort();
	w->pairs = bigger;
	w->pairs[w->n++] = (struct pair){inode, fileid};
	return true;
}

static bool same_time(const struct door *door, const struct timespec *want,
		      const struct door_attr *a)
{
	int64_t sec = want->tv_sec;
	uint32_t nsec = (uint32_t)want->tv_nsec;

	if (door->times32 && sec < 0)
		sec = nsec = 0;
	if (door->times32 && sec > UINT32_MAX) {
		sec = UINT32_MAX;
		nsec = 999999999;
	}
	return a->mtime_sec == sec && a->mtime_nsec == nsec;
}

static bool same_attr(struct walk *w, const struct stat *st, const struct door_attr *a,
		      const char *path)
{
	struct sight *s = w->s;

	agree(s, a->mode == st->st_mode, path, "mode %o, not %o", a->mode, st->st_mode);
	agree(s, a->nlink == st->st_nlink, path, "nlink %u, not %lu", a->nlink,
	      (unsigned long)st->st_nlink);
	agree(s, a->uid == st->st_uid && a->gid == st->st_gid, path, "owner %u:%u, not %u:%u",
	      a->uid, a->gid, st->st_uid, st->st_gid);
	agree(s, same_time(s->door, &st->st_mtim, a), path, "mtime %lld.%09u, not %lld.%09ld",
	      (long long)a->mtime_sec, a->mtime_nsec, (long long)st->st_mtim.tv_sec,
	      st->st_mtim.tv_nsec);
	agree(s, a->ctime_sec >= a->mtime_sec, path, "ctime before mtime");
	if (!S_ISDIR(st->st_mode))
		agree(s, a->size == (uint64_t)st->st_size, path, "size %llu, not %lld",
		      (unsigned long long)a->size, (long long)st->st_size);
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
		agree(s, a->rdev_major == major(st->st_rdev) && a->rdev_minor == minor(st->st_rdev),
		      path, "device %u:%u", a->rdev_major, a->rdev_minor);
	return same_file(w, st->st_ino, a->fileid, path);
}

static bool same_part(struct sight *s, const struct door_node *node, int fd, uint64_t offset,
		      size_t len, const char *path)
{
	cleanup(freep) char *want = malloc(len + 1);
	cleanup(freep) char *have = malloc(len + 1);
	size_t got = len;
	ssize_t n = pread(fd, want, len, (off_t)offset);
	int r = s->door->read(s->door, node, offset, have, &got);

	agree(s, !r, path, "read: %s", strerror(r));
	agree(s, n >= 0 && got == (size_t)n, path, "%zu bytes at %llu, not %zd", got,
	      (unsigned long long)offset, n);
	agree(s, !memcmp(want, have, got), path, "other bytes in %zu at %llu", got,
	      (unsigned long long)offset);
	return true;
}

/* By parts anywhere, and then from the start to the end. */
static bool same_content(struct sight *s, const struct door_node *node, int dir, const char *name,
			 uint64_t size, const char *path)
{
	cleanup(closep) int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	const size_t step = 256 * 1024;

	agree(s, fd >= 0, path, "plain: %s", strerror(errno));
	for (int i = 0; i < 2; i++) {
		uint64_t offset = rng_below(&s->rng, (uint32_t)size + 100);
		size_t len = 1 + rng_below(&s->rng, 20000);

		if (!same_part(s, node, fd, offset, len, path))
			return false;
	}
	for (uint64_t at = 0; at <= size; at += step)
		if (!same_part(s, node, fd, at, step, path))
			return false;
	return true;
}

static bool same_target(struct sight *s, const struct door_node *node, int dir, const char *name,
			bool is_link, const char *path)
{
	char want[PATH_MAX];
	char have[PATH_MAX];
	size_t len = sizeof(have);
	ssize_t n = readlinkat(dir, name, want, sizeof(want));
	int r = s->door->readlink(s->door, node, have, &len);

	if (!is_link) {
		agree(s, r == EINVAL, path, "readlink of what is no link: %s", strerror(r));
		return true;
	}
	agree(s, !r, path, "readlink: %s", strerror(r));
	agree(s, len == (size_t)n && !memcmp(want, have, len), path, "target %.*s", (int)len, have);
	return true;
}

static bool same_node(struct walk *w, const struct door_node *node, int dir, const char *name,
		      struct stat *st, const char *path)
{
	struct sight *s = w->s;
	struct door_attr a;
	int r = s->door->attr(s->door, node, &a);

	agree(s, !r, path, "attributes: %s", strerror(r));
	agree(s, !fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW), path, "plain: %s", strerror(errno));
	if (!same_attr(w, st, &a, path) ||
	    !same_target(s, node, dir, name, S_ISLNK(st->st_mode), path))
		return false;
	return !S_ISREG(st->st_mode) ||
	       same_content(s, node, dir, name, (uint64_t)st->st_size, path);
}

static size_t some_room(struct sight *s)
{
	return 100 + rng_below(&s->rng, rng_below(&s->rng, 2) ? 600 : 8000);
}

/* From anywhere on come the rest of the names. */
static bool same_rest(struct sight *s, const struct door_node *dir, const struct door_names *all,
		      const char *path)
{
	for (int i = 0; i < 2; i++) {
		size_t from = rng_below(&s->rng, (uint32_t)all->n);
		cleanup(door_names_fini) struct door_names rest = {0};
		int r = door_list(s->door, dir, all->list[from].cookie, some_room(s), i, &rest);

		agree(s, !r, path, "list: %s", strerror(r));
		agree(s, rest.n == all->n - from - 1, path, "from %zu of %zu: %zu names", from,
		      all->n, rest.n);
		for (size_t k = 0; k < rest.n; k++) {
			const struct door_name *a = &all->list[from + 1 + k];
			const struct door_name *b = &rest.list[k];

			agree(s, a->len == b->len && !memcmp(a->name, b->name, a->len), path,
			      "from %zu: another name at %zu", from, k);
			agree(s, a->cookie == b->cookie && a->fileid == b->fileid, path,
			      "from %zu: another cookie or number at %zu", from, k);
		}
	}
	return true;
}

static bool absent(struct sight *s, const struct door_node *dir, const char *name, int want,
		   const char *path)
{
	struct door_node found;
	int r = s->door->lookup(s->door, dir, name, &found);

	if (!r)
		s->door->drop(s->door, &found);
	agree(s, r == want, path, "look-up of %.20s: %s", name, strerror(r));
	return true;
}

static bool same_dir(struct walk *w, const struct door_node *node, const struct door_node *parent,
		     int fd, const char *path);

/* One name of the plain directory. */
static bool same_entry(struct walk *w, const struct door_node *dir, const struct door_names *names,
		       int fd, const char *name, const char *path)
{
	const struct door_name *listed = door_names_find(names, name, strlen(name));
	struct sight *s = w->s;
	struct door_node node;
	struct door_attr a;
	struct stat st;
	bool same;
	int r;

	agree(s, listed, path, "not listed");
	r = s->door->lookup(s->door, dir, name, &node);
	agree(s, !r, path, "look-up: %s", strerror(r));
	same = same_node(w, &node, fd, name, &st, path);
	if (same && S_ISDIR(st.st_mode)) {
		int sub = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		same = same_dir(w, &node, dir, sub, path);
	}
	r = same ? s->door->attr(s->door, &node, &a) : 0;
	s->door->drop(s->door, &node);
	if (!same)
		return false;
	agree(s, !r, path, "attributes: %s", strerror(r));
	agree(s, listed->fileid == a.fileid, path, "listed as %llu, found as %llu",
	      (unsigned long long)listed->fileid, (unsigned long long)a.fileid);
	agree(s, listed->type == DT_UNKNOWN || listed->type == IFTODT(st.st_mode), path,
	      "listed as of type %u", listed->type);
	if (!listed->has_attr)
		return true;
	agree(s, listed->node.len == node.len && !memcmp(listed->node.octet, node.octet, node.len),
	      path, "listed with another handle");
	return same_attr(w, &st, &listed->attr, path);
}

/* "." and "..": first, and where they lead. */
static bool same_dots(struct sight *s, const struct door_node *node, const struct door_node *parent,
		      const struct door_names *names, const char *path)
{
	struct door_attr self;
	struct door_attr above;
	struct door_attr a;
	struct door_node up;
	int r;

	agree(s, names->n >= 2 && names->list[0].len == 1 && names->list[0].name[0] == '.', path,
	      "no .");
	agree(s, names->list[1].len == 2 && !memcmp(names->list[1].name, "..", 2), path, "no ..");
	r = s->door->attr(s->door, node, &self);
	agree(s, !r && names->list[0].fileid == self.fileid, path, "another .");
	if (!s->door->top && parent == node)
		return true;
	r = s->door->attr(s->door, parent, &above);
	agree(s, !r && names->list[1].fileid == above.fileid, path, "another .. is listed");
	r = s->door->lookup(s->door, node, "..", &up);
	agree(s, !r, path, "look-up of ..: %s", strerror(r));
	r = s->door->attr(s->door, &up, &a);
	s->door->drop(s->door, &up);
	agree(s, !r && a.fileid == above.fileid, path, "another .. is found");
	return true;
}

static bool same_dir(struct walk *w, const struct door_node *node, const struct door_node *parent,
		     int fd, const char *path)
{
	cleanup(closedirp) DIR *stream = fdopendir(fd);
	cleanup(door_names_fini) struct door_names names = {0};
	struct sight *s = w->s;
	char far[257];
	struct dirent *d;
	size_t n = 0;
	int r;

	agree(s, stream, path, "plain: %s", strerror(errno));
	r = door_list(s->door, node, 0, some_room(s), rng_below(&s->rng, 2), &names);
	agree(s, !r, path, "list: %s", strerror(r));
	if (!same_dots(s, node, parent, &names, path) || !same_rest(s, node, &names, path))
		return false;
	memset(far, 'n', 256);
	far[256] = '\0';
	if (!absent(s, node, "no such name", ENOENT, path) ||
	    !absent(s, node, far, ENAMETOOLONG, path))
		return false;
	while ((d = readdir(stream))) {
		char below[PATH_MAX];

		n++;
		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
			continue;
		snprintf(below, sizeof(below), "%s%s%s", path, path[0] ? "/" : "", d->d_name);
		if (!same_entry(w, node, &names, dirfd(stream), d->d_name, below))
			return false;
	}
	for (size_t i = 0; n < names.n && i < names.n; i++) {
		struct stat st;

		names.list[i].name[names.list[i].len] = '\0';
		agree(s, !fstatat(dirfd(stream), names.list[i].name, &st, AT_SYMLINK_NOFOLLOW),
		      path, "lists %s, which is not there", names.list[i].name);
	}
	agree(s, n == names.n, path, "%zu names, not %zu", names.n, n);
	return true;
}

bool sight_same(struct sight *s, const char *tree, const char *dir)
{
	cleanup(closep) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct walk w = {.s = s};
	struct door_node root;
	struct stat st;
	bool same;
	int r = s->door->root(s->door, tree, &root);

	agree(s, !r, "", "%s: %s", tree, strerror(r));
	same = same_node(&w, &root, fd, ".", &st, "") &&
	       same_dir(&w, &root, &root, fcntl(fd, F_DUPFD_CLOEXEC, 0), "");
	s->door->drop(s->door, &root);
	free(w.pairs);
	return same;
}

/* ---- what a client holds across a change ---- */

struct one {
	struct door_node node;
	uint32_t mode;
	char *body; /* a file's, a link's target */
	size_t len;
	struct door_names names; /* of a directory */
	size_t cut;		 /* read up to here */
	char path[PATH_MAX];
};

struct held {
	struct one **list;
	size_t n;
};

static bool body_read(struct sight *s, const struct one *one, uint64_t size, char **body,
		      size_t *len)
{
	size_t got = 0;
	size_t n;
	int r = 0;

	*body = malloc(size + 2);
	while (!r && got <= size) { /* one byte further than there should be */
		n = size + 1 - got < 512 * 1024 ? size + 1 - got : 512 * 1024;
		r = s->door->read(s->door, &one->node, got, *body + got, &n);
		if (!r && !n)
			break;
		got += r ? 0 : n;
	}
	agree(s, !r, one->path, "read: %s", strerror(r));
	*len = got;
	return true;
}

static bool body_get(struct sight *s, const struct one *one, const struct door_attr *a, char **body,
		     size_t *len)
{
	int r;

	*body = NULL;
	*len = 0;
	if (S_ISREG(a->mode))
		return body_read(s, one, a->size, body, len);
	if (!S_ISLNK(a->mode))
		return true;
	*len = PATH_MAX;
	*body = malloc(PATH_MAX);
	r = s->door->readlink(s->door, &one->node, *body, len);
	agree(s, !r, one->path, "readlink: %s", strerror(r));
	return true;
}

static bool hold_one(struct sight *s, struct held *h, const struct door_node *node,
		     const char *path)
{
	struct one *one = calloc(1, sizeof(*one));
	struct door_attr a;
	int r;

	h->list = realloc(h->list, (h->n + 1) * sizeof(struct one *));
	h->list[h->n++] = one;
	one->node = *node;
	snprintf(one->path, sizeof(one->path), "%s", path);
	r = s->door->attr(s->door, node, &a);
	agree(s, !r, path, "attributes: %s", strerror(r));
	one->mode = a.mode;
	if (!S_ISDIR(a.mode))
		return body_get(s, one, &a, &one->body, &one->len);
	r = door_list(s->door, node, 0, some_room(s), false, &one->names);
	agree(s, !r && one->names.n, path, "list: %s", strerror(r));
	one->cut = rng_below(&s->rng, (uint32_t)one->names.n);
	for (size_t i = 2; i < one->names.n; i++) {
		char name[256] = "";
		char below[PATH_MAX];
		struct door_node child;

		memcpy(name, one->names.list[i].name, one->names.list[i].len);
		snprintf(below, sizeof(below), "%s%s%s", path, path[0] ? "/" : "", name);
		r = s->door->lookup(s->door, node, name, &child);
		agree(s, !r, below, "look-up: %s", strerror(r));
		if (!hold_one(s, h, &child, below))
			return false;
	}
	return true;
}

bool sight_hold(struct sight *s, const char *tree, struct held **out)
{
	struct door_node root;
	int r = s->door->root(s->door, tree, &root);

	agree(s, !r, "", "%s: %s", tree, strerror(r));
	*out = calloc(1, sizeof(**out));
	return hold_one(s, *out, &root, "");
}

void held_free(struct sight *s, struct held *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < h->n; i++) {
		s->door->drop(s->door, &h->list[i]->node);
		door_names_fini(&h->list[i]->names);
		free(h->list[i]->body);
		free(h->list[i]);
	}
	free(h->list);
	free(h);
}

static bool held_listing(struct sight *s, const struct one *one,
			 bool (*excused)(void *ctx, const char *name, size_t len), void *ctx)
{
	cleanup(door_names_fini) struct door_names rest = {0};
	const struct door_names *old = &one->names;
	int r = door_list(s->door, &one->node, old->list[one->cut].cookie, some_room(s),
			  rng_below(&s->rng, 2), &rest);

	agree(s, !r, one->path, "held: list: %s", strerror(r));
	for (size_t i = 0; i < old->n; i++) {
		const struct door_name *name = &old->list[i];
		const struct door_name *now = door_names_find(&rest, name->name, name->len);
		char text[256] = "";
		struct door_node found;

		if (i <= one->cut) {
			agree(s, !now || excused(ctx, name->name, name->len), one->path,
			      "held: %.*s is listed again", (int)name->len, name->name);
			continue;
		}
		if (now || i < 2)
			continue;
		memcpy(text, name->name, name->len);
		r = s->door->lookup(s->door, &one->node, text, &found);
		if (!r)
			s->door->drop(s->door, &found);
		agree(s, r == ENOENT || (!r && excused(ctx, name->name, name->len)), one->path,
		      "held: %s is skipped, look-up: %s", text, strerror(r));
	}
	return true;
}

static bool held_one(struct sight *s, const struct one *one)
{
	cleanup(freep) char *body = NULL;
	struct door_attr a;
	size_t len;
	int r = s->door->attr(s->door, &one->node, &a);

	agree(s, !r, one->path, "held: attributes: %s", strerror(r));
	agree(s, (a.mode & S_IFMT) == (one->mode & S_IFMT), one->path, "held: mode %o, not %o",
	      a.mode, one->mode);
	if (!body_get(s, one, &a, &body, &len))
		return false;
	agree(s, len == one->len && (!len || !memcmp(body, one->body, len)), one->path,
	      "held: other bytes, or %zu, not %zu", len, one->len);
	return true;
}

bool sight_held(struct sight *s, struct held *h,
		bool (*excused)(void *ctx, const char *name, size_t len), void *ctx)
{
	for (size_t i = 0; i < h->n; i++) {
		const struct one *one = h->list[i];

		if (!held_one(s, one))
			return false;
		if (S_ISDIR(one->mode) && !held_listing(s, one, excused, ctx))
			return false;
	}
	return true;
}

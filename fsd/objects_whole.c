/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The store as a whole: whether it is to be believed, every object in it, and what is
 * taken out of it.
 */
#include "fsd/objects_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>

#define DAMAGED "damaged"
#define REMOVALS "removals"

bool objects_look(struct objects *o)
{
	int64_t since = INT64_MAX;
	bool any = mark_suspect(o->at.dir, &since);

	atomic_store_explicit(&o->suspect, since, memory_order_relaxed);
	return any;
}

int objects_mark(struct objects *o)
{
	return o->mark.fd < 0 ? mark_make(&o->at, &o->mark) : 0;
}

void objects_synced(struct objects *o, int64_t at)
{
	mark_synced(&o->mark, at);
}

int objects_suspect(struct objects *o, int64_t *since)
{
	int r = mark_gather(&o->at);

	if (r)
		return r;
	if (!objects_look(o))
		return 0;
	*since = o->suspect;
	return 1;
}

int objects_trust(struct objects *o, int64_t since)
{
	int r = mark_trust(&o->at, since);

	objects_look(o);
	return r;
}

static int each_below(struct objects *o, const char *prefix, int64_t since,
		      int (*each)(void *ctx, const struct hash *hash, const struct stat *st),
		      void *ctx)
{
	int fd = openat(o->at.dir, prefix, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	cleanup(closedirp) DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;
	int r = 0;

	if (!stream) {
		r = -errno;
		closep(&fd);
		return r == -ENOENT ? 0 : r;
	}
	while (!r && (d = readdir(stream))) {
		char name[2 * HASH_LEN + 3];
		struct hash hash;
		struct stat st;

		/* What is not named like an object is not ours. */
		if (snprintf(name, sizeof(name), "%s%s", prefix, d->d_name) != 2 * HASH_LEN ||
		    hash_parse(name, &hash) || fstatat(fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		if (object_changed(&st) >= since)
			r = each(ctx, &hash, &st);
	}
	return r;
}

int objects_each(struct objects *o, int64_t since,
		 int (*each)(void *ctx, const struct hash *hash, const struct stat *st), void *ctx)
{
	char prefix[3];
	int r = 0;

	for (int i = 0; i < 256 && !r; i++) {
		snprintf(prefix, sizeof(prefix), "%02x", i);
		r = each_below(o, prefix, since, each, ctx);
	}
	return r;
}

int objects_set_aside(struct objects *o, const struct hash *hash)
{
	char from[2 * HASH_LEN + 2];
	char to[2 * HASH_LEN + sizeof(DAMAGED) + 2] = DAMAGED "/";

	object_name(hash, from);
	hash_format(hash, to + sizeof(DAMAGED));
	if (mkdirat(o->at.dir, DAMAGED, 0700) && errno != EEXIST)
		return -errno;
	if (geteuid() == 0 &&
	    fchownat(o->at.dir, DAMAGED, o->at.owner, o->at.group, AT_SYMLINK_NOFOLLOW))
		return -errno;
	if (fchmodat(o->at.dir, from, 0, 0) || renameat(o->at.dir, from, o->at.dir, to))
		return -errno;
	return 0;
}

int objects_drop(struct objects *o, const struct hash *hash)
{
	char name[2 * HASH_LEN + 2];

	object_name(hash, name);
	return unlinkat(o->at.dir, name, 0) ? -errno : 0;
}

void objects_aside_drop(struct objects *o, const struct hash *hash)
{
	char name[2 * HASH_LEN + sizeof(DAMAGED) + 2] = DAMAGED "/";

	hash_format(hash, name + sizeof(DAMAGED));
	unlinkat(o->at.dir, name, 0);
}

int objects_space(const struct objects *o, struct objects_space *out)
{
	struct statvfs fs;

	if (fstatvfs(o->at.dir, &fs))
		return -errno;
	*out = (struct objects_space){
		.total = (uint64_t)fs.f_blocks * fs.f_frsize,
		.free = (uint64_t)fs.f_bavail * fs.f_frsize,
		.inodes = !fs.f_files || fs.f_favail > 16,
	};
	return 0;
}

int64_t objects_removals(const struct objects *o)
{
	struct stat st;

	if (fstatat(o->at.dir, REMOVALS, &st, AT_SYMLINK_NOFOLLOW))
		return 0;
	return st.st_mtim.tv_sec * NS_PER_SEC + st.st_mtim.tv_nsec;
}

void objects_removed(struct objects *o)
{
	cleanup(closep) int fd =
		openat(o->at.dir, REMOVALS, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);

	if (fd < 0)
		return; /* who has them open goes on with them: right, if longer than need be */
	if (geteuid() == 0 && fchown(fd, o->at.owner, o->at.group))
		return;
	futimens(fd, NULL);
}

struct sweeping {
	struct objects *objects;
	bool (*keep)(void *ctx, const struct hash *hash);
	void *ctx;
	struct objects_swept *out;
};

static int sweep_one(void *ctx, const struct hash *hash, const struct stat *st)
{
	const struct sweeping *s = ctx;
	int r;

	if (s->keep(s->ctx, hash))
		return 0;
	r = objects_drop(s->objects, hash);
	if (!r) {
		s->out->files++;
		s->out->bytes += (uint64_t)st->st_size;
	}
	return r;
}

int objects_sweep(struct objects *o, bool (*keep)(void *ctx, const struct hash *hash), void *ctx,
		  struct objects_swept *out)
{
	struct sweeping s = {o, keep, ctx, out};
	int r;

	*out = (struct objects_swept){0};
	r = objects_each(o, 0, sweep_one, &s);
	/* Nobody holds the store: these drafts are nobody's. */
	if (!r)
		objects_clean_drafts(o, 'p');
	if (out->files)
		objects_removed(o);
	return r;
}

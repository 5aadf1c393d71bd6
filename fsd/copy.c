/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#include "fsd/origin.h"

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool as_scanned(const struct manifest_node *n, const struct stat *st)
{
	return n->size == (uint64_t)st->st_size && n->mtime_sec == st->st_mtim.tv_sec &&
	       n->mtime_nsec == (uint32_t)st->st_mtim.tv_nsec && n->mode == st->st_mode &&
	       n->uid == st->st_uid && n->gid == st->st_gid;
}

int copy_reopen(const struct object_draft *draft)
{
	char path[32];
	int ro;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", draft->fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	return ro < 0 ? -errno : ro;
}

int copy_draft(struct objects *objects, bool kept, struct object_draft *draft)
{
	if (kept)
		return objects_draft(objects, draft);
	draft->name[0] = '\0';
	draft->fd = memfd_create("rootstock", MFD_CLOEXEC);
	/* Whoever gets it to read must not open it anew to write. */
	if (draft->fd < 0 || fchmod(draft->fd, 0400)) {
		int r = -errno;

		objects_discard(objects, draft);
		return r;
	}
	return 0;
}

bool copy_clone(const struct copy_from *from, const struct object_draft *draft,
		atomic_bool *no_clone)
{
	if (*no_clone)
		return false;
	if (!ioctl(draft->fd, FICLONE, from->fd))
		return true;
	if (errno == EOPNOTSUPP || errno == EXDEV || errno == ENOTTY || errno == EINVAL)
		*no_clone = true;
	return false;
}

/* The state of a file whose next change will show in its times: one that was changed
 * just now could be changed again within the same tick of the kernel's clock.  -EBUSY
 * where it goes on changing. */
static int settled_stat(int fd, struct stat *st)
{
	const struct timespec tick = {.tv_nsec = 20000000};
	struct stat before;
	struct timespec now;

	if (fstat(fd, st))
		return -errno;
	clock_gettime(CLOCK_REALTIME, &now);
	if ((now.tv_sec - st->st_ctim.tv_sec) * 1000000000 + now.tv_nsec - st->st_ctim.tv_nsec >=
	    tick.tv_nsec)
		return 0;
	before = *st;
	while (nanosleep(&tick, NULL) && errno == EINTR)
		;
	if (fstat(fd, st))
		return -errno;
	/* Not by the clock, which may have been set back. */
	return same_time(&before.st_ctim, &st->st_ctim) ? 0 : -EBUSY;
}

int copy_open(int origin, const struct manifest *m, uint32_t pos, bool strict,
	      struct copy_from *from, struct copy *copy)
{
	const struct manifest_node *n = manifest_at(m, pos);
	struct stat *st = &from->state;
	char path[PATH_MAX];
	int r;

	*copy = (struct copy){.record.pos = pos, .draft.fd = -1, .read_fd = -1};
	from->fd = -1;
	if (!n || !S_ISREG(n->mode) || manifest_path(m, pos, path, sizeof(path)) < 0)
		return -EUCLEAN;
	from->fd = origin_dir_file(origin, path);
	if (from->fd == -ENOENT || from->fd == -ESTALE) {
		from->fd = -1;
		copy->record.flags = FILL_GONE;
		return origin_dir_is(origin, m) ? 0 : -ENODEV;
	}
	r = from->fd < 0 ? from->fd : settled_stat(from->fd, st);
	if (r) {
		copy_close(from);
		return r;
	}
	if (!as_scanned(n, st) && strict) {
		copy->record.flags = FILL_GONE;
		copy_close(from);
		return 0;
	}
	copy->record = (struct fill_record){
		.pos = pos,
		.flags = as_scanned(n, st) ? 0 : FILL_DRIFT,
		.mode = st->st_mode,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.size = (uint64_t)st->st_size,
		.mtime_sec = st->st_mtim.tv_sec,
		.mtime_nsec = (uint32_t)st->st_mtim.tv_nsec,
	};
	return 0;
}

void copy_close(struct copy_from *from)
{
	closep(&from->fd);
	from->fd = -1;
}

int copy_check(struct copy_from *from)
{
	const struct stat *was = &from->state;
	struct stat now;
	int r;

	if (fstat(from->fd, &now))
		return -errno;
	if (same_time(&was->st_ctim, &now.st_ctim) && same_time(&was->st_mtim, &now.st_mtim) &&
	    was->st_size == now.st_size)
		return 0;
	/* A package manager replaces a file by a rename: what is open is the old one, whole,
	 * and only lost a name. */
	if (was->st_nlink == now.st_nlink)
		return -EBUSY;
	r = settled_stat(from->fd, &now);
	if (r)
		return r;
	if (!same_time(&was->st_mtim, &now.st_mtim) || was->st_size != now.st_size ||
	    was->st_mode != now.st_mode || was->st_uid != now.st_uid || was->st_gid != now.st_gid)
		return -EBUSY;
	from->state = now;
	return 0;
}

uint64_t copy_stamp(const struct copy_from *from)
{
	const struct stat *st = &from->state;
	const uint64_t state[] = {
		st->st_dev,
		st->st_ino,
		(uint64_t)st->st_size,
		(uint64_t)st->st_mtim.tv_sec,
		(uint64_t)st->st_mtim.tv_nsec,
		(uint64_t)st->st_ctim.tv_sec,
		(uint64_t)st->st_ctim.tv_nsec,
	};
	struct hash sum;
	uint64_t stamp;

	hash_of(state, sizeof(state), &sum);
	memcpy(&stamp, &sum, sizeof(stamp));
	return stamp ? stamp : 1;
}

static int copy_once(struct copy_from *from, struct objects *objects, bool kept,
		     atomic_bool *no_clone, struct copy *out)
{
	uint64_t size;
	int r;

	r = copy_draft(objects, kept, &out->draft);
	if (r)
		return r;
	if (kept && copy_clone(from, &out->draft, no_clone))
		r = object_hash(out->draft.fd, NULL, &out->record.hash, &size);
	else
		r = object_copy(from->fd, out->draft.fd, &out->record.hash, &size);
	if (!r)
		r = copy_check(from);
	if (!r && size != out->record.size)
		r = -EBUSY;
	if (!r) {
		out->read_fd = copy_reopen(&out->draft);
		if (out->read_fd < 0)
			r = out->read_fd;
	}
	if (r) {
		out->read_fd = -1;
		objects_discard(objects, &out->draft);
	} else { /* one descriptor a copy is enough */
		closep(&out->draft.fd);
		out->draft.fd = -1;
	}
	return r;
}

int copy_whole(struct copy_from *from, struct objects *objects, bool wanted, atomic_bool *no_clone,
	       struct copy *out)
{
	int r = copy_once(from, objects, true, no_clone, out);

	if ((r == -ENOSPC || r == -EDQUOT) && wanted)
		r = copy_once(from, objects, false, no_clone, out);
	return r;
}

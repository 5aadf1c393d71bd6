/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "fsd/origin.h"

enum { COPY_TRIES = 8 };

static bool same_state(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	       a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static bool as_scanned(const struct manifest_node *n, const struct stat *st)
{
	return n->size == (uint64_t)st->st_size && n->mtime_sec == st->st_mtim.tv_sec &&
	       n->mtime_nsec == (uint32_t)st->st_mtim.tv_nsec && n->mode == st->st_mode &&
	       n->uid == st->st_uid && n->gid == st->st_gid;
}

static int reopen_read_only(int fd)
{
	char path[32];
	int ro;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	return ro < 0 ? -errno : ro;
}

/* Where the bytes go: a draft in the store or, when that is full, memory. */
static int draft_open(struct objects *objects, bool kept, struct object_draft *draft)
{
	if (kept)
		return objects_draft(objects, draft);
	draft->name[0] = '\0';
	draft->fd = memfd_create("rootstock", MFD_CLOEXEC);
	return draft->fd < 0 ? -errno : 0;
}

static void draft_drop(struct objects *objects, bool kept, struct object_draft *draft)
{
	if (kept)
		objects_discard(objects, draft);
	else
		closep(&draft->fd);
	draft->fd = -1;
}

/* The state of a file whose next change will show in its times: one that was changed
 * just now could be changed again within the same tick of the kernel's clock. */
static int settled_stat(int fd, struct stat *st)
{
	const struct timespec tick = {.tv_nsec = 20000000};
	struct timespec now;

	if (fstat(fd, st))
		return -errno;
	clock_gettime(CLOCK_REALTIME, &now);
	if ((now.tv_sec - st->st_ctim.tv_sec) * 1000000000 + now.tv_nsec - st->st_ctim.tv_nsec >=
	    tick.tv_nsec)
		return 0;
	nanosleep(&tick, NULL);
	return fstat(fd, st) ? -errno : 0;
}

/* One try.  -EBUSY: the file changed under the copy. */
static int copy_once(int from, struct objects *objects, bool kept, struct stat *st,
		     struct copy *out)
{
	struct stat after;
	uint64_t size;
	int r;

	r = settled_stat(from, st);
	if (!r)
		r = draft_open(objects, kept, &out->draft);
	if (r)
		return r;
	r = object_copy(from, out->draft.fd, &out->record.hash, &size);
	if (!r && fstat(from, &after))
		r = -errno;
	if (!r && (!same_state(st, &after) || size != (uint64_t)st->st_size))
		r = -EBUSY;
	if (!r) {
		out->read_fd = reopen_read_only(out->draft.fd);
		if (out->read_fd < 0)
			r = out->read_fd;
	}
	if (r) {
		out->read_fd = -1;
		draft_drop(objects, kept, &out->draft);
	} else { /* one descriptor a copy is enough */
		closep(&out->draft.fd);
		out->draft.fd = -1;
	}
	return r;
}

int copy_file(int origin, const struct manifest *m, uint32_t pos, bool strict, bool wanted,
	      struct objects *objects, struct copy *out)
{
	const struct manifest_node *n = manifest_at(m, pos);
	cleanup(closep) int from = -1;
	char path[PATH_MAX];
	bool kept = true;
	struct stat st;
	int r;

	*out = (struct copy){.record.pos = pos, .draft.fd = -1, .read_fd = -1};
	if (!n || !S_ISREG(n->mode) || manifest_path(m, pos, path, sizeof(path)) < 0)
		return -EUCLEAN;
	for (int i = 0; i < COPY_TRIES; i++) {
		closep(&from);
		from = origin_dir_file(origin, path);
		if (from == -ENOENT || from == -ESTALE) {
			out->record.flags = FILL_GONE;
			return origin_dir_is(origin, m) ? 0 : -ENODEV;
		}
		if (from < 0)
			return from;
		r = copy_once(from, objects, kept, &st, out);
		if ((r == -ENOSPC || r == -EDQUOT) && kept && wanted) {
			kept = false;
			continue;
		}
		if (r == -EBUSY)
			continue;
		if (r)
			return r;
		out->record.mode = st.st_mode;
		out->record.uid = st.st_uid;
		out->record.gid = st.st_gid;
		out->record.size = (uint64_t)st.st_size;
		out->record.mtime_sec = st.st_mtim.tv_sec;
		out->record.mtime_nsec = (uint32_t)st.st_mtim.tv_nsec;
		if (as_scanned(n, &st))
			return 0;
		out->record.flags = FILL_DRIFT;
		if (strict) {
			out->record.flags = FILL_GONE;
			out->record.hash = (struct hash){0};
			closep(&out->read_fd);
			out->read_fd = -1;
			draft_drop(objects, kept, &out->draft);
		}
		return 0;
	}
	return -EBUSY;
}

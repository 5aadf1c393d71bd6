/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/mark.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/clock.h"

#define SUSPECT "suspect"

/* The clocks of files are coarse, and disks may hold back for some seconds what they
 * said they had. */
#define MARK_SLACK_NS (60 * NS_PER_SEC)

enum { MARK_TEXT = 21 }; /* 20 digits and a newline: always as long */

static int time_write(int fd, int64_t since)
{
	char text[MARK_TEXT + 1];

	ssize_t n;

	snprintf(text, sizeof(text), "%020" PRId64 "\n", since > 0 ? since : 0);
	n = pwrite(fd, text, MARK_TEXT, 0);
	return n == MARK_TEXT ? 0 : n < 0 ? -errno : -EIO;
}

static int64_t time_read(int fd)
{
	char text[MARK_TEXT + 1] = "";
	ssize_t n = pread(fd, text, MARK_TEXT, 0);

	if (n != MARK_TEXT || strspn(text, "0123456789") != MARK_TEXT - 1 ||
	    text[MARK_TEXT - 1] != '\n')
		return 0;
	return strtoll(text, NULL, 10);
}

/* An open file description's lock: it ends with the last descriptor, and can be asked
 * about without taking it. */
static bool is_locked(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return fcntl(fd, F_OFD_GETLK, &lock) || lock.l_type != F_UNLCK;
}

static int give(const struct mark_store *store, int fd)
{
	return geteuid() == 0 && fchown(fd, store->owner, store->group) ? -errno : 0;
}

/* Without a name, where the file system can: nothing is left of a mark half made.  Else
 * it is a command's draft, by `draft`. */
static int draft_open(const struct mark_store *store, char draft[static 24])
{
	int fd = openat(store->tmp, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0640);

	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
		fd = openat(store->tmp, draft, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	else
		draft[0] = '\0';
	return fd < 0 ? -errno : fd;
}

static int draft_name(const struct mark_store *store, int fd, const char *draft, const char *name)
{
	char path[32];

	if (draft[0])
		return renameat(store->tmp, draft, store->dir, name) ? -errno : 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, path, store->dir, name, AT_SYMLINK_FOLLOW) ? -errno : 0;
}

int mark_make(const struct mark_store *store, struct mark *mark)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	cleanup(closep) int fd = -1;
	char draft[24];
	char name[sizeof(mark->name)];
	uint64_t random;
	int r;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -errno;
	snprintf(name, sizeof(name), "w%016" PRIx64, random);
	snprintf(draft, sizeof(draft), "p%016" PRIx64, random);
	fd = draft_open(store, draft);
	if (fd < 0)
		return fd;
	/* Locked before it has its name. */
	r = give(store, fd);
	if (!r && fcntl(fd, F_OFD_SETLK, &lock))
		r = -errno;
	if (!r)
		r = time_write(fd, wall_now_ns() - MARK_SLACK_NS);
	if (!r && fdatasync(fd))
		r = -errno;
	if (!r)
		r = draft_name(store, fd, draft, name);
	if (!r && fsync(store->dir)) {
		r = -errno;
		unlinkat(store->dir, name, 0);
	}
	if (r) {
		if (draft[0])
			unlinkat(store->tmp, draft, 0);
		return r;
	}
	mark->fd = take_fd(&fd);
	snprintf(mark->name, sizeof(mark->name), "%s", name);
	return 0;
}

void mark_synced(struct mark *mark, int64_t at)
{
	/* Not synced itself: an earlier time only means more to verify.  Nor can it
	 * reach the disk before what it tells of, which is there. */
	if (mark->fd >= 0)
		time_write(mark->fd, at - MARK_SLACK_NS);
}

void mark_remove(const struct mark_store *store, struct mark *mark)
{
	if (mark->fd < 0)
		return;
	unlinkat(store->dir, mark->name, 0);
	close(mark->fd);
	mark->fd = -1;
}

/* Call `each` for every mark that nobody locks, until it returns other than 0. */
static int each_left(int dir, int (*each)(void *ctx, const char *name, int64_t since), void *ctx)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup(closedirp) DIR *stream = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *d;
	int r = 0;

	if (!stream) {
		r = -errno;
		closep(&copy);
		return r;
	}
	while (!r && (d = readdir(stream))) {
		cleanup(closep) int fd = -1;

		if (d->d_name[0] != 'w' || strlen(d->d_name) != 17)
			continue;
		fd = openat(dir, d->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (fd >= 0 && !is_locked(fd))
			r = each(ctx, d->d_name, time_read(fd));
	}
	return r;
}

static int earliest(void *ctx, const char *name, int64_t since)
{
	int64_t *least = ctx;

	(void)name;
	if (since < *least)
		*least = since;
	return 0;
}

bool mark_suspect(int dir, int64_t *since)
{
	cleanup(closep) int fd = -1;
	int64_t least = INT64_MAX;

	/* The marks first: one that is gathered meanwhile is in `suspect` by then. */
	each_left(dir, earliest, &least);
	fd = openat(dir, SUSPECT, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0)
		earliest(&least, SUSPECT, time_read(fd));
	if (least == INT64_MAX)
		return false;
	*since = least;
	return true;
}

/* `suspect`, locked; made where it is not there and `make`. */
static int suspect_open(const struct mark_store *store, bool make, int64_t *since)
{
	for (;;) {
		int fd = openat(store->dir, SUSPECT,
				O_RDWR | O_CLOEXEC | O_NOFOLLOW | (make ? O_CREAT : 0), 0640);
		struct stat st;

		if (fd < 0)
			return -errno;
		while (flock(fd, LOCK_EX))
			if (errno != EINTR) {
				int r = -errno;

				close(fd);
				return r;
			}
		if (fstat(fd, &st) || !st.st_nlink) {
			close(fd); /* removed while we waited */
			continue;
		}
		/* An empty one was just made by us, or by somebody who was killed then. */
		*since = st.st_size ? time_read(fd) : INT64_MAX;
		return fd;
	}
}

static int gather_one(void *ctx, const char *name, int64_t since)
{
	const struct mark_store *store = ctx;
	int64_t before;
	cleanup(closep) int fd = suspect_open(store, true, &before);
	int r;

	if (fd < 0)
		return fd;
	r = give(store, fd);
	if (!r && since < before)
		r = time_write(fd, since);
	if (!r && (fdatasync(fd) || fsync(store->dir)))
		r = -errno;
	if (!r && unlinkat(store->dir, name, 0) && errno != ENOENT)
		r = -errno;
	return r;
}

int mark_gather(const struct mark_store *store)
{
	return each_left(store->dir, gather_one, (void *)store);
}

int mark_trust(const struct mark_store *store, int64_t since)
{
	int64_t now;
	cleanup(closep) int fd = suspect_open(store, false, &now);

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	if (now < since)
		return 0;
	if (unlinkat(store->dir, SUSPECT, 0) || fsync(store->dir))
		return -errno;
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/flight.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>

enum {
	FLIGHT_SYNC = 8 /* extents: so many are on their way to the disk before the end */
};

static int flight_draft(struct flight *f, struct objects *objects, bool kept, atomic_bool *no_clone)
{
	int r = copy_draft(objects, kept, &f->draft);

	if (r)
		return r;
	f->cloned = kept && copy_clone(&f->from, &f->draft, no_clone);
	if (f->cloned)
		r = copy_check(&f->from);
	else if (ftruncate(f->draft.fd, f->from.state.st_size))
		r = -errno;
	if (r)
		return r;
	f->read_fd = copy_reopen(&f->draft);
	if (f->read_fd < 0)
		return f->read_fd;
	for (uint64_t i = 0; f->cloned && i < extents_count(f->extents); i++)
		extents_set(f->extents, i);
	return 0;
}

int flight_new(struct copy_from *from, struct objects *objects, bool kept, atomic_bool *no_clone,
	       struct flight **out)
{
	struct flight *f = calloc(1, sizeof(*f));
	int r;

	if (!f) {
		copy_close(from);
		return -ENOMEM;
	}
	f->from = *from;
	from->fd = -1;
	f->draft.fd = f->read_fd = -1;
	f->stamp = copy_stamp(&f->from);
	hasher_init(&f->hasher);
	f->buf = malloc(EXTENT_SIZE);
	r = f->buf ? 0 : -ENOMEM;
	if (!r && getrandom(&f->id, sizeof(f->id), 0) != sizeof(f->id))
		r = -errno;
	f->id |= 1; /* 0 is none */
	if (!r)
		r = extents_new((uint64_t)f->from.state.st_size, &f->extents);
	if (!r)
		r = flight_draft(f, objects, kept, no_clone);
	if (r) {
		flight_free(objects, f);
		return r;
	}
	posix_fadvise(f->from.fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	*out = f;
	return 0;
}

void flight_free(struct objects *objects, struct flight *f)
{
	if (!f)
		return;
	copy_close(&f->from);
	objects_discard(objects, &f->draft);
	closep(&f->read_fd);
	extents_free(f->extents);
	free(f->buf);
	free(f);
}

static size_t extent_len(const struct flight *f, uint64_t extent)
{
	uint64_t left = (uint64_t)f->from.state.st_size - extent * EXTENT_SIZE;

	return left < EXTENT_SIZE ? (size_t)left : EXTENT_SIZE;
}

/* 0, -ENODATA at an early end, or another negative errno. */
static int read_all(int fd, uint8_t *buf, size_t len, uint64_t offset)
{
	while (len) {
		ssize_t n = pread(fd, buf, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENODATA;
		buf += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

/* Nothing of it was ever written, as the file system knows. */
static bool is_hole(int fd, uint64_t offset, size_t len)
{
	off_t data = lseek(fd, (off_t)offset, SEEK_DATA);

	return data < 0 ? errno == ENXIO : (uint64_t)data >= offset + len;
}

int flight_copy(struct flight *f, uint64_t extent)
{
	uint64_t offset = extent * EXTENT_SIZE;
	size_t len = extent_len(f, extent);
	int r = 0;

	if (is_hole(f->from.fd, offset, len)) {
		memset(f->buf, 0, len);
	} else {
		r = read_all(f->from.fd, f->buf, len, offset);
		if (!r)
			r = object_write(f->draft.fd, f->buf, len, offset);
	}
	if (!r || r == -ENODATA) {
		int changed = copy_check(&f->from);

		if (changed)
			return changed;
	}
	if (r)
		return r == -ENODATA ? -EIO : r;
	extents_set(f->extents, extent);
	return 0;
}

int flight_advance(struct flight *f, struct hash *hash)
{
	uint64_t extent = f->hashed;
	uint64_t offset = extent * EXTENT_SIZE;
	size_t len = extent_len(f, extent);
	int r;

	if (!extents_has(f->extents, extent))
		r = flight_copy(f, extent);
	else
		r = read_all(f->draft.fd, f->buf, len, offset);
	if (r)
		return r;
	hasher_add(&f->hasher, f->buf, len);
	f->hashed++;
	if (f->hashed % FLIGHT_SYNC == 0 && !f->cloned)
		sync_file_range(f->draft.fd, (off_t)(offset + len - FLIGHT_SYNC * EXTENT_SIZE),
				FLIGHT_SYNC * EXTENT_SIZE, SYNC_FILE_RANGE_WRITE);
	if (f->hashed < extents_count(f->extents))
		return 0;
	hasher_end(&f->hasher, hash);
	return FLIGHT_IN;
}

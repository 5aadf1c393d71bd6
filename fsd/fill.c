/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/fill.h"
#include "fsd/manifest_format.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

enum { FILL_MAGIC = 0x46494c31, FILL_BATCH = 256 };

/* As on disk: little-endian like the manifest beside it. */
struct fill_row {
	uint32_t magic;
	uint32_t check; /* first word of SHA-256 over record */
	struct fill_record record;
};

_Static_assert(sizeof(struct fill_record) == 72, "no padding");
_Static_assert(sizeof(struct fill_row) == 80, "no padding");

static uint32_t row_check(const struct fill_record *record)
{
	struct hash sum;
	uint32_t word;

	hash_of(record, sizeof(*record), &sum);
	memcpy(&word, &sum, sizeof(word));
	return word;
}

static int fill_path(char out[static PATH_MAX], const char *dir, uint32_t version)
{
	int n = snprintf(out, PATH_MAX, "%s/%" PRIu32 ".fill", dir, version);

	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

int fill_read(const char *dir, uint32_t version,
	      void (*each)(void *ctx, const struct fill_record *record), void *ctx,
	      uint64_t *good_len)
{
	cleanup(fclosep) FILE *file = NULL;
	char path[PATH_MAX];
	struct fill_row row;
	int r;

	*good_len = 0;
	r = fill_path(path, dir, version);
	if (r)
		return r;
	file = fopen(path, "re");
	if (!file)
		return errno == ENOENT ? 0 : -errno;
	while (fread(&row, sizeof(row), 1, file) == 1) {
		if (row.magic != FILL_MAGIC || row.check != row_check(&row.record))
			break;
		each(ctx, &row.record);
		*good_len += sizeof(row);
	}
	return ferror(file) ? -EIO : 0;
}

int file_give(int fd, int dir_fd)
{
	struct stat st;

	if (geteuid() != 0)
		return 0;
	if (fstat(dir_fd, &st) || fchown(fd, st.st_uid, st.st_gid) || fchmod(fd, 0640))
		return -errno;
	return 0;
}

int fill_open(const char *dir, uint32_t version, uint64_t good_len)
{
	cleanup(closep) int dir_fd = -1;
	char path[PATH_MAX];
	int fd;
	int r;

	r = fill_path(path, dir, version);
	if (r)
		return r;
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return -errno;
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = dir_fd < 0 ? -errno : file_give(fd, dir_fd);
	if (!r && (ftruncate(fd, (off_t)good_len) || lseek(fd, 0, SEEK_END) < 0))
		r = -errno;
	/* What is appended is durable by its name, too. */
	if (!r && !good_len && fsync(dir_fd))
		r = -errno;
	if (r) {
		close(fd);
		return r;
	}
	return fd;
}

void fill_reserve(int fd, uint64_t records)
{
	off_t len = (off_t)(records * sizeof(struct fill_row));

	if (len && fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, len))
		return; /* then it may be refused */
}

int fill_write(int fd, const struct fill_record *records, unsigned int n)
{
	struct fill_row rows[FILL_BATCH];
	off_t start = lseek(fd, 0, SEEK_CUR);

	while (n) {
		unsigned int k = n < FILL_BATCH ? n : FILL_BATCH;
		ssize_t len = (ssize_t)(k * sizeof(rows[0]));
		ssize_t put;

		for (unsigned int i = 0; i < k; i++)
			rows[i] = (struct fill_row){FILL_MAGIC, row_check(&records[i]), records[i]};
		put = write(fd, rows, (size_t)len);
		if (put != len) {
			int r = put < 0 ? -errno : -ENOSPC;

			/* A torn row would hide all that follow it. */
			if (ftruncate(fd, start) || lseek(fd, start, SEEK_SET) < 0)
				return -EIO;
			return r;
		}
		records += k;
		n -= k;
	}
	return 0;
}

int fill_sync(int fd)
{
	return fdatasync(fd) ? -errno : 0;
}

int fill_remove(const char *dir, uint32_t version)
{
	char path[PATH_MAX];
	int r = fill_path(path, dir, version);

	if (r)
		return r;
	return unlink(path) && errno != ENOENT ? -errno : 0;
}

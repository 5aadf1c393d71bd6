/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The fill journal of a version that is not sealed yet: one record a file that
 * was copied (or lost), appended by the copier, read by everybody who opens the
 * version.  A record is written only after its object is durable, and carries
 * its own check, so a torn tail is seen and dropped.
 */
#ifndef FSD_FILL_H
#define FSD_FILL_H

#include "fsd/manifest.h"

enum fill_flag {
	FILL_DRIFT = 1, /* the origin had changed: size, times and owner are new */
	FILL_GONE = 2,	/* vanished, or another type: reading it is EIO */
	/* It was given out, and a full store did not keep it: it is never to be another.  In
	 * the journal alone; who reads that takes it for one that the store lost. */
	FILL_UNKEPT = 4,
};

struct fill_record {
	uint32_t pos;
	uint32_t flags;
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
	uint32_t mtime_nsec;
	int64_t mtime_sec;
	uint64_t size;
	struct hash hash;
};

/* Call `each` for every good record of `dir`/`version`.fill, oldest first; a later
 * record for a position stands.  No journal is no record.  *good_len is the length up to which
 * the file is whole.  Returns 0 or a negative errno. */
int fill_read(const char *dir, uint32_t version,
	      void (*each)(void *ctx, const struct fill_record *record), void *ctx,
	      uint64_t *good_len);

/* Open for appending, cut to what is whole.  The copier alone.  Returns a
 * descriptor or a negative errno. */
int fill_open(const char *dir, uint32_t version, uint64_t good_len);

/* Have room for so many records on the disk, so that a full one does not refuse them.  No
 * promise. */
void fill_reserve(int fd, uint64_t records);

/* Append records; they are durable after fill_sync(). */
int fill_write(int fd, const struct fill_record *records, unsigned int n);
int fill_sync(int fd);

int fill_remove(const char *dir, uint32_t version);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/extents.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

enum { EXTENTS_MAGIC = 0x52534558, BITS = 64 };

/* As both sides map it. */
struct shared {
	uint32_t magic;
	atomic_uint state;
	uint64_t size;
	struct hash hash; /* written before `state` says complete */
	_Atomic uint64_t bits[];
};

struct extents {
	struct shared *shared;
	size_t len;
	uint64_t size; /* of the file */
	uint64_t count;
	int fd;
};

static size_t shared_len(uint64_t count)
{
	return sizeof(struct shared) + (count + BITS - 1) / BITS * sizeof(uint64_t);
}

static int extents_map(int fd, uint64_t size, int prot, struct extents **out)
{
	struct extents *e = calloc(1, sizeof(*e));
	void *at;

	if (!e)
		return -ENOMEM;
	e->fd = -1;
	e->size = size;
	e->count = (size + EXTENT_SIZE - 1) / EXTENT_SIZE;
	e->len = shared_len(e->count);
	at = mmap(NULL, e->len, prot, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED) {
		free(e);
		return -errno;
	}
	e->shared = at;
	*out = e;
	return 0;
}

int extents_new(uint64_t size, struct extents **out)
{
	cleanup(extents_freep) struct extents *e = NULL;
	cleanup(closep) int fd = -1;
	int r;

	if (size > EXTENTS_MOST)
		return -EFBIG;
	fd = memfd_create("rootstock-extents", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, (off_t)shared_len((size + EXTENT_SIZE - 1) / EXTENT_SIZE)))
		return -errno;
	r = extents_map(fd, size, PROT_READ | PROT_WRITE, &e);
	if (r)
		return r;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL))
		return -errno;
	e->shared->magic = EXTENTS_MAGIC;
	e->shared->size = size;
	e->fd = take_fd(&fd);
	*out = take(&e);
	return 0;
}

int extents_attach(int fd, uint64_t size, struct extents **out)
{
	cleanup(extents_freep) struct extents *e = NULL;
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;
	int r;

	/* What could shrink would end us with a SIGBUS. */
	if (size > EXTENTS_MOST || seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) ||
	    (uint64_t)st.st_size < shared_len((size + EXTENT_SIZE - 1) / EXTENT_SIZE))
		return -EBADMSG;
	r = extents_map(fd, size, PROT_READ, &e);
	if (r)
		return r;
	if (e->shared->magic != EXTENTS_MAGIC || e->shared->size != size)
		return -EBADMSG;
	*out = take(&e);
	return 0;
}

void extents_free(struct extents *e)
{
	if (!e)
		return;
	munmap(e->shared, e->len);
	closep(&e->fd);
	free(e);
}

int extents_fd(const struct extents *e)
{
	return e->fd;
}

uint64_t extents_count(const struct extents *e)
{
	return e->count;
}

bool extents_has(const struct extents *e, uint64_t extent)
{
	return atomic_load_explicit(&e->shared->bits[extent / BITS], memory_order_acquire) >>
		       extent % BITS &
	       1;
}

/* The first one from `extent` on that is not there; the count when all are. */
static uint64_t next_missing(const struct extents *e, uint64_t extent)
{
	while (extent < e->count) {
		uint64_t clear = ~atomic_load_explicit(&e->shared->bits[extent / BITS],
						       memory_order_acquire) >>
				 extent % BITS;

		if (clear) {
			extent += (uint64_t)__builtin_ctzll(clear);
			break;
		}
		extent = (extent / BITS + 1) * BITS;
	}
	return extent < e->count ? extent : e->count;
}

bool extents_have(const struct extents *e, uint64_t offset, uint64_t len, uint64_t *missing)
{
	uint64_t first;

	if (offset >= e->size || !len)
		return true;
	if (len > e->size - offset)
		len = e->size - offset;
	first = next_missing(e, offset / EXTENT_SIZE);
	if (first > (offset + len - 1) / EXTENT_SIZE)
		return true;
	*missing = first;
	return false;
}

enum extents_state extents_state(const struct extents *e)
{
	return atomic_load_explicit(&e->shared->state, memory_order_acquire);
}

const struct hash *extents_hash(const struct extents *e)
{
	return &e->shared->hash;
}

void extents_set(struct extents *e, uint64_t extent)
{
	atomic_fetch_or_explicit(&e->shared->bits[extent / BITS], UINT64_C(1) << extent % BITS,
				 memory_order_release);
}

void extents_complete(struct extents *e, const struct hash *hash)
{
	e->shared->hash = *hash;
	atomic_store_explicit(&e->shared->state, EXTENTS_COMPLETE, memory_order_release);
}

void extents_break(struct extents *e)
{
	atomic_store_explicit(&e->shared->state, EXTENTS_BROKEN, memory_order_release);
}

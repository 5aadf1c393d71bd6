/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Bounded reading and writing of packets and records.
 *
 * A cursor never passes its end: a read that does not fit gives zero (or an
 * empty run) and sets `bad`, and so does every read after it.  A parser reads
 * what it wants and asks once, at the end.  A writer keeps the same promise
 * for output: what does not fit is not written, and `full` says so.
 */
#ifndef COMMON_BYTES_H
#define COMMON_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A borrowed run of bytes; `at` may be NULL when `len` is 0. */
struct bytes {
	const uint8_t *at;
	size_t len;
};

struct cursor {
	const uint8_t *at;
	const uint8_t *end;
	bool bad;
};

static inline struct cursor cursor_of(const void *data, size_t len)
{
	/* NULL plus zero is no address in C. */
	return (struct cursor){.at = data, .end = len ? (const uint8_t *)data + len : data};
}

static inline size_t cursor_left(const struct cursor *c)
{
	return c->bad ? 0 : (size_t)(c->end - c->at);
}

/* The next `n` bytes, or NULL and bad. */
static inline const uint8_t *cursor_skip(struct cursor *c, size_t n)
{
	const uint8_t *at = c->at;

	if (c->bad || (size_t)(c->end - c->at) < n) {
		c->bad = true;
		return NULL;
	}
	c->at += n;
	return at;
}

static inline struct bytes cursor_take(struct cursor *c, size_t n)
{
	const uint8_t *at = cursor_skip(c, n);

	return (struct bytes){.at = at, .len = at ? n : 0};
}

static inline uint8_t cursor_u8(struct cursor *c)
{
	const uint8_t *p = cursor_skip(c, 1);

	return p ? p[0] : 0;
}

static inline uint16_t cursor_be16(struct cursor *c)
{
	const uint8_t *p = cursor_skip(c, 2);

	return p ? (uint16_t)(p[0] << 8 | p[1]) : 0;
}

/* Of the four bytes at `p`. */
static inline uint32_t be32_at(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint32_t cursor_be32(struct cursor *c)
{
	const uint8_t *p = cursor_skip(c, 4);

	return p ? be32_at(p) : 0;
}

static inline uint64_t cursor_be64(struct cursor *c)
{
	uint64_t hi = cursor_be32(c);

	return hi << 32 | cursor_be32(c);
}

struct writer {
	uint8_t *start;
	uint8_t *at;
	uint8_t *end;
	bool full;
};

static inline struct writer writer_of(void *data, size_t size)
{
	return (struct writer){.start = data, .at = data, .end = (uint8_t *)data + size};
}

static inline size_t writer_len(const struct writer *w)
{
	return (size_t)(w->at - w->start);
}

static inline size_t writer_left(const struct writer *w)
{
	return w->full ? 0 : (size_t)(w->end - w->at);
}

/* Room for `n` bytes that the caller fills, or NULL and full. */
static inline uint8_t *writer_room(struct writer *w, size_t n)
{
	uint8_t *at = w->at;

	if (w->full || (size_t)(w->end - w->at) < n) {
		w->full = true;
		return NULL;
	}
	w->at += n;
	return at;
}

static inline void writer_put(struct writer *w, const void *data, size_t n)
{
	uint8_t *p = writer_room(w, n);

	if (p && n)
		memcpy(p, data, n);
}

static inline void writer_zero(struct writer *w, size_t n)
{
	uint8_t *p = writer_room(w, n);

	if (p)
		memset(p, 0, n);
}

static inline void writer_u8(struct writer *w, uint8_t v)
{
	writer_put(w, &v, 1);
}

static inline void writer_be16(struct writer *w, uint16_t v)
{
	uint8_t *p = writer_room(w, 2);

	if (p) {
		p[0] = (uint8_t)(v >> 8);
		p[1] = (uint8_t)v;
	}
}

static inline void writer_be32(struct writer *w, uint32_t v)
{
	uint8_t *p = writer_room(w, 4);

	if (p) {
		p[0] = (uint8_t)(v >> 24);
		p[1] = (uint8_t)(v >> 16);
		p[2] = (uint8_t)(v >> 8);
		p[3] = (uint8_t)v;
	}
}

static inline void writer_be64(struct writer *w, uint64_t v)
{
	writer_be32(w, (uint32_t)(v >> 32));
	writer_be32(w, (uint32_t)v);
}

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Text into a buffer, piece by piece; what does not fit is remembered, and asked
 * about once, at the end.
 */
#ifndef TFTP_TEXT_H
#define TFTP_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct text {
	char *start;
	char *at;
	size_t left;
	bool full;
};

static inline struct text text_of(char *buf, size_t size)
{
	return (struct text){.start = buf, .at = buf, .left = size};
}

static inline void text_put(struct text *t, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static inline void text_put(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->at, t->left, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= t->left) {
		t->full = true;
		return;
	}
	t->at += n;
	t->left -= (size_t)n;
}

/* 0 when it did not fit. */
static inline size_t text_len(const struct text *t)
{
	return t->full ? 0 : (size_t)(t->at - t->start);
}

#endif

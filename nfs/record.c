/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nfs/record.h"

#include <errno.h>
#include <stdlib.h>

#include "nfs/rpc.h"

void record_fini(struct record *r)
{
	free(r->buf);
	*r = (struct record){0};
}

/* Keep what still fits of `n` bytes. */
static int record_keep(struct record *r, const uint8_t *at, uint32_t n)
{
	uint32_t room = RECORD_MAX - r->len;

	if (n > room)
		n = room;
	if (r->len + n > r->size) {
		/* The fragment's own length is a fair guess, never above the limit. */
		uint32_t size = r->len + n < 512 ? 512 : RECORD_MAX;
		uint8_t *bigger = realloc(r->buf, size);

		if (!bigger)
			return -ENOMEM;
		r->buf = bigger;
		r->size = size;
	}
	memcpy(r->buf + r->len, at, n);
	r->len += n;
	return 0;
}

static int record_mark(struct record *r, uint32_t mark)
{
	r->last = mark & RECORD_LAST;
	r->fragment = mark & ~RECORD_LAST;
	r->begun = true;
	if (r->fragment > RECORD_MAX_WRITE - r->total || ++r->fragments > RECORD_MAX_FRAGMENTS)
		return -EBADMSG;
	return 0;
}

int record_next(struct record *r, struct bytes *in, struct record_call *call)
{
	int err;

	if (r->given)
		record_fini(r);
	if (!record_partial(r) && in->len >= 4) {
		uint32_t mark = be32_at(in->at);
		uint32_t len = mark & ~RECORD_LAST;

		if ((mark & RECORD_LAST) && len <= RECORD_MAX && len <= in->len - 4) {
			*call = (struct record_call){.bytes = {in->at + 4, len}};
			in->at += 4 + len;
			in->len -= 4 + len;
			return 0;
		}
	}
	for (;;) {
		uint32_t n;

		if (r->mark_len == 4 && !r->fragment) {
			r->mark_len = 0;
			if (!r->last)
				continue;
			*call = (struct record_call){.bytes = {r->buf, r->len},
						     .cut = r->total > r->len};
			r->begun = false;
			r->given = true;
			return 0;
		}
		if (!in->len)
			return RECORD_MORE;
		if (r->mark_len < 4) {
			r->mark[r->mark_len++] = *in->at++;
			in->len--;
			err = r->mark_len < 4 ? 0 : record_mark(r, be32_at(r->mark));
			if (err)
				return err;
			continue;
		}
		n = in->len < r->fragment ? (uint32_t)in->len : r->fragment;
		err = record_keep(r, in->at, n);
		if (err)
			return err;
		r->total += n;
		r->fragment -= n;
		in->at += n;
		in->len -= n;
		/* Decided as soon as it can be: nothing else may be this long. */
		if (r->total > RECORD_MAX && !rpc_is_write((struct bytes){r->buf, r->len}))
			return -EBADMSG;
	}
}

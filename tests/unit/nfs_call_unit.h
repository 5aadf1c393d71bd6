/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Calls that are written word by word, right or wrong, and replies that are these words.
 */
#ifndef TESTS_UNIT_NFS_CALL_UNIT_H
#define TESTS_UNIT_NFS_CALL_UNIT_H

#include "tests/unit/nfs_unit.h"

/* A call by hand, AUTH_NONE. */
static inline struct writer begin(struct unit_nfs *u, uint32_t rpcvers, uint32_t prog,
				  uint32_t vers, uint32_t proc)
{
	struct writer w = writer_of(u->call, sizeof(u->call));

	writer_be32(&w, ++u->xid);
	writer_be32(&w, CALL);
	writer_be32(&w, rpcvers);
	writer_be32(&w, prog);
	writer_be32(&w, vers);
	writer_be32(&w, proc);
	return w;
}

static inline void finish(struct unit_nfs *u, struct writer *w)
{
	u->call_len = writer_len(w);
	unit_send(u, false);
}

static inline void send_plain(struct unit_nfs *u, uint32_t prog, uint32_t vers, uint32_t proc)
{
	struct writer w = begin(u, 2, prog, vers, proc);

	writer_zero(&w, 16);
	finish(u, &w);
}

/* The reply is these words after the xid, and nothing else. */
#define assert_words(u, ...)                                                                       \
	assert_words_(u, (const uint32_t[]){__VA_ARGS__},                                          \
		      sizeof((const uint32_t[]){__VA_ARGS__}) / 4)

static inline void assert_words_(struct unit_nfs *u, const uint32_t *words, size_t n)
{
	struct cursor c = cursor_of(u->buf, u->len);

	assert_int_equal(u->verdict, RPC_SEND);
	assert_int_equal(cursor_be32(&c), u->xid);
	assert_int_equal(u->len, 4 + 4 * n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(cursor_be32(&c), words[i]);
}

#endif

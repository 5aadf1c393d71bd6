/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nfs/handle.h"

#include <errno.h>
#include <sodium.h>

enum { HANDLE_TAGGED = 24 };

_Static_assert(crypto_shorthash_BYTES == HANDLE_SIZE - HANDLE_TAGGED, "tag");
_Static_assert(crypto_shorthash_KEYBYTES == sizeof(struct handle_key), "key");

void handle_write(const struct handle_key *key, const struct handle *handle,
		  uint8_t out[static HANDLE_SIZE])
{
	struct writer w = writer_of(out, HANDLE_SIZE);

	writer_be32(&w, (uint32_t)HANDLE_FORMAT << 24);
	writer_be32(&w, handle->host);
	writer_be32(&w, handle->version);
	writer_be32(&w, handle->node);
	writer_be32(&w, handle->boot);
	writer_zero(&w, 4);
	crypto_shorthash(out + HANDLE_TAGGED, out, HANDLE_TAGGED, key->bytes);
}

int handle_read(const struct handle_key *key, struct bytes in, struct handle *out)
{
	uint8_t tag[crypto_shorthash_BYTES];
	struct cursor c = cursor_of(in.at, in.len);

	if (in.len != HANDLE_SIZE || in.at[0] != HANDLE_FORMAT)
		return -EBADMSG;
	crypto_shorthash(tag, in.at, HANDLE_TAGGED, key->bytes);
	if (sodium_memcmp(tag, in.at + HANDLE_TAGGED, sizeof(tag)))
		return -EBADMSG;
	cursor_skip(&c, 4);
	*out = (struct handle){
		.host = cursor_be32(&c),
		.version = cursor_be32(&c),
		.node = cursor_be32(&c),
		.boot = cursor_be32(&c),
	};
	return 0;
}

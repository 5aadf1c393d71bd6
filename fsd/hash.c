/* SPDX-License-Identifier: GPL-2.0-or-later */
#define OPENSSL_SUPPRESS_DEPRECATED /* for why, see hash.h */
#include "fsd/hash.h"

void hasher_init(struct hasher *h)
{
	SHA256_Init(&h->ctx);
}

void hasher_add(struct hasher *h, const void *data, size_t len)
{
	SHA256_Update(&h->ctx, data, len);
}

void hasher_end(struct hasher *h, struct hash *out)
{
	SHA256_Final(out->octet, &h->ctx);
}

void hash_of(const void *data, size_t len, struct hash *out)
{
	struct hasher h;

	hasher_init(&h);
	hasher_add(&h, data, len);
	hasher_end(&h, out);
}

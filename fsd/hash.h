/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * SHA-256, which names every object and guards every manifest and journal.  It needs no
 * memory and cannot fail: since OpenSSL 3 both EVP and the one-shot SHA256() look the
 * algorithm up and allocate, and a libcrypto whose first look-up failed stays without
 * it, or reads a lock that it has not made.  So these are the functions below those, with
 * the same instructions of the processor.
 */
#ifndef FSD_HASH_H
#define FSD_HASH_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <openssl/sha.h>

enum { HASH_LEN = 32 };

struct hash {
	uint8_t octet[HASH_LEN]; /* SHA-256; all zero is "not known" */
};

static inline bool hash_known(const struct hash *hash)
{
	static const struct hash none;

	return memcmp(hash, &none, sizeof(none)) != 0;
}

/* Of what comes in pieces: init, add each, end. */
struct hasher {
	SHA256_CTX ctx;
};

void hasher_init(struct hasher *h);
void hasher_add(struct hasher *h, const void *data, size_t len);
void hasher_end(struct hasher *h, struct hash *out);

void hash_of(const void *data, size_t len, struct hash *out);

#endif

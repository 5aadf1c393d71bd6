/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * SHA-256 of known texts (FIPS 180-2, appendix B), whole and in pieces.
 */
#include "tests/unit/unit.h"

#include "fsd/hash.h"

static const char abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
static const char twice[] = "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1";

static void expect(const struct hash *hash, const char *hex)
{
	char text[2 * HASH_LEN + 1];

	for (int i = 0; i < HASH_LEN; i++)
		snprintf(text + 2 * i, 3, "%02x", hash->octet[i]);
	assert_string_equal(text, hex);
}

static void test_known(void **state)
{
	static const char text[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
	struct hasher h;
	struct hash first;
	struct hash pieces;
	struct hash whole;

	(void)state;
	hash_of("abc", 3, &first);
	hasher_init(&h);
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		hasher_add(&h, text + i, 1);
	hasher_end(&h, &pieces);
	hash_of(text, sizeof(text) - 1, &whole);
	expect(&first, abc);
	expect(&pieces, twice);
	expect(&whole, twice);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

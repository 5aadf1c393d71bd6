/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * DHCP options as people write them, for a subnet in the configuration and for a host
 * among its settings: "option-150 = ip:10.0.0.1".
 */
#ifndef COMMON_OPTION_H
#define COMMON_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/why.h"

#define OPTION_KEY "option-"

enum { OPTION_CODE_MAX = 254, OPTION_NO_KEY = 1 };

/* The number in "option-150".  Returns 0; OPTION_NO_KEY for a key of another kind; -EINVAL
 * with words (without the key) for a number that is none, the protocol's own, or in another
 * spelling. */
int option_code(const char *key, unsigned int *code, struct why *why);

/* Is it one that the server itself fills in, or only a client may send? */
bool option_is_protocol(unsigned int code);

/* A value, for any option by number:
 *
 *	ip:10.0.0.1,10.0.0.2   u8:1  u16:1500  u32:60  text:words  hex:0a0b0c
 *	routes:10.1.0.0/16 10.0.0.1,0.0.0.0/0 10.0.0.254   (RFC 3442)
 *	domains:a.example,b.example   (RFC 3397, not compressed)
 *
 * A value without a known kind is text.  At most `size` bytes, at most 255.
 * Returns the number of bytes, or -EINVAL with the words in `why`. */
int option_parse(const char *text, uint8_t *out, size_t size, struct why *why);

#endif

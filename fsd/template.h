/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Templates: text with {{key}} in it.  A key is letters, digits, '_', '-', '.';
 * white space around it is fine.  There is nothing else: no conditions, no loops.
 */
#ifndef FSD_TEMPLATE_H
#define FSD_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/bytes.h"
#include "common/why.h"

enum { TEMPLATE_KEY_MAX = 63, TEMPLATE_SIZE_MAX = 1 << 20 };

/* A key's value, or NULL when it has none. */
typedef const char *template_lookup(void *ctx, const char *key);

bool template_key_ok(const char *key, size_t len);

/* Render into fresh memory, ended by a NUL that *len does not count.
 * Returns 0; -EINVAL with words for a bad or unknown key or an open brace;
 * -EFBIG over TEMPLATE_SIZE_MAX; -ENOMEM. */
int template_render(struct bytes text, template_lookup *lookup, void *ctx, char **out, size_t *len,
		    struct why *why);

/* Does `text` use `key`? */
bool template_uses(struct bytes text, const char *key);

#endif

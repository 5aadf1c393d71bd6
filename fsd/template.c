/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/template.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/cleanup.h"

static bool key_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-' || c == '.';
}

bool template_key_ok(const char *key, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!key_char(key[i]))
			return false;
	return len > 0 && len <= TEMPLATE_KEY_MAX;
}

enum { PIECE_END, PIECE_TEXT, PIECE_KEY };

/* Cut the next piece off: text up to a "{{", or the key between braces.
 * Returns PIECE_*, or -EINVAL. */
static int piece_next(struct bytes *rest, struct bytes *text, char key[TEMPLATE_KEY_MAX + 1],
		      struct why *why)
{
	const uint8_t *open = rest->len ? memmem(rest->at, rest->len, "{{", 2) : NULL;
	const uint8_t *close;
	const uint8_t *from;
	const uint8_t *to;

	if (!rest->len)
		return PIECE_END;
	if (open != rest->at) {
		*text = (struct bytes){rest->at, open ? (size_t)(open - rest->at) : rest->len};
		rest->at += text->len;
		rest->len -= text->len;
		return PIECE_TEXT;
	}
	close = memmem(rest->at, rest->len, "}}", 2);
	if (!close)
		return why_set(why, -EINVAL, "{{ without }}");
	from = rest->at + 2;
	to = close;
	while (from < to && (*from == ' ' || *from == '\t'))
		from++;
	while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
		to--;
	if (!template_key_ok((const char *)from, (size_t)(to - from)))
		return why_set(why, -EINVAL, "{{%.*s}}: not a key",
			       (int)(to - from < 64 ? to - from : 64), from);
	memcpy(key, from, (size_t)(to - from));
	key[to - from] = '\0';
	rest->len -= (size_t)(close + 2 - rest->at);
	rest->at = close + 2;
	return PIECE_KEY;
}

int template_render(struct bytes text, template_lookup *lookup, void *ctx, char **out, size_t *len,
		    struct why *why)
{
	size_t room = text.len + 256;
	cleanup(freep) char *result = NULL;
	char key[TEMPLATE_KEY_MAX + 1];
	struct bytes rest = text;
	struct bytes piece;
	size_t n = 0;
	int r;

	if (text.len > TEMPLATE_SIZE_MAX)
		return why_set(why, -EFBIG, "a template of over 1 MiB");
	result = malloc(room + 1);
	if (!result)
		return -ENOMEM;
	while ((r = piece_next(&rest, &piece, key, why)) > 0) {
		if (r == PIECE_KEY) {
			const char *value = lookup(ctx, key);

			if (!value)
				return why_set(why, -EINVAL, "{{%s}}: unknown key", key);
			piece = (struct bytes){(const uint8_t *)value, strlen(value)};
		}
		if (n + piece.len > TEMPLATE_SIZE_MAX)
			return why_set(why, -EFBIG, "renders to over 1 MiB");
		if (n + piece.len > room) {
			char *bigger = realloc(result, 2 * (n + piece.len) + 1);

			if (!bigger)
				return -ENOMEM;
			result = bigger;
			room = 2 * (n + piece.len);
		}
		memcpy(result + n, piece.at, piece.len);
		n += piece.len;
	}
	if (r < 0)
		return r;
	result[n] = '\0';
	*len = n;
	*out = take(&result);
	return 0;
}

bool template_uses(struct bytes text, const char *key)
{
	char found[TEMPLATE_KEY_MAX + 1];
	struct bytes rest = text;
	struct bytes piece;
	int r;

	while ((r = piece_next(&rest, &piece, found, NULL)) > 0)
		if (r == PIECE_KEY && !strcmp(found, key))
			return true;
	return false;
}
